//! A home with scripted upstreams: what it wants done is looked at, what they say is made up.

mod calls;
mod children;
mod credentials;
mod feeds;
mod questions;
mod trouble;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::audit::{Event, Sink};
use crate::component::{Mailbox, Outbox, Outgoing};
use crate::mcp::{ClientCapabilities, LogLevel, Method, Principal, Revision, SessionId};
use crate::policy::{Failed, Reached};
use crate::upstream::http::{AnswerHead, Media, Url};
use crate::upstream::remote::Place;
use crate::upstream::settings::{Command, EraChoice, Replica, Transport, Upstream};
use crate::upstream::transport::{Request, TransportEvent, Verb};

pub(super) const BOTH_QUESTIONS: ClientCapabilities =
    ClientCapabilities::ELICITATION_FORM.with(ClientCapabilities::SAMPLING);

/// A client's request, as a test says it.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) ticket: u64,
    pub(super) remote: usize,
    pub(super) revision: Revision,
    pub(super) session: Option<SessionId>,
    pub(super) method: Method,
    pub(super) id: Value,
    pub(super) params: Value,
    pub(super) target: &'static str,
    pub(super) is_renamed: bool,
    pub(super) is_repeatable: bool,
    pub(super) capabilities: ClientCapabilities,
    pub(super) principal: Principal,
    pub(super) log_level: Option<LogLevel>,
}

pub(super) fn session(number: u8) -> SessionId {
    SessionId::new([number; 16])
}

/// A call of the tool `echo`.
pub(super) fn call(ticket: u64, revision: Revision) -> Ask {
    let is_modern = revision == Revision::MODERN;
    let mut params = json!({"name": "echo", "arguments": {"text": format!("canary {ticket}")}});
    if is_modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    Ask {
        ticket,
        remote: 0,
        revision,
        session: (!is_modern).then(|| session(1)),
        method: Method::CallTool,
        id: json!(ticket),
        params,
        target: "echo",
        is_renamed: false,
        is_repeatable: false,
        capabilities: ClientCapabilities::NONE,
        principal: Principal::ANONYMOUS,
        log_level: None,
    }
}

/// What the audit log was told.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn take(&self, event: &Event<'_>) {
        let (kind, outcome) = (event.kind.as_str(), event.outcome.as_str());
        let line = format!("{kind} {outcome} {}: {}", event.target, event.detail);
        self.0.lock().unwrap().push(line);
    }
}

impl Heard {
    pub(super) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(super) struct Rig {
    pub(super) audit: Arc<Heard>,
    pub(super) gateway: Gateway,
    pub(super) remotes: Vec<Arc<Remote>>,
    pub(super) now_ms: u64,
    pub(super) requests: Vec<Request>,
    pub(super) lines: Vec<(StreamKey, Value)>,
    pub(super) done: Vec<(u64, Value)>,
    pub(super) asks: Vec<AskClient>,
    pub(super) news: Vec<News>,
    pub(super) orders: Vec<ChildOrder>,
    pub(super) wants: Vec<CredentialWant>,
    pub(super) updated: Vec<String>,
    pub(super) abandoned: Vec<ExchangeKey>,
    pub(super) others: Vec<String>,
    outboxes: Vec<(u64, Arc<Outbox>)>,
    mailbox: Arc<Mailbox>,
    limits: Limits,
}

pub(super) fn http(name: &str, urls: &[&str]) -> Upstream {
    let replicas = urls
        .iter()
        .map(|url| Replica {
            url: Url::parse(url).unwrap(),
            weight: 1,
        })
        .collect();
    let mut upstream = Upstream::new(
        name,
        Transport::Http {
            replicas,
            headers: Vec::new(),
            tls: Default::default(),
        },
    );
    upstream.health.rules = None;
    upstream
}

pub(super) fn stdio(name: &str) -> Upstream {
    let command = Command {
        program: "server".into(),
        arguments: Vec::new(),
        environment: Default::default(),
        pass_environment: Vec::new(),
        directory: None,
        limits: Default::default(),
    };
    let mut upstream = Upstream::new(name, Transport::Stdio(command));
    upstream.health.rules = None;
    upstream
}

#[allow(clippy::field_reassign_with_default)]
impl Rig {
    /// A home of these upstreams that feeds none of them.
    pub(super) fn new(upstreams: Vec<Upstream>) -> Self {
        // With two homes, the other one feeds those of even places, and this one is the second.
        Self::at(upstreams, 1, 0..2, false)
    }

    /// The only home.
    pub(super) fn feeding(upstreams: Vec<Upstream>) -> Self {
        Self::at(upstreams, 0, 0..1, true)
    }

    fn at(upstreams: Vec<Upstream>, port: u16, homes: std::ops::Range<u16>, feeds: bool) -> Self {
        let limits = Limits::default();
        let remotes: Vec<Arc<Remote>> = upstreams
            .into_iter()
            .enumerate()
            .map(|(index, settings)| {
                let places = match &settings.transport {
                    Transport::Http { replicas, .. } => replicas
                        .iter()
                        .map(|one| {
                            Place::new(one.url.clone(), one.weight, Vec::new(), None).unwrap()
                        })
                        .collect(),
                    Transport::Stdio(_) => Vec::new(),
                };
                Arc::new(Remote::new(index, settings, places))
            })
            .collect();
        let audit = Arc::new(Heard::default());
        let options = GatewayOptions {
            port,
            homes,
            limits: limits.clone(),
            seed: 7,
            task_key: [1; 32],
            audit: Audit::new(Arc::clone(&audit) as Arc<dyn Sink>),
        };
        let mut gateway = Gateway::new(&remotes, options);
        if !feeds {
            gateway
                .routes
                .iter_mut()
                .for_each(|route| route.feed = None);
        }
        Self {
            gateway,
            remotes,
            audit,
            now_ms: 1_000,
            requests: Vec::new(),
            lines: Vec::new(),
            done: Vec::new(),
            asks: Vec::new(),
            news: Vec::new(),
            orders: Vec::new(),
            wants: Vec::new(),
            updated: Vec::new(),
            abandoned: Vec::new(),
            others: Vec::new(),
            outboxes: Vec::new(),
            mailbox: Mailbox::new(16, || ()),
            limits,
        }
    }

    pub(super) fn begin(&mut self, ask: Ask) {
        let outbox = Outbox::new(ask.ticket, &self.mailbox, &self.limits);
        self.outboxes.push((ask.ticket, Arc::clone(&outbox)));
        let message = json!({
            "jsonrpc": "2.0", "id": ask.id, "method": ask.method.name(), "params": ask.params,
        });
        let call = Call {
            caller: CallerKey {
                port: 9,
                ticket: ask.ticket,
            },
            principal: ask.principal,
            revision: ask.revision,
            session: ask.session,
            remote: Arc::clone(&self.remotes[ask.remote]),
            method: ask.method,
            message: message.to_string().into_bytes(),
            target: ask.target.into(),
            is_renamed: ask.is_renamed,
            mirrored: Vec::new(),
            capabilities: ask.capabilities,
            client_info: None,
            log_level: ask.log_level,
            is_repeatable: ask.is_repeatable,
            patience: Arc::default(),
            outbox: Ok(outbox),
        };
        self.gateway.set_now(self.now_ms);
        self.gateway.begin(Box::new(call));
        self.run();
    }

    /// Lets so much time go by.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.gateway.set_now(self.now_ms);
        self.gateway.sweep();
        self.run();
    }

    pub(super) fn run(&mut self) {
        while let Some(action) = self.gateway.next_action() {
            match action {
                Action::Exchange(request) => self.requests.push(*request),
                Action::Line(stream, line, _) => {
                    self.lines
                        .push((stream, serde_json::from_slice(&line).unwrap()));
                }
                Action::Done(caller, done) => {
                    self.done
                        .push((caller.ticket, serde_json::from_slice(&done.body).unwrap()));
                }
                Action::Ask(ask) => self.asks.push(*ask),
                Action::News(news) => self.news.push(news),
                Action::Order(order) => self.orders.push(order),
                Action::Credential(want) => self.wants.push(*want),
                Action::Updated(uri) => self.updated.push(uri),
                Action::Abandon(key) => self.abandoned.push(key),
                other => self.others.push(format!("{other:?}")),
            }
        }
    }

    /// The oldest request that was not looked at.
    #[track_caller]
    pub(super) fn request(&mut self) -> Request {
        assert!(!self.requests.is_empty(), "nothing was sent");
        self.requests.remove(0)
    }

    #[track_caller]
    pub(super) fn line(&mut self) -> Value {
        assert!(!self.lines.is_empty(), "nothing was written");
        self.lines.remove(0).1
    }

    #[track_caller]
    pub(super) fn take_done(&mut self) -> (u64, Value) {
        assert!(!self.done.is_empty(), "nothing was answered");
        self.done.remove(0)
    }

    /// What a call's client has been told.
    pub(super) fn told(&self, ticket: u64) -> Vec<Value> {
        let outbox = &self
            .outboxes
            .iter()
            .rev()
            .find(|(of, _)| *of == ticket)
            .unwrap()
            .1;
        std::iter::from_fn(|| outbox.take())
            .filter_map(|said| match said {
                Outgoing::Message(text) => Some(serde_json::from_slice(&text).unwrap()),
                Outgoing::Release { .. } => None,
            })
            .collect()
    }

    pub(super) fn head(&mut self, key: ExchangeKey, status: u16, session: Option<&str>) {
        let mut head = AnswerHead::default();
        head.status = status;
        head.media = Media::Json;
        head.session_id = session.map(|session| session.as_bytes().into());
        self.take(TransportEvent::Head { key, head: &head });
    }

    pub(super) fn message(&mut self, key: ExchangeKey, message: &Value) {
        let text = message.to_string().into_bytes();
        self.take(TransportEvent::Message { key, text: &text });
    }

    pub(super) fn end(&mut self, key: ExchangeKey) {
        self.take(TransportEvent::End {
            key,
            last_event_id: b"",
            retry_ms: None,
        });
    }

    pub(super) fn take(&mut self, event: TransportEvent<'_>) {
        self.gateway.set_now(self.now_ms);
        self.gateway.take(event);
        self.run();
    }

    /// Answers a request with this result or error.
    pub(super) fn respond(&mut self, request: &Request, status: u16, answer: Value) {
        self.respond_in(request, status, answer, None);
    }

    pub(super) fn respond_in(
        &mut self,
        request: &Request,
        status: u16,
        mut answer: Value,
        session: Option<&str>,
    ) {
        self.head(request.key, status, session);
        if !answer.is_null() {
            answer["jsonrpc"] = json!("2.0");
            answer["id"] = body(request)["id"].clone();
            self.message(request.key, &answer);
        }
        self.end(request.key);
    }

    pub(super) fn fail(&mut self, request: &Request, reached: Reached, failed: Failed, why: &str) {
        self.take(TransportEvent::Failed {
            key: request.key,
            reached,
            failed,
            why,
            last_event_id: b"",
            retry_ms: None,
        });
    }

    /// Says to the next request, which has to be a discovery, that the upstream is modern.
    #[track_caller]
    pub(super) fn discover_modern(&mut self) {
        let request = self.request();
        assert_eq!(body(&request)["method"], "server/discover");
        self.respond(
            &request,
            200,
            json!({"result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}}),
        );
    }

    /// Says to the next requests, which have to be a discovery and a handshake, that the upstream is legacy.
    #[track_caller]
    pub(super) fn discover_legacy(&mut self, session: &str) {
        let request = self.request();
        assert_eq!(body(&request)["method"], "server/discover");
        self.respond(
            &request,
            400,
            json!({"error": {"code": -32600, "message": "no session"}}),
        );
        self.handshake(session);
    }

    #[track_caller]
    pub(super) fn handshake(&mut self, session: &str) {
        let request = self.request();
        assert_eq!(body(&request)["method"], "initialize");
        self.respond_in(&request, 200, initialize_result(), Some(session));
        let request = self.request();
        assert_eq!(body(&request)["method"], "notifications/initialized");
        assert_eq!(request.head.session.as_deref(), Some(session.as_bytes()));
        self.respond(&request, 202, Value::Null);
        // The stream for what belongs to no call, where one is wanted: there is none.
        while self
            .requests
            .first()
            .is_some_and(|request| request.verb == Verb::Get)
        {
            let request = self.request();
            self.respond(&request, 405, Value::Null);
        }
    }
}

pub(super) fn initialize_result() -> Value {
    json!({"result": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "scripted", "version": "1"},
    }})
}

pub(super) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or(Value::Null)
}

pub(super) fn legacy(mut upstream: Upstream) -> Upstream {
    upstream.era = EraChoice::Legacy;
    upstream
}

pub(super) fn modern(mut upstream: Upstream) -> Upstream {
    upstream.era = EraChoice::Modern;
    upstream
}
