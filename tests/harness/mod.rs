//! A running appliance and a client for it that sends exactly the bytes it is told.

// The unit tests use more of it.
#[allow(dead_code)]
pub mod authority;
pub mod guests;
mod jobs;
pub mod process;
pub mod sse;
pub mod upstream;

// The unit tests use more of it.
#[allow(dead_code)]
#[path = "../../src/component/tests/hosted.rs"]
pub mod hosted;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use jobs::jobs;

/// No answer takes this long; a test that waits longer has found a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_margay"))
}

/// A folder of its own for each test, below the build folder.
pub fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{name}-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The file of a component that knows its host, and does everything: see [`guests`].
pub fn everything() -> PathBuf {
    let path = scratch("guest").join("everything.wasm");
    std::fs::write(&path, guests::everything()).unwrap();
    path
}

/// A running `margay serve`.
pub struct Appliance {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub folder: PathBuf,
}

impl Appliance {
    /// Serves the demo components.
    pub fn start() -> Self {
        Self::with(&[], "")
    }

    /// Serves with these further arguments and this configuration file.
    pub fn with(arguments: &[&str], config: &str) -> Self {
        let folder = scratch("appliance");
        let config_path = folder.join("margay.yaml");
        std::fs::write(&config_path, config).unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").args(arguments);
        if !config.is_empty() {
            command.arg("--config").arg(&config_path);
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .env("XDG_DATA_HOME", folder.join("data"))
            .env("XDG_CACHE_HOME", cache())
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (mut address, mut admin) = (None, None);
        for line in stdout.lines() {
            let line = line.unwrap();
            address = address.or_else(|| endpoint(&line, "/mcp"));
            admin = admin.or_else(|| endpoint(&line, "/metrics"));
            if address.is_some() && admin.is_some() {
                break;
            }
        }
        let stderr = || std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        let address =
            address.unwrap_or_else(|| panic!("no address was printed; stderr: {}", stderr()));
        let admin =
            admin.unwrap_or_else(|| panic!("no admin address was printed; stderr: {}", stderr()));
        Self {
            child,
            address,
            admin,
            folder,
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the appliance did not end");
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// One metric's value: the first sample whose line begins with `name` and contains `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let mut client = Client::connect(self.admin);
        let answer = client.get("/metrics");
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && line.contains(label))
            .unwrap_or_else(|| panic!("no metric {name} {label} in:\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a condition holds.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("never happened: {what}; stderr: {}", self.stderr());
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Compiled components are the same for every test.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn endpoint(line: &str, path: &str) -> Option<SocketAddr> {
    let start = line.find("://")? + "://".len();
    let rest = &line[start..];
    let end = rest.find(path)?;
    rest[..end].parse().ok()
}

/// A parsed answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The data of the events in the body.
    pub fn events(&self) -> Vec<Value> {
        String::from_utf8_lossy(&self.body)
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// A connection that sends exactly the bytes it is told.
pub struct Client<S = TcpStream> {
    pub stream: S,
    unread: Vec<u8>,
    /// Why the last read brought nothing; none at the end.
    failed: Option<std::io::ErrorKind>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

/// A stream with TLS on it.
pub type Secured = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

impl Client<Secured> {
    /// Connects with TLS to whoever proves to be `localhost`.
    pub fn secure(address: SocketAddr, config: &std::sync::Arc<rustls::ClientConfig>) -> Self {
        let name = "localhost".try_into().unwrap();
        let tls = rustls::ClientConnection::new(std::sync::Arc::clone(config), name).unwrap();
        Self::over(Secured::new(tls, Client::connect(address).stream))
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

impl<S: Read + Write> Client<S> {
    fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            failed: None,
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 16 << 10];
        // A process that is stopped and goes on finds its reads interrupted.
        let read = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.failed = read.as_ref().err().map(std::io::Error::kind);
        let count = read.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count
    }

    /// Reads one answer with a length.
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        let length: usize = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(
                self.more() > 0,
                "the connection ended in a body: {answer:?} {:?}",
                self.unread
            );
        }
        answer.body = self.unread.drain(..length).collect();
        answer
    }

    /// Reads up to and with the blank line after a head.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let seen = String::from_utf8_lossy(&self.unread).into_owned();
            assert!(
                self.more() > 0,
                "the connection ended before an answer, {:?}: {seen:?}",
                self.failed
            );
        }
    }

    /// Reads the next event's data from a stream.
    pub fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                // What has no data only gives the client an id to come back with.
                match event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    None | Some("") => continue,
                    Some(data) => return serde_json::from_str(data).unwrap(),
                }
            }
            assert!(self.more() > 0, "the stream ended");
        }
    }

    /// Reads until the other side closes; everything it still sent.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the last read found the end, and not only nothing yet.
    pub fn is_closed(&self) -> bool {
        self.failed.is_none()
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.answer()
    }

    /// POSTs a body to the endpoint with these further header lines.
    pub fn post(&mut self, body: &str, headers: &str) -> Answer {
        self.send(request(body, headers));
        self.answer()
    }

    /// A modern request with its headers.
    pub fn modern(&mut self, method: &str, params: Value) -> Answer {
        let (body, headers) = modern(1, method, params);
        self.post(&body, &headers)
    }

    /// Calls a tool the modern way; the result.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.modern("tools/call", json!({"name": tool, "arguments": arguments}));
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()["result"].clone()
    }

    /// Opens a legacy session of this revision; its id.
    pub fn initialize(&mut self, revision: &str) -> String {
        self.initialize_with(revision, &json!({}))
    }

    /// The same for a client with these capabilities.
    pub fn initialize_with(&mut self, revision: &str, capabilities: &Value) -> String {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}}});
        let answer = self.post(&body.to_string(), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer
            .header("mcp-session-id")
            .expect("a session id")
            .to_owned();
        let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let headers = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {revision}\r\n");
        assert_eq!(self.post(done, &headers).status, 202);
        session
    }
}

/// The bytes of a POST to the endpoint.
pub fn request(body: &str, headers: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Body and header lines of a modern request. What `params` has of a `_meta` stays.
pub fn modern(id: u64, method: &str, mut params: Value) -> (String, String) {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    let capabilities = &mut meta["io.modelcontextprotocol/clientCapabilities"];
    if capabilities.is_null() {
        *capabilities = json!({});
    }
    let mut headers = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n");
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        headers += &format!("Mcp-Name: {name}\r\n");
    }
    (
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        headers,
    )
}
