//! Why a caller is not known, or not let in.

use std::fmt;

/// What is wrong with what a caller shows. `Display` is what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It shows nothing.
    Missing,
    /// It shows something of a kind that is not asked for, like a password.
    Scheme,
    /// The header is none of its kind.
    Malformed(&'static str),
    /// The token has not the form of one.
    Form(&'static str),
    /// It is no key of ours, and no signed token.
    Unknown,
    /// The token's issuer is none of ours.
    UnknownIssuer,
    /// The algorithm is not taken from this issuer.
    Algorithm,
    /// The issuer has no such key.
    UnknownKey,
    /// The issuer has several keys that it could be.
    AmbiguousKey,
    /// The signature is wrong.
    Signature,
    /// The token is of a kind that is not read here.
    Unsupported(&'static str),
    /// A claim is missing or has the wrong type.
    Claim(&'static str),
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It is for somebody else.
    Audience,
    /// The issuer's keys are older than they may be, and could not be had anew.
    KeysStale,
    /// It is good, and lacks scopes without which nobody is let in.
    Scopes(Vec<Box<str>>),
}

impl Fault {
    /// The status of the HTTP answer.
    ///
    /// Source: RFC 6750 section 3.1: a request of the wrong form is 400; a token of the wrong form is 401, as any that is not valid.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Scopes(_) => 403,
            _ => 401,
        }
    }

    /// The `error` of the challenge; none where nothing was shown that is asked for.
    ///
    /// Source: RFC 6750 section 3.1.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::Scheme => None,
            Self::Malformed(_) => Some("invalid_request"),
            Self::Scopes(_) => Some("insufficient_scope"),
            _ => Some("invalid_token"),
        }
    }

    /// What the caller is told, and the `error_description` of the challenge: never which issuers and keys there are.
    pub fn told(&self) -> &'static str {
        match self {
            Self::Missing => {
                "this server wants to know who calls: send Authorization: Bearer with a token or an API key"
            }
            Self::Scheme => {
                "the scheme of the Authorization header is not Bearer, and no other is read here"
            }
            Self::Malformed(what)
            | Self::Form(what)
            | Self::Unsupported(what)
            | Self::Claim(what) => what,
            Self::Unknown
            | Self::UnknownIssuer
            | Self::Algorithm
            | Self::UnknownKey
            | Self::AmbiguousKey
            | Self::Signature => "the token or key is not known here; get another",
            Self::Expired => "the token or key has expired; get another",
            Self::NotYet => "the token is not valid yet; look at both clocks",
            Self::Audience => "the token is for another audience; ask for one for this resource",
            Self::KeysStale => {
                "tokens of this issuer cannot be verified now, since its keys cannot be had; try again later"
            }
            Self::Scopes(_) => "the token lacks scopes that everybody needs here",
        }
    }

    /// The same for the operator, who may know what there is.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Unknown => "it is no API key of the configuration, and no signed token",
            Self::UnknownIssuer => "no issuer of the configuration has the token's `iss`",
            Self::Algorithm => "the token's `alg` is not among the algorithms of its issuer",
            Self::UnknownKey => {
                "the issuer's keys have none with the token's `kid` that fits its `alg`"
            }
            Self::AmbiguousKey => {
                "the token says no `kid`, or one that several keys have, and several keys fit its `alg`"
            }
            Self::Signature => "the token's signature is wrong",
            Self::Audience => "the token's `aud` has not the audience of this server",
            other => other.told(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told())
    }
}

impl std::error::Error for Fault {}
