//! Signed tokens.
//!
//! The order of the checks: form, header, issuer, key, signature, and only then what the claims say; but for `iss`, which says whose
//! key it is, nothing of a token is believed before its signature is.
//!
//! Source: RFC 7515 section 5.2; RFC 7519 section 7.2; RFC 8725 section 3; RFC 9068 section 4.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims::{named, object, text, time, words};
use super::keyset::KEY_ID_BYTES_MAX;
use super::{Algorithm, Fault, Issuer};
use crate::policy::identity::{Identity, Proof};

/// Bytes of a subject.
const SUBJECT_BYTES_MAX: usize = 1024;
/// Scopes or roles of one token.
const WORD_COUNT_MAX: usize = 256;

/// Verifies a token in its compact form.
pub(super) fn verify(issuers: &[Issuer], token: &str, now_unix_s: u64) -> Result<Identity, Fault> {
    let parts = Parts::split(token)?;
    let header = object(
        &decoded(parts.header)?,
        "the header of the token cannot be read",
    )?;
    let (algorithm, key_id) = read_header(&header)?;
    let claims = object(
        &decoded(parts.claims)?,
        "the claims of the token cannot be read",
    )?;
    let name = text(&claims, "iss", "the token has no `iss` that is a text")?;
    let issuer = issuers.iter().find(|issuer| *issuer.name == *name);
    let issuer = issuer.ok_or(Fault::UnknownIssuer)?;
    verify_signature(issuer, &parts, (algorithm, key_id), now_unix_s)?;
    accept(issuer, claims, now_unix_s)
}

/// Whether one of the issuer's keys has signed these parts, with an algorithm that is taken from it.
fn verify_signature(
    issuer: &Issuer,
    parts: &Parts<'_>,
    (algorithm, key_id): (Algorithm, Option<&str>),
    now_unix_s: u64,
) -> Result<(), Fault> {
    if !issuer.algorithms.contains(&algorithm) {
        return Err(Fault::Algorithm);
    }
    if issuer
        .keys
        .until_unix_s
        .is_some_and(|until| now_unix_s >= until)
    {
        return Err(Fault::KeysStale);
    }
    let key = issuer.keys.set.find(algorithm, key_id)?;
    let signed = parts.signed.as_bytes();
    // An error is a key that the library cannot use with this algorithm.
    if !jsonwebtoken::crypto::verify(parts.signature, signed, key, algorithm.0).unwrap_or(false) {
        return Err(Fault::Signature);
    }
    Ok(())
}

/// The same for a signed text that is no token.
#[cfg(test)]
pub(super) fn verify_text(issuer: &Issuer, text: &str) -> Result<(), Fault> {
    let parts = Parts::split(text)?;
    decoded(parts.claims)?;
    let header = object(&decoded(parts.header)?, "")?;
    verify_signature(issuer, &parts, read_header(&header)?, 0)
}

/// The issuer that a token names, if its form is right. Nothing of it is verified: this is for whoever fetches keys.
pub(super) fn issuer_of(token: &str) -> Option<String> {
    let parts = Parts::split(token).ok()?;
    let claims = object(&decoded(parts.claims).ok()?, "").ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

struct Parts<'t> {
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn split(token: &'t str) -> Result<Self, Fault> {
        let mut parts = token.split('.');
        let (header, claims, signature) = (parts.next(), parts.next(), parts.next());
        match (header, claims, signature, parts.count()) {
            (Some(header), Some(claims), Some(signature), 0) => {
                // Another writing of the same bytes would be another token to whoever compares texts.
                decoded(signature)?;
                Ok(Self {
                    header,
                    claims,
                    signature,
                    signed: &token[..header.len() + 1 + claims.len()],
                })
            }
            (.., 2) => Err(Fault::Unsupported("encrypted tokens are not read here")),
            (_, None, ..) => Err(Fault::Unknown),
            _ => Err(Fault::Form(
                "the token has not three parts with two dots between them",
            )),
        }
    }
}

/// Decodes strictly: no padding, no bits beyond the last byte.
fn decoded(part: &str) -> Result<Vec<u8>, Fault> {
    let wrong = "a part of the token is not base64url without padding";
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form(wrong))
}

/// Algorithm and key id. What says where to get a key (`jku`, `x5u`, `jwk`, `x5c`) is passed over: keys come from the operator.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<&str>), Fault> {
    for (name, why) in [
        (
            "crit",
            "the token wants extensions (crit) that are not known here",
        ),
        (
            "b64",
            "the token's payload is not encoded (b64), which is not read here",
        ),
        ("enc", "encrypted tokens are not read here"),
        ("zip", "compressed tokens are not read here"),
        ("cty", "a token within a token is not read here"),
    ] {
        if header.contains_key(name) {
            return Err(Fault::Unsupported(why));
        }
    }
    let name = header.get("alg").and_then(Value::as_str);
    let algorithm = name.and_then(Algorithm::named);
    let algorithm = algorithm.ok_or(Fault::Unsupported(
        "the token's algorithm is not taken here",
    ))?;
    let kinds = ["JWT", "at+jwt", "application/at+jwt", "application/jwt"];
    let is_access_token = match header.get("typ") {
        None => true,
        // A media type, which is the same in any case (RFC 7515 section 4.1.9).
        Some(Value::String(kind)) => kinds.iter().any(|known| kind.eq_ignore_ascii_case(known)),
        Some(_) => false,
    };
    if !is_access_token {
        return Err(Fault::Unsupported(
            "the token's typ is not that of an access token",
        ));
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Some(id.as_str()),
        Some(_) => {
            return Err(Fault::Form(
                "the kid of the token is no text of at most 512 bytes",
            ));
        }
    };
    Ok((algorithm, key_id))
}

fn accept(issuer: &Issuer, claims: Map<String, Value>, now_unix_s: u64) -> Result<Identity, Fault> {
    let (now, leeway) = (now_unix_s as f64, issuer.leeway_s as f64);
    let expires = time(&claims, "exp", "the token's exp is not a number of seconds")?;
    let expires = expires.ok_or(Fault::Claim(
        "the token has no exp: one without an end is not taken",
    ))?;
    let begins = time(&claims, "nbf", "the token's nbf is not a number of seconds")?;
    let issued = time(&claims, "iat", "the token's iat is not a number of seconds")?;
    if now >= expires + leeway {
        return Err(Fault::Expired);
    }
    if begins
        .into_iter()
        .chain(issued)
        .any(|from| now + leeway < from)
    {
        return Err(Fault::NotYet);
    }
    if !is_for(&claims, &issuer.audiences)? {
        return Err(Fault::Audience);
    }
    let wrong =
        "the token has no `sub` that is a text of 1 to 1024 bytes without control characters";
    let subject = text(&claims, "sub", wrong)?;
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(Fault::Claim(wrong));
    }
    let scopes = claims.get("scope").or_else(|| claims.get("scp"));
    let scopes = words(scopes, "the token's scope is no text and no list of texts")?;
    let roles = named(&claims, &issuer.roles_claim);
    let roles = words(roles, "the token's roles are no text and no list of texts")?;
    if scopes.len() > WORD_COUNT_MAX || roles.len() > WORD_COUNT_MAX {
        return Err(Fault::Claim("the token has more than 256 scopes or roles"));
    }
    if !issuer
        .scopes_required
        .iter()
        .all(|scope| scopes.contains(scope))
    {
        return Err(Fault::Scopes(issuer.scopes_required.clone()));
    }
    // What this number cannot say never ends. When the keys are too old the token is, too.
    let ends = (expires + leeway) as u64;
    let ends = issuer
        .keys
        .until_unix_s
        .map_or(ends, |until| until.min(ends));
    Ok(Identity {
        principal: Identity::principal_of(Proof::Jwt, Some(&issuer.name), subject),
        subject: subject.into(),
        issuer: Some(issuer.name.clone()),
        proof: Proof::Jwt,
        scopes,
        roles,
        tier: None,
        expires_unix_s: Some(ends),
        claims,
    })
}

/// Whether one of these audiences is named, exactly as it is written.
fn is_for(claims: &Map<String, Value>, audiences: &[Box<str>]) -> Result<bool, Fault> {
    let wrong = Fault::Claim("the token's aud is no text and no list of texts");
    let is_ours = |name: &str| audiences.iter().any(|audience| **audience == *name);
    match claims.get("aud") {
        None => Err(Fault::Audience),
        Some(Value::String(name)) => Ok(is_ours(name)),
        Some(Value::Array(names)) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            Ok(names.ok_or(wrong)?.into_iter().any(is_ours))
        }
        Some(_) => Err(wrong),
    }
}
