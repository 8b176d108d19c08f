//! What the scripted server answers, whatever the transport.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::faults::Fault;
use super::journal::Journal;
use super::{Script, Speaks, tools};

/// The revisions that it speaks.
pub const LEGACY: &str = "2025-11-25";
pub const MODERN: &str = "2026-07-28";
pub const OLD: &str = "2024-11-05";
/// Messages that wait for one who listens.
pub const QUEUE_MAX: usize = 1_000;
/// A client that leaves a question open for longer has lost it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// How a request is answered while it is worked at.
pub trait Voice {
    /// Sends a message before the answer.
    fn say(&mut self, message: &Value);
    /// Whether nobody is there any longer to hear the answer.
    fn is_gone(&mut self) -> bool;
}

/// What comes of a request.
pub enum Outcome {
    /// The text of a whole message.
    Answer(String),
    /// The same, and what goes wrong with it.
    Faulty(String, Fault),
    /// Nothing: it was cancelled.
    Nothing,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    listeners: Vec<(u64, SyncSender<Value>)>,
    questions: HashMap<(String, String), SyncSender<Value>>,
    cancelled: HashSet<(String, String)>,
    open: HashSet<(String, String)>,
    complaints: Vec<String>,
    has_extra: bool,
}

/// One legacy session.
#[derive(Clone, Default)]
pub struct Session {
    pub capabilities: Value,
    pub is_initialized: bool,
    questions: u64,
}

/// The server behind its transport.
pub struct Brain {
    pub script: Script,
    pub journal: Journal,
    pub stopping: AtomicBool,
    /// No session is known after its handshake.
    pub forget_always: AtomicBool,
    state: Mutex<State>,
    next: AtomicU64,
    /// Streams that broke off, by the id of their last event: the answers that they still owe.
    pub owed: Mutex<HashMap<String, String>>,
}

impl Brain {
    pub fn new(script: Script, journal: Journal) -> Self {
        Self {
            script,
            journal,
            stopping: AtomicBool::new(false),
            forget_always: AtomicBool::new(false),
            state: Mutex::default(),
            next: AtomicU64::new(1),
            owed: Mutex::default(),
        }
    }

    pub fn is_modern(&self) -> bool {
        self.script.speaks == Speaks::Modern
    }

    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that the client broke a rule.
    pub fn complain(&self, what: String) {
        self.journal
            .note(json!({"note": "complaint", "what": what}));
        self.state.lock().unwrap().complaints.push(what);
    }

    pub fn complaints(&self) -> Vec<String> {
        self.state.lock().unwrap().complaints.clone()
    }

    pub fn session_count(&self) -> usize {
        self.state.lock().unwrap().sessions.len()
    }

    pub fn session(&self, id: &str) -> Option<Session> {
        if self.forget_always.load(Ordering::Relaxed) {
            return None;
        }
        self.state.lock().unwrap().sessions.get(id).cloned()
    }

    pub fn end_session(&self, id: &str) -> bool {
        self.journal
            .note(json!({"note": "session ended", "session": id}));
        self.state.lock().unwrap().sessions.remove(id).is_some()
    }

    /// Forgets all sessions, as a restart does.
    pub fn forget_sessions(&self) {
        self.state.lock().unwrap().sessions.clear();
    }

    /// What is told to everybody from now on.
    pub fn listen(&self) -> (u64, Receiver<Value>) {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let number = self.number();
        self.state.lock().unwrap().listeners.push((number, sender));
        (number, receiver)
    }

    /// Tells everybody who listens.
    pub fn tell(&self, message: &Value) {
        let mut state = self.state.lock().unwrap();
        state
            .listeners
            .retain(|(_, listener)| listener.send(message.clone()).is_ok());
    }

    /// Lists one tool more, or no longer, and says so.
    pub fn set_extra(&self, has: bool) {
        self.state.lock().unwrap().has_extra = has;
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    }

    /// Takes a notification.
    pub fn notified(&self, session: &str, message: &Value) {
        let mut state = self.state.lock().unwrap();
        match message["method"].as_str() {
            Some("notifications/initialized") => {
                if let Some(session) = state.sessions.get_mut(session) {
                    session.is_initialized = true;
                }
            }
            Some("notifications/cancelled") => {
                let id = message["params"]["requestId"].to_string();
                let key = (session.to_owned(), id);
                if state.open.contains(&key) {
                    state.cancelled.insert(key);
                }
            }
            _ => {}
        }
    }

    /// Takes the answer to a question.
    pub fn answered(&self, session: &str, message: &Value) {
        let key = (session.to_owned(), message["id"].to_string());
        let found = self.state.lock().unwrap().questions.remove(&key);
        match found {
            Some(sender) => drop(sender.send(message.clone())),
            None => self.complain(format!("an answer to no question: {message}")),
        }
    }

    /// Asks the client of a session something, and waits for its answer.
    ///
    /// Shape: every session counts its questions from 0, so that the ids of any two are the same.
    pub fn ask(&self, session: &str, voice: &mut dyn Voice, method: &str, params: Value) -> Value {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let id = {
            let mut state = self.state.lock().unwrap();
            let of = state.sessions.entry(session.to_owned()).or_default();
            let id = of.questions;
            of.questions += 1;
            let key = (session.to_owned(), json!(id).to_string());
            state.questions.insert(key, sender);
            id
        };
        voice.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        receiver
            .recv_timeout(ANSWER_PATIENCE)
            .unwrap_or_else(|_| json!({"error": {"message": "nobody answered"}}))
    }

    pub fn is_cancelled(&self, session: &str, id: &Value) -> bool {
        let key = (session.to_owned(), id.to_string());
        self.state.lock().unwrap().cancelled.contains(&key)
    }

    /// Answers a request.
    pub fn request(&self, session: &str, message: &Value, voice: &mut dyn Voice) -> Outcome {
        let key = (session.to_owned(), message["id"].to_string());
        let is_new = self.state.lock().unwrap().open.insert(key.clone());
        if !is_new {
            self.complain(format!("an id that is in use: {message}"));
        }
        let outcome = self.answer(session, message, voice);
        let mut state = self.state.lock().unwrap();
        state.open.remove(&key);
        state.cancelled.remove(&key);
        outcome
    }

    fn answer(&self, session: &str, message: &Value, voice: &mut dyn Voice) -> Outcome {
        let (id, params) = (&message["id"], &message["params"]);
        let result = match message["method"].as_str().unwrap_or_default() {
            "tools/call" => return tools::call(self, session, message, voice),
            "initialize" if !self.is_modern() => self.initialize(session, params),
            "server/discover" if self.is_modern() => json!({"instructions": self.script.words,
                "supportedVersions": [MODERN], "capabilities": self.capabilities(), "ttlMs": 0, "cacheScope": "public",
                "resultType": "complete", "_meta": {"io.modelcontextprotocol/serverInfo": self.info()}}),
            "ping" if !self.is_modern() => json!({}),
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
                if !self.is_modern() =>
            {
                json!({})
            }
            "tools/list" => self.page(params, "tools", self.tools(session, params)),
            "resources/list" => self.page(params, "resources", self.resources()),
            "resources/templates/list" => self.page(params, "resourceTemplates", self.templates()),
            "prompts/list" => self.page(params, "prompts", self.prompts()),
            "resources/read" => match self.read(&params["uri"]) {
                Some(contents) => self.complete(json!({"contents": [contents]}), true),
                None => {
                    let code = if self.is_modern() { -32602 } else { -32002 };
                    let data = json!({"uri": params["uri"]});
                    return error(id, code, "there is no such resource", data);
                }
            },
            "prompts/get" => self.complete(
                json!({"messages": [{"role": "user", "content": {
                "type": "text", "text": format!("{} of {}", params["name"], self.script.name)}}]}),
                false,
            ),
            "completion/complete" => {
                self.complete(json!({"completion": {"values": [self.script.name]}}), false)
            }
            method => return error(id, -32601, &format!("no method {method}"), json!({})),
        };
        Outcome::Answer(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
    }

    fn initialize(&self, session: &str, params: &Value) -> Value {
        let revision = match self.script.speaks {
            Speaks::Old => OLD,
            _ => LEGACY,
        };
        let opened = Session {
            capabilities: params["capabilities"].clone(),
            ..Session::default()
        };
        let mut state = self.state.lock().unwrap();
        state.sessions.insert(session.to_owned(), opened);
        json!({"protocolVersion": revision, "capabilities": self.capabilities(), "serverInfo": self.info(),
            "instructions": self.script.words})
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({"tools": {"listChanged": true}, "logging": {}});
        if self.script.has_all_kinds {
            capabilities["resources"] = json!({"subscribe": true, "listChanged": true});
            capabilities["prompts"] = json!({"listChanged": true});
            capabilities["completions"] = json!({});
        }
        capabilities
    }

    fn info(&self) -> Value {
        json!({"name": self.script.name, "version": "1"})
    }

    /// Makes a result whole for its era.
    pub fn complete(&self, mut result: Value, is_cacheable: bool) -> Value {
        if self.is_modern() {
            result["resultType"] = json!("complete");
            if is_cacheable {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("public");
            }
        }
        result
    }

    fn page(&self, params: &Value, key: &str, items: Vec<Value>) -> Value {
        let from = params["cursor"].as_str().map_or(0, |cursor| {
            cursor.strip_prefix("from ").unwrap().parse().unwrap()
        });
        let until = items.len().min(from + self.script.page);
        let mut result = json!({key: items[from..until]});
        if until < items.len() {
            result["nextCursor"] = json!(format!("from {until}"));
        }
        self.complete(result, true)
    }

    fn tools(&self, session: &str, params: &Value) -> Vec<Value> {
        let declared = self.declared(session, params);
        let has_extra = self.state.lock().unwrap().has_extra;
        let extra = has_extra.then(|| "extra".to_owned());
        let names = self.script.tools.iter().cloned().chain(extra);
        let is_there = |name: &String| match tools::asks(name) {
            Some(capability) if self.script.conditional => !declared[capability].is_null(),
            _ => true,
        };
        names
            .filter(is_there)
            .map(|name| tools::definition(&name, &self.script.words))
            .collect()
    }

    /// What the client of a request says that it can do.
    pub fn declared(&self, session: &str, params: &Value) -> Value {
        if self.is_modern() {
            return params["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone();
        }
        let session = self.session(session);
        session.map_or(Value::Null, |session| session.capabilities)
    }

    fn resources(&self) -> Vec<Value> {
        let name = &self.script.name;
        let all = vec![json!({"uri": format!("{name}:held"), "name": "held"})];
        if self.script.has_all_kinds {
            all
        } else {
            Vec::new()
        }
    }

    fn templates(&self) -> Vec<Value> {
        let name = &self.script.name;
        let all =
            vec![json!({"uriTemplate": format!("{name}:numbered/{{number}}"), "name": "numbered"})];
        if self.script.has_all_kinds {
            all
        } else {
            Vec::new()
        }
    }

    fn prompts(&self) -> Vec<Value> {
        let all = vec![json!({"name": "greet", "arguments": [{"name": "whom"}]})];
        if self.script.has_all_kinds {
            all
        } else {
            Vec::new()
        }
    }

    fn read(&self, uri: &Value) -> Option<Value> {
        let uri = uri.as_str()?;
        let rest = uri.strip_prefix(&format!("{}:", self.script.name))?;
        let known = rest == "held" || rest.starts_with("numbered/");
        known.then(|| json!({"uri": uri, "text": format!("text of {rest}")}))
    }
}

/// A JSON-RPC error.
pub fn error(id: &Value, code: i64, text: &str, data: Value) -> Outcome {
    let error = json!({"code": code, "message": text, "data": data});
    Outcome::Answer(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What a subscription begins with.
pub fn acknowledged(request: &Value) -> Value {
    let params = json!({"notifications": request["params"]["notifications"]});
    let message = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
    tagged(message, Some(&request["id"]))
}

/// A notification of a subscription, if it is of one.
pub fn tagged(mut message: Value, subscription: Option<&Value>) -> Value {
    if let Some(subscription) = subscription {
        message["params"]["_meta"][SUBSCRIPTION] = subscription.clone();
    }
    message
}
