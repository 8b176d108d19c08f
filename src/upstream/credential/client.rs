//! Who we are to an authorization server, and how that is shown at its token endpoint.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::refusal::Refusal;
use super::settings::Method;
use super::token::Form;
use crate::secret::Secret;

/// Seconds that a signed assertion is worth something.
const ASSERTION_S: u64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSA with SHA-256.
    Rs256,
}

/// A private key.
#[derive(Clone)]
pub struct SigningKey {
    key: jsonwebtoken::EncodingKey,
    algorithm: SigningAlgorithm,
    kid: Option<String>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Of a key in PEM form.
    ///
    /// Errors: it is none for this algorithm.
    pub fn new(
        pem: &Secret,
        algorithm: SigningAlgorithm,
        kid: Option<String>,
    ) -> Result<Self, Refusal> {
        let bytes = pem.reveal().as_bytes();
        let key = match algorithm {
            SigningAlgorithm::Es256 => jsonwebtoken::EncodingKey::from_ec_pem(bytes),
            SigningAlgorithm::Rs256 => jsonwebtoken::EncodingKey::from_rsa_pem(bytes),
        };
        let wrong = |_| {
            let what = match algorithm {
                SigningAlgorithm::Es256 => "is no PEM of a P-256 key in PKCS #8 form (ES256)",
                SigningAlgorithm::Rs256 => "is no PEM of an RSA key (RS256)",
            };
            Refusal::Key(what.to_owned())
        };
        Ok(Self {
            key: key.map_err(wrong)?,
            algorithm,
            kid,
        })
    }

    /// Says that we are `client_id`, to this issuer, for a minute.
    ///
    /// Source: RFC 7523 3; the audience is the issuer, which no other server takes for itself.
    fn assertion(
        &self,
        client_id: &str,
        issuer: &str,
        now_unix_s: u64,
        id: &str,
    ) -> Result<String, Refusal> {
        #[derive(Serialize)]
        struct Claims<'c> {
            iss: &'c str,
            sub: &'c str,
            aud: &'c str,
            jti: &'c str,
            iat: u64,
            exp: u64,
        }
        let header = jsonwebtoken::Header {
            kid: self.kid.clone(),
            ..jsonwebtoken::Header::new(match self.algorithm {
                SigningAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
                SigningAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            })
        };
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: issuer,
            jti: id,
            iat: now_unix_s,
            exp: now_unix_s + ASSERTION_S,
        };
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| Refusal::Key("does not sign".to_owned()))
    }
}

/// What shows that we are who we say.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Nothing.
    None,
    /// A secret, and how it is given.
    Secret(Secret, Method),
    /// A signature.
    Key(SigningKey),
}

/// Who we are to one issuer.
#[derive(Clone, Debug)]
pub struct Client {
    /// Our id there.
    pub id: String,
    /// What shows it.
    pub proof: Proof,
}

impl Client {
    /// Adds to a token request what shows who we are; `offered` are the methods that the server says it has.
    ///
    /// Shape: `id` is random, for what must not be used twice.
    /// Errors: the key does not sign.
    pub(super) fn sign(
        &self,
        form: &mut Form,
        issuer: &str,
        offered: Option<&[String]>,
        now_unix_s: u64,
        id: &str,
    ) -> Result<(), Refusal> {
        match &self.proof {
            Proof::None => form.push("client_id", &self.id),
            Proof::Key(key) => {
                let assertion = key.assertion(&self.id, issuer, now_unix_s, id)?;
                form.push("client_id", &self.id);
                form.push("client_assertion_type", ASSERTION_TYPE);
                form.push("client_assertion", &assertion);
            }
            Proof::Secret(secret, method) => match chosen(*method, offered) {
                Method::Post => {
                    form.push("client_id", &self.id);
                    form.push("client_secret", secret.reveal());
                }
                Method::None => form.push("client_id", &self.id),
                Method::Basic | Method::Auto => {
                    form.authorization = Some(basic(&self.id, secret));
                }
            },
        }
        Ok(())
    }
}

/// How a secret is given: as the operator said, else as the server takes it, the header before the form.
fn chosen(method: Method, offered: Option<&[String]>) -> Method {
    let (Method::Auto, Some(offered)) = (method, offered) else {
        return method;
    };
    let has = |name: &str| offered.iter().any(|offered| offered == name);
    if has("client_secret_basic") {
        Method::Basic
    } else if has("client_secret_post") {
        Method::Post
    } else if has("none") {
        Method::None
    } else {
        // What is left is not ours; the server says so.
        Method::Basic
    }
}

/// Source: RFC 6749 2.3.1: both parts are form-encoded first.
fn basic(id: &str, secret: &Secret) -> Secret {
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(id), encoded(secret.reveal()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}
