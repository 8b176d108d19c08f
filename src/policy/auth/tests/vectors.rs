//! Vectors of others, and what they come from.
//!
//! Source: RFC 7515 appendices A.1 to A.3; RFC 8037 appendix A.4; Project Wycheproof, `json_web_signature_test.json` (Apache-2.0).

use serde_json::{Value, json};

use super::super::*;
use super::forge::jwks;

fn of_keys(keys: &[&Value]) -> Issuer {
    Issuer {
        keys: Keys {
            set: KeySet::parse(&jwks(keys)).unwrap(),
            until_unix_s: None,
        },
        ..Issuer::new("joe", "any")
    }
}

fn of_secret(text: &str) -> Issuer {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap();
    Issuer {
        algorithms: ["HS256", "HS384", "HS512"]
            .into_iter()
            .filter_map(Algorithm::named)
            .collect(),
        keys: Keys {
            set: KeySet::of_secret(&secret),
            until_unix_s: None,
        },
        ..Issuer::new("joe", "any")
    }
}

const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_examples_of_the_standards_are_verified() {
    let p256 = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let rsa = json!({"kty": "RSA", "n": super::forge::RSA_N, "e": "AQAB"});
    let ed25519 =
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    for (issuer, header, payload, signature) in [
        (
            of_secret(
                "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            ),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            PAYLOAD,
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (of_keys(&[&rsa]), "eyJhbGciOiJSUzI1NiJ9", PAYLOAD, rs256),
        (
            of_keys(&[&p256]),
            "eyJhbGciOiJFUzI1NiJ9",
            PAYLOAD,
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            of_keys(&[&ed25519]),
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let text = format!("{header}.{payload}.{signature}");
        assert_eq!(token::verify_text(&issuer, &text), Ok(()), "{header}");
        for wrong in [
            format!("{header}.{payload}A.{signature}"),
            format!(
                "{header}.{payload}.{}",
                signature
                    .replacen('c', "d", 1)
                    .replacen('D', "E", 1)
                    .replacen('h', "i", 1)
            ),
        ] {
            assert!(token::verify_text(&issuer, &wrong).is_err(), "{wrong}");
        }
        // What they say of themselves is not enough for us: no audience, no subject, and over since 2011.
        let verifier = Verifier {
            issuers: vec![issuer],
            ..Verifier::default()
        };
        assert!(super::forge::identify(&verifier, &text).is_err());
    }
    // RFC 7515 appendix A.5 and RFC 7519 section 6.1: without a signature.
    let text = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    assert!(matches!(
        token::verify_text(&of_keys(&[&p256]), &text),
        Err(Fault::Unsupported(_))
    ));
}

#[test]
fn a_selection_of_outside_vectors_is_judged_as_they_say() {
    let p256 = json!({"kty": "EC", "crv": "P-256", "x": "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY", "y": "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw", "use": "sig", "alg": "ES256", "kid": "kid-ec-sign"});
    let issuer = of_keys(&[&p256]);
    for (name, text, is_valid) in [
        (
            "18 acceptsValid",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
            true,
        ),
        (
            "19 rejectsModifiedSignature",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.XcA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
            false,
        ),
        (
            "20 rejectsMissingSignature",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.",
            false,
        ),
        (
            "25 rejectsModifiedHeader",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6IlhpZC1lYy1zaWduIn0.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
            false,
        ),
        (
            "31 rejectsSymmetryConfusionAttacks_aesKeyFromEcVerificationKeyBytes",
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.TgWtz2FIRukBQ_mA5sgHa0Ybtgn7bl-YBPAi7Z0XdHU",
            false,
        ),
        (
            "32 rejectsAttackerProvidedEmbeddedJwk",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIiwiandrIjp7Imt0eSI6IkVDIiwia2lkIjoia2lkLWVjLXNpZ24iLCJ1c2UiOiJzaWciLCJhbGciOiJFUzI1NiIsIngiOiJNZG5UWkRJaERKYmZBU2RGcWFtY3BPMkNoOUdOS0sybTBNUWxoNDAyU3BvIiwieSI6Ijdhdko0bHFfV3l4LW5MUERCUTJZcHl0dUh5TWlvMDdCVXl2bDNqYUMtMVkiLCJjcnYiOiJQLTI1NiJ9fQ.Zm9v.4jmsollQD8ZxvySzXYnIEYA4fwaZi2ZbC0aI1J4LYmW2Bn31NhKdjms2N6o51Dff5-InWXQF9m45VtTexl6yjg",
            false,
        ),
        (
            "378 valid",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrppUShFwBW_Qj7IqhFOtNrIXLLKXS5CSZmERxmnjeyoiQ",
            true,
        ),
        (
            "379 SignatureTooLong",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AJau17k_6kC-wTdV7rFLJTdgNDBQeNVU629ysRtudnzI",
            false,
        ),
        (
            "380 TrailingZeros",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutroAlq7XuT_qQL7BN1XusUslN2A0MFB41VTrb3KxG252fMgA",
            false,
        ),
        (
            "381 RisTooBig",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AeXANDd8jD-4s2plHeXPZFeeUhXFGPm1S1ChNFgFkdwLAJau17k_6kC-wTdV7rFLJTdgNDBQeNVU629ysRtudnzI",
            false,
        ),
        (
            "382 SisTooBig",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AZau17g_6kC_wTdV7rFLJTcdGyr-H-zzcGMse95q2aIZ",
            false,
        ),
        (
            "383 IntegerOverflow",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AeXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AJau17k_6kC-wTdV7rFLJTdgNDBQeNVU629ysRtudnzI",
            false,
        ),
        (
            "384 IntegerOverflow",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AZau17k_6kC-wTdV7rFLJTdgNDBQeNVU629ysRtudnzI",
            false,
        ),
        (
            "385 BufferOverflow",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutroAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA",
            false,
        ),
        (
            "386 rIsZero_sIsZero",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            false,
        ),
        (
            "387 rIsZero_sIsOne",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ",
            false,
        ),
        (
            "388 rIsZero_sIsNminus1",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD_____AAAAAP__________vOb6racXnoTzucrC_GMlUA",
            false,
        ),
        (
            "389 rIsZero_sIsN",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD_____AAAAAP__________vOb6racXnoTzucrC_GMlUQ",
            false,
        ),
        (
            "390 rIsOne_sIsZero",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            false,
        ),
        (
            "391 rIsOne_sIsOne",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ",
            false,
        ),
    ] {
        assert_eq!(
            token::verify_text(&issuer, text).is_ok(),
            is_valid,
            "{name}"
        );
    }
}

/// The vectors that are judged otherwise here, and why.
const OTHERWISE: &[(u64, &str)] = &[
    (367, "the vector is the same text as 357, which is valid"),
    (370, "the vector is the same text as 357, which is valid"),
    (
        346,
        "the vector's key says PS256, and its signature is PS384",
    ),
    (
        350,
        "the vector's key says PS256, and its signature is PS384",
    ),
    (347, "ES512 is not read"),
    (351, "ES512 is not read"),
    (
        372,
        "a letter that is not base64url is passed over by the vector, and refused here",
    ),
    (
        373,
        "a letter that is not base64url is passed over by the vector, and refused here",
    ),
];

/// The same for vectors about key sets.
const OTHERWISE_OF_KEYS: &[(u64, &str)] = &[(
    2,
    "secrets in a key set, which is no place for them, are not read",
)];

/// All of them, where somebody has them: `MARGAY_WYCHEPROOF` is the folder of the JSON files.
#[test]
fn all_outside_vectors_are_judged_as_they_say_where_they_are_at_hand() {
    let Some(folder) = std::env::var_os("MARGAY_WYCHEPROOF").map(std::path::PathBuf::from) else {
        return;
    };
    let mut count = 0;
    for (name, otherwise) in [
        ("json_web_signature_test.json", OTHERWISE),
        ("json_web_key_test.json", OTHERWISE_OF_KEYS),
    ] {
        let document: Value =
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        for group in document["testGroups"].as_array().unwrap() {
            let issuer = issuer_of(group);
            for test in group["tests"].as_array().unwrap() {
                let (id, text) = (
                    test["tcId"].as_u64().unwrap(),
                    test["jws"].as_str().unwrap(),
                );
                let differs = otherwise.iter().any(|(other, _)| *other == id);
                let is_valid = (test["result"] == "valid") != differs;
                let found = token::verify_text(&issuer, text);
                assert_eq!(
                    found.is_ok(),
                    is_valid,
                    "{name} {id} {}: {found:?}",
                    test["comment"]
                );
                count += 1;
            }
        }
    }
    assert!(count > 400, "{count}");
}

fn issuer_of(group: &Value) -> Issuer {
    let key = group.get("public").unwrap_or(&group["private"]);
    let keys: Vec<&Value> = key["keys"]
        .as_array()
        .map_or(vec![key], |keys| keys.iter().collect());
    match keys[..] {
        [secret] if secret["kty"] == "oct" => {
            let only = secret["alg"].as_str().and_then(Algorithm::named);
            let issuer = of_secret(secret["k"].as_str().unwrap());
            Issuer {
                algorithms: only.into_iter().collect(),
                ..issuer
            }
        }
        _ => of_keys(&keys),
    }
}
