//! One upstream's credentials as control gets them.

use std::path::Path;
use std::sync::Arc;

use super::discover::{Found, canonical, discover};
use super::store::Store;
use crate::control::auth::now_unix_s;
use crate::control::fetch::{Fetch, FetchError, Post};
use crate::secret::{Resolve, Secret, SecretRef, Shape};
use crate::upstream::credential::{
    AuthSettings, Challenge, Client, ClientCredentials, ClientProof, ClientSettings, Grant, Guard,
    Proof, Refusal, Scopes, Server, SigningKey, TokenExchange, Tokens, form, to_ask_for,
};
use crate::upstream::http::Url;
use crate::upstream::remote::Remote;

/// Why a token is wanted.
#[derive(Clone, Debug, Default)]
pub struct Why {
    /// What the upstream said.
    pub challenge: Challenge,
    /// Whether the token in force may too little.
    pub lacks_scopes: bool,
}

/// What there is to know of one upstream's credentials.
pub struct Account {
    pub(super) remote: Arc<Remote>,
    pub(super) url: Url,
    pub(super) fetch: Fetch,
    pub(super) secrets: Arc<dyn Resolve>,
    pub(super) store: Store,
    /// What was found last.
    pub(super) found: Option<Found>,
    /// The scopes that were asked for.
    pub(super) asked: Scopes,
}

impl Account {
    /// That of this upstream; none where its credential needs nobody to get it.
    pub fn new(
        remote: &Arc<Remote>,
        fetch: Fetch,
        secrets: Arc<dyn Resolve>,
        state_dir: &Path,
    ) -> Option<Self> {
        let is_managed = remote.settings.auth.as_ref()?.is_managed();
        let url = remote.places.first().filter(|_| is_managed)?.url.clone();
        Some(Self {
            store: Store::new(state_dir, remote.name()),
            remote: Arc::clone(remote),
            url,
            fetch,
            secrets,
            found: None,
            asked: Scopes::default(),
        })
    }

    /// Gets a token because the upstream wants another.
    ///
    /// Errors: why there is none, for the caller and the operator.
    pub async fn obtain(&mut self, why: &Why) -> Result<Tokens, String> {
        self.refuse_in_vain(why)
            .map_err(|error| error.to_string())?;
        let remote = Arc::clone(&self.remote);
        match &remote.settings.auth {
            Some(AuthSettings::ClientCredentials(settings)) => {
                self.as_ourselves(settings, Some(why)).await
            }
            Some(AuthSettings::TokenExchange(settings)) => self.exchanged(settings, why).await,
            Some(AuthSettings::AuthorizationCode(settings)) => self.authorized(settings, why).await,
            Some(AuthSettings::Header(_)) | None => Err("it has no `auth`".to_owned()),
        }
    }

    /// Gets the next token before the one in force is worth nothing.
    ///
    /// Errors: why there is none; the one in force stays.
    pub async fn renew(&mut self) -> Result<Tokens, String> {
        let remote = Arc::clone(&self.remote);
        match &remote.settings.auth {
            Some(AuthSettings::ClientCredentials(settings)) => {
                self.as_ourselves(settings, None).await
            }
            Some(AuthSettings::AuthorizationCode(settings)) => self.refreshed(settings).await,
            Some(AuthSettings::TokenExchange(settings)) => {
                self.exchanged(settings, &Why::default()).await
            }
            _ => Err("it has no `auth`".to_owned()),
        }
    }

    /// What was asked for in vain is not asked for again.
    fn refuse_in_vain(&self, why: &Why) -> Result<(), Refusal> {
        if !why.lacks_scopes {
            return Ok(());
        }
        let wanted = Scopes::parse(why.challenge.scope.as_deref().unwrap_or_default());
        match self.asked.has(&wanted) {
            true => Err(Refusal::ScopesInVain(wanted.to_string())),
            false => Ok(()),
        }
    }

    /// RFC 6749 4.4. Without a challenge, at the server of the last time.
    async fn as_ourselves(
        &mut self,
        settings: &ClientCredentials,
        why: Option<&Why>,
    ) -> Result<Tokens, String> {
        let client = self.client(&settings.client)?;
        let found = match (why, &self.found, &settings.token_endpoint) {
            (None, Some(found), _) => found.clone(),
            (_, _, Some(endpoint)) => {
                let endpoint = endpoint.to_string();
                let issuer = settings.issuer.as_deref().unwrap_or(&endpoint);
                Found {
                    resource: canonical(&self.url),
                    document: None,
                    server: Server::at_endpoint(issuer, &endpoint),
                }
            }
            (why, _, None) => {
                let nothing = Challenge::default();
                let challenge = why.map_or(&nothing, |why| &why.challenge);
                let pinned = self.pinned(settings.issuer.as_deref())?;
                self.discover(challenge, pinned.as_deref()).await?
            }
        };
        if let Some(why) = why {
            let before = self.asked.clone();
            self.asked = to_ask_for(
                &why.challenge,
                &settings.scopes,
                found.document.as_ref(),
                &found.server,
                &before,
                false,
            );
        }
        if settings.token_endpoint.is_none() {
            self.pin(&found.server.issuer)?;
        }
        let grant = Grant::ClientCredentials;
        let tokens = self.token(&grant, Some(&client), &found).await?;
        self.found = Some(found);
        Ok(tokens)
    }

    /// RFC 8693, with a token of our own.
    async fn exchanged(&mut self, settings: &TokenExchange, why: &Why) -> Result<Tokens, String> {
        let client = settings.client.as_ref();
        let client = client.map(|client| self.client(client)).transpose()?;
        let subject = self.secret("subject_token", &settings.subject_token, Shape::Line)?;
        let endpoint = settings.token_endpoint.to_string();
        let found = Found {
            resource: canonical(&self.url),
            document: None,
            server: Server::at_endpoint(&endpoint, &endpoint),
        };
        let (server, before) = (&found.server, self.asked.clone());
        self.asked = to_ask_for(
            &why.challenge,
            &settings.scopes,
            None,
            server,
            &before,
            false,
        );
        let grant = Grant::Exchange {
            subject: &subject,
            subject_type: &settings.subject_token_type,
            audience: settings.audience.as_deref(),
        };
        self.token(&grant, client.as_ref(), &found).await
    }

    pub(super) async fn discover(
        &self,
        challenge: &Challenge,
        expected: Option<&str>,
    ) -> Result<Found, String> {
        discover(&self.fetch, &self.guard(), &self.url, challenge, expected)
            .await
            .map_err(|error| error.to_string())
    }

    /// Asks the token endpoint.
    pub(super) async fn token(
        &self,
        grant: &Grant<'_>,
        client: Option<&Client>,
        found: &Found,
    ) -> Result<Tokens, String> {
        let asked = async {
            let endpoint = found.server.token_endpoint()?;
            let form = form(
                grant,
                (client, &found.server),
                Some(&found.resource),
                &self.asked,
                now_unix_s(),
                &random_id()?,
            )?;
            let body = form.body();
            let post = Post {
                content_type: "application/x-www-form-urlencoded",
                body: &body,
                authorization: form.authorization.as_ref(),
            };
            let guard = self.guard();
            let fetched = self
                .fetch
                .post("token_endpoint", endpoint, &guard, post)
                .await?;
            Ok::<_, FetchError>(Tokens::read(fetched.status, &fetched.body)?)
        };
        asked.await.map_err(|error| error.to_string())
    }

    /// Where requests may go: where the operator wrote, into the internet, and where the upstream itself is.
    pub(super) fn guard(&self) -> Guard {
        let addresses = self.remote.places.iter().flat_map(|place| {
            let addresses = place.addresses.load_full();
            let ips: Vec<_> = addresses.iter().map(std::net::SocketAddr::ip).collect();
            ips
        });
        let mut guard = Guard::new(addresses).with(&self.url);
        let (endpoint, issuer) = match &self.remote.settings.auth {
            Some(AuthSettings::ClientCredentials(settings)) => {
                (settings.token_endpoint.as_ref(), settings.issuer.as_deref())
            }
            Some(AuthSettings::AuthorizationCode(settings)) => (None, settings.issuer.as_deref()),
            Some(AuthSettings::TokenExchange(settings)) => (Some(&settings.token_endpoint), None),
            _ => (None, None),
        };
        let issuer = issuer.and_then(|issuer| Url::parse(issuer).ok());
        for url in endpoint.into_iter().chain(&issuer) {
            guard = guard.with(url);
        }
        guard
    }

    /// A secret as it is kept now.
    fn secret(&self, key: &str, from: &SecretRef, shape: Shape) -> Result<Secret, String> {
        let thing = format!("upstreams.{}.auth: {key}", self.remote.name());
        let found = self.secrets.secret(&thing, from, shape);
        found.map_err(|problem| problem.to_string())
    }

    /// Who we are, with the secret as it is kept now.
    pub(super) fn client(&self, settings: &ClientSettings) -> Result<Client, String> {
        let proof = match &settings.proof {
            ClientProof::None => Proof::None,
            ClientProof::Secret(place) => {
                let secret = self.secret("client_secret", place, Shape::Line)?;
                Proof::Secret(secret, settings.method)
            }
            ClientProof::Key {
                key,
                algorithm,
                kid,
            } => {
                let pem = self.secret("private_key", key, Shape::Text)?;
                let key = SigningKey::new(&pem, *algorithm, kid.clone());
                Proof::Key(key.map_err(|error| error.to_string())?)
            }
        };
        Ok(Client {
            id: settings.client_id.clone(),
            proof,
        })
    }

    /// The only issuer that may see the operator's client: the configured one, or the one that saw it first.
    pub(super) fn pinned(&self, configured: Option<&str>) -> Result<Option<String>, String> {
        match configured {
            Some(issuer) => Ok(Some(issuer.to_owned())),
            None => Ok(self.store.load()?.issuer),
        }
    }

    /// Remembers the issuer that is about to see the operator's client.
    pub(super) fn pin(&self, issuer: &str) -> Result<(), String> {
        if self.store.load()?.issuer.as_deref() == Some(issuer) {
            return Ok(());
        }
        tracing::info!(
            upstream = self.remote.name(),
            issuer,
            "the client is shown to this issuer, and from now on to no other; `issuer` beside client_id says which it has to be"
        );
        let issuer = issuer.to_owned();
        self.store.change(|memory| memory.issuer = Some(issuer))
    }
}

/// A number that nobody has used before.
fn random_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::Key(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// A secret of what a file has.
pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text)
}
