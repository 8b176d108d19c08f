//! One entry of `jwt:`.

use std::time::Duration;

use serde_saphyr::Spanned;
use url::Url;

use super::super::auth_document::*;
use super::super::values::{Span, show_span};
use super::{Parsed, Read, Refused, scopes, word};
use crate::control::auth::{IssuerOptions, KeySource};
use crate::policy::auth::Algorithm;

const MINUTE: Duration = Duration::from_secs(60);
/// How far clocks may differ at most: beyond, one of them is to be set.
const LEEWAY_MAX: Duration = Duration::from_secs(300);
/// How often keys are fetched, at least and at most.
const REFRESH: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(86_400)];
/// How long keys may be used at most without having been seen again.
const MAX_STALE: Duration = Duration::from_secs(30 * 86_400);

impl Parsed<'_> {
    pub(super) fn issuer(
        &self,
        document: &IssuerDocument,
        audiences: Option<&[Box<str>]>,
    ) -> Read<IssuerOptions> {
        let name = word("jwt.issuer", Some(&document.issuer))?.unwrap_or_default();
        let audiences: Vec<Box<str>> = match &document.audience {
            Some(OneOrMore::One(one)) => vec![one.as_str().into()],
            Some(OneOrMore::More(more)) => more.iter().map(|one| one.as_str().into()).collect(),
            None => audiences.map(<[_]>::to_vec).unwrap_or_default(),
        };
        if audiences.is_empty() || audiences.iter().any(|audience| audience.is_empty()) {
            let remedy = "say resource: for the whole server, or audience: here";
            let rule = "has no audience, so that tokens for others would be taken";
            return Err(Refused::new("jwt.audience", &name, rule, remedy));
        }
        let source = self.source(document)?;
        let span = |given: &Option<Spanned<Span>>, default| {
            given.as_ref().map_or(default, |given| given.value.0)
        };
        let within = |key: &str,
                      given: &Option<Spanned<Span>>,
                      value: Duration,
                      [least, most]: [Duration; 2]| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            let rule = format!(
                "must be between {} and {}",
                show_span(least),
                show_span(most)
            );
            let refused = Refused::new(key, &show_span(value), rule, "change it");
            Err(given.iter().fold(refused, |refused, given| {
                refused.at(given.referenced.line())
            }))
        };
        let refresh = span(&document.refresh, 5 * MINUTE);
        let refresh = within("jwt.refresh", &document.refresh, refresh, REFRESH)?;
        let max_stale = span(&document.max_stale, REFRESH[1]).max(
            document
                .max_stale
                .as_ref()
                .map_or(refresh, |_| Duration::ZERO),
        );
        let leeway = span(&document.leeway, MINUTE);
        Ok(IssuerOptions {
            audiences,
            algorithms: algorithms(document, &source)?,
            leeway: within(
                "jwt.leeway",
                &document.leeway,
                leeway,
                [Duration::ZERO, LEEWAY_MAX],
            )?,
            roles_claim: document.roles_claim.as_deref().unwrap_or("roles").into(),
            scopes_required: scopes("jwt.scopes_required", &document.scopes_required)?,
            refresh,
            max_stale: within(
                "jwt.max_stale",
                &document.max_stale,
                max_stale,
                [refresh, MAX_STALE],
            )?,
            source,
            name,
        })
    }

    fn source(&self, document: &IssuerDocument) -> Read<KeySource> {
        let remedy = "give jwks: {url: …} or jwks: {file: …}; or, for HS256, secret: {file: …}";
        let refused = |rule: &str| Refused::new("jwt", &document.issuer, rule, remedy);
        match (&document.jwks, &document.secret) {
            (
                Some(JwksDocument {
                    file: Some(file),
                    url: None,
                    ca: None,
                }),
                None,
            ) => Ok(KeySource::File(self.relative(file))),
            (
                Some(JwksDocument {
                    file: None,
                    url: Some(url),
                    ca,
                }),
                None,
            ) => Ok(KeySource::Url {
                url: jwks_url(url)?,
                ca: ca.as_ref().map(|path| self.relative(path)),
            }),
            (None, Some(secret)) => {
                let place = secret.place(|path| self.relative(path));
                Ok(KeySource::Secret(place))
            }
            (None, None) => Err(refused("has no keys")),
            (Some(_), Some(_)) => Err(refused(
                "has public keys and a secret, which are never mixed",
            )),
            (Some(_), None) => Err(refused(
                "needs one jwks file, or one jwks url with or without a ca",
            )),
        }
    }
}

fn algorithms(document: &IssuerDocument, source: &KeySource) -> Read<Vec<Algorithm>> {
    let has_secret = matches!(source, KeySource::Secret(_));
    let mut algorithms = Vec::new();
    for name in document.algorithms.iter().flatten() {
        let algorithm = Algorithm::named(name).ok_or_else(|| {
            let remedy = "use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; or, with a secret, HS256, HS384, HS512";
            Refused::new("jwt.algorithms", name, "is no algorithm that is read here", remedy)
        })?;
        if algorithm.is_symmetric() != has_secret {
            let rule = match has_secret {
                true => "verifies with a public key, and this issuer has a secret",
                false => "verifies with a secret, and this issuer has public keys",
            };
            return Err(Refused::new(
                "jwt.algorithms",
                name,
                rule,
                "remove it, or give the issuer its other kind of key",
            ));
        }
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    Ok(match (&document.algorithms, has_secret) {
        (Some(list), _) if list.is_empty() => {
            return Err(Refused::new(
                "jwt.algorithms",
                &document.issuer,
                "is empty",
                "name one, or remove the key",
            ));
        }
        (Some(_), _) => algorithms,
        (None, true) => vec![Algorithm::with_secret()],
        (None, false) => Algorithm::asymmetric(),
    })
}

/// Keys that come over the network decide who is let in: nobody on the way may change them.
fn jwks_url(text: &str) -> Read<Url> {
    let refused = |rule: &str| {
        // One with a password in it is not repeated.
        let shown = if text.contains('@') { "" } else { text };
        Refused::new(
            "jwt.jwks.url",
            shown,
            rule,
            "write it like https://login.example.com/keys",
        )
    };
    let url = Url::parse(text).map_err(|error| refused(&format!("is no address: {error}")))?;
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(refused("has a password in it"))
        }
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        "http" => Err(refused(
            "is fetched in the clear, and whoever is on the way could make keys of his own",
        )),
        _ => Err(refused("is not https")),
    }
}
