//! The authorization code flow: what an operator allows once, and what comes of it afterwards.

use super::account::{Account, Why, secret};
use super::discover::Found;
use super::login::Callback;
use crate::control::fetch::{FetchError, Post};
use crate::secret::{Secret, redactor};
use crate::upstream::credential::{
    Attempt, AuthorizationCode, Challenge, Client, Grant, Proof, Randoms, Refusal, Registered,
    Registration, Scopes, Tokens, choose, to_ask_for,
};
use crate::upstream::http::Url;

/// Where a browser would be sent back to that is not there: the redirect is read, not followed.
const NOWHERE: &str = "http://127.0.0.1/callback";
/// Redirects on the way to our own.
const FOLLOWED_MAX: usize = 5;

/// How an authorization gets its answer.
pub(super) enum Way<'w> {
    /// A person's browser brings it; they are told the URL.
    Person(Callback, &'w (dyn Fn(&str) + Sync)),
    /// We follow the redirects ourselves.
    Follow,
}

impl Account {
    /// A token with what was allowed before, or by following an authorization; else nobody has allowed it.
    pub(super) async fn authorized(
        &mut self,
        settings: &AuthorizationCode,
        why: &Why,
    ) -> Result<Tokens, String> {
        let found = self.found_for(settings, &why.challenge).await?;
        let mut what = "it wants more scopes than were allowed".to_owned();
        if !why.lacks_scopes {
            self.found = Some(found.clone());
            match self.refreshed(settings).await {
                Ok(tokens) => return Ok(tokens),
                Err(no_refresh) => what = format!("nothing is allowed now ({no_refresh})"),
            }
        }
        if settings.follow {
            return self
                .authorize(settings, &why.challenge, found, Way::Follow)
                .await;
        }
        let wanted = Scopes::parse(why.challenge.scope.as_deref().unwrap_or_default());
        let wanted = wanted.with(&self.asked).to_string();
        if self.store.load()?.wanted_scopes != wanted {
            self.store.change(|memory| memory.wanted_scopes = wanted)?;
        }
        Err(format!(
            "{what}: an operator runs `margay upstream login {}`",
            self.remote.name()
        ))
    }

    /// Uses what the last answer gave for the next one.
    pub(super) async fn refreshed(
        &mut self,
        settings: &AuthorizationCode,
    ) -> Result<Tokens, String> {
        let found = self.found.clone().ok_or("nobody has allowed it yet")?;
        let issuer = found.server.issuer.clone();
        let memory = self.store.load()?;
        let known = memory.issuers.get(&issuer).cloned().unwrap_or_default();
        let refresh = known
            .refresh_token
            .as_deref()
            .ok_or("nobody has allowed it yet")?;
        let refresh = secret(refresh);
        let _redacted = redactor().keep(&refresh);
        let client = self.known_client(settings, known.client.as_ref())?;
        self.asked = self.asked.with(&Scopes::parse(&known.scopes));
        let grant = Grant::Refresh(&refresh);
        let tokens = self.token(&grant, Some(&client), &found).await?;
        self.keep(&issuer, &tokens)?;
        Ok(tokens)
    }

    /// Remembers what gets the next token. One that was not replaced goes on counting.
    fn keep(&self, issuer: &str, tokens: &Tokens) -> Result<(), String> {
        let scopes = self.asked.to_string();
        self.store.change(|memory| {
            let at = memory.issuers.entry(issuer.to_owned()).or_default();
            at.scopes = scopes;
            if let Some(refresh) = &tokens.refresh {
                at.refresh_token = Some(refresh.reveal().to_owned());
            }
        })
    }

    pub(super) async fn found_for(
        &self,
        settings: &AuthorizationCode,
        challenge: &Challenge,
    ) -> Result<Found, String> {
        let expected = match (&settings.client, &settings.issuer) {
            // What the operator had registered belongs to one issuer.
            (Some(_), issuer) => self.pinned(issuer.as_deref())?,
            (None, issuer) => issuer.clone(),
        };
        self.discover(challenge, expected.as_deref()).await
    }

    /// One authorization, from registration to token.
    pub(super) async fn authorize(
        &mut self,
        settings: &AuthorizationCode,
        challenge: &Challenge,
        found: Found,
        way: Way<'_>,
    ) -> Result<Tokens, String> {
        let said = |error: Refusal| error.to_string();
        // Before anybody is registered with a server that is of no use.
        found.server.authorization_endpoint().map_err(said)?;
        let issuer = found.server.issuer.clone();
        let memory = self.store.load()?;
        let known = memory.issuers.get(&issuer).and_then(|at| at.client.clone());
        let redirect = match &way {
            Way::Person(callback, _) => callback.url.clone(),
            Way::Follow => match &settings.redirect_uri {
                Some(url) => url.clone(),
                None => Url::parse(NOWHERE).map_err(|error| error.to_string())?,
            },
        };
        let wanted = Scopes::parse(&memory.wanted_scopes).with(&self.asked);
        self.asked = to_ask_for(
            challenge,
            &settings.scopes,
            found.document.as_ref(),
            &found.server,
            &wanted,
            true,
        );
        let known = known.filter(|known| known.redirect_uri == redirect.to_string());
        let client = self
            .register(settings, &found, &redirect, known.as_ref())
            .await?;
        let attempt = Attempt::begin(
            &found.server,
            &client.id,
            &redirect.to_string(),
            &found.resource,
            &self.asked,
            &randoms()?,
        )
        .map_err(said)?;
        let code = match way {
            Way::Person(callback, tell) => {
                tell(&attempt.url);
                callback.wait(&attempt).await?
            }
            Way::Follow => self.follow(&attempt).await?,
        };
        let grant = Grant::Code {
            code: &code,
            verifier: &attempt.verifier,
            redirect_uri: &attempt.redirect_uri,
        };
        let tokens = self.token(&grant, Some(&client), &found).await?;
        self.keep(&issuer, &tokens)?;
        self.store.change(|memory| memory.wanted_scopes.clear())?;
        self.found = Some(found);
        Ok(tokens)
    }

    /// Who we are to this server, asking it where it is the only way.
    async fn register(
        &self,
        settings: &AuthorizationCode,
        found: &Found,
        redirect: &Url,
        known: Option<&Registered>,
    ) -> Result<Client, String> {
        let server = &found.server;
        let document = settings.client_metadata_url.as_deref();
        let chosen = choose(server, settings.client.is_some(), document, known);
        match chosen.map_err(|error| error.to_string())? {
            Registration::Configured => {
                self.pin(&server.issuer)?;
                self.known_client(settings, None)
            }
            Registration::Document(id) => {
                // It is who we are there from now on, also for what a refresh shows.
                let registered = Registered {
                    client_id: id,
                    client_secret: None,
                    token_endpoint_auth_method: Some("none".to_owned()),
                    redirect_uri: redirect.to_string(),
                };
                self.remember(&server.issuer, &registered)?;
                Ok(client_of(&registered))
            }
            Registration::Known(known) => Ok(client_of(&known)),
            Registration::Ask(endpoint) => {
                let asked = async {
                    let scopes = self.asked.to_string();
                    let body = Secret::new(Registered::request(server, redirect, &scopes));
                    let post = Post {
                        content_type: "application/json",
                        body: &body,
                        authorization: None,
                    };
                    let guard = self.guard();
                    let name = "registration_endpoint";
                    let fetched = self.fetch.post(name, &endpoint, &guard, post).await?;
                    let registered = Registered::read(fetched.status, &fetched.body, redirect)?;
                    Ok::<_, FetchError>(registered)
                };
                let registered = asked.await.map_err(|error| error.to_string())?;
                self.remember(&server.issuer, &registered)?;
                Ok(client_of(&registered))
            }
        }
    }

    fn remember(&self, issuer: &str, registered: &Registered) -> Result<(), String> {
        self.store.change(|memory| {
            let at = memory.issuers.entry(issuer.to_owned()).or_default();
            let is_same = |known: &Registered| known.client_id == registered.client_id;
            if !at.client.as_ref().is_some_and(is_same) {
                // What another was given is of no use to this one.
                at.refresh_token = None;
            }
            at.client = Some(registered.clone());
        })
    }

    /// Who we are, as the operator says, or as the server has made us.
    fn known_client(
        &self,
        settings: &AuthorizationCode,
        known: Option<&Registered>,
    ) -> Result<Client, String> {
        match (&settings.client, known) {
            (Some(client), _) => self.client(client),
            (None, Some(known)) => Ok(client_of(known)),
            (None, None) => Err("we are not registered there".to_owned()),
        }
    }

    /// Goes where a browser would be sent, until it is sent back to us. For servers that ask nobody.
    async fn follow(&self, attempt: &Attempt) -> Result<Secret, String> {
        let guard = self.guard();
        let mut url = attempt.url.clone();
        for _ in 0..FOLLOWED_MAX {
            let name = "authorization_endpoint";
            let fetched = self.fetch.get_once(name, &url, &guard).await;
            let fetched = fetched.map_err(|error| error.to_string())?;
            let Some(location) = fetched.location.filter(|_| fetched.status / 100 == 3) else {
                return Err(format!(
                    "its authorization server does not redirect (HTTP {}): it wants a person, who runs `margay upstream login {}`",
                    fetched.status,
                    self.remote.name()
                ));
            };
            let ours = location.strip_prefix(&attempt.redirect_uri);
            if let Some(query) = ours.and_then(|rest| rest.strip_prefix('?')) {
                return attempt.code(query).map_err(|error| error.to_string());
            }
            let base = url::Url::parse(&url).map_err(|error| error.to_string())?;
            url = base
                .join(&location)
                .map_err(|error| error.to_string())?
                .into();
        }
        Err(format!(
            "its authorization server redirects more than {FOLLOWED_MAX} times"
        ))
    }
}

fn client_of(registered: &Registered) -> Client {
    Client {
        id: registered.client_id.clone(),
        proof: match &registered.client_secret {
            Some(text) => Proof::Secret(secret(text), registered.method()),
            None => Proof::None,
        },
    }
}

fn randoms() -> Result<Randoms, String> {
    let mut randoms = Randoms {
        state: [0; 32],
        verifier: [0; 32],
    };
    for bytes in [&mut randoms.state, &mut randoms.verifier] {
        getrandom::fill(bytes).map_err(|error| error.to_string())?;
    }
    Ok(randoms)
}
