//! One connection of the scripted HTTP server: requests in, answers out, and answers that break off.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::brain::Voice;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The entry of the journal.
    pub fn entry(&self, connection: u64) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name.to_lowercase(), value]))
            .collect();
        json!({"http": self.method, "path": self.path, "headers": headers, "connection": connection,
            "message": serde_json::from_slice::<Value>(&self.body).unwrap_or_default()})
    }
}

pub struct Wire {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The next request; none once the client is gone.
    pub fn request(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            self.more()?;
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ').map(str::to_owned);
        let mut request = Request {
            method: words.next()?,
            path: words.next()?,
            ..Request::default()
        };
        request.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.more()?;
        }
        request.body = self.unread.drain(..length).collect();
        Some(request)
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.ok().filter(|count| *count > 0)?,
            }
        };
        self.unread.extend_from_slice(&buffer[..count]);
        Some(())
    }

    /// Writes, for as long as somebody reads; whether it was written.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn answer(&mut self, status: u16, headers: &str, body: &[u8]) -> bool {
        self.write(&whole(status, headers, body))
    }

    /// Begins a stream of events; the connection can be used again after [`Wire::end_events`].
    pub fn begin_events(&mut self, headers: &str) -> bool {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        );
        self.write(head.as_bytes())
    }

    pub fn event(&mut self, fields: &str, data: &str) -> bool {
        let event = format!("{fields}event: message\ndata: {data}\n\n");
        self.chunk(event.as_bytes())
    }

    pub fn chunk(&mut self, bytes: &[u8]) -> bool {
        let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
        self.write(&out)
    }

    pub fn end_events(&mut self) -> bool {
        self.write(b"0\r\n\r\n")
    }

    /// Ends the connection with a reset.
    pub fn reset(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Whether the client has ended the connection.
    pub fn is_gone(&mut self) -> bool {
        let mut byte = [0];
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.stream.peek(&mut byte);
        let gone = match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        gone || self.stream.set_nonblocking(false).is_err()
    }
}

/// A whole answer.
pub fn whole(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// The answer to a POST: it becomes a stream of events as soon as something is said before it.
pub struct Reply<'w> {
    pub wire: &'w mut Wire,
    pub is_stream: bool,
}

impl Reply<'_> {
    pub fn stream(&mut self) {
        if !self.is_stream {
            self.is_stream = true;
            self.wire.begin_events("");
        }
    }
}

impl Voice for Reply<'_> {
    fn say(&mut self, message: &Value) {
        self.stream();
        self.wire.event("", &message.to_string());
    }

    fn is_gone(&mut self) -> bool {
        self.wire.is_gone()
    }
}
