//! Keys and signatures.

use super::*;

#[test]
fn keys_inside_the_token_are_not_used() {
    let attacker = SigningKey::generate().unwrap();
    let jwk = serde_json::to_value(attacker.public_jwk()).unwrap();
    for changes in [
        json!({ "jwk": jwk }),
        json!({ "jku": "https://evil.example/jwks.json" }),
        json!({ "x5u": "https://evil.example/chain.pem" }),
        json!({ "x5c": ["MIIB"] }),
    ] {
        // Signed by the attacker: refused, although the token names the key that would fit.
        let message = message(&with(header(), changes.clone()), &claims());
        let foreign = attacker.sign(TokenType::Jwt, &claims()).unwrap();
        let token = format!("{message}.{}", foreign.rsplit('.').next().unwrap());
        assert_eq!(check(&token, &EXPECT), Err(JwtRefusal::Signature), "{changes}");
        // Signed by the issuer: the member is as if it were not there.
        assert!(with_header(changes).is_ok());
    }
    let whole = attacker.sign(TokenType::Jwt, &claims()).unwrap();
    assert_eq!(check(&whole, &EXPECT), Err(JwtRefusal::Key { kid: Some(attacker.kid().to_owned()) }));
}

#[test]
fn a_public_key_is_never_an_hmac_secret() {
    let key = &IDP.jwks["keys"][0];
    let header = with(header(), json!({ "alg": "HS256" }));
    for secret in [key.to_string(), key["n"].as_str().unwrap().to_owned()] {
        let token = hs256(secret.as_bytes(), &header, &claims());
        assert_eq!(check(&token, &EXPECT), Err(JwtRefusal::Algorithm { found: "HS256".into() }));
        // Not even if a careless caller allowed HS256 together with a key set.
        let careless = Expect { algorithms: &[Algorithm::Rs256, Algorithm::Hs256], ..EXPECT };
        assert_eq!(check(&token, &careless), Err(JwtRefusal::Key { kid: Some("rsa".into()) }));
    }
    let published = json!({ "keys": [{ "kty": "oct", "kid": "rsa", "alg": "HS256", "k": "c2VjcmV0" }] });
    assert!(KeySet::from_value(&published).unwrap().is_empty());
}

#[test]
fn a_shared_secret_verifies_hs256_and_nothing_else() {
    let secret = Secret::from("line channel secret");
    let expect = Expect { algorithms: &[Algorithm::Hs256, Algorithm::Rs256], ..EXPECT };
    let check = |token: &str, secret: &Secret| verify(token, Keys::Secret(secret), &expect, NOW);
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let token = hs256(b"line channel secret", &header, &claims());
    assert!(check(&token, &secret).is_ok());
    assert_eq!(check(&hs256(b"another secret", &header, &claims()), &secret), Err(JwtRefusal::Signature));
    let empty = hs256(b"", &header, &claims());
    assert_eq!(check(&empty, &Secret::from("")), Err(JwtRefusal::Key { kid: None }));
    let rs256 = IDP.token(&self::header(), &claims());
    assert_eq!(check(&rs256, &secret), Err(JwtRefusal::Key { kid: Some("rsa".into()) }));
}

#[test]
fn no_changed_part_passes() {
    let token = IDP.token(&header(), &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(with(claims(), json!({ "sub": "1" })).to_string());
    assert_eq!(check(&format!("{head}.{other}.{signature}"), &EXPECT), Err(JwtRefusal::Signature));
    assert_eq!(check(&format!("{head}.{payload}."), &EXPECT), Err(JwtRefusal::Signature));
    // Whole groups of four characters: an odd end would be refused as malformed, by chance of its last bits.
    let half = &signature[..signature.len() / 8 * 4];
    assert_eq!(check(&format!("{head}.{payload}.{half}"), &EXPECT), Err(JwtRefusal::Signature));
    // A signature by the right key over the wrong algorithm.
    let pss = URL_SAFE_NO_PAD.encode(IDP.sign("PS256", signed.as_bytes()));
    assert_eq!(check(&format!("{signed}.{pss}"), &EXPECT), Err(JwtRefusal::Signature));
}

#[test]
fn without_kid_there_must_be_one_fitting_key() {
    let token = IDP.token(&with(header(), json!({ "kid": null })), &claims());
    assert!(check(&token, &EXPECT).is_ok());
    let keys = |document: &Value| KeySet::from_value(document).unwrap();
    let mut two = IDP.jwks.clone();
    let second = serde_json::to_value(SigningKey::generate().unwrap().public_jwk()).unwrap();
    two["keys"].as_array_mut().unwrap().push(second);
    let refusal = verify(&token, Keys::Set(&keys(&two)), &EXPECT, NOW);
    assert_eq!(refusal, Err(JwtRefusal::Key { kid: None }));
    let none = verify(&token, Keys::Set(&KeySet::default()), &EXPECT, NOW);
    assert_eq!(none, Err(JwtRefusal::Key { kid: None }));
}

#[test]
fn keys_serve_only_what_they_declare() {
    let rsa = &IDP.jwks["keys"][0];
    let set = |changes: Value| KeySet::from_value(&json!({ "keys": [with(rsa.clone(), changes)] })).unwrap();
    let token = IDP.token(&header(), &claims());
    for usable in [json!({}), json!({ "alg": "RS256" }), json!({ "use": null }), json!({ "key_ops": ["verify"] })] {
        assert!(verify(&token, Keys::Set(&set(usable.clone())), &EXPECT, NOW).is_ok(), "{usable}");
    }
    for other in [
        json!({ "use": "enc" }),
        json!({ "alg": "PS256" }),
        json!({ "alg": "RSA-OAEP" }),
        json!({ "alg": 1 }),
        json!({ "key_ops": ["encrypt"] }),
        json!({ "kty": "EC" }),
        json!({ "n": "!" }),
    ] {
        let refusal = verify(&token, Keys::Set(&set(other.clone())), &EXPECT, NOW);
        assert_eq!(refusal, Err(JwtRefusal::Key { kid: Some("rsa".into()) }), "{other}");
    }
    let too_small = set(json!({ "n": URL_SAFE_NO_PAD.encode([0xc1; 64]) }));
    assert_eq!(verify(&token, Keys::Set(&too_small), &EXPECT, NOW), Err(JwtRefusal::Signature));
}

#[test]
fn one_odd_key_does_not_stop_the_others() {
    let mut document = IDP.jwks.clone();
    let keys = document["keys"].as_array_mut().unwrap();
    keys.insert(0, json!({ "kty": "future", "kid": "rsa" }));
    keys.insert(0, json!("not a key"));
    let set = KeySet::from_value(&document).unwrap();
    assert_eq!(set.len(), 4);
    assert!(verify(&IDP.token(&header(), &claims()), Keys::Set(&set), &EXPECT, NOW).is_ok());
    assert!(KeySet::parse(b"<html>").is_none());
    assert!(KeySet::parse(b"{\"keys\":{}}").is_none());
}

#[test]
fn our_own_tokens_get_no_leeway_and_keep_their_kind() {
    let key = SigningKey::generate().unwrap();
    let set = KeySet::from_own([key.public_jwk()]);
    let now = NOW.unix_timestamp();
    let sign = |typ, exp: i64| {
        let claims = json!({ "iss": ISSUER, "sub": "user_1", "iat": now - 60, "nbf": now - 70, "exp": exp });
        key.sign(typ, &claims).unwrap()
    };
    let check = |token: &str, typ| verify_own(token, &set, typ, ISSUER, NOW);
    assert_eq!(check(&sign(TokenType::Jwt, now + 1), TokenType::Jwt).unwrap().subject(), Some("user_1"));
    assert_eq!(check(&sign(TokenType::Jwt, now), TokenType::Jwt), Err(JwtRefusal::Expired { by: 0 }));
    let access = sign(TokenType::AccessToken, now + 1);
    assert!(check(&access, TokenType::AccessToken).is_ok());
    let found = Some("at+jwt".to_owned());
    assert_eq!(check(&access, TokenType::Jwt), Err(JwtRefusal::Type { found }));
    let refusal = check(&sign(TokenType::Jwt, now + 1), TokenType::AccessToken);
    assert_eq!(refusal, Err(JwtRefusal::Type { found: Some("JWT".into()) }));
    let elsewhere = verify_own(&access, &set, TokenType::AccessToken, "https://other.example", NOW);
    assert!(matches!(elsewhere, Err(JwtRefusal::Issuer { .. })));
    let es256 = IDP.token(&json!({ "alg": "ES256", "kid": "p256" }), &claims());
    let idp = verify_own(&es256, &IDP.keys(), TokenType::Jwt, ISSUER, NOW);
    assert_eq!(idp, Err(JwtRefusal::Algorithm { found: "ES256".into() }));
}

/// RFC 7515 appendices A.2 and A.3, RFC 8037 appendix A.4. Their payloads lack claims we demand: the refusal that
/// comes after the signature check shows that the signature was good.
#[test]
fn verifies_the_signatures_of_the_rfcs() {
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
                 F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
                 LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
                 wlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ\
             S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2\
             R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD\
             TW9gb54h4FRWyuXpoQ";
    let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let ed25519 = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let set = KeySet::from_value(&json!({ "keys": [
        { "kty": "RSA", "n": n, "e": "AQAB" },
        { "kty": "EC", "crv": "P-256", "x": x, "y": y },
        { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ] }))
    .unwrap();
    let expect = Expect { issuer: Issuer::Exactly("joe"), audience: Audience::Unchecked, ..EXPECT };
    let check = |token: &str| verify(token, Keys::Set(&set), &expect, NOW);
    for token in [format!("eyJhbGciOiJSUzI1NiJ9.{payload}.{rs256}"), format!("eyJhbGciOiJFUzI1NiJ9.{payload}.{es256}")]
    {
        assert_eq!(check(&token), Err(JwtRefusal::MissingClaim("iat")));
        assert_eq!(check(&token.replace(".eyJpc3Mi", ".eyJpc3MJ")), Err(JwtRefusal::Signature));
    }
    let text = "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert_eq!(check(&format!("eyJhbGciOiJFZERTQSJ9.{text}.{ed25519}")), Err(JwtRefusal::Malformed));
    let changed = text.replace("RXh", "RXg");
    assert_eq!(check(&format!("eyJhbGciOiJFZERTQSJ9.{changed}.{ed25519}")), Err(JwtRefusal::Signature));
}
