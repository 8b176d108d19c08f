//! Tokens whose `alg` lies.

use super::*;

#[test]
fn no_other_algorithm_than_that_of_the_key_is_believed() {
    let all = pairs();
    let unsigned = |alg: &str| {
        let message = format!(
            "{}.{}",
            encode(json!({"alg": alg}).to_string()),
            encode(claims().to_string())
        );
        format!("{message}.")
    };
    let renamed = |alg: Value| raw_header(&json!({"alg": alg, "kid": "p256"}).to_string());
    let hmac = |secret: &[u8], algorithm, name: &str, kid: &str| {
        secret_token(
            secret,
            algorithm,
            &json!({"alg": name, "kid": kid}).to_string(),
            &claims().to_string(),
        )
    };
    let modulus = RSA_N;
    let x = all.p256.jwk["x"].as_str().unwrap();
    let point = {
        use base64::Engine as _;
        let decode = |name: &str| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(all.p256.jwk[name].as_str().unwrap())
                .unwrap()
        };
        [&[4][..], &decode("x"), &decode("y")].concat()
    };
    let jwk = all.rsa.jwk.to_string();
    let count = run(vec![
        ("alg none, no signature", unsigned("none"), is_algorithm),
        ("alg None", unsigned("None"), is_algorithm),
        ("alg NONE", unsigned("NONE"), is_algorithm),
        ("alg nOnE", unsigned("nOnE"), is_algorithm),
        (
            "alg none, with a signature",
            renamed(json!("none")),
            is_algorithm,
        ),
        ("alg empty", renamed(json!("")), is_algorithm),
        ("alg missing", raw_header(r#"{"kid":"p256"}"#), is_algorithm),
        ("alg null", renamed(Value::Null), is_algorithm),
        ("alg a number", renamed(json!(256)), is_algorithm),
        ("alg a list", renamed(json!(["ES256"])), is_algorithm),
        ("alg in lower case", renamed(json!("es256")), is_algorithm),
        ("alg with a space", renamed(json!("ES256 ")), is_algorithm),
        (
            "alg with a null byte",
            renamed(json!("ES256\0")),
            is_algorithm,
        ),
        (
            "alg with a look-alike letter",
            renamed(json!("ЕS256")),
            is_algorithm,
        ),
        ("alg of another curve", renamed(json!("ES384")), is_key),
        (
            "alg of a curve that is not read",
            renamed(json!("ES512")),
            is_algorithm,
        ),
        (
            "alg of a coin's curve",
            renamed(json!("ES256K")),
            is_algorithm,
        ),
        ("alg of another family", renamed(json!("RS256")), is_key),
        (
            "alg of an encryption",
            renamed(json!("RSA-OAEP")),
            is_algorithm,
        ),
        ("alg dir", renamed(json!("dir")), is_algorithm),
        (
            "a secret that is the RSA modulus",
            hmac(modulus.as_bytes(), Library::HS256, "HS256", "rsa"),
            is_algorithm,
        ),
        (
            "a secret that is the RSA key's JWK",
            hmac(jwk.as_bytes(), Library::HS256, "HS256", "rsa"),
            is_algorithm,
        ),
        (
            "a secret that is the public point",
            hmac(&point, Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "a secret that is the text of x",
            hmac(x.as_bytes(), Library::HS512, "HS512", "p256"),
            is_algorithm,
        ),
        (
            "an empty secret",
            hmac(b"", Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "another issuer's secret",
            hmac(SECRET, Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "the other padding of RSA",
            token_of(
                &all.rsa,
                Library::PS256,
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &claims().to_string(),
            ),
            is_signature,
        ),
        (
            "another hash of RSA",
            token_of(
                &all.rsa,
                Library::RS512,
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &claims().to_string(),
            ),
            is_signature,
        ),
        (
            "a public key's signature for the issuer with a secret",
            token(
                &header(&json!({})),
                &claims_with(&json!({"iss": "https://secret.example"})),
            ),
            is_algorithm,
        ),
    ]);
    assert_eq!(count, 29);
}
