//! What it costs to know a caller: a token that was verified before, one that was not, an API key.
//!
//! The promise: a known token costs little more than its digest; one that is new costs its signature and not much else.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm as Library, EncodingKey};
use margay::policy::auth::{
    ApiKey, Authenticator, Issuer, KEY_RANDOM_BYTES, KeySet, Keys, Verifier, hash_of, key_text,
    parse_hash,
};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "https://mcp.example/mcp";
const NOW: u64 = 1_800_000_000;

/// Signed with the key of RFC 7515, appendix A.2, whose modulus is below.
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUiLCJzdWIiOiJhbm4iLCJhdWQiOiJodHRwczovL21jcC5leGFtcGxlL21jcCIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzAwMDAwMDAwLCJzY29wZSI6InJlYWQgd3JpdGUiLCJyb2xlcyI6WyJhZG1pbiJdfQ.F2QCGW-msAvXYBEH6j4AxRBzcha01n1_0tSm9a42zxj_s4Mq9R7VuUxQ3bIs9G2xOCWvbcFf7MghHWqMC__m6a5wQDoLzxf-zqJLSQkxerNTJkXa0PT5QVPjWcNIORdEUOoRR8M7-eZLgczTpGPp9qJMQV1dbvm1w9LvHtmfR-S4_oLY9twWxO0_5pLnrpGA4KtiQ2ANZuyO0rZsDoqmiHXY0dHXkwcrrkFGhtwGJS4u98dRGZsQzgwXq3FLyNhFklaZvhDkHLvSW7ndFHXrG62eCqmN_AHH706n2UMVZ9ABX-DHQKza5SVbbwXGbgI9gjKmvFgJ3K4ViENQYtqI8w";
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A token that is signed with ES256, and its key.
fn es256() -> (String, Value) {
    let pair = KeyPair::generate().expect("the ring provider makes keys");
    let (x, y) = pair.der_bytes()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(x), "y": encode(y)});
    let claims = json!({"iss": ISSUER, "sub": "ann", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW, "scope": "read write", "roles": ["admin"]});
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec"});
    let message = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Library::ES256);
    let signature = signature.expect("the key is of the algorithm");
    (format!("{message}.{signature}"), jwk)
}

fn verifier(jwk: &Value, keys: Vec<ApiKey>) -> Verifier {
    let rsa = json!({"kty": "RSA", "kid": "rsa", "n": MODULUS, "e": "AQAB"});
    let set = json!({"keys": [jwk, rsa]}).to_string();
    let issuer = Issuer {
        keys: Keys {
            set: KeySet::parse(set.as_bytes()).expect("it is a key set"),
            until_unix_s: None,
        },
        ..Issuer::new(ISSUER, AUDIENCE)
    };
    Verifier {
        keys: keys.into(),
        issuers: vec![issuer],
        ..Verifier::default()
    }
}

fn auth(criterion: &mut Criterion) {
    let (es256, jwk) = es256();
    let key_of = |number: usize| {
        let mut random = [0; KEY_RANDOM_BYTES];
        random[..8].copy_from_slice(&number.to_le_bytes());
        key_text(&format!("key-{number}"), &random)
    };
    let keys = (0..1_000).map(|number| {
        let digest = parse_hash(&hash_of(&key_of(number))).expect("it is a hash");
        ApiKey::new(&format!("key-{number}"), digest)
    });
    let verifier = verifier(&jwk, keys.collect());
    let authenticator = Authenticator::new(verifier.clone(), None);
    let mut group = criterion.benchmark_group("auth");
    let header = |proof: &str| format!("Bearer {proof}").into_bytes();
    let (known, key) = (header(&es256), header(&key_of(500)));
    for (name, header) in [("cached ES256 token", &known), ("cached API key", &key)] {
        assert!(authenticator.identify(Some(header), None, NOW).is_ok());
        group.bench_function(name, |bencher| {
            bencher.iter(|| authenticator.identify(black_box(Some(header)), None, NOW));
        });
    }
    for (name, header) in [
        ("new ES256 token", &known),
        ("new RS256 token", &header(RS256)),
        ("API key among 1,000", &key),
    ] {
        assert!(verifier.identify(Some(header), None, NOW).is_ok());
        group.bench_function(name, |bencher| {
            bencher.iter(|| verifier.identify(black_box(Some(header)), None, NOW));
        });
    }
    // Each text is another: nothing of a refusal is remembered.
    let mut number = 0_u64;
    group.bench_function("forged ES256 token", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                let mut forged = known.clone();
                let last = forged.len() - 20;
                forged[last] = b'A' + (number % 26) as u8;
                forged
            },
            |forged| authenticator.identify(Some(&forged), None, NOW),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, auth);
criterion_main!(benches);
