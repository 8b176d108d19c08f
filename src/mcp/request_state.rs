//! `requestState`: what one attempt of a request leaves for the next, sealed and carried by the client.
//!
//! A modern request that has to ask its client something ends with the question; the client sends it again with the answers. Nothing
//! is held here in between: what there is to remember goes to the client and comes back, so any replica with the same key
//! serves the retry, and a restart loses nothing. The client is not trusted with it: it is encrypted and authenticated
//! (XChaCha20-Poly1305) for one principal, it says for which request it is and until when, and whatever is not exactly that is
//! refused.
//!
//! Invariants: no text that this module did not write is opened; what is opened belongs to the principal, the method and the
//! parameters that it was written for, and has not expired. It does not say how often it was opened: whoever needs that to be
//! once has to keep count.
//!
//! Source: MCP 2026-07-28 basic/patterns/mrtr, "Server Requirements".

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use super::canonical::digest_value;
use super::method::Method;
use super::refusal::StateFault;
use super::sessions::Principal;
use crate::wire::json::{JsonError, Str};

/// Bytes of the random number that sealing takes. Enough for it to be random: it never repeats under one key.
pub const STATE_NONCE_BYTES: usize = 24;

/// What the sealed bytes start with: another layout gets another number.
const VERSION: u8 = 1;

const TAG_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// The key of the states of one server, or of all replicas that are to serve each other's retries.
#[derive(Clone)]
pub struct StateKey([u8; 32]);

impl StateKey {
    /// A key of random bytes, which have to be unpredictable.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for another purpose, made of this one.
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(purpose.as_bytes());
        hash.finalize().into()
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(…)")
    }
}

/// Which request a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestDigest([u8; DIGEST_BYTES]);

impl RequestDigest {
    /// The digest of a method and its parameters.
    ///
    /// Shape: `name` is the tool's or prompt's name, or the resource's address; `arguments` the text of the `arguments` object,
    /// which may be left out where it is empty. How the text is written does not matter.
    /// Errors: `arguments` is not JSON, which a scanned message rules out, or is nested deeper than `depth_max`.
    pub fn new(
        method: Method,
        name: &str,
        arguments: Option<&[u8]>,
        depth_max: usize,
    ) -> Result<Self, JsonError> {
        let mut digest = Sha256::new();
        for part in [method.name(), name] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest_value(arguments.unwrap_or(b"{}"), depth_max, &mut digest)?;
        Ok(Self(digest.finalize().into()))
    }
}

/// What one attempt leaves for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestState {
    /// Until when it may come back.
    ///
    /// Units: milliseconds since 1970.
    pub expiry_ms: u64,
    /// How many attempts there were.
    pub round: u32,
    /// The answers so far: the question's key, and the answer's text, which is JSON or whatever else the caller wrote.
    pub answers: Vec<(String, Vec<u8>)>,
    /// What the component keeps for itself, if it does.
    pub guest: Option<Vec<u8>>,
}

/// The state takes more bytes than a bound allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTooLong {
    /// What it takes, sealed.
    pub bytes: usize,
    /// The bound, `limits.request_state_bytes_max`.
    pub bytes_max: usize,
}

/// Seals a state for one principal and one request.
///
/// Shape: `nonce` is random; the text is ASCII.
/// Units: `bytes_max` bytes of the text.
pub fn seal(
    key: &StateKey,
    nonce: [u8; STATE_NONCE_BYTES],
    principal: Principal,
    request: RequestDigest,
    state: &RequestState,
    bytes_max: usize,
) -> Result<String, StateTooLong> {
    let plain = write_plain(request, state);
    let raw_len = 1 + STATE_NONCE_BYTES + plain.len() + TAG_BYTES;
    let bytes = raw_len.div_ceil(3).saturating_mul(4);
    let too_long = StateTooLong { bytes, bytes_max };
    if bytes > bytes_max {
        return Err(too_long);
    }
    let payload = Payload {
        msg: &plain,
        aad: &associated(principal),
    };
    // The cipher refuses only texts of 256 gigabytes and more.
    let sealed = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| too_long)?;
    let mut raw = Vec::with_capacity(raw_len);
    raw.push(VERSION);
    raw.extend_from_slice(&nonce);
    raw.extend_from_slice(&sealed);
    Ok(URL_SAFE_NO_PAD.encode(raw))
}

/// Opens a state that a request brings.
///
/// Shape: `request` is asked for the request's digest only once the state is known to be ours, so that a forged one costs no
/// more than its own length.
/// Units: `now_ms` milliseconds since 1970; `bytes_max` as for [`seal`].
pub fn open(
    key: &StateKey,
    principal: Principal,
    request: impl FnOnce() -> Option<RequestDigest>,
    sealed: Str<'_>,
    now_ms: u64,
    bytes_max: usize,
) -> Result<RequestState, StateFault> {
    // Ours have no escapes when they are written, but nobody has to write them as we did.
    let text = sealed.to_cow();
    if text.len() > bytes_max {
        return Err(StateFault::Forged);
    }
    let raw = URL_SAFE_NO_PAD
        .decode(text.as_bytes())
        .map_err(|_| StateFault::Forged)?;
    let (nonce, sealed) = raw
        .split_first()
        .filter(|(version, _)| **version == VERSION)
        .and_then(|(_, rest)| rest.split_first_chunk::<STATE_NONCE_BYTES>())
        .ok_or(StateFault::Forged)?;
    let payload = Payload {
        msg: sealed,
        aad: &associated(principal),
    };
    let plain = cipher(key)
        .decrypt(&XNonce::from(*nonce), payload)
        .map_err(|_| StateFault::Forged)?;
    let (of, state) = read_plain(&plain).ok_or(StateFault::Forged)?;
    if now_ms > state.expiry_ms {
        return Err(StateFault::Expired);
    }
    if request() != Some(of) {
        return Err(StateFault::OtherRequest);
    }
    Ok(state)
}

fn cipher(key: &StateKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(key.0))
}

/// What is authenticated beside the text: the layout, and whose it is. The request is inside, so that one that is another can
/// be told from a forgery.
fn associated(principal: Principal) -> [u8; 17] {
    let mut bytes = [VERSION; 17];
    bytes[1..].copy_from_slice(&principal.0.to_le_bytes());
    bytes
}

/// The text that is sealed: digest, expiry, round, then counted lists, all lengths in four bytes.
fn write_plain(request: RequestDigest, state: &RequestState) -> Vec<u8> {
    let mut plain = Vec::new();
    plain.extend_from_slice(&request.0);
    plain.extend_from_slice(&state.expiry_ms.to_le_bytes());
    plain.extend_from_slice(&state.round.to_le_bytes());
    plain.extend_from_slice(&length(state.answers.len()));
    for (name, answer) in &state.answers {
        for bytes in [name.as_bytes(), answer] {
            plain.extend_from_slice(&length(bytes.len()));
            plain.extend_from_slice(bytes);
        }
    }
    // The guest's bytes end the text; that there are none differs from that they are empty.
    plain.push(u8::from(state.guest.is_some()));
    plain.extend_from_slice(state.guest.as_deref().unwrap_or_default());
    plain
}

/// A length that does not fit is one that no bound lets through: the text is then too long.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// Reads what [`write_plain`] writes, all of it and nothing else.
fn read_plain(plain: &[u8]) -> Option<(RequestDigest, RequestState)> {
    let mut rest = plain;
    let digest = RequestDigest(take(&mut rest)?);
    let expiry_ms = u64::from_le_bytes(take(&mut rest)?);
    let round = u32::from_le_bytes(take(&mut rest)?);
    let count = u32::from_le_bytes(take(&mut rest)?);
    let mut answers = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(take_counted(&mut rest)?.to_vec()).ok()?;
        answers.push((name, take_counted(&mut rest)?.to_vec()));
    }
    let (has_guest, guest) = rest.split_first()?;
    let guest = match (has_guest, guest) {
        (1, guest) => Some(guest.to_vec()),
        (0, []) => None,
        _ => return None,
    };
    let state = RequestState {
        expiry_ms,
        round,
        answers,
        guest,
    };
    Some((digest, state))
}

fn take<const COUNT: usize>(rest: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (taken, left) = rest.split_first_chunk::<COUNT>()?;
    *rest = left;
    Some(*taken)
}

fn take_counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(rest)?);
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

/// What has to hold for any bytes, for fuzzing and property tests.
///
/// Shape: any bytes, taken as a state that nobody sealed, and as the contents of one that is sealed and opened again.
pub(crate) fn check(data: &[u8]) {
    let key = StateKey::new([7; 32]);
    let principal = Principal(3);
    let request = RequestDigest([5; DIGEST_BYTES]);
    let mut quoted = Vec::new();
    crate::wire::json::write_str(&mut quoted, &String::from_utf8_lossy(data));
    assert_eq!(
        open_quoted(&key, principal, request, &quoted, 0),
        Err(StateFault::Forged),
        "nobody sealed this"
    );
    if let Some((digest, state)) = read_plain(data) {
        assert_eq!(write_plain(digest, &state), data, "one text for one state");
    }
    let text = String::from_utf8_lossy(data).into_owned();
    let state = RequestState {
        expiry_ms: u64::from(data.first().copied().unwrap_or(0)),
        round: data.len() as u32,
        answers: vec![(text, data.to_vec()), (String::new(), Vec::new())],
        guest: data.last().map(|_| data.to_vec()),
    };
    let sealed = seal(
        &key,
        [9; STATE_NONCE_BYTES],
        principal,
        request,
        &state,
        usize::MAX,
    )
    .expect("there is no bound");
    let quoted = format!("\"{sealed}\"").into_bytes();
    let opened = open_quoted(&key, principal, request, &quoted, state.expiry_ms);
    assert_eq!(opened.as_ref(), Ok(&state));
}

fn open_quoted(
    key: &StateKey,
    principal: Principal,
    request: RequestDigest,
    quoted: &[u8],
    now_ms: u64,
) -> Result<RequestState, StateFault> {
    let mut reader = crate::wire::json::Reader::new(quoted, 0);
    let sealed = reader.string().expect("it was written as a string");
    open(key, principal, || Some(request), sealed, now_ms, usize::MAX)
}

#[cfg(test)]
mod tests;
