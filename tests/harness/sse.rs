//! Event streams as a client reads them, and sessions as one holds them.

use serde_json::{Value, json};

use super::{Answer, Appliance, Client, request};

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub name: Option<String>,
    pub data: String,
    pub retry: Option<u64>,
}

impl Event {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(": ").unwrap_or((line, ""));
            match field {
                "id" => event.id = Some(value.to_owned()),
                "event" => event.name = Some(value.to_owned()),
                "data" => event.data.push_str(value),
                "retry" => event.retry = value.parse().ok(),
                _ => {}
            }
        }
        event
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// What came of a request: one JSON object, or events.
#[derive(Debug)]
pub struct Exchange {
    pub status: u16,
    pub head: String,
    pub events: Vec<Event>,
}

impl Exchange {
    /// The messages, without events that have none.
    pub fn messages(&self) -> Vec<Value> {
        let with_data = self.events.iter().filter(|event| !event.data.is_empty());
        with_data.map(Event::json).collect()
    }

    pub fn is_stream(&self) -> bool {
        self.head.contains("text/event-stream")
    }
}

impl Client {
    /// The next event of a stream, comments passed over; none once it has ended.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\n\n") {
                let text: Vec<u8> = self.unread.drain(..end + 2).collect();
                let text = String::from_utf8(text).unwrap();
                if text.starts_with(':') {
                    continue;
                }
                return Some(Event::parse(&text));
            }
            if self.more() == 0 {
                assert!(self.unread.is_empty(), "an event was cut off");
                return None;
            }
        }
    }

    /// The next event that has data.
    pub fn next_message(&mut self) -> Event {
        loop {
            let event = self.next_event().expect("the stream goes on");
            if !event.data.is_empty() {
                return event;
            }
        }
    }

    /// Sends a request whose answer may be a stream, and reads all of it.
    pub fn exchange(&mut self, body: &str, headers: &str) -> Exchange {
        self.send(request(body, headers));
        self.read_exchange()
    }

    /// Reads a good answer to its end.
    pub fn read_exchange(&mut self) -> Exchange {
        let exchange = self.read_any();
        assert_eq!(exchange.status, 200, "{}", exchange.head);
        exchange
    }

    /// Reads an answer of any status to its end.
    pub fn read_any(&mut self) -> Exchange {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").map(str::to_owned);
        let is_stream = answer.head.contains("text/event-stream");
        answer.body = match length {
            Some(length) => self.take(length.parse().unwrap()),
            None => self.rest(),
        };
        let text = String::from_utf8(answer.body).unwrap();
        let events = if is_stream {
            let events = text.split("\n\n").filter(|text| !text.is_empty());
            events.map(Event::parse).collect()
        } else {
            vec![Event {
                data: text,
                ..Event::default()
            }]
        };
        Exchange {
            status,
            head: answer.head,
            events,
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.more() > 0, "the connection ended in a body");
        }
        self.unread.drain(..length).collect()
    }
}

/// A legacy session.
pub struct Session<'a> {
    pub appliance: &'a Appliance,
    pub id: String,
    pub revision: String,
}

impl<'a> Session<'a> {
    /// Opens one whose client can fill in forms and has roots.
    pub fn open(appliance: &'a Appliance, revision: &str) -> Self {
        let id = appliance
            .connect()
            .initialize_with(revision, &json!({"elicitation": {}, "roots": {}}));
        Self {
            appliance,
            id,
            revision: revision.to_owned(),
        }
    }

    pub fn headers(&self) -> String {
        format!(
            "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: {}\r\n",
            self.id, self.revision
        )
    }

    /// Sends a request on a connection of its own, and leaves its answer to be read.
    pub fn send(&self, id: u64, method: &str, params: Value) -> Client {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send_body(&body)
    }

    /// The same with any body.
    pub fn send_body(&self, body: &Value) -> Client {
        let mut client = self.appliance.connect();
        client.send(request(&body.to_string(), &self.headers()));
        client
    }

    /// Calls a tool, and leaves its answer to be read.
    pub fn call(&self, id: u64, tool: &str) -> Client {
        let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": "t"}});
        self.send(id, "tools/call", params)
    }

    /// Sends what gets no answer.
    pub fn tell(&self, body: Value) {
        let status = self.send_body(&body).answer().status;
        assert_eq!(status, 202, "{body}");
    }

    /// Answers a question about roots: there are none.
    pub fn roots(&self, question: &Value) {
        assert_eq!(question["method"], "roots/list", "{question}");
        self.tell(json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}));
    }

    /// Accepts a form.
    pub fn accept(&self, question: &Value, content: Value) {
        assert_eq!(question["method"], "elicitation/create", "{question}");
        self.tell(json!({"jsonrpc": "2.0", "id": question["id"],
            "result": {"action": "accept", "content": content}}));
    }

    /// Opens a stream with GET.
    pub fn get(&self, last_event_id: Option<&str>) -> Client {
        let mut client = self.appliance.connect();
        let last = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        client.send(format!(
            "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}{last}\r\n",
            self.headers()
        ));
        client
    }

    /// The same, where it has to be opened.
    pub fn stream(&self, last_event_id: Option<&str>) -> Client {
        let mut client = self.get(last_event_id);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        client
    }

    pub fn delete(&self) {
        let mut client = self.appliance.connect();
        client.send(format!(
            "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            self.headers()
        ));
        assert_eq!(client.answer().status, 204);
    }
}
