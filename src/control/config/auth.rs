//! `auth:`, `admin_auth:`, `resource:`: who may call, and what authorization servers know this server by.

mod date;
mod issuer;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

use serde_saphyr::Spanned;

pub(crate) use date::{parse_date, show_date};

use super::auth_document::*;
use super::tls::Tls;
use super::{Parsed, refusal};
use crate::control::auth::AuthOptions;
use crate::error::{Problem, exit};
use crate::policy::auth::{
    ApiKey, CertificateClient, CertificateRules, NameFrom, Resource, is_key_name, parse_hash,
};

/// API keys of one listener.
const KEY_COUNT_MAX: usize = 10_000;

/// A refusal, before it knows its file and section.
struct Refused {
    line: Option<u64>,
    key: String,
    value: String,
    rule: String,
    remedy: String,
}

impl Refused {
    fn new(key: &str, value: &str, rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            line: None,
            key: key.to_owned(),
            value: value.to_owned(),
            rule: rule.into(),
            remedy: remedy.into(),
        }
    }

    /// Where it stands, unless that is known more exactly.
    fn at(self, line: u64) -> Self {
        Self {
            line: self.line.or(Some(line)),
            ..self
        }
    }
}

type Read<T> = Result<T, Refused>;

impl Parsed<'_> {
    /// What authorization servers know this server by; none: there is none that would.
    pub(super) fn resource(&self) -> Result<Option<Resource>, Problem> {
        let document = &self.document;
        let Some(given) = &document.resource else {
            let extra = [
                ("authorization_servers", &document.authorization_servers),
                ("scopes_supported", &document.scopes_supported),
            ];
            let extra = extra
                .into_iter()
                .find_map(|(key, list)| Some((key, list.as_ref()?)));
            return match extra {
                Some((key, list)) => {
                    let line = Some(list.referenced.line());
                    let rule = "says something about a resource that has no name";
                    Err(self.problem(line, key, "", rule, "add resource: with the address that clients use, like https://mcp.example.com/mcp"))
                }
                None => Ok(None),
            };
        };
        let line = Some(given.referenced.line());
        let list = |list: &Option<Spanned<Vec<String>>>| -> Vec<Box<str>> {
            let all = list.iter().flat_map(|list| &list.value);
            all.map(|text| text.as_str().into()).collect()
        };
        let mut servers = list(&document.authorization_servers);
        if servers.is_empty() {
            // Who signs tokens usually is where they are had.
            let issuers = document
                .auth
                .iter()
                .flat_map(|auth| auth.value.jwt.iter().flatten());
            let issuers = issuers.map(|issuer| issuer.value.issuer.as_str());
            servers = issuers.filter(|name| is_web(name)).map(Box::from).collect();
        }
        if let Some(wrong) = servers.iter().find(|server| !is_web(server)) {
            let line = document
                .authorization_servers
                .as_ref()
                .map(|list| list.referenced.line());
            let remedy = "write the issuer's address, like https://login.example.com";
            return Err(self.problem(
                line,
                "authorization_servers",
                wrong,
                "is no address of an authorization server",
                remedy,
            ));
        }
        let scopes = list(&document.scopes_supported);
        if let Some(wrong) = scopes.iter().find(|scope| !is_scope(scope)) {
            let line = document
                .scopes_supported
                .as_ref()
                .map(|list| list.referenced.line());
            return Err(self.problem(line, "scopes_supported", wrong, SCOPE_RULE, "rename it"));
        }
        let resource = Resource::new(&given.value, servers, scopes);
        resource.map(Some).map_err(|rule| {
            let remedy = "write the address that clients use, like https://mcp.example.com/mcp, and name authorization_servers or issuers in auth.jwt";
            self.problem(line, "resource", &given.value, rule, remedy)
        })
    }

    /// Who may call the data listener.
    pub(super) fn auth(
        &self,
        listen: SocketAddr,
        resource: Option<&Resource>,
        tls: Option<&Tls>,
    ) -> Result<AuthOptions, Problem> {
        let audiences = resource.map(Resource::audiences);
        self.asks_for_certificates("auth", self.document.auth.as_ref(), ("tls", tls))?;
        self.listener_auth(
            "auth",
            self.document.auth.as_ref(),
            ("listen", listen),
            audiences,
        )
    }

    /// Who may call the admin listener. A token for the MCP endpoint is none for it, unless an audience says so.
    pub(super) fn admin_auth(
        &self,
        admin: Option<SocketAddr>,
        tls: Option<&Tls>,
    ) -> Result<AuthOptions, Problem> {
        let given = self.document.admin_auth.as_ref();
        if admin.is_some() {
            self.asks_for_certificates("admin_auth", given, ("admin_tls", tls))?;
        }
        // Where nothing listens it does not matter.
        let address = admin.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        self.listener_auth("admin_auth", given, ("admin", address), None)
    }

    /// Refuses to know callers by certificates that TLS does not ask them for: nobody could show one.
    fn asks_for_certificates(
        &self,
        section: &str,
        given: Option<&Spanned<AuthDocument>>,
        (tls_section, tls): (&str, Option<&Tls>),
    ) -> Result<(), Problem> {
        let mtls = given.and_then(|given| given.value.mtls.as_ref());
        let Some(mtls) = mtls.filter(|_| tls.is_none_or(|tls| tls.client_ca.is_none())) else {
            return Ok(());
        };
        let (line, key) = (Some(mtls.referenced.line()), format!("{section}.mtls"));
        let rule = "wants certificates that nobody is asked for";
        let remedy = format!(
            "name a PEM file in {tls_section}.client_ca, beside {tls_section}.cert and {tls_section}.key, or remove {key}"
        );
        Err(self.problem(line, &key, "", rule, &remedy))
    }

    fn listener_auth(
        &self,
        section: &'static str,
        given: Option<&Spanned<AuthDocument>>,
        (listener, address): (&str, SocketAddr),
        audiences: Option<Vec<Box<str>>>,
    ) -> Result<AuthOptions, Problem> {
        let line = given.map(|given| given.referenced.line());
        let options = match given {
            None => AuthOptions::none(),
            Some(given) => self.read_auth(&given.value, audiences).map_err(|refused| {
                let key = match refused.key.as_str() {
                    "" => section.to_owned(),
                    key => format!("{section}.{key}"),
                };
                self.problem(
                    refused.line.or(line),
                    &key,
                    &refused.value,
                    &refused.rule,
                    &refused.remedy,
                )
            })?,
        };
        if options.admits_anonymous && !address.ip().is_loopback() {
            let rule = "can be reached from other machines, and lets in whoever comes";
            let remedy = format!(
                "make a key with `margay key new NAME`, put its entry under {section}: api_keys:, or name an issuer of tokens under {section}: jwt:; or listen on 127.0.0.1"
            );
            let mut problem = self.problem(line, listener, &address.to_string(), rule, &remedy);
            // What is missing stands in the file, wherever the address came from.
            problem.exit_code = exit::CONFIG;
            return Err(problem);
        }
        Ok(options)
    }

    fn read_auth(
        &self,
        document: &AuthDocument,
        audiences: Option<Vec<Box<str>>>,
    ) -> Read<AuthOptions> {
        let mut issuers = Vec::new();
        for given in document.jwt.iter().flatten() {
            let issuer = self.issuer(&given.value, audiences.as_deref());
            let issuer = issuer.map_err(|refused| refused.at(given.referenced.line()))?;
            if issuers
                .iter()
                .any(|other: &crate::control::auth::IssuerOptions| other.name == issuer.name)
            {
                let refused = Refused::new("jwt.issuer", &issuer.name, "stands twice", "keep one");
                return Err(refused.at(given.referenced.line()));
            }
            issuers.push(issuer);
        }
        let none = document.none.as_ref();
        let options = AuthOptions {
            keys: keys(document.api_keys.as_deref().unwrap_or_default())?,
            keys_file: document
                .api_keys_file
                .as_ref()
                .map(|path| self.relative(path)),
            issuers,
            certificates: document
                .mtls
                .as_ref()
                .map(|given| certificates(&given.value))
                .transpose()?,
            admits_anonymous: none.is_some_and(|none| none.value),
        };
        if !options.has_a_way() && !options.admits_anonymous {
            let remedy = "give api_keys, api_keys_file, jwt or mtls; or none: true, on loopback";
            return Err(Refused::new(
                "",
                "",
                "names no way to show who one is",
                remedy,
            ));
        }
        Ok(options)
    }
}

/// Reads the file that `api_keys_file` names.
///
/// Errors: one line that names the file, the line in it, the key and the rule.
pub(crate) fn parse_keys(text: &str, path: &Path) -> Result<Vec<ApiKey>, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        reject_unsupported_tags: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    let document: KeysDocument = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| refusal::invalid(path, &error))?;
    keys(&document.api_keys).map_err(|refused| {
        let line = refused
            .line
            .map(|line| format!(" line {line}"))
            .unwrap_or_default();
        let thing = format!("{}{line}: {}", path.display(), refused.key);
        Problem::operator(
            exit::CONFIG,
            thing,
            refused.value,
            refused.rule,
            refused.remedy,
        )
    })
}

fn keys(documents: &[Spanned<KeyDocument>]) -> Read<Vec<ApiKey>> {
    if documents.len() > KEY_COUNT_MAX {
        let rule = format!("has more than {KEY_COUNT_MAX} keys");
        return Err(Refused::new(
            "api_keys",
            &documents.len().to_string(),
            rule,
            "give callers tokens instead",
        ));
    }
    let (mut keys, mut names, mut digests) = (
        Vec::new(),
        std::collections::HashSet::new(),
        std::collections::HashSet::new(),
    );
    for given in documents {
        let key = key(&given.value).map_err(|refused| refused.at(given.referenced.line()))?;
        if !names.insert(key.name.clone()) || !digests.insert(key.digest) {
            let refused = Refused::new(
                "api_keys.name",
                &key.name,
                "stands twice, or its key does",
                "keep one",
            );
            return Err(refused.at(given.referenced.line()));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key(document: &KeyDocument) -> Read<ApiKey> {
    if !is_key_name(&document.name) {
        let rule = "is no name of a key: 1 to 64 letters, digits, `-`, `_` and `.`";
        return Err(Refused::new(
            "api_keys.name",
            &document.name,
            rule,
            "rename it",
        ));
    }
    // What stands there may be the key itself: it is not shown.
    let digest = parse_hash(&document.hash).ok_or_else(|| {
        let rule = "has a hash that is not sha256: and 64 hexadecimal digits";
        Refused::new(
            "api_keys.hash",
            &document.name,
            rule,
            "make it with `margay key hash`",
        )
    })?;
    let expires = document.expires.as_ref().map(|text| {
        parse_date(text).ok_or_else(|| {
            let remedy = "write it like 2030-12-31 or 2030-12-31T12:00:00Z";
            Refused::new("api_keys.expires", text, "is no date", remedy)
        })
    });
    Ok(ApiKey {
        scopes: scopes("api_keys.scopes", &document.scopes)?,
        roles: words("api_keys.roles", &document.roles)?,
        tier: word("api_keys.tier", document.tier.as_deref())?,
        expires_unix_s: expires.transpose()?,
        ..ApiKey::new(&document.name, digest)
    })
}

fn certificates(document: &CertificatesDocument) -> Read<CertificateRules> {
    let mut clients: Vec<CertificateClient> = Vec::new();
    for given in &document.clients {
        let line = given.referenced.line();
        let client = client(&given.value).map_err(|refused| refused.at(line))?;
        if clients.iter().any(|other| other.name == client.name) {
            let refused = Refused::new(
                "mtls.clients.name",
                &client.name,
                "stands twice",
                "keep one",
            );
            return Err(refused.at(line));
        }
        clients.push(client);
    }
    Ok(CertificateRules {
        name_from: match document.name_from {
            NameFromName::CommonName => NameFrom::CommonName,
            NameFromName::Uri => NameFrom::Uri,
            NameFromName::Dns => NameFrom::Dns,
            NameFromName::Email => NameFrom::Email,
        },
        clients,
    })
}

fn client(document: &ClientDocument) -> Read<CertificateClient> {
    let name = word("mtls.clients.name", Some(&document.name))?;
    Ok(CertificateClient {
        name: name.unwrap_or_default(),
        scopes: scopes("mtls.clients.scopes", &document.scopes)?,
        roles: words("mtls.clients.roles", &document.roles)?,
        tier: word("mtls.clients.tier", document.tier.as_deref())?,
    })
}

/// What a scope is made of (RFC 6749 section 3.3), so that it can stand in a header.
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

const SCOPE_RULE: &str = "is no scope: visible ASCII characters without space, `\"` and `\\`";

fn scopes(key: &str, texts: &[String]) -> Read<Vec<Box<str>>> {
    match texts.iter().find(|text| !is_scope(text)) {
        Some(wrong) => Err(Refused::new(key, wrong, SCOPE_RULE, "rename it")),
        None => Ok(texts.iter().map(|text| text.as_str().into()).collect()),
    }
}

fn word(key: &str, text: Option<&str>) -> Read<Option<Box<str>>> {
    match text {
        Some(text) if text.is_empty() || text.contains(char::is_control) => Err(Refused::new(
            key,
            text,
            "is empty, or has control characters",
            "rename it",
        )),
        text => Ok(text.map(Box::from)),
    }
}

fn words(key: &str, texts: &[String]) -> Read<Vec<Box<str>>> {
    let words: Read<Vec<_>> = texts.iter().map(|text| word(key, Some(text))).collect();
    Ok(words?.into_iter().flatten().collect())
}

fn is_web(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.fragment().is_none())
}
