//! Why there is no credential.

use std::fmt;

/// Why a step on the way to a credential is not taken. For operators and callers: it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A document is no JSON, or has not in it what it must.
    Document {
        /// Which: its URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The resource's document is about another resource.
    OtherResource {
        /// What it is about.
        said: String,
        /// The URL in use.
        used: String,
    },
    /// The server's document is about another issuer, or the issuer is not the configured one.
    OtherIssuer {
        /// The one it is about.
        said: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// The server does not say that it has PKCE by S256.
    NoPkce(String),
    /// Nobody is registered, and there is no way to be.
    NoRegistration(String),
    /// An endpoint is missing, or is not where one may be.
    Endpoint {
        /// Which.
        name: &'static str,
        /// Why not.
        problem: String,
    },
    /// An answer belongs to no authorization of ours: anybody can have a browser bring one.
    Stray,
    /// An authorization was answered with what does not belong to it.
    Callback(&'static str),
    /// The server refuses: its error code, cleaned.
    Server {
        /// The code.
        error: String,
        /// What it says of it.
        description: String,
    },
    /// The token cannot be used.
    Token(&'static str),
    /// The upstream wants scopes that were asked for already.
    ScopesInVain(String),
    /// A key cannot sign.
    Key(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document { url, problem } => write!(f, "the document at {url} {problem}"),
            Self::OtherResource { said, used } => write!(
                f,
                "its metadata is about the resource {said:?}, and the URL in use is {used}: a token for one is none for the other"
            ),
            Self::OtherIssuer { said, wanted } => {
                write!(
                    f,
                    "the authorization server says that it is {said:?}, and was asked for as {wanted:?}"
                )
            }
            Self::NoPkce(issuer) => write!(
                f,
                "the authorization server {issuer} does not list S256 in code_challenge_methods_supported, and nothing else is safe"
            ),
            Self::NoRegistration(issuer) => write!(
                f,
                "we are not registered with {issuer}, and it registers nobody: have margay registered there and set auth.authorization_code.client_id"
            ),
            Self::Endpoint { name, problem } => write!(f, "the {name} {problem}"),
            Self::Stray => f.write_str("the answer to the authorization has another state"),
            Self::Callback(problem) => write!(f, "the answer to the authorization {problem}"),
            Self::Server { error, description } => {
                write!(f, "the authorization server refuses: {error}")?;
                match description.is_empty() {
                    true => Ok(()),
                    false => write!(f, " ({description})"),
                }
            }
            Self::Token(problem) => write!(f, "the authorization server's token {problem}"),
            Self::ScopesInVain(scopes) => write!(
                f,
                "it wants the scopes {scopes:?}, which were asked for already and were of no use: have them granted to margay"
            ),
            Self::Key(problem) => write!(f, "the key for private_key_jwt {problem}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What a server said of an error, without what could break a line or a terminal, and bounded.
    pub(super) fn server(error: &str, description: &str) -> Self {
        let clean = |text: &str| -> String {
            let visible = |letter: &char| !letter.is_control();
            text.chars().filter(visible).take(200).collect()
        };
        Self::Server {
            error: clean(error),
            description: clean(description),
        }
    }
}
