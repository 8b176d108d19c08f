//! `margay policy`: read, explained and compared without a server.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::control::config::{Config, LogLevel};
use crate::control::manifest;
use crate::control::own;
use crate::control::policies::{self, Policies};
use crate::error::{Problem, exit};
use crate::policy::permission::{
    Access, Alias, Ask, By, Decide, Effective, NO_TUNNEL, NO_USER, Own, Policy, Protocol, Verdict,
};
use crate::policy::{Identity, Proof};

use super::{Common, print_line, print_problem};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay policy check weather.policy.yaml
  margay policy explain weather GET https://api.open-meteo.com/v1/forecast
  margay policy explain weather.policy.yaml read /srv/notes/todo.txt
  margay policy explain weather --as bot-7 --role guest env API_KEY
  margay policy explain weather connect 10.0.0.7:5432
  margay policy diff old.policy.yaml new.policy.yaml

A policy (NAME.policy.yaml beside NAME.wasm; what no line allows is denied):
  version: \"1.0\"
  permissions:
    network:
      allow:
        - host: api.open-meteo.com          # every port; HTTP and TCP
        - host: \"*.example.com\"             # below it, not itself
        - host: https://x.com:8443/v1/      # scheme, port, path prefix
        - {host: y.com, methods: [GET], ports: [443, 8000-8080]}
        - {cidr: 10.0.0.0/8, ports: [5432]} # grants private addresses
        - host: z.com
          inject: {header: Authorization, value: \"Bearer {secret}\",
                   secret: {env: TOKEN}}    # the component never sees it
      deny: [{host: admin.example.com}]     # beats every allow
    storage:
      allow: [{uri: \"fs:///srv/notes/**\", access: [read, write]}]
    environment:
      allow: [{key: API_KEY}, {key: B, secret: {file: b.txt}}]
    resources: {memory: 256, cpu_time_ms: 500, http_requests: 10,
                http_bytes: 10Mi, open_files: 16}

Addresses of this machine, of private networks and of clouds' metadata are
refused, whatever name leads there, unless a line has the address, its
network (/8 or narrower), or localhost.";

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say whether something would be allowed, and by which line. Exit code 0: allowed; 1: denied.
    Explain(Box<ExplainArgs>),
    /// Read policies and say what is wrong with them, or not enforced. Exit code 1: something is wrong.
    Check {
        /// Policy files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what one policy allows and another does not. Exit code 1: they differ.
    Diff {
        /// A policy file.
        #[arg(value_name = "A.yaml")]
        left: PathBuf,
        /// Another.
        #[arg(value_name = "B.yaml")]
        right: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A loaded component's name, a .wasm file, or a policy file.
    #[arg(value_name = "COMPONENT|POLICY.yaml")]
    subject: String,
    /// What is asked: an HTTP method with a URL, `read` or `write` with a path, `env` with a name, `connect` with HOST:PORT, `resolve` with a name.
    #[arg(value_name = "GET|read|write|env|connect|resolve")]
    verb: String,
    /// The URL, path, name or HOST:PORT.
    #[arg(value_name = "WHAT")]
    object: String,
    /// For this caller: its subject, as rules have it. Profiles of the configuration narrow what it may do.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// If the name of the host leads to this address.
    #[arg(long, value_name = "ADDRESS")]
    leads_to: Option<IpAddr>,
    /// The caller's issuer.
    #[arg(long, requires = "principal")]
    issuer: Option<String>,
    /// A role of the caller; may be repeated.
    #[arg(long = "role", value_name = "ROLE", requires = "principal")]
    roles: Vec<String>,
    /// A scope of the caller; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE", requires = "principal")]
    scopes: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(command: &PolicyCommand) -> Result<u8, Problem> {
    match command {
        PolicyCommand::Explain(args) => explain(args),
        PolicyCommand::Check { files } => check(files),
        PolicyCommand::Diff { left, right } => diff(left, right),
    }
}

fn check(files: &[PathBuf]) -> Result<u8, Problem> {
    let mut code = 0;
    for file in files {
        match policies::named(file, Policy::parse) {
            Ok(policy) => {
                for remark in policy.remarks() {
                    print_line(&format!(
                        "{} line {}: warning: {}",
                        file.display(),
                        remark.line,
                        remark.text
                    ))?;
                }
                print_line(&format!("{}: is a valid policy", file.display()))?;
            }
            Err(problem) => {
                print_problem(&problem);
                code = 1;
            }
        }
    }
    Ok(code)
}

fn diff(left: &Path, right: &Path) -> Result<u8, Problem> {
    let (own, other) = (
        policies::named(left, Policy::parse)?,
        policies::named(right, Policy::parse)?,
    );
    let mut lines = Vec::new();
    for text in own.beyond(&other) {
        lines.push(format!("only {} allows {text}", left.display()));
    }
    for text in other.beyond(&own) {
        lines.push(format!("only {} allows {text}", right.display()));
    }
    if lines.is_empty() {
        return print_line("both allow the same");
    }
    print_line(&lines.join("\n"))?;
    Ok(1)
}

fn explain(args: &ExplainArgs) -> Result<u8, Problem> {
    let config = args
        .common
        .load(&args.common.overrides(&[]), LogLevel::Warn)?;
    let policies = Policies::new(&config)?;
    let policy = policy_of(&args.subject, &config, &policies)?;
    let narrowed = match &args.principal {
        Some(subject) => policies.profiles().of(&Identity {
            subject: subject.as_str().into(),
            issuer: args.issuer.as_deref().map(Into::into),
            proof: Proof::ApiKey,
            scopes: args
                .scopes
                .iter()
                .map(|scope| scope.as_str().into())
                .collect(),
            roles: args.roles.iter().map(|role| role.as_str().into()).collect(),
            ..Identity::anonymous()
        }),
        None => Arc::default(),
    };
    let subject = Subject {
        effective: Effective::new(policy, narrowed),
        own: own::of(&config),
    };
    let verdict = ask(&subject, args)?;
    let word = if verdict.is_allowed { "allow" } else { "deny" };
    print_line(&format!("{word}: {}", verdict.by))?;
    Ok(u8::from(!verdict.is_allowed))
}

/// A file that ends in .yaml, a component's file, or the name of a loaded component.
fn policy_of(
    subject: &str,
    config: &Config,
    policies: &Policies,
) -> Result<Option<Arc<Policy>>, Problem> {
    let path = Path::new(subject);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yaml" | "yml") => {
            return policies::named(path, Policy::parse).map(|policy| Some(Arc::new(policy)));
        }
        Some("wasm" | "wat") => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            return policies.of(&name, &policies::beside(path));
        }
        _ => {}
    }
    for file in &config.components {
        if file.file_stem().is_some_and(|stem| stem == subject) {
            return policies.of(subject, &policies::beside(file));
        }
    }
    let provisions = config.manifest.as_deref().map(manifest::read).transpose()?;
    let mut provisions = provisions.into_iter().flatten();
    if let Some(provision) = provisions.find(|provision| provision.name == subject) {
        return Ok(Some(provision.policy));
    }
    let store = super::permission::store(config);
    // One that the configuration has a policy for need not be loaded yet.
    let name = match config.component_policies.contains_key(subject) {
        true => subject.to_owned(),
        false => store.inspect(subject)?.name,
    };
    policies.of(&name, &store.policy_path(&name))
}

/// Who is asked.
struct Subject {
    effective: Effective,
    own: Own,
}

fn ask(subject: &Subject, args: &ExplainArgs) -> Result<Verdict, Problem> {
    let (object, decider) = (args.object.as_str(), &subject.effective);
    match args.verb.as_str() {
        "read" => path(subject, Access::Read, object),
        "write" => path(subject, Access::Write, object),
        "env" => Ok(decider.decide(&Ask::Environment { key: object })),
        "resolve" => Ok(decider.decide(&Ask::Resolve { name: object })),
        "connect" => connect(decider, object, args),
        method => request(decider, method, object, args),
    }
}

fn wrong(thing: &str, value: &str, rule: &str, remedy: &str) -> Problem {
    Problem::operator(exit::USAGE, thing, format!("`{value}`"), rule, remedy)
}

/// As the path is, links resolved as far as it is there, and as the policy calls it where it names a link.
fn path(subject: &Subject, access: Access, text: &str) -> Result<Verdict, Problem> {
    let whole = std::path::absolute(text)
        .map_err(|error| wrong("path", text, &error.to_string(), "name a path"))?;
    let real = own::resolved(&whole);
    let real = real
        .to_str()
        .ok_or_else(|| wrong("path", text, "is not UTF-8", "name another"))?;
    if let Some(by) = subject.own.rule(real) {
        return Ok(Verdict::denied(by));
    }
    let mut names = vec![real.to_owned()];
    for root in subject.effective.roots() {
        let path = match root.path.is_file() {
            true => root.path.parent().unwrap_or(&root.path),
            false => &root.path,
        };
        let place = own::resolved(path);
        if let (Some(place), Some(name)) = (place.to_str(), path.to_str())
            && place != name
        {
            let (place, name) = (place.to_owned(), name.to_owned());
            names.extend(Alias { place, name }.called(real));
        }
    }
    Ok(subject.effective.place(access, &names))
}

/// Where a name leads, as far as that is known.
fn leads_to(host: &str, args: &ExplainArgs) -> Option<IpAddr> {
    let loopback = (host == "localhost").then_some(Ipv4Addr::LOCALHOST.into());
    args.leads_to.or(loopback)
}

/// A bare TCP connection: to a name, if it may be looked up; where it leads is asked about as far as it is known.
fn connect(decider: &dyn Decide, text: &str, args: &ExplainArgs) -> Result<Verdict, Problem> {
    const FORM: &str = "write it like 10.0.0.7:5432, [::1]:80 or db.internal:5432";
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| wrong("connect", text, "has no port", FORM))?;
    let port = port
        .parse()
        .map_err(|_| wrong("connect", text, "has no port", FORM))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ask = |host, address| Ask::Address {
        host,
        address,
        port,
        scheme: None,
        protocol: Protocol::Tcp,
    };
    if let Ok(address) = bare.parse() {
        return Ok(decider.decide(&ask(None, address)));
    }
    let resolved = decider.decide(&Ask::Resolve { name: host });
    if !resolved.is_allowed {
        return Ok(resolved);
    }
    // Where nobody knows: somewhere in the Internet.
    let address = leads_to(host, args).unwrap_or(Ipv4Addr::new(1, 1, 1, 1).into());
    Ok(decider.decide(&ask(Some(host), address)))
}

fn request(
    decider: &dyn Decide,
    method: &str,
    text: &str,
    args: &ExplainArgs,
) -> Result<Verdict, Problem> {
    let is_method = method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !is_method || method.is_empty() {
        let remedy = "use read, write, env, connect, resolve, or an HTTP method such as GET";
        return Err(wrong("question", method, "is not one", remedy));
    }
    const FORM: &str = "write it like https://api.example.com/v1/x";
    let parsed =
        url::Url::parse(text).map_err(|error| wrong("URL", text, &error.to_string(), FORM))?;
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return Err(wrong("URL", text, "has no host", FORM));
    };
    let refused = match (method, parsed.username(), parsed.password()) {
        ("CONNECT", ..) => Some(NO_TUNNEL),
        (_, "", None) => None,
        _ => Some(NO_USER),
    };
    if let Some(rule) = refused {
        return Ok(Verdict::denied(By::BuiltIn(rule)));
    }
    // As it is written, not as it is resolved: dot segments are decided on.
    let raw = text.split_once("://").map_or("", |(_, rest)| rest);
    let raw = raw.find('/').map_or("/", |at| &raw[at..]);
    let path = raw.split(['?', '#']).next().unwrap_or("/");
    let verdict = decider.decide(&Ask::Http {
        method,
        scheme: parsed.scheme(),
        host,
        port,
        path,
    });
    let Some(address) = leads_to(host, args).filter(|_| verdict.is_allowed) else {
        return Ok(verdict);
    };
    let (host, scheme, protocol) = (Some(host), Some(parsed.scheme()), Protocol::Tcp);
    let there = decider.decide(&Ask::Address {
        host,
        address,
        port,
        scheme,
        protocol,
    });
    Ok(if there.is_allowed { verdict } else { there })
}
