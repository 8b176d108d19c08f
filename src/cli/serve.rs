//! `margay serve` and `margay stdio`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::control;
use crate::control::config::{ClientCertificates, Config, LogLevel, Profile, Tls};
use crate::error::Problem;

use super::{Common, print_bytes};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  margay serve                              demo tools, loopback only
  margay serve weather.wasm fetch.wasm      these and nothing else
  margay serve --component-dir /srv/margay  what was loaded there; changes
                                            are noticed within a second
  margay serve --manifest components.yaml   these, with their permissions
  margay serve --config /etc/margay.yaml    every flag has a key there
  margay serve --listen 0.0.0.0:8080 --allowed-host mcp.example.com
  margay serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem
  margay serve --config /etc/margay.yaml --listen 0.0.0.0:8080 \\
               --allowed-host mcp.example.com
                                            for other machines; needs auth:
  margay serve --upstream docs=https://mcp.example.com/mcp \\
               --upstream files=stdio:'npx server-filesystem /data'
                                            other servers behind this one

Configuration file (every key is optional, an unknown one is an error):
  listen: 127.0.0.1:8080
  admin: 127.0.0.1:9091    # or off
  tls: {cert: cert.pem, key: key.pem}      # client_ca, min_version: 1.3
  admin_tls: {cert: cert.pem, key: key.pem, client_ca: operators.pem}
  shards: 0                # 0: one a core
  auth:                    # who may call; needed beyond loopback
    api_keys: [{name: ci, hash: 'sha256:...'}]    # see `margay key new`
    jwt: [{issuer: https://login.example.com, jwks: {url: https://...}}]
  resource: https://mcp.example.com/mcp    # what tokens are for
  limits:
    body_bytes_max: 10MB
    call_deadline: 30s
  upstreams:               # by the name that may stand before their tools'
    docs: {url: https://mcp.example.com/mcp, headers: {Authorization: {env: TOKEN}}}
    files: {command: npx, args: [server-filesystem, /data], prefix: always}
  component_options:       # by a component's name
    notes: {instances: per-session}    # or singleton; fresh if not said
    weather: {policy: weather.policy.yaml}   # else the one beside it
  permission_profiles:     # leave less of what was granted to some callers
    - {name: guests, who: {roles: [guest]},
       permissions: {network: {allow: [{host: api.example.com}]}}}
  performance:
    concurrency: {max_concurrent_requests: 1000}
    network: {tcp_nodelay: true, keep_alive_interval: 30s}

Certificates are read again when their files change; nobody is cut off.

Signals: TERM and INT drain and end. HUP reopens the access log, and looks
at the component directory and at certificates.")]
pub(super) struct ServeArgs {
    /// Component files to serve. Without any: the component directory, and the demo tools while it is empty and there are no upstreams.
    #[arg(value_name = "COMPONENT")]
    components: Vec<PathBuf>,
    /// Address for MCP [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Address for /metrics, /healthz and /readyz, or `off` [default: 127.0.0.1:9091].
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// Serve MCP over TLS with this certificate, a PEM file with those behind it that lead to a root.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, a PEM file that other users cannot read.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Number of shards; 0 is one a core [default: 0].
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// Starting point for what is served at one time.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Another name under which the server may be called; may be repeated.
    #[arg(long = "allowed-host", value_name = "HOST[:PORT]")]
    allowed_hosts: Vec<String>,
    /// Another origin whose pages may call the server; may be repeated.
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
    /// Write one JSON line for each request to this file.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    #[command(flatten)]
    upstreams: Upstreams,
    /// Serve the components of this manifest, each with its digest and permissions.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Serve the others of the manifest where one cannot be served.
    #[arg(long)]
    continue_on_provisioning_failure: bool,
    /// Also serve the HTTP+SSE endpoints of 2024-11-05: GET /sse and POST /messages.
    #[arg(long)]
    http_sse: bool,
    /// Which restrictions the process puts on itself: on, off, or some of no_new_privs, landlock, seccomp and ring_restrictions,
    /// with commas [default: on].
    #[arg(long, value_name = "on|off|NAMES")]
    hardening: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Other MCP servers.
#[derive(Debug, Args)]
struct Upstreams {
    /// Offer what another MCP server has, too: NAME=URL, or NAME=stdio:COMMAND, whose words may be quoted; may be repeated. All
    /// else about it stands under `upstreams` in the configuration file.
    #[arg(long = "upstream", value_name = "NAME=URL|NAME=stdio:COMMAND")]
    upstreams: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  margay stdio weather.wasm
  margay stdio --upstream docs=https://mcp.example.com/mcp
  margay stdio --upstream files=stdio:'npx server-filesystem /data' \\
               --upstream time=stdio:mcp-server-time    several as one

In a client's configuration:
  {\"mcpServers\": {\"margay\": {
    \"command\": \"margay\", \"args\": [\"stdio\", \"/path/weather.wasm\"]}}}
or, for a server that is reached over HTTP,
    \"command\": \"margay\",
    \"args\": [\"stdio\", \"--upstream\", \"docs=https://mcp.example.com/mcp\"]

Standard output has MCP messages and nothing else; the log goes to
standard error.")]
pub(super) struct StdioArgs {
    /// Component files to serve. Without any: the component directory, and the demo tools while it is empty and there are no upstreams.
    #[arg(value_name = "COMPONENT")]
    components: Vec<PathBuf>,
    #[command(flatten)]
    upstreams: Upstreams,
    #[command(flatten)]
    common: Common,
}

pub(super) fn serve(args: &ServeArgs) -> Result<u8, Problem> {
    let mut overrides = args.common.overrides(&args.components);
    overrides.listen.clone_from(&args.listen);
    overrides.admin.clone_from(&args.admin);
    overrides.tls_cert.clone_from(&args.tls_cert);
    overrides.tls_key.clone_from(&args.tls_key);
    overrides.shards = args.shards;
    overrides.profile = args.profile;
    overrides.allowed_hosts.clone_from(&args.allowed_hosts);
    overrides.allowed_origins.clone_from(&args.allowed_origins);
    overrides.access_log.clone_from(&args.access_log);
    overrides.upstreams.clone_from(&args.upstreams.upstreams);
    overrides.http_sse = args.http_sse;
    overrides.manifest.clone_from(&args.manifest);
    overrides.continue_on_provisioning_failure = args.continue_on_provisioning_failure;
    overrides.hardening.clone_from(&args.hardening);
    let config = args.common.load(&overrides, LogLevel::Info)?;
    super::probe::require(&config)?;
    control::serve::run(&config, |address, admin, shared| {
        let text = announcement(&config, address, admin, &shared.snapshot.load().catalog);
        // A closed standard output must not end a server.
        let _ = print_bytes(text.as_bytes());
    })?;
    Ok(0)
}

pub(super) fn stdio(args: &StdioArgs) -> Result<u8, Problem> {
    let mut overrides = args.common.overrides(&args.components);
    overrides.upstreams.clone_from(&args.upstreams.upstreams);
    let config = args.common.load(&overrides, LogLevel::Warn)?;
    if !config.upstreams.is_empty() {
        // They are called from a ring; without them nothing here needs one.
        super::probe::require(&config)?;
    }
    control::stdio::run(&config)?;
    Ok(0)
}

/// What `serve` prints once a tool can be called.
fn announcement(
    config: &Config,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    catalog: &Catalog,
) -> String {
    let scheme = |tls: &Option<Tls>| if tls.is_some() { "https" } else { "http" };
    let url = format!("{}://{}/mcp", scheme(&config.tls), reachable(address));
    let (tools, shards) = (catalog.names().len(), config.shards);
    let metrics = admin.map_or_else(String::new, |admin| {
        let scheme = scheme(&config.admin_tls);
        format!("Metrics: {scheme}://{}/metrics\n", reachable(admin))
    });
    format!(
        "margay serves {tools} tools at {url} on {shards} shards.\n{metrics}Try:\n{}\n",
        curl_line(
            &format!("{url}{}", curl_options(config.tls.as_ref())),
            catalog
        )
    )
}

/// What curl needs beside the address. Our certificate stands for whoever signed it, who may be unknown to this machine.
fn curl_options(tls: Option<&Tls>) -> String {
    let Some(tls) = tls else {
        return String::new();
    };
    let own = match tls.client_certificates {
        ClientCertificates::Required => " --cert CLIENT.pem --key CLIENT.key",
        ClientCertificates::None | ClientCertificates::Optional => "",
    };
    let quoted = tls.cert.display().to_string().replace('\'', "'\\''");
    format!(" --cacert '{quoted}'{own}")
}

/// An address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A complete 2026-07-28 request: of `echo` where it is served, else of the tool list.
fn curl_line(url: &str, catalog: &Catalog) -> String {
    let echo = echo_arguments(&catalog.tool_entry("echo")["inputSchema"]);
    request_line(url, echo.map(|arguments| ("echo", arguments)))
}

/// `{"<the one string parameter>": "hello"}`.
fn echo_arguments(schema: &Value) -> Option<Value> {
    let properties = schema.get("properties")?.as_object()?;
    let (name, property) = properties.iter().next().filter(|_| properties.len() == 1)?;
    (property.get("type")? == "string").then(|| json!({ name: "hello" }))
}

fn request_line(url: &str, call: Option<(&str, Value)>) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let (method, name_header, params) = match call {
        Some((name, arguments)) => (
            "tools/call",
            format!(" -H 'Mcp-Name: {name}'"),
            json!({"name": name, "arguments": arguments, "_meta": meta}),
        ),
        None => ("tools/list", String::new(), json!({"_meta": meta})),
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    format!(
        "curl -sS {url} -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
         -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: {method}'{name_header} -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_is_a_whole_modern_request_whose_headers_agree_with_its_body() {
        let arguments =
            echo_arguments(&json!({"properties": {"text": {"type": "string"}}})).unwrap();
        let line = request_line("http://127.0.0.1:1/mcp", Some(("echo", arguments)));
        assert!(!line.contains('\n'), "{line}");
        for part in [
            "MCP-Protocol-Version: 2026-07-28",
            "Mcp-Method: tools/call",
            "Mcp-Name: echo",
        ] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
        let body = line
            .split(" -d '")
            .nth(1)
            .unwrap()
            .strip_suffix('\'')
            .unwrap();
        assert!(
            !body.contains('\''),
            "a quote would end the shell's word: {body}"
        );
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["params"]["arguments"], json!({"text": "hello"}));
        assert_eq!(
            value["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"],
            "2026-07-28"
        );
    }

    #[test]
    fn an_address_of_all_interfaces_is_shown_as_one_that_can_be_called() {
        assert_eq!(
            reachable("0.0.0.0:80".parse().unwrap()).to_string(),
            "127.0.0.1:80"
        );
        assert_eq!(
            reachable("[::]:80".parse().unwrap()).to_string(),
            "[::1]:80"
        );
        assert_eq!(
            reachable("192.0.2.1:80".parse().unwrap()).to_string(),
            "192.0.2.1:80"
        );
    }
}
