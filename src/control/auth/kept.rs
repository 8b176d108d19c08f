//! One listener's keys and issuers, and what keeps them current.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::Fetcher;
use super::keys::KeyFile;
use super::now_unix_s;
use super::remote::Remote;
use super::settings::{AuthOptions, IssuerOptions, KeySource};
use crate::audit::{Audit, Event, Kind, Outcome};
use crate::error::{Problem, exit};
use crate::policy::auth::{ApiKey, Authenticator, KeySet, Keys, Resource, Verifier};
use crate::secret::{Resolve, Shape};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long API keys are taken while their file is missing or wrong.
const KEYS_GRACE: Duration = Duration::from_secs(60);

/// Where the keys of one issuer are.
enum Source {
    Fixed(KeySet),
    File(KeyFile<KeySet>),
    Remote(Remote, Fetcher),
}

/// One listener.
pub(super) struct Kept {
    section: &'static str,
    options: AuthOptions,
    keys: Option<KeyFile<Vec<ApiKey>>>,
    /// One for each issuer, in their order.
    sources: Vec<Source>,
    authenticator: Arc<Authenticator>,
    audit: Audit,
    begun: Instant,
}

impl Kept {
    /// Reads files and secrets.
    ///
    /// Errors: which of them is wrong, and what to do.
    pub(super) fn new(
        section: &'static str,
        options: &AuthOptions,
        resource: Option<Resource>,
        secrets: &dyn Resolve,
    ) -> Result<Self, Problem> {
        let wrong = |key: &str, value: String, why: String, remedy: &str| {
            Problem::operator(exit::CONFIG, format!("{section}.{key}"), value, why, remedy)
        };
        let mut keys = None;
        if let Some(path) = &options.keys_file {
            let mut file = KeyFile::of_api_keys(path, KEYS_GRACE);
            file.look(Duration::ZERO).map_err(|why| {
                wrong(
                    "api_keys_file",
                    path.display().to_string(),
                    why,
                    "it has `api_keys:` with the entries that `margay key new` prints",
                )
            })?;
            keys = Some(file);
        }
        let sources = options.issuers.iter().map(|issuer| {
            Source::of(issuer, secrets).map_err(|why| {
                wrong(
                    "jwt",
                    issuer.name.to_string(),
                    why,
                    "correct what jwks or secret names",
                )
            })
        });
        let kept = Self {
            section,
            options: options.clone(),
            keys,
            sources: sources.collect::<Result<_, _>>()?,
            authenticator: Arc::new(Authenticator::new(Verifier::default(), resource)),
            audit: Audit::off(),
            begun: Instant::now(),
        };
        kept.warn_of_shadowed();
        kept.publish();
        Ok(kept)
    }

    pub(super) fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    pub(super) fn authenticator(&self) -> Arc<Authenticator> {
        Arc::clone(&self.authenticator)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Puts what there is in force.
    fn publish(&self) {
        self.authenticator.exchange(self.verifier());
    }

    fn verifier(&self) -> Verifier {
        let mut keys: BTreeMap<&str, &ApiKey> = BTreeMap::new();
        let from_file = self.keys.iter().flat_map(KeyFile::content);
        // A key of the configuration counts before one of the same name in the file.
        for key in from_file.chain(&self.options.keys) {
            keys.insert(&key.name, key);
        }
        let keys: Vec<ApiKey> = keys.into_values().cloned().collect();
        let issuers = self.options.issuers.iter().zip(&self.sources);
        Verifier {
            keys: keys.into(),
            issuers: issuers
                .map(|(issuer, source)| issuer.issuer(source.keys()))
                .collect(),
            certificates: self.options.certificates.clone(),
            admits_anonymous: self.options.admits_anonymous,
            expects_keys: self.options.keys_file.is_some(),
        }
    }

    fn warn_of_shadowed(&self) {
        let from_file = self.keys.iter().flat_map(KeyFile::content);
        for key in from_file.filter(|key| self.options.keys.iter().any(|own| own.name == key.name))
        {
            tracing::warn!(section = self.section, name = %key.name, "the file of API keys has a key of the same name as the configuration, which counts");
        }
    }

    /// Fetches all keys that are to be fetched.
    pub(super) async fn fetch_all(&mut self) {
        let mut fetches = JoinSet::new();
        self.begin_fetches(&mut fetches);
        while let Some(done) = fetches.join_next().await {
            self.fetched(done);
        }
    }

    /// Keeps everything current, for ever.
    pub(super) async fn keep(&mut self) {
        let mut fetches = JoinSet::new();
        // What the first fetch has not brought was given up with it.
        self.give_up_fetches();
        let mut clock = tokio::time::interval(LOOK_INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let authenticator = self.authenticator();
        loop {
            self.begin_fetches(&mut fetches);
            tokio::select! {
                _ = clock.tick() => self.look(),
                issuer = poll_fn(|context| authenticator.poll_wanted(context)) => self.want(&issuer),
                Some(done) = fetches.join_next() => self.fetched(done),
            }
        }
    }

    fn want(&mut self, issuer: &str) {
        let now = self.now();
        let place = self
            .options
            .issuers
            .iter()
            .position(|own| *own.name == *issuer);
        if let Some(Source::Remote(remote, _)) = place.map(|place| &mut self.sources[place]) {
            remote.want(now);
        }
    }

    fn begin_fetches(&mut self, fetches: &mut JoinSet<(usize, Result<Vec<u8>, String>)>) {
        let now = self.now();
        for (place, source) in self.sources.iter_mut().enumerate() {
            if let Source::Remote(remote, fetcher) = source
                && remote.begin(now)
            {
                let fetcher = fetcher.clone();
                fetches.spawn(async move { (place, fetcher.fetch().await) });
            }
        }
    }

    fn give_up_fetches(&mut self) {
        let now = self.now();
        for source in &mut self.sources {
            if let Source::Remote(remote, _) = source
                && remote.due().is_none()
            {
                remote.fail(now);
            }
        }
    }

    fn fetched(&mut self, done: Result<(usize, Result<Vec<u8>, String>), tokio::task::JoinError>) {
        // A fetch does not panic, and nothing ends one but the end of the whole.
        let Ok((place, document)) = done else { return };
        let now = self.now();
        let Source::Remote(remote, _) = &mut self.sources[place] else {
            return;
        };
        let issuer = &*self.options.issuers[place].name;
        match document.and_then(|document| KeySet::parse(&document)) {
            Ok(set) => {
                tracing::debug!(issuer, keys = set.len(), "the issuer's keys were fetched");
                for why in set.passed_over() {
                    tracing::debug!(issuer, why, "a key of the issuer is not used");
                }
                if set.is_empty() {
                    tracing::warn!(
                        issuer,
                        "the issuer has no key that can be used: its tokens are refused"
                    );
                }
                let is_known = remote.keys().set.is_same_as(&set);
                remote.succeed(set, now_unix_s());
                match is_known {
                    true => self.authenticator.prolong(self.verifier()),
                    false => self.publish(),
                }
            }
            Err(error) => {
                remote.fail(now);
                let until = remote.keys().until_unix_s.unwrap_or(0);
                let left_s = until.saturating_sub(now_unix_s());
                tracing::warn!(issuer, %error, left_s, "the issuer's keys could not be fetched; those that are there are used for `left_s` more seconds");
            }
        }
    }

    /// Looks at the files, and puts in force what has changed.
    fn look(&mut self) {
        let now = self.now();
        let mut changed = Vec::new();
        if let Some(file) = &mut self.keys {
            match file.look(now) {
                Ok(true) => changed.push(file.path().display().to_string()),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(section = self.section, path = %file.path().display(), %error, "the file of API keys is wrong; the keys that it had are taken for another minute");
                }
            }
        }
        for source in &mut self.sources {
            let Source::File(file) = source else { continue };
            match file.look(now) {
                Ok(true) => changed.push(file.path().display().to_string()),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(section = self.section, path = %file.path().display(), %error, "the file of an issuer's keys is wrong; the keys that it had are used until they are too old");
                }
            }
        }
        if changed.is_empty() {
            return;
        }
        self.publish();
        for path in &changed {
            tracing::info!(section = self.section, path, "other keys are in force");
            self.audit.record(&Event {
                target: path,
                detail: "other keys are in force",
                ..Event::new(Kind::ConfigurationChanged, Outcome::Ok)
            });
        }
    }
}

impl Source {
    fn of(issuer: &IssuerOptions, secrets: &dyn Resolve) -> Result<Self, String> {
        match &issuer.source {
            KeySource::File(path) => {
                let mut file = KeyFile::of_issuer(path, issuer.max_stale);
                file.look(Duration::ZERO)
                    .map_err(|why| format!("{}: {why}", path.display()))?;
                for why in file.content().passed_over() {
                    tracing::warn!(issuer = %issuer.name, why, "a key of the issuer is not used");
                }
                Ok(Self::File(file))
            }
            KeySource::Url { url, ca } => {
                let fetcher = Fetcher::new(url.clone(), ca.clone())?;
                Ok(Self::Remote(
                    Remote::new(issuer.refresh, issuer.max_stale),
                    fetcher,
                ))
            }
            KeySource::Secret(reference) => {
                let secret = secrets
                    .resolve(reference, Shape::Line)
                    .map_err(|why| format!("{reference}: {why}"))?;
                let least = issuer
                    .algorithms
                    .iter()
                    .map(|algorithm| algorithm.secret_bytes_min())
                    .max();
                let least = least.unwrap_or(0);
                if secret.reveal().len() < least {
                    return Err(format!(
                        "the secret is shorter than {least} bytes, so that it could be guessed from a token"
                    ));
                }
                Ok(Self::Fixed(KeySet::of_secret(secret.reveal().as_bytes())))
            }
        }
    }

    fn keys(&self) -> Keys {
        match self {
            Self::Fixed(set) => Keys {
                set: set.clone(),
                until_unix_s: None,
            },
            Self::File(file) => Keys {
                set: file.content().clone(),
                until_unix_s: None,
            },
            Self::Remote(remote, _) => remote.keys().clone(),
        }
    }
}
