//! `wasi:http`, outgoing: each request asked about as what it says and again as where it goes, and sent by our own client.
//!
//! What was checked is what is connected to: the name is resolved here, once. Redirects are the guest's to follow, with a request that is
//! asked about like any other. No proxy of the environment is ever used, nothing is kept open for the next request.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use wasmtime::component::Linker;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use crate::limits::COMPONENT_ANSWER_DEADLINE;
use crate::policy::permission::{Ask, NO_TUNNEL, NO_USER, Protocol};

use super::super::store::State;
use super::Gate;
use super::body::Counted;
use super::gate::Errand;
use super::outward::Stream;

/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

const NO_HOST: &str = "what is no host is not reached";

/// A request on its way, with what drives its connection.
type Sending = Box<dyn Future<Output = Result<Answered, Error>> + Send>;
type Answered = (Response<WasiBody>, Driving);
type Driving = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Adds `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// What wasmtime's part of `wasi:http` leaves to its host.
pub(crate) struct Hooks {
    gate: Arc<Gate>,
}

impl Hooks {
    pub(crate) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

/// Headers that say how a message is framed, for whom it is, or that are for the next hop alone.
fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name)
        || [header::TE, header::TRAILER, header::EXPECT].contains(name)
        || name.as_str().starts_with("proxy-")
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Driving,
    ) -> Sending {
        let (gate, errand) = (Arc::clone(&self.gate), self.gate.errand());
        // Before anything waits: a guest that does not wait for the answer has asked all the same.
        let admitted = admit(&gate, request);
        let options = options.unwrap_or_default();
        Box::new(async move {
            let (target, request) = admitted?;
            send(gate, errand, target, request, options).await
        })
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        tracing::debug!("a component's request failed: {error}");
        match error {
            error if error.is_timeout() => ErrorCode::HttpResponseTimeout,
            error if error.is_incomplete_message() => ErrorCode::HttpResponseIncomplete,
            _ => ErrorCode::HttpProtocolError,
        }
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    scheme: &'static str,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Lower case, ASCII, without a last dot.
    Name(Arc<str>),
    /// One that maps to IPv4 as IPv4.
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Some(match url::Host::parse(text).ok()? {
            url::Host::Domain(name) if name.is_empty() || name.ends_with('.') => return None,
            url::Host::Domain(name) => Self::Name(name.into()),
            url::Host::Ipv4(address) => Self::Address(address.into()),
            url::Host::Ipv6(address) => Self::Address(IpAddr::from(address).to_canonical()),
        })
    }

    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Address(address) => address.to_string(),
        }
    }
}

impl Target {
    fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        let (scheme, own_port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => ("http", 80),
            Some(scheme) if *scheme == Scheme::HTTPS => ("https", 443),
            _ => return None,
        };
        Some(Self {
            scheme,
            host: Host::parse(authority.host())?,
            port: authority.port_u16().unwrap_or(own_port),
        })
    }

    /// What stands in the header `Host`: the one notation of what is connected to, and not what the guest wrote.
    fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.text(),
        };
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    fn server_name(&self) -> Result<ServerName<'static>, Error> {
        match &self.host {
            Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
            Host::Name(name) => {
                ServerName::try_from(name.to_string()).map_err(|_| Error::HttpRequestUriInvalid)
            }
        }
    }
}

/// Whether a request may be sent, as what it says; with what the host adds to it.
fn admit(
    gate: &Gate,
    mut request: Request<WasiBody>,
) -> Result<(Target, Request<WasiBody>), Error> {
    gate.spend_request().map_err(|_| Error::HttpRequestDenied)?;
    let method = request.method().clone();
    let refuse = |rule| {
        // What stands before an `@` may be a secret.
        let authority = request.uri().authority().map_or("", |all| all.as_str());
        let host = authority.rsplit('@').next().unwrap_or_default();
        gate.refuse(&format!("http {method}"), host, rule);
        Error::HttpRequestDenied
    };
    if request
        .uri()
        .authority()
        .is_none_or(|all| all.as_str().contains('@'))
    {
        return Err(refuse(NO_USER));
    }
    let Some(target) = Target::of(request.uri()) else {
        return Err(refuse(NO_HOST));
    };
    if method == Method::CONNECT {
        return Err(refuse(NO_TUNNEL));
    }
    let host = target.host.text();
    let ask = Ask::Http {
        method: method.as_str(),
        scheme: target.scheme,
        host: &host,
        port: target.port,
        path: request.uri().path(),
    };
    if !gate.allows(&ask) {
        return Err(Error::HttpRequestDenied);
    }
    let injector = gate
        .guard()
        .grants()
        .and_then(|grants| grants.injector.as_ref());
    let added = injector.map(|injector| injector(&ask)).unwrap_or_default();
    if !added.is_empty() {
        gate.gave_secret(&format!("http {method}"), &host);
    }
    let authority = HeaderValue::try_from(target.authority());
    let authority = authority.map_err(|_| Error::HttpRequestUriInvalid)?;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into();
    let headers = request.headers_mut();
    headers.insert(header::HOST, authority);
    for (name, value) in added {
        // In the place of whatever the guest put there.
        headers.insert(name, value);
    }
    Ok((target, request))
}

/// The addresses to connect to: those of the target that may be reached.
async fn addresses(
    gate: &Gate,
    errand: &Errand,
    target: &Target,
) -> Result<Vec<SocketAddr>, Error> {
    let (name, found) = match &target.host {
        Host::Name(name) => (Some(&**name), gate.outward().resolve(name).await?),
        Host::Address(address) => (None, vec![*address]),
    };
    let is_allowed = |address: &IpAddr| {
        let ask = Ask::Address {
            host: name,
            address: *address,
            port: target.port,
            scheme: Some(target.scheme),
            protocol: Protocol::Tcp,
        };
        gate.allows_on(errand, &ask)
    };
    let allowed: Vec<_> = found
        .into_iter()
        .filter(is_allowed)
        .map(|address| SocketAddr::new(address, target.port))
        .collect();
    match allowed.is_empty() {
        true => Err(Error::HttpRequestDenied),
        false => Ok(allowed),
    }
}

async fn send(
    gate: Arc<Gate>,
    errand: Errand,
    target: Target,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Answered, Error> {
    let addresses = addresses(&gate, &errand, &target).await?;
    let deadline = options.connect_timeout;
    let outward = gate.outward();
    let stream = outward.connect(&addresses, deadline).await?;
    let stream: Box<dyn Stream> = match target.scheme {
        "https" => {
            let name = target.server_name()?;
            Box::new(outward.secure(stream, name, deadline).await?)
        }
        _ => Box::new(stream),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Outgoing>(TokioIo::new(stream))
        .await?;
    // Ends with the answer's body, or when nobody wants that any more.
    let connection = wasmtime_wasi::runtime::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a component's connection failed: {error}");
        }
    });
    let between = |given: Option<std::time::Duration>| {
        given.map_or(COMPONENT_ANSWER_DEADLINE, |given| {
            given.min(COMPONENT_ANSWER_DEADLINE)
        })
    };
    let counted = Arc::clone(&gate);
    let request = request.map(|body| Counted::request(body, counted));
    let answer = timeout(
        between(options.first_byte_timeout),
        sender.send_request(request),
    );
    let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)??;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    let between = between(options.between_bytes_timeout);
    let answer = answer.map(|body: Incoming| Counted::answer(body, gate, between).boxed_unsync());
    let driving: Driving = Box::new(async move {
        connection.await;
        Ok(())
    });
    Ok((answer, driving))
}

type Outgoing = Counted<WasiBody>;

/// A body's frames are counted as they pass.
pub(super) type Frame = Option<Result<hyper::body::Frame<Bytes>, Error>>;

/// A pinned sleep.
pub(super) type Sleep = Pin<Box<tokio::time::Sleep>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Option<(String, u16, String)> {
        let target = Target::of(&uri.parse::<Uri>().ok()?)?;
        Some((target.host.text(), target.port, target.authority()))
    }

    #[test]
    fn every_notation_of_an_address_is_that_address() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:127.0.0.1]",
        ] {
            let (text, port, authority) = target(&format!("http://{host}/x")).unwrap();
            assert_eq!(
                (&*text, port, &*authority),
                ("127.0.0.1", 80, "127.0.0.1"),
                "{host}"
            );
        }
        assert_eq!(target("https://[::1]:8443/").unwrap().2, "[::1]:8443");
    }

    #[test]
    fn a_name_has_one_notation() {
        for host in ["API.Example.com", "api.example.com.", "api.example.com:443"] {
            let (text, port, authority) = target(&format!("https://{host}/")).unwrap();
            assert_eq!(
                (&*text, port, &*authority),
                ("api.example.com", 443, "api.example.com")
            );
        }
        for none in [
            "https://exa mple/",
            "ftp://x/",
            "http://[fe80::1%25eth0]/",
            "http://.../",
        ] {
            assert_eq!(target(none), None, "{none}");
        }
    }

    #[test]
    fn headers_of_the_next_hop_are_not_the_guests() {
        for name in [
            "host",
            "connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "trailer",
            "expect",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "proxy-anything",
        ] {
            assert!(is_forbidden(&name.parse().unwrap()), "{name}");
        }
        assert!(!is_forbidden(&header::AUTHORIZATION));
    }
}
