//! From what operators said to upstreams that can be called.

use std::sync::Arc;

use crate::error::{Problem, exit};
use crate::secret::{Resolve, Secret, Shape, redactor};
use crate::upstream::credential::AuthSettings;
use crate::upstream::http::Scheme;
use crate::upstream::remote::{Place, Remote};
use crate::upstream::settings::{HeaderValue, Replica, Transport, Upstream};
use crate::upstream::tls::{TlsClient, TlsOptions};

/// The upstreams, in their order. Reads certificates: blocks.
///
/// Errors: a secret is not there, a certificate cannot be read, a header cannot be sent.
pub(super) fn remotes(
    upstreams: &[Upstream],
    secrets: &dyn Resolve,
) -> Result<Vec<Arc<Remote>>, Problem> {
    let mut clients = Clients::default();
    let made = upstreams.iter().enumerate().map(|(index, settings)| {
        let places = match &settings.transport {
            Transport::Stdio(_) => Vec::new(),
            Transport::Http {
                replicas,
                headers,
                tls,
            } => {
                let mut headers = headers.clone();
                if let Some(AuthSettings::Header(header)) = &settings.auth {
                    headers.push((header.name.clone(), header.value.clone()));
                }
                let fields = fields(&settings.name, &headers, secrets)?;
                let place = |replica: &Replica| {
                    let tls = match replica.url.scheme {
                        Scheme::Https => Some(clients.of(&settings.name, tls)?),
                        Scheme::Http => None,
                    };
                    Place::new(replica.url.clone(), replica.weight, fields.clone(), tls).map_err(
                        |refused| {
                            let thing = format!("upstreams.{}.headers", settings.name);
                            wrong(thing, String::new(), refused.to_string(), "correct it")
                        },
                    )
                };
                replicas.iter().map(place).collect::<Result<_, _>>()?
            }
        };
        Ok(Arc::new(Remote::new(index, settings.clone(), places)))
    });
    made.collect()
}

/// The header fields with their values.
fn fields(
    upstream: &str,
    headers: &[(String, HeaderValue)],
    secrets: &dyn Resolve,
) -> Result<Vec<(String, String)>, Problem> {
    let field = |(header, value): &(String, HeaderValue)| match value {
        HeaderValue::Text(text) => Ok((header.clone(), text.clone())),
        HeaderValue::Secret(place) => {
            let thing = format!("upstreams.{upstream}.headers.{header}");
            let secret = secrets.secret(&thing, place, Shape::Line)?;
            // `Bearer TOKEN`: the token alone, too.
            if let Some((_, token)) = secret.reveal().rsplit_once(' ') {
                redactor().add(&Secret::new(token));
            }
            Ok((header.clone(), secret.reveal().to_owned()))
        }
    };
    headers.iter().map(field).collect()
}

/// What TLS needs, once for all places that want the same.
#[derive(Default)]
struct Clients(Vec<(TlsOptions, TlsClient)>);

impl Clients {
    fn of(&mut self, upstream: &str, options: &TlsOptions) -> Result<TlsClient, Problem> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| known == options) {
            return Ok(known.clone());
        }
        let client = TlsClient::new(options).map_err(|error| {
            let thing = format!("upstreams.{upstream}.tls");
            let remedy = "correct the file, or name another";
            wrong(thing, String::new(), error.to_string(), remedy)
        })?;
        self.0.push((options.clone(), client.clone()));
        Ok(client)
    }
}

fn wrong(thing: String, value: String, rule: String, remedy: &str) -> Problem {
    Problem::operator(exit::CONFIG, thing, value, rule, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SecretRef, Unresolved, admit};
    use crate::upstream::http::Url;

    fn upstream(url: &str, headers: Vec<(String, HeaderValue)>, tls: TlsOptions) -> Upstream {
        let replica = Replica {
            url: Url::parse(url).unwrap(),
            weight: 2,
        };
        let transport = Transport::Http {
            replicas: vec![replica.clone(), replica],
            headers,
            tls,
        };
        Upstream::new("docs", transport)
    }

    struct Kept;

    impl Resolve for Kept {
        fn resolve(&self, from: &SecretRef, shape: Shape) -> Result<Secret, Unresolved> {
            let text = match from.to_string().as_str() {
                "$TOKEN" => "Bearer of-the-tests",
                "$BROKEN" => "two\r\nlines",
                _ => return Err(Unresolved::Missing),
            };
            admit(text.as_bytes().to_vec().into(), shape)
        }
    }

    fn made(upstream: Upstream) -> Result<Vec<Arc<Remote>>, String> {
        remotes(&[upstream], &Kept).map_err(|problem| problem.to_string())
    }

    fn header(value: HeaderValue) -> Vec<(String, HeaderValue)> {
        vec![("Authorization".to_owned(), value)]
    }

    #[test]
    fn a_header_s_variable_is_read_and_named_where_it_is_not_set() {
        let of = |name: &str| {
            let headers = header(HeaderValue::Secret(SecretRef::Environment(name.to_owned())));
            made(upstream("http://a/mcp", headers, TlsOptions::default()))
        };
        let found = of("TOKEN").unwrap();
        assert_eq!((found[0].index, found[0].places.len()), (0, 2));
        assert!(!found[0].is_stdio());
        let said = of("ABSENT").unwrap_err();
        for part in ["docs", "Authorization", "$ABSENT", "set it where"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        let said = of("BROKEN").unwrap_err();
        assert!(said.contains("upstreams.docs.headers"), "{said}");
        assert!(!said.contains("lines"), "it may be a secret: {said}");
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_named() {
        let tls = TlsOptions {
            ca: Some("/nowhere/ca.pem".into()),
            identity: None,
        };
        let said = made(upstream("https://a/mcp", Vec::new(), tls.clone())).unwrap_err();
        for part in ["upstreams.docs.tls", "/nowhere/ca.pem"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert!(
            made(upstream("http://a/mcp", Vec::new(), tls)).is_ok(),
            "without TLS it is not read"
        );
    }
}
