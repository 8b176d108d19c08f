//! A modern server that wants a token, and the authorization server that gives it, on one port of loopback. Every byte that comes is
//! kept, so that a test can say what never came.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::wire::{Request, Wire};

/// What a test decides, and may change while it runs.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Who the resource's document says gives tokens; empty: this very server.
    pub issuer: String,
    /// The scope that calls need; lists need none.
    pub call_scope: Option<&'static str>,
    /// Seconds that tokens last.
    pub expires_in: u64,
    /// Whether no token is good any longer.
    pub refuses_all: bool,
    /// What token requests get instead.
    pub token_error: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Known {
    /// Tokens that are good, with their scopes.
    tokens: Vec<(String, String)>,
    refresh: Option<String>,
    scopes: String,
    challenge: String,
    count: u64,
    calls: u64,
    asked: Vec<Request>,
}

struct Inside {
    origin: String,
    manners: Mutex<Manners>,
    known: Mutex<Known>,
    stopped: Mutex<bool>,
}

/// A running one.
pub struct Guarded {
    pub address: SocketAddr,
    inside: Arc<Inside>,
    acceptor: Option<JoinHandle<()>>,
}

struct Reply {
    status: u16,
    headers: String,
    body: String,
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        headers: "Content-Type: application/json\r\n".to_owned(),
        body: body.to_string(),
    }
}

impl Guarded {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let manners = Manners {
            issuer: String::new(),
            call_scope: None,
            expires_in: 3600,
            refuses_all: false,
            token_error: None,
        };
        let inside = Arc::new(Inside {
            origin: format!("http://{address}"),
            manners: Mutex::new(manners),
            known: Mutex::default(),
            stopped: Mutex::new(false),
        });
        let shared = Arc::clone(&inside);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if *shared.stopped.lock().unwrap() {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self {
            address,
            inside,
            acceptor: Some(acceptor),
        }
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", self.inside.origin)
    }

    pub fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.inside.manners.lock().unwrap());
    }

    /// Every token that was given is good no longer.
    pub fn revoke(&self) {
        self.inside.known.lock().unwrap().tokens.clear();
    }

    /// Times that a tool was called with a good token.
    pub fn calls(&self) -> u64 {
        self.inside.known.lock().unwrap().calls
    }

    /// What came for this path.
    pub fn asked(&self, path: &str) -> Vec<Request> {
        let asked = self.inside.known.lock().unwrap().asked.clone();
        asked
            .into_iter()
            .filter(|request| request.path.split('?').next() == Some(path))
            .collect()
    }

    /// Forms that came to the token endpoint.
    pub fn token_requests(&self) -> Vec<String> {
        let asked = self.asked("/token");
        asked
            .into_iter()
            .map(|request| String::from_utf8(request.body).unwrap())
            .collect()
    }

    /// Whether these bytes came, anywhere.
    pub fn has_seen(&self, bytes: &str) -> bool {
        let known = self.inside.known.lock().unwrap();
        known.asked.iter().any(|request| {
            request.path.contains(bytes)
                || request
                    .headers
                    .iter()
                    .any(|(_, value)| value.contains(bytes))
                || String::from_utf8_lossy(&request.body).contains(bytes)
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        *self.inside.stopped.lock().unwrap() = true;
        let _ = TcpStream::connect(self.address);
        let _ = self.acceptor.take().unwrap().join();
    }
}

impl Inside {
    fn serve(&self, stream: TcpStream) {
        let mut wire = Wire::new(stream);
        while let Some(request) = wire.request() {
            self.known.lock().unwrap().asked.push(request.clone());
            let reply = self.answer(&request);
            let head = format!(
                "HTTP/1.1 {} Status\r\n{}Content-Length: {}\r\n\r\n",
                reply.status,
                reply.headers,
                reply.body.len()
            );
            if wire
                .stream
                .write_all(format!("{head}{}", reply.body).as_bytes())
                .is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let origin = &self.origin;
        match path {
            "/mcp" => self.mcp(request),
            "/.well-known/oauth-protected-resource/mcp" => {
                let issuer = self.manners.lock().unwrap().issuer.clone();
                let issuer = if issuer.is_empty() { origin } else { &issuer };
                let resource = format!("{origin}/mcp");
                reply(
                    200,
                    &json!({"resource": resource, "authorization_servers": [issuer]}),
                )
            }
            "/.well-known/oauth-authorization-server" => reply(
                200,
                &json!({
                    "issuer": origin,
                    "authorization_endpoint": format!("{origin}/authorize"),
                    "token_endpoint": format!("{origin}/token"),
                    "registration_endpoint": format!("{origin}/register"),
                    "code_challenge_methods_supported": ["S256"],
                    "authorization_response_iss_parameter_supported": true,
                }),
            ),
            "/register" => {
                let registered =
                    json!({"client_id": "registered", "client_secret": "registered-secret"});
                reply(201, &registered)
            }
            "/authorize" => self.authorize(query),
            "/token" => self.token(request),
            _ => reply(404, &json!({})),
        }
    }

    fn authorize(&self, query: &str) -> Reply {
        let value = |name: &str| field(query, name).unwrap_or_default();
        let mut known = self.known.lock().unwrap();
        known.scopes = value("scope");
        known.challenge = value("code_challenge");
        let to = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("code", "the-code")
            .append_pair("state", &value("state"))
            .append_pair("iss", &self.origin)
            .finish();
        Reply {
            status: 302,
            headers: format!("Location: {}?{to}\r\n", value("redirect_uri")),
            body: String::new(),
        }
    }

    fn token(&self, request: &Request) -> Reply {
        let form = String::from_utf8_lossy(&request.body);
        let manners = self.manners.lock().unwrap().clone();
        if let Some(error) = manners.token_error {
            return reply(400, &json!({"error": error}));
        }
        let mut known = self.known.lock().unwrap();
        let grant = field(&form, "grant_type").unwrap();
        let is_good = match grant.as_str() {
            "authorization_code" => {
                let verifier = field(&form, "code_verifier").unwrap_or_default();
                challenge(&verifier) == known.challenge
            }
            "refresh_token" => field(&form, "refresh_token") == known.refresh,
            _ => true,
        };
        if !is_good {
            return reply(400, &json!({"error": "invalid_grant"}));
        }
        known.count += 1;
        let token = format!("token-{}", known.count);
        if let Some(scope) = field(&form, "scope") {
            known.scopes = scope;
        }
        let scopes = known.scopes.clone();
        known.tokens.push((token.clone(), scopes.clone()));
        let mut answer = json!({"access_token": token, "token_type": "Bearer",
            "expires_in": manners.expires_in, "scope": scopes});
        if grant == "authorization_code" || grant == "refresh_token" {
            // Each counts once.
            let refresh = format!("refresh-{}", known.count);
            answer["refresh_token"] = json!(refresh);
            known.refresh = Some(refresh);
        }
        reply(200, &answer)
    }

    fn mcp(&self, request: &Request) -> Reply {
        let manners = self.manners.lock().unwrap().clone();
        let mut known = self.known.lock().unwrap();
        let shown = request.header("authorization").unwrap_or_default();
        let shown = shown.strip_prefix("Bearer ").unwrap_or_default();
        let found = known.tokens.iter().find(|(token, _)| token == shown);
        let scopes = found
            .map(|(_, scopes)| scopes.clone())
            .filter(|_| !manners.refuses_all);
        let document = format!("{}/.well-known/oauth-protected-resource/mcp", self.origin);
        let challenge = |status: u16, more: &str| Reply {
            status,
            headers: format!("WWW-Authenticate: Bearer resource_metadata=\"{document}\"{more}\r\n"),
            body: String::new(),
        };
        let Some(scopes) = scopes else {
            return challenge(401, "");
        };
        let message: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let result = match message["method"].as_str().unwrap_or_default() {
            "server/discover" => {
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "serverInfo": {"name": "guarded", "version": "1"}})
            }
            "tools/list" => json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "public",
                "tools": [{"name": "count", "inputSchema": {"type": "object"}}]}),
            "tools/call" => {
                if let Some(wanted) = manners.call_scope
                    && !scopes.split(' ').any(|scope| scope == wanted)
                {
                    let more = format!(", error=\"insufficient_scope\", scope=\"{wanted}\"");
                    return challenge(403, &more);
                }
                known.calls += 1;
                let text = known.calls.to_string();
                json!({"resultType": "complete", "content": [{"type": "text", "text": text}]})
            }
            method => {
                let error = json!({"code": -32601, "message": format!("no {method}")});
                return reply(
                    404,
                    &json!({"jsonrpc": "2.0", "id": message["id"], "error": error}),
                );
            }
        };
        reply(
            200,
            &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
        )
    }
}

/// A field of a form or query.
fn field(form: &str, name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form.as_bytes());
    fields
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

fn challenge(verifier: &str) -> String {
    use base64::Engine;
    use sha2::Digest;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier))
}
