//! An operator allows margay at an upstream's authorization server: a URL is shown, and the browser comes back to a listener here.
//!
//! The URL is printed and never handed to another program: its text comes from a document that the upstream chose.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::account::Account;
use super::authorize::Way;
use crate::control::fetch::Post;
use crate::secret::Secret;
use crate::upstream::credential::{Attempt, AuthSettings, AuthorizationCode, Challenge, Refusal};
use crate::upstream::http::{Scheme, Url};

/// How long a person has.
const PERSON_DEADLINE: Duration = Duration::from_secs(300);
/// How long a connection of a browser has for its request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Asked without a credential to hear what is wanted.
const QUESTION: &str = r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

/// Where a browser comes back to.
pub(super) struct Callback {
    listener: TcpListener,
    /// What the authorization server sends it to.
    pub(super) url: Url,
    path: String,
}

impl Callback {
    /// Listens where the operator said, at the address that is registered already, or on a free port.
    async fn listen(configured: Option<&Url>, known: Option<&Url>) -> Result<Self, String> {
        let wanted = configured.or(known);
        if let Some(url) = wanted
            && url.scheme == Scheme::Https
        {
            return Err(format!(
                "auth.authorization_code.redirect_uri is {url}, and a login listens on this machine without TLS: name one like http://127.0.0.1:8123/callback"
            ));
        }
        let port = wanted.map_or(0, |url| url.port);
        let listener = match TcpListener::bind(("127.0.0.1", port)).await {
            // What was registered is in use: another is registered.
            Err(_) if configured.is_none() && port != 0 => {
                TcpListener::bind(("127.0.0.1", 0)).await
            }
            bound => bound,
        };
        let listener = listener.map_err(|error| format!("127.0.0.1:{port}: {error}"))?;
        let port = listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port();
        let url = match configured {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://127.0.0.1:{port}/callback"))
                .map_err(|error| error.to_string())?,
        };
        let path = url.target.split('?').next().unwrap_or("/").to_owned();
        Ok(Self {
            listener,
            url,
            path,
        })
    }

    /// Waits for the answer to this authorization. Whatever else comes is shown the door and changes nothing.
    pub(super) async fn wait(self, attempt: &Attempt) -> Result<Secret, String> {
        let wait = async {
            loop {
                let (mut socket, _) = self
                    .listener
                    .accept()
                    .await
                    .map_err(|error| error.to_string())?;
                let Ok(Some(query)) = timeout(REQUEST_DEADLINE, self.query(&mut socket)).await
                else {
                    answer(&mut socket, "404 Not Found", "There is nothing here.").await;
                    continue;
                };
                match attempt.code(&query) {
                    Ok(code) => {
                        let text = "Margay may use this upstream now. You can close this page.";
                        answer(&mut socket, "200 OK", text).await;
                        return Ok(code);
                    }
                    // Anybody can make a browser ask here: only what bears our state ends the wait.
                    Err(Refusal::Stray) => {
                        answer(&mut socket, "400 Bad Request", "This belongs to no login.").await;
                    }
                    Err(error) => {
                        let text = "The login failed; the terminal says why.";
                        answer(&mut socket, "400 Bad Request", text).await;
                        return Err(error.to_string());
                    }
                }
            }
        };
        match timeout(PERSON_DEADLINE, wait).await {
            Ok(done) => done,
            Err(_) => Err(format!(
                "nobody came back from the browser within {} s",
                PERSON_DEADLINE.as_secs()
            )),
        }
    }

    /// The query of a request for our path.
    async fn query(&self, socket: &mut TcpStream) -> Option<String> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return None;
            }
            let mut bytes = [0; 2048];
            let length = socket.read(&mut bytes).await.ok()?;
            if length == 0 {
                return None;
            }
            head.extend_from_slice(&bytes[..length]);
        }
        let text = std::str::from_utf8(&head).ok()?;
        let target = text.strip_prefix("GET ")?.split(' ').next()?;
        let (path, query) = target.split_once('?')?;
        (path == self.path).then(|| query.to_owned())
    }
}

async fn answer(socket: &mut TcpStream, status: &str, text: &str) {
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}\n"
    );
    // A browser that has left misses nothing.
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

impl Account {
    /// Has an operator allow this upstream; `tell` is given the URL. With `follow` nobody is asked.
    ///
    /// Shape: the scopes that were asked for.
    /// Errors: why not, for the operator.
    pub async fn login(
        &mut self,
        follow: bool,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<String, String> {
        let remote = std::sync::Arc::clone(&self.remote);
        let Some(AuthSettings::AuthorizationCode(settings)) = &remote.settings.auth else {
            return Err(
                "it has no `auth.authorization_code`: there is nothing to log in to".to_owned(),
            );
        };
        let challenge = self.challenged().await?;
        let found = self.found_for(settings, &challenge).await?;
        let way = match follow {
            true => Way::Follow,
            false => Way::Person(self.callback(settings, &found.server.issuer).await?, tell),
        };
        let tokens = self.authorize(settings, &challenge, found, way).await?;
        if tokens.refresh.is_none() {
            return Err(
                "the authorization server gave no refresh token, so nothing can be kept: have it allow margay offline access (grant refresh_token)".to_owned(),
            );
        }
        Ok(self.asked.to_string())
    }

    async fn callback(
        &self,
        settings: &AuthorizationCode,
        issuer: &str,
    ) -> Result<Callback, String> {
        let memory = self.store.load()?;
        let known = memory.issuers.get(issuer).and_then(|at| at.client.as_ref());
        let known = known.and_then(|known| Url::parse(&known.redirect_uri).ok());
        let known = known.filter(|url| url.port != 80);
        Callback::listen(settings.redirect_uri.as_ref(), known.as_ref()).await
    }

    /// What the upstream wants of who shows nothing.
    async fn challenged(&self) -> Result<Challenge, String> {
        let body = Secret::new(QUESTION);
        let post = Post {
            content_type: "application/json",
            body: &body,
            authorization: None,
        };
        let url = self.url.to_string();
        let fetched = self.fetch.post("url", &url, &self.guard(), post).await;
        let fetched = fetched.map_err(|error| error.to_string())?;
        let challenge = fetched.challenge.as_deref().and_then(Challenge::parse);
        Ok(challenge.unwrap_or_default())
    }
}
