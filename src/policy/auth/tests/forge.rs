//! Signing tokens of any kind, right and wrong ones.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Library, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use super::super::*;

pub const ISSUER: &str = "https://login.example";
pub const AUDIENCE: &str = "https://mcp.example/mcp";
pub const NOW: u64 = 1_800_000_000;
pub const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// PKCS#1 of the key of RFC 7515, appendix A.2, which is in no use anywhere.
const RSA: &str = "MIIEowIBAAKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQABAoIBABKucaRpzQorw35SbEUAVx8dYXUdZOlJcHtiWQ-dC6V8ljxAHj_PLyzTveyI5QO_xkObCyjIL303l2cfUhPu2MFaJdjVzqACXuOrLot_eSFvxjvqVidTtAZExqFRJ9mylUVAoLvhowVWmC1On95fZCXxTUtxNEG1Xcc7m0rtzJKs45J-N_V9DP1edYH6USyPSWGp6wuA-KgHRnKKVf9GRx80JQY7nVNkL17eHoTWEwga-lwi0FEoW9Y7lDtWXYmKBWhUE-U8PGxlJf8f40493HDw1WRQ_aSLoS4QTp3rn7gYgeHEvfJdkkf0UMhlknlo53M09EFPdadQ4TlUbjqKc50CgYEA4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUcCgYEAuQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdcCgYAHAp9XcCSrn8wVkMVkKdb7DOX4IKjzdahm-ctDAJN4O_y7OW5FKebvUjdAIt2GuoTZ71iTG-7F0F-lP88jtjP4U4qe7VHoewl4MKOfXZKTe-YCS1XbNvfgwJ3Ltyl1OH9hWvu2yza7q-d5PCsDzqtm27kxuvULVeya-TEdAB1ijQKBgQCH_3r6YrVH_uCWGy6bzV1nGNOdjKc9tmkfOJmN54dxdixdpozCQ6U4OxZrsj3FcOhHBsqAHvX2uuYjagqvo3cOj1TRqNocX40omfCCMx3bD1yPPf_6TI2XECva_ggqEY2mYzmIiA5LVVmc5nrybr-lssFKneeyxN2Wq93S0iJMdQKBgCGHewxzoa1r8ZMD0LETNrToK423K377UCYqXfg5XMclbrjPbEC3YI1ZNqMtuhdBJqUnBi6tjKMF-34Xf0CUN8ncuXGO2CAYvO8PdyCixHX52ybaDjy1FtCE6yUXjoKNXKvUm7MWGsAYH6f4IegOetN5NvmUMFStCSkh7ixZLkN1";
pub const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

/// One key pair.
pub struct Pair {
    pub jwk: Value,
    private: EncodingKey,
}

/// Those of the tests.
pub struct Pairs {
    pub rsa: Pair,
    pub p256: Pair,
    pub p384: Pair,
    pub ed25519: Pair,
    /// One that nobody here trusts.
    pub stranger: Pair,
}

pub fn pairs() -> &'static Pairs {
    static PAIRS: OnceLock<Pairs> = OnceLock::new();
    PAIRS.get_or_init(|| Pairs {
        rsa: Pair {
            jwk: json!({"kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB"}),
            private: EncodingKey::from_rsa_der(&URL_SAFE_NO_PAD.decode(RSA).unwrap()),
        },
        p256: elliptic("p256", &rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
        p384: elliptic("p384", &rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
        ed25519: {
            let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
            let x = encode(pair.der_bytes());
            Pair {
                jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": x}),
                private: EncodingKey::from_ed_der(&pair.serialize_der()),
            }
        },
        stranger: elliptic("p256", &rcgen::PKCS_ECDSA_P256_SHA256, "P-256"),
    })
}

fn elliptic(id: &str, algorithm: &'static rcgen::SignatureAlgorithm, curve: &str) -> Pair {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    let (x, y) = pair.der_bytes()[1..].split_at(pair.der_bytes().len() / 2);
    Pair {
        jwk: json!({"kty": "EC", "crv": curve, "kid": id, "x": encode(x), "y": encode(y)}),
        private: EncodingKey::from_ec_der(&pair.serialize_der()),
    }
}

impl Pair {
    pub fn sign(&self, algorithm: Library, message: &str) -> String {
        jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, algorithm).unwrap()
    }
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of these texts, signed by this pair.
pub fn token_of(pair: &Pair, algorithm: Library, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = pair.sign(algorithm, &message);
    format!("{message}.{signature}")
}

/// The same, signed with a secret.
pub fn secret_token(secret: &[u8], algorithm: Library, header: &str, claims: &str) -> String {
    let pair = Pair {
        jwk: Value::Null,
        private: EncodingKey::from_secret(secret),
    };
    token_of(&pair, algorithm, header, claims)
}

/// Claims that are good.
pub fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "ann", "aud": AUDIENCE, "exp": NOW + 600, "nbf": NOW - 60, "iat": NOW - 60, "scope": "read write", "roles": ["admin"]})
}

/// The good claims, with some changed; null takes one away.
pub fn claims_with(changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    claims.to_string()
}

/// A token with this header and these claims, signed with ES256.
pub fn token(header: &Value, claims: &str) -> String {
    token_of(&pairs().p256, Library::ES256, &header.to_string(), claims)
}

/// A token that is good.
pub fn good() -> String {
    token(
        &json!({"alg": "ES256", "typ": "at+jwt", "kid": "p256"}),
        &claims().to_string(),
    )
}

pub fn jwks(keys: &[&Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// The issuer with these keys.
pub fn issuer_with(keys: &[&Value]) -> Issuer {
    Issuer {
        keys: Keys {
            set: KeySet::parse(&jwks(keys)).unwrap(),
            until_unix_s: None,
        },
        ..Issuer::new(ISSUER, AUDIENCE)
    }
}

/// The issuer with all its keys.
pub fn issuer() -> Issuer {
    let all = pairs();
    issuer_with(&[&all.rsa.jwk, &all.p256.jwk, &all.p384.jwk, &all.ed25519.jwk])
}

/// Another issuer, with a secret.
pub fn secret_issuer() -> Issuer {
    Issuer {
        algorithms: vec![Algorithm::with_secret()],
        keys: Keys {
            set: KeySet::of_secret(SECRET),
            until_unix_s: None,
        },
        ..Issuer::new("https://secret.example", AUDIENCE)
    }
}

pub fn verifier() -> Verifier {
    Verifier {
        issuers: vec![issuer(), secret_issuer()],
        ..Verifier::default()
    }
}

pub fn identify(verifier: &Verifier, token: &str) -> Result<Identity, Fault> {
    verifier.identify(Some(format!("Bearer {token}").as_bytes()), None, NOW)
}
