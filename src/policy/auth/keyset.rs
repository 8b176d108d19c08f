//! The keys of an issuer, as its JWKS document has them.
//!
//! A key that is not for signatures, of a kind that is not read here, or too weak, is passed over, and the reason is kept for the
//! operator: a document may have keys for others, too.
//!
//! Source: RFC 7517; RFC 7518 section 6; RFC 8037 section 2.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::algorithm::KeyKind;
use super::claims::unambiguous;
use super::{Algorithm, Fault};

/// Keys that are read of one document.
const KEY_COUNT_MAX: usize = 128;
/// Bytes of a key id.
pub(super) const KEY_ID_BYTES_MAX: usize = 512;
/// Bits of an RSA modulus: below, it can be factored; above, a signature costs too much to look at.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// One key.
#[derive(Clone)]
struct Key {
    id: Option<Box<str>>,
    kind: KeyKind,
    /// The only algorithm that it is for, if the document says so.
    only: Option<Algorithm>,
    /// The public key's bytes, to tell whether two are one.
    bytes: Box<[u8]>,
    /// How long a secret is.
    secret_bytes: usize,
    key: DecodingKey,
}

/// The keys of an issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    passed_over: Vec<String>,
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// Errors: it is no such document.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let document = unambiguous(document)
            .ok_or("it is no JSON, or has a member twice, or is nested too deep")?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("it has no array `keys`")?;
        if keys.len() > KEY_COUNT_MAX {
            return Err(format!("it has more than {KEY_COUNT_MAX} keys"));
        }
        let mut set = Self::default();
        for (index, value) in keys.iter().enumerate() {
            match Key::read(value) {
                // Some documents have one key several times.
                Ok(key) if set.keys.iter().any(|other| other.is_same(&key)) => {}
                Ok(key) => set.keys.push(key),
                Err(why) => set.passed_over.push(format!("key {index} {why}")),
            }
        }
        Ok(set)
    }

    /// The one secret that tokens are signed with; it serves the algorithms that it is long enough for.
    pub fn of_secret(secret: &[u8]) -> Self {
        let key = Key {
            id: None,
            kind: KeyKind::Secret,
            only: None,
            bytes: Box::default(),
            secret_bytes: secret.len(),
            key: DecodingKey::from_secret(secret),
        };
        Self {
            keys: vec![key],
            passed_over: Vec::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether both take and refuse the same signatures.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let has = |own: &Self, key: &Key| own.keys.iter().any(|one| one.is_same(key));
        // A secret has no bytes here to be told from another by.
        let has_secret = |set: &Self| set.keys.iter().any(|key| key.kind == KeyKind::Secret);
        self.keys.len() == other.keys.len()
            && self.keys.iter().all(|key| has(other, key))
            && !has_secret(self)
    }

    /// Which keys of the document are not used, and why.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The key that a token with this header must be signed with: the one with its id, or the only one that fits.
    ///
    /// Errors: there is none, or it could be several.
    pub(super) fn find(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<&DecodingKey, Fault> {
        // A secret has no id, and a token may say one all the same.
        let id = id.filter(|_| !algorithm.is_symmetric());
        let fits = |key: &&Key| {
            key.kind == algorithm.key_kind()
                && key.only.is_none_or(|only| only == algorithm)
                && (!algorithm.is_symmetric() || key.secret_bytes >= algorithm.secret_bytes_min())
                && id.is_none_or(|id| key.id.as_deref() == Some(id))
        };
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (None, _) => Err(Fault::UnknownKey),
            (Some(_), Some(_)) => Err(Fault::AmbiguousKey),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl Key {
    fn read(value: &Value) -> Result<Self, &'static str> {
        let text = |name: &str| match value.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("has a member of a wrong type"),
        };
        if text("use")?.is_some_and(|usage| usage != "sig") {
            return Err("is not for signatures");
        }
        if let Some(operations) = value.get("key_ops") {
            let operations = operations
                .as_array()
                .ok_or("has a member of a wrong type")?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err("is not for verifying");
            }
        }
        let only = text("alg")?
            .map(|name| Algorithm::named(name).ok_or("is for an algorithm that is not read here"));
        let only = only.transpose()?;
        let id = text("kid")?;
        if id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err("has an id of more than 512 bytes");
        }
        let part = |name: &str| -> Result<Vec<u8>, &'static str> {
            let part = text(name)?.ok_or("lacks a part")?;
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| "has a part that is not base64url")
        };
        let (kind, bytes, key) = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => rsa(part("n")?, part("e")?)?,
            (Some("EC"), Some("P-256")) => elliptic(KeyKind::P256, 32, &part("x")?, &part("y")?)?,
            (Some("EC"), Some("P-384")) => elliptic(KeyKind::P384, 48, &part("x")?, &part("y")?)?,
            (Some("OKP"), Some("Ed25519")) => {
                let x = part("x")?;
                if x.len() != 32 {
                    return Err("has a coordinate of the wrong length");
                }
                (KeyKind::Ed25519, x.clone(), DecodingKey::from_ed_der(&x))
            }
            // A secret in a document that everybody reads is none.
            (Some("oct"), _) => return Err("is a secret, which a published document cannot have"),
            _ => return Err("is of a kind that is not read here"),
        };
        if only.is_some_and(|only| only.key_kind() != kind) {
            return Err("is for an algorithm that a key of its kind cannot have");
        }
        Ok(Self {
            id: id.map(Box::from),
            kind,
            only,
            bytes: bytes.into(),
            secret_bytes: 0,
            key,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.id, self.kind, self.only, &self.bytes)
            == (&other.id, other.kind, other.only, &other.bytes)
    }
}

type Read = Result<(KeyKind, Vec<u8>, DecodingKey), &'static str>;

fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Read {
    let strip = |number: Vec<u8>| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        number[zeros..].to_vec()
    };
    let (modulus, exponent) = (strip(modulus), strip(exponent));
    let bits = |number: &[u8]| {
        number.len() * 8
            - number
                .first()
                .map_or(0, |first| first.leading_zeros() as usize)
    };
    if !RSA_BITS.contains(&bits(&modulus)) {
        return Err("has an RSA modulus of less than 2048 or more than 8192 bits");
    }
    // 1 would let everybody sign; a large one makes looking at a signature costly.
    if exponent == [1] || exponent.last().is_none_or(|last| last % 2 == 0) || bits(&exponent) > 33 {
        return Err("has an RSA exponent that is 1, even, or of more than 33 bits");
    }
    if is_of_a_broken_generator(&modulus) {
        return Err(
            "has an RSA modulus of a broken generator, which can be factored (CVE-2017-15361)",
        );
    }
    let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
    Ok((KeyKind::Rsa, [modulus, exponent].concat(), key))
}

/// Whether each of some small primes finds the modulus among the powers of 65537: by chance one of a hundred million is so.
///
/// Source: Nemec et al., "The Return of Coppersmith's Attack", section 3.2.
fn is_of_a_broken_generator(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
        powers.take(*prime as usize).any(|power| power == rest)
    })
}

fn elliptic(kind: KeyKind, length: usize, x: &[u8], y: &[u8]) -> Read {
    if x.len() != length || y.len() != length {
        return Err("has a coordinate of the wrong length");
    }
    // An uncompressed point (SEC 1, section 2.3.3); that it is on the curve is looked at with each signature.
    let point = [&[4], x, y].concat();
    let key = DecodingKey::from_ec_der(&point);
    Ok((kind, point, key))
}
