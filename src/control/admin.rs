//! The admin listener: metrics, health, readiness, and the order to look at the component directory at once.
//!
//! Every route checks `Host` and `Origin` before anything else, because a page in a browser can reach a loopback port too; then who
//! calls, as `admin_auth` says.
//! It never shares a port with MCP, and nothing here is reachable through the data listeners.

mod identify;
mod listener;
mod secure;
mod tools;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::audit::Audit;
use crate::mcp::HostRules;
use crate::metrics::{self, Extra};
use crate::policy::auth::Authenticator;
use crate::policy::{Limiter, RateOptions};
use crate::shard::TlsListener;

use self::listener::Bounded;
pub use self::secure::Peer;
use super::management::Endpoint;
use super::plane::Plane;

/// Connections served at one time; those beyond wait in the kernel's queue. Who asks here are a few programs.
const CONNECTIONS_MAX: usize = 64;

/// Time from a connection's begin, or from the last bytes of an answer, to the first bytes of the next answer: for the request to
/// arrive, and to be kept open idle.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(30);

/// What the admin listener can see and order.
#[derive(Clone)]
pub struct Admin {
    plane: Arc<dyn Plane>,
    hosts: Arc<HostRules>,
    reload: Arc<Notify>,
    management: Option<Endpoint>,
    authenticator: Arc<Authenticator>,
    limiter: Arc<Limiter>,
    /// Where the limiter's time begins.
    epoch: Instant,
    audit: Audit,
    starting: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Admin {
    /// An admin plane on this address.
    pub fn new(plane: Arc<dyn Plane>, address: SocketAddr, allowed_hosts: &[String]) -> Self {
        let mut hosts = HostRules::loopback();
        hosts.allow_listener(address);
        // The configuration has refused names that are no hosts.
        let _ = allowed_hosts.iter().all(|host| hosts.allow_host(host));
        Self {
            plane,
            hosts: Arc::new(hosts),
            reload: Arc::default(),
            management: None,
            authenticator: Arc::new(Authenticator::anonymous()),
            limiter: Arc::default(),
            epoch: Instant::now(),
            audit: Audit::off(),
            starting: Arc::default(),
            draining: Arc::default(),
        }
    }

    /// The same, with the management tools at `/mcp`.
    #[must_use]
    pub fn with_management(self, endpoint: Option<Endpoint>) -> Self {
        Self {
            management: endpoint,
            ..self
        }
    }

    /// The same for those alone whom this authenticator knows; whoever else comes is told to the audit log.
    #[must_use]
    pub fn with_auth(self, authenticator: Arc<Authenticator>, audit: Audit) -> Self {
        Self {
            authenticator,
            audit,
            ..self
        }
    }

    /// The same, which looks at no more of what strangers show than these limits let it. Of requests it counts none.
    #[must_use]
    pub fn with_rates(self, rates: &RateOptions, key_count_max: usize) -> Self {
        let of_strangers = RateOptions {
            auth_failure: rates.auth_failure,
            exempt: rates.exempt.clone(),
            ..RateOptions::default()
        };
        Self {
            limiter: Arc::new(Limiter::new(&of_strangers, key_count_max)),
            ..self
        }
    }

    /// Forgets the strangers of a while ago: to be called every few seconds.
    pub fn sweep(&self) {
        self.limiter.sweep(self.now_ns());
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Rings when somebody asks for the component directory to be looked at.
    pub fn reload_requests(&self) -> Arc<Notify> {
        Arc::clone(&self.reload)
    }

    /// Whether upstreams are waited for: until then a client would see a part of what there is.
    pub fn set_starting(&self, starting: bool) {
        self.starting.store(starting, Ordering::Release);
    }

    /// From now on the server is not ready: load balancers shall send nothing more.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Serves the routes to whoever connects, for ever.
    pub async fn serve(self, listener: TcpListener, tls: Option<Arc<TlsListener>>) {
        let bounded = Bounded::new(listener, CONNECTIONS_MAX, EXCHANGE_DEADLINE).with_tls(tls);
        let service = self.router().into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(bounded, service).await {
            tracing::error!(%error, "the admin listener has ended");
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        if self.management.is_some() {
            let route = post(tools::call).delete(tools::end);
            router = router.route("/mcp", route);
        }
        router
            .route("/metrics", get(metrics_page))
            .route("/healthz", get(health))
            .route("/readyz", get(readiness))
            .route("/components/reload", post(reload))
            .fallback(unknown)
            .method_not_allowed_fallback(wrong_method)
            .layer(from_fn_with_state(self.clone(), identify::check))
            // The last one added is the first one asked.
            .layer(from_fn_with_state(self.clone(), check_host))
            .with_state(self)
    }
}

async fn check_host(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match allowed(&admin.hosts, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(message) => problem(StatusCode::FORBIDDEN, &message),
    }
}

fn allowed(hosts: &HostRules, target: &Uri, headers: &HeaderMap) -> Result<(), String> {
    for name in [header::HOST, header::ORIGIN] {
        if headers.get_all(&name).iter().count() > 1 {
            return Err(format!("the header {name} stands twice; send it once"));
        }
    }
    // A target that is a whole URL names the host that is meant, whatever the header says (RFC 9112, section 3.2.2).
    if let Some(authority) = target.authority() {
        hosts
            .check(Some(authority.as_str().as_bytes()), None)
            .map_err(|reason| reason.to_string())?;
    }
    let value = |name| headers.get(name).map(axum::http::HeaderValue::as_bytes);
    hosts
        .check(value(header::HOST), value(header::ORIGIN))
        .map_err(|reason| reason.to_string())
}

async fn metrics_page(State(admin): State<Admin>) -> Response {
    let shards = admin.plane.metrics().await;
    let mut extra = admin.plane.extra();
    let silent = admin.plane.shard_count().saturating_sub(shards.len());
    extra.push(Extra::gauge(
        "shards_silent",
        "Shards that did not answer in time.",
        silent as f64,
    ));
    respond(
        StatusCode::OK,
        metrics::CONTENT_TYPE,
        metrics::exposition(&shards, &extra),
    )
}

/// Healthy: every shard runs and answers.
async fn health(State(admin): State<Admin>) -> Response {
    let (count, running) = (admin.plane.shard_count(), admin.plane.running());
    let answering = admin.plane.metrics().await.len();
    let draining = admin.draining.load(Ordering::Acquire);
    let healthy = draining || (running == count && answering == count);
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = if healthy { "ok" } else { "failing" };
    let body = json!({"status": word, "shards": count, "running": running, "answering": answering});
    respond(status, JSON, body.to_string())
}

/// Ready: a tool can be called.
async fn readiness(State(admin): State<Admin>) -> Response {
    let tools = admin.plane.tool_count();
    let reason = if admin.draining.load(Ordering::Acquire) {
        Some("draining")
    } else if admin.starting.load(Ordering::Acquire) {
        Some("upstreams have not said yet what they offer")
    } else if tools == 0 {
        Some("no tool is loaded; load one with `margay component load FILE`")
    } else if admin.plane.running() < admin.plane.shard_count() {
        Some("a shard has ended")
    } else {
        None
    };
    match reason {
        None => respond(
            StatusCode::OK,
            JSON,
            json!({"status": "ready", "tools": tools}).to_string(),
        ),
        Some(reason) => {
            let body = json!({"status": "not ready", "reason": reason, "tools": tools});
            respond(StatusCode::SERVICE_UNAVAILABLE, JSON, body.to_string())
        }
    }
}

async fn reload(State(admin): State<Admin>) -> Response {
    admin.reload.notify_one();
    respond(
        StatusCode::ACCEPTED,
        JSON,
        json!({"status": "the component directory is being looked at"}).to_string(),
    )
}

async fn unknown(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(100).collect();
    let message = format!(
        "there is nothing at {path}; there are /metrics, /healthz, /readyz and POST /components/reload"
    );
    problem(StatusCode::NOT_FOUND, &message)
}

async fn wrong_method(method: Method, request: Request) -> Response {
    let message = format!("{} does not take {method}", request.uri().path());
    problem(StatusCode::METHOD_NOT_ALLOWED, &message)
}

const JSON: &str = "application/json";

fn problem(status: StatusCode, message: &str) -> Response {
    respond(
        status,
        JSON,
        json!({"error": {"status": status.as_u16(), "message": message}}).to_string(),
    )
}

fn respond(status: StatusCode, content_type: &str, body: String) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Body::from(body))
        .expect("invariant: constant header names and values are valid")
}

#[cfg(test)]
mod tests;
