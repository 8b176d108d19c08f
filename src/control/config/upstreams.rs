//! `upstreams:` and `--upstream`, read into [`Upstream`]s.

mod auth;
mod flag;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_saphyr::Spanned;

use super::upstreams_document::*;
use super::{Overrides, Parsed};
use crate::error::Problem;
use crate::limits::TOOL_NAME_BYTES_MAX;
use crate::mcp::ShortName;
use crate::policy::Strategy;
use crate::upstream::credential::AuthSettings;
use crate::upstream::http::{Endpoint, PoolRules, Url};
use crate::upstream::naming::{Glob, NameRules, Prefix, SEPARATOR};
use crate::upstream::settings::{
    Batching, Command, EraChoice, FailMode, HeaderValue, Replica, Sharing, Transport, Upstream,
};
use crate::upstream::stdio::ResourceLimits;
use crate::upstream::tls::TlsOptions;
use flag::read_flag;
use rules::{
    batching, breaker, health, hedge_after, outlier, pool, retry, timeouts, tool_timeouts,
};

/// Bytes of an upstream's name: with the separator it leaves room for a tool's.
const NAME_BYTES_MAX: usize = ShortName::BYTES_MAX;
/// Replicas of one upstream.
const REPLICA_COUNT_MAX: usize = 64;

/// A refusal, before it knows its file.
struct Refused {
    line: Option<u64>,
    key: String,
    value: String,
    rule: String,
    remedy: &'static str,
}

type Read<T> = Result<T, Refused>;

impl Parsed<'_> {
    /// Every upstream, in order of name. One of the command line replaces one of the file.
    pub(super) fn upstreams(&self, overrides: &Overrides) -> Result<Vec<Upstream>, Problem> {
        let mut upstreams = BTreeMap::new();
        let performance = &self.document.performance;
        let for_all = |refused: Refused| {
            let key = format!("performance.{}", refused.key);
            self.refused("", Refused { key, ..refused })
        };
        let pool_for_all =
            pool(&performance.connection_pool, PoolRules::default()).map_err(for_all)?;
        let batching = batching(&performance.batching).map_err(for_all)?;
        for (name, document) in self.document.upstreams.iter().flatten() {
            let line = Some(document.referenced.line());
            let reader = Reader {
                parsed: self,
                name,
                line,
                pool: pool_for_all,
                batching,
            };
            let upstream = reader
                .upstream(&document.value)
                .map_err(|refused| self.refused(name, refused))?;
            upstreams.insert(name.clone(), upstream);
        }
        for flag in &overrides.upstreams {
            let upstream = Upstream {
                pool: pool_for_all,
                batching,
                ..read_flag(flag).map_err(|refused| self.refused("", refused))?
            };
            upstreams.insert(upstream.name.clone(), upstream);
        }
        let names: BTreeSet<&String> = upstreams.keys().collect();
        for upstream in upstreams.values() {
            if let Some(fallback) = &upstream.fallback
                && (!names.contains(fallback) || *fallback == upstream.name)
            {
                let key = format!("upstreams.{}.fallback", upstream.name);
                let line = self
                    .document
                    .upstreams
                    .as_ref()
                    .and_then(|all| all.get(&upstream.name));
                let line = line
                    .and_then(|document| document.value.fallback.as_ref())
                    .map(|given| given.referenced.line());
                return Err(self.problem(
                    line,
                    &key,
                    fallback,
                    "is not another upstream",
                    "name one of upstreams",
                ));
            }
        }
        Ok(upstreams.into_values().collect())
    }

    fn refused(&self, name: &str, refused: Refused) -> Problem {
        let key = match (name, refused.key.as_str()) {
            ("", key) => key.to_owned(),
            (name, "") => format!("upstreams.{name}"),
            (name, key) => format!("upstreams.{name}.{key}"),
        };
        self.problem(
            refused.line,
            &key,
            &refused.value,
            &refused.rule,
            refused.remedy,
        )
    }
}

struct Reader<'r> {
    parsed: &'r Parsed<'r>,
    name: &'r str,
    /// Where the upstream begins.
    line: Option<u64>,
    /// What `performance:` says for all.
    pool: PoolRules,
    batching: Batching,
}

impl Reader<'_> {
    fn upstream(&self, document: &UpstreamDocument) -> Read<Upstream> {
        check_name(self.name).map_err(|rule| self.wrong("", self.name, rule, "rename it"))?;
        let transport = self.transport(document)?;
        let auth = document.auth.as_ref();
        let auth = auth.map(|auth| self.auth(&auth.value)).transpose()?;
        if let (Some(auth), Transport::Http { headers, .. }) = (&auth, &transport) {
            self.refuse_two_credentials(auth, headers)?;
        }
        if let (Transport::Stdio(_), Some(path)) = (&transport, &document.health.path) {
            let rule = "is for upstreams with a url";
            return Err(at(path, "health.path", &path.value, rule, "remove it"));
        }
        Ok(Upstream {
            name: self.name.to_owned(),
            transport,
            era: match document.era {
                None | Some(EraName::Auto) => EraChoice::Auto,
                Some(EraName::Modern) => EraChoice::Modern,
                Some(EraName::Legacy) => EraChoice::Legacy,
            },
            balance: match document.balance {
                None | Some(BalanceName::P2C) => Strategy::P2c,
                Some(BalanceName::RoundRobin) => Strategy::RoundRobin,
                Some(BalanceName::LeastConnections) => Strategy::LeastConnections,
                Some(BalanceName::WeightedRandom) => Strategy::WeightedRandom,
                Some(BalanceName::ConsistentHash) => Strategy::ConsistentHash,
            },
            breaker: breaker(&document.breaker)?,
            health: health(&document.health)?,
            outlier: outlier(&document.outlier)?,
            retry: retry(&document.retry)?,
            timeouts: timeouts(&document.timeouts)?,
            pool: pool(&document.connection_pool, self.pool)?,
            batching: self.batching,
            names: self.names(document)?,
            fail: match document.fail {
                None | Some(FailName::Open) => FailMode::Open,
                Some(FailName::Closed) => FailMode::Closed,
            },
            sharing: match document.sharing {
                None | Some(SharingName::Shared) => Sharing::Shared,
                Some(SharingName::PerSession) => Sharing::PerSession,
            },
            auth,
            fallback: document.fallback.as_ref().map(|name| name.value.clone()),
            tool_timeouts: tool_timeouts(&document.timeouts)?,
            hedge_after: hedge_after(document)?,
        })
    }

    fn transport(&self, document: &UpstreamDocument) -> Read<Transport> {
        let http = document.url.is_some() || document.replicas.is_some();
        match (&document.command, http) {
            (Some(command), false) => self.command(document, command).map(Transport::Stdio),
            (None, true) => self.http(document),
            _ => Err(self.wrong(
                "",
                "",
                "needs either a url (or replicas) or a command",
                "give one of them",
            )),
        }
    }

    fn http(&self, document: &UpstreamDocument) -> Read<Transport> {
        let stdio_keys = [
            ("args", document.args.is_some()),
            ("env", document.env.is_some()),
            ("pass_env", document.pass_env.is_some()),
            ("cwd", document.cwd.is_some()),
            ("limits", document.limits.is_some()),
        ];
        self.refuse_keys(&stdio_keys, "is for upstreams with a command")?;
        let mut replicas = Vec::new();
        if let Some(url) = &document.url {
            replicas.push(replica("url", url, &url.value, 1)?);
        }
        for given in document.replicas.iter().flatten() {
            let (url, weight) = match &given.value {
                ReplicaDocument::Url(url) => (url, 1),
                ReplicaDocument::Weighted(weighted) => (&weighted.url, weighted.weight),
            };
            replicas.push(replica("replicas", given, url, weight)?);
        }
        if replicas.is_empty() || replicas.len() > REPLICA_COUNT_MAX {
            let rule = format!("must have 1 to {REPLICA_COUNT_MAX} replicas");
            return Err(self.wrong(
                "replicas",
                &replicas.len().to_string(),
                rule,
                "change the list",
            ));
        }
        let (mut headers, mut shown) = (Vec::new(), Vec::new());
        for (name, value) in document.headers.iter().flatten() {
            let (value, text) = match &value.value {
                HeaderDocument::Text(text) => (HeaderValue::Text(text.clone()), text.as_str()),
                HeaderDocument::Secret(place) => {
                    let place = self.secret_ref(place).ok_or_else(|| {
                        let rule = "needs one of env, file, credential and secret";
                        let remedy = "write it like {env: TOKEN}";
                        at(value, &format!("headers.{name}"), "", rule, remedy)
                    })?;
                    (HeaderValue::Secret(place), "x")
                }
            };
            headers.push((name.clone(), value));
            shown.push((name.clone(), text.to_owned()));
        }
        let header = document
            .auth
            .as_ref()
            .and_then(|auth| auth.value.header.as_ref());
        shown.extend(header.map(|header| (header.name.value.clone(), "x".to_owned())));
        if let Err(refused) = Endpoint::new(&replicas[0].url, &shown) {
            return Err(self.wrong("headers", "", refused.to_string(), "correct it"));
        }
        Ok(Transport::Http {
            replicas,
            headers,
            tls: self.tls(document)?,
        })
    }

    /// One field with two values is one too many, and which of them counts is each server's own idea.
    fn refuse_two_credentials(
        &self,
        auth: &AuthSettings,
        headers: &[(String, HeaderValue)],
    ) -> Read<()> {
        let name = match auth {
            AuthSettings::Header(header) => &header.name,
            _ => "Authorization",
        };
        match headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            true => Err(self.wrong(
                &format!("headers.{name}"),
                "",
                "stands beside an auth that gives the same field",
                "remove one of them",
            )),
            false => Ok(()),
        }
    }

    fn tls(&self, document: &UpstreamDocument) -> Read<TlsOptions> {
        let Some(tls) = &document.tls else {
            return Ok(TlsOptions::default());
        };
        let identity = match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => Some((
                self.parsed.relative(&cert.value),
                self.parsed.relative(&key.value),
            )),
            (None, None) => None,
            (Some(path), None) | (None, Some(path)) => {
                let shown = path.value.display().to_string();
                return Err(at(
                    path,
                    "tls",
                    &shown,
                    "cert and key go together",
                    "give both",
                ));
            }
        };
        Ok(TlsOptions {
            ca: tls.ca.as_ref().map(|path| self.parsed.relative(path)),
            identity,
        })
    }

    fn command(&self, document: &UpstreamDocument, command: &Spanned<String>) -> Read<Command> {
        let http_keys = [
            ("headers", document.headers.is_some()),
            ("auth", document.auth.is_some()),
            ("tls", document.tls.is_some()),
        ];
        self.refuse_keys(&http_keys, "is for upstreams with a url")?;
        if command.value.trim().is_empty() {
            return Err(at(
                command,
                "command",
                &command.value,
                "is empty",
                "name a program",
            ));
        }
        let mut environment = BTreeMap::new();
        for (name, value) in document.env.iter().flatten() {
            check_variable(name).map_err(|rule| at(value, "env", name, rule, "rename it"))?;
            environment.insert(name.clone(), value.value.clone());
        }
        for name in document.pass_env.iter().flatten() {
            check_variable(&name.value)
                .map_err(|rule| at(name, "pass_env", &name.value, rule, "rename it"))?;
        }
        let limits = document.limits.as_ref();
        Ok(Command {
            program: command.value.clone().into(),
            arguments: document.args.iter().flatten().map(OsString::from).collect(),
            environment,
            pass_environment: document
                .pass_env
                .iter()
                .flatten()
                .map(|name| name.value.clone())
                .collect(),
            directory: document.cwd.as_ref().map(|path| self.parsed.relative(path)),
            limits: limits.map_or_else(ResourceLimits::default, |limits| ResourceLimits {
                memory_bytes: limits.memory.map(|size| size.0 as u64),
                open_files: limits.open_files,
                cpu_seconds: limits.cpu.map(|span| span.0.as_secs().max(1)),
                processes: limits.processes,
            }),
        })
    }

    fn names(&self, document: &UpstreamDocument) -> Read<NameRules> {
        let globs = |patterns: &Option<Vec<String>>| {
            patterns
                .iter()
                .flatten()
                .map(|pattern| Glob::new(pattern))
                .collect()
        };
        let mut rename = BTreeMap::new();
        for (from, to) in document.rename.iter().flatten() {
            let fine = |byte: u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
            };
            let length = 1..=TOOL_NAME_BYTES_MAX;
            if !length.contains(&to.value.len()) || !to.value.bytes().all(fine) {
                let rule = format!(
                    "is no tool name: 1 to {TOOL_NAME_BYTES_MAX} letters, digits, `_`, `-`, `.` and `/`"
                );
                return Err(at(to, "rename", &to.value, rule, "choose another"));
            }
            if rename.values().any(|other| *other == to.value) {
                return Err(at(
                    to,
                    "rename",
                    &to.value,
                    "is given to two tools",
                    "choose another",
                ));
            }
            rename.insert(from.clone(), to.value.clone());
        }
        Ok(NameRules {
            prefix: match document.prefix {
                None | Some(PrefixName::Auto) => Prefix::Auto,
                Some(PrefixName::Always) => Prefix::Always,
                Some(PrefixName::Never) => Prefix::Never,
            },
            allow: globs(&document.allow),
            deny: globs(&document.deny),
            rename,
        })
    }

    fn refuse_keys(&self, keys: &[(&str, bool)], rule: &str) -> Read<()> {
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(self.wrong(key, "", rule, "remove it")),
            None => Ok(()),
        }
    }

    fn wrong(
        &self,
        key: &str,
        value: &str,
        rule: impl Into<String>,
        remedy: &'static str,
    ) -> Refused {
        Refused {
            line: self.line,
            key: key.to_owned(),
            value: value.to_owned(),
            rule: rule.into(),
            remedy,
        }
    }
}

fn at<T>(
    given: &Spanned<T>,
    key: &str,
    value: &str,
    rule: impl Into<String>,
    remedy: &'static str,
) -> Refused {
    Refused {
        line: Some(given.referenced.line()),
        key: key.to_owned(),
        value: value.to_owned(),
        rule: rule.into(),
        remedy,
    }
}

fn replica<T>(key: &str, given: &Spanned<T>, url: &str, weight: u32) -> Read<Replica> {
    match Url::parse(url) {
        Ok(url) => Ok(Replica { url, weight }),
        // A URL with a password in it is not repeated.
        Err(error) => {
            let shown = if url.contains('@') { "" } else { url };
            let remedy = "write it like https://mcp.example.com/mcp";
            Err(at(given, key, shown, error.to_string(), remedy))
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = 1..=NAME_BYTES_MAX;
    if length.contains(&name.len()) && name.bytes().all(fine) && !name.contains(SEPARATOR) {
        return Ok(());
    }
    Err(format!(
        "is no name for an upstream: 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`, but not `{SEPARATOR}`"
    ))
}

fn check_variable(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("is no name of an environment variable");
    }
    Ok(())
}

#[cfg(test)]
#[path = "upstreams/tests.rs"]
mod tests;
