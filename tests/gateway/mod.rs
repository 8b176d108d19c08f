//! The gateway: other servers behind one endpoint, called from both eras.

mod balancing;
mod breaker;
mod calls;
mod credentials;
mod crossing;
mod faults;
mod forward;
mod lists;
mod questions;
mod restarts;
mod scripted;
mod sessions;

use serde_json::{Value, json};

use crate::harness::sse::{Exchange, Session};
use crate::harness::upstream::{Child, HttpUpstream};
use crate::harness::{Appliance, Client, modern, request};

/// A configuration with upstreams.
#[derive(Default)]
struct Front {
    upstreams: String,
    more: String,
    arguments: Vec<String>,
}

impl Front {
    /// An upstream over HTTP; `keys` are further ones, as in `prefix: never, fail: closed`.
    fn http(self, name: &str, upstream: &HttpUpstream, keys: &str) -> Self {
        self.upstream(name, &format!("url: \"{}\"", upstream.url()), keys)
    }

    /// One with several places.
    fn replicas(self, name: &str, upstreams: &[&HttpUpstream], keys: &str) -> Self {
        let urls: Vec<String> = upstreams.iter().map(|upstream| upstream.url()).collect();
        self.upstream(name, &format!("replicas: {}", json!(urls)), keys)
    }

    /// One over standard input and output.
    fn stdio(self, name: &str, child: &Child, keys: &str) -> Self {
        let [program, arguments @ ..] = child.command();
        let transport = format!("command: {}, args: {}", json!(program), json!(arguments));
        self.upstream(name, &transport, keys)
    }

    fn upstream(mut self, name: &str, transport: &str, keys: &str) -> Self {
        self.upstreams += &format!("  {name}: {{{transport}, {keys}}}\n");
        self
    }

    /// Further lines of the configuration.
    fn configured(mut self, lines: &str) -> Self {
        self.more += lines;
        self
    }

    /// Further arguments.
    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Serves, and returns once all of these tools are offered.
    fn start(self, tools: &[&str]) -> Appliance {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let config = format!("upstreams:\n{}{}", self.upstreams, self.more);
        let appliance = Appliance::with(&arguments, &config);
        appliance.eventually(&format!("{tools:?} are offered"), || {
            let offered = offered(&appliance);
            tools
                .iter()
                .all(|tool| offered.iter().any(|name| name == tool))
        });
        appliance
    }
}

/// The items of a whole list, page by page.
fn listed(appliance: &Appliance, method: &str, key: &str) -> Vec<Value> {
    let (mut client, mut items, mut cursor) = (appliance.connect(), Vec::new(), Value::Null);
    loop {
        let params = if cursor.is_null() {
            json!({})
        } else {
            json!({"cursor": cursor})
        };
        let answer = client.modern(method, params).json();
        let page = answer["result"][key].as_array();
        items.extend(page.unwrap_or_else(|| panic!("no {key}: {answer}")).clone());
        cursor = answer["result"]["nextCursor"].clone();
        if cursor.is_null() {
            return items;
        }
    }
}

/// The names of all tools.
fn offered(appliance: &Appliance) -> Vec<String> {
    let tools = listed(appliance, "tools/list", "tools");
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A client of one era, which can do everything that a client is asked for.
struct Talker<'a> {
    appliance: &'a Appliance,
    session: Option<Session<'a>>,
}

fn capabilities() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}})
}

impl<'a> Talker<'a> {
    fn legacy(appliance: &'a Appliance) -> Self {
        let revision = "2025-11-25";
        let id = appliance
            .connect()
            .initialize_with(revision, &capabilities());
        let revision = revision.to_owned();
        let session = Some(Session {
            appliance,
            id,
            revision,
        });
        Self { appliance, session }
    }

    fn modern(appliance: &'a Appliance) -> Self {
        Self {
            appliance,
            session: None,
        }
    }

    /// One of each era.
    fn both(appliance: &'a Appliance) -> [Self; 2] {
        [Self::legacy(appliance), Self::modern(appliance)]
    }

    fn era(&self) -> &'static str {
        if self.session.is_some() {
            "legacy"
        } else {
            "modern"
        }
    }

    fn session(&self) -> &Session<'a> {
        self.session.as_ref().unwrap()
    }

    /// The bytes of a request; `id` is JSON text.
    fn bytes(&self, id: &str, method: &str, params: Value) -> String {
        let (params, headers) = match &self.session {
            Some(session) => (params, session.headers()),
            None => {
                let mut params = params;
                params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities();
                let (body, headers) = modern(1, method, params);
                let body: Value = serde_json::from_str(&body).unwrap();
                (body["params"].clone(), headers)
            }
        };
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        request(&body, &headers)
    }

    /// Sends a request on a connection of its own, and leaves its answer to be read.
    fn send(&self, id: &str, method: &str, params: Value) -> Client {
        let mut client = self.appliance.connect();
        client.send(self.bytes(id, method, params));
        client
    }

    fn send_call(&self, id: &str, tool: &str, arguments: Value) -> Client {
        self.send(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
    }

    /// Makes a request; all that came.
    fn exchange(&self, id: &str, method: &str, params: Value) -> Exchange {
        self.send(id, method, params).read_any()
    }

    /// The whole message that answers a call.
    fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let messages = self.exchange("7", "tools/call", params).messages();
        let answer = messages.last().expect("an answer").clone();
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    /// The text that a tool says.
    fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments);
        let text = answer["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text: {answer}"))
            .to_owned()
    }
}

/// A gateway's own word for why a call of this upstream has no answer.
fn refused(answer: &Value, upstream: &str) -> String {
    let error = &answer["error"];
    let message = error["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {answer}"));
    assert!(message.contains(upstream), "{message}");
    assert_eq!(error["data"]["upstream"], upstream, "{error}");
    error["data"]["reason"].as_str().unwrap().to_owned()
}
