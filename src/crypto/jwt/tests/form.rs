//! The parser: what is no token at all, and anything a fuzzer can think of.

use super::*;
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

#[test]
fn refuses_what_is_not_one_strict_token() {
    let token = IDP.token(&header(), &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let text = URL_SAFE_NO_PAD.encode("\"text\"");
    for malformed in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        head.to_owned(),
        signed.to_owned(),
        format!("{token}.{signature}"),
        format!("{head}.{payload}=.{signature}"),
        format!("{head}.{payload}.{signature}=="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{head}.{payload}.{}", signature.replace(['-', '_'], "+")) + "+",
        format!("{text}.{payload}.{signature}"),
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
        format!("Bearer {token}"),
        "\u{1F600}.\u{1F600}.\u{1F600}".to_owned(),
    ] {
        assert_eq!(check(&malformed, &EXPECT), Err(JwtRefusal::Malformed), "{malformed}");
    }
    let long = with_claims(json!({ "x": "y".repeat(MAX_LENGTH) }));
    assert_eq!(long, Err(JwtRefusal::TooLong));
    // Claims that are not an object, under a good signature.
    let message = format!("{head}.{text}");
    let signature = URL_SAFE_NO_PAD.encode(IDP.sign("RS256", message.as_bytes()));
    assert_eq!(check(&format!("{message}.{signature}"), &EXPECT), Err(JwtRefusal::Malformed));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        proptest::sample::select(&["RS256", "ES256", "none", ISSUER, CLIENT, "rsa", "JWT"][..]).prop_map(Value::from),
    ];
    prop_oneof![leaf.clone(), proptest::collection::vec(leaf, 0..3).prop_map(Value::from)]
}

fn members(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    proptest::collection::vec((proptest::sample::select(names), json_value()), 0..8)
        .prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

proptest! {
    #[test]
    fn arbitrary_text_is_refused_without_a_panic(token in "\\PC{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
        prop_assert!(check(&token, &EXPECT).is_err());
        prop_assert!(check(&String::from_utf8_lossy(&bytes), &EXPECT).is_err());
        let dotted = bytes.chunks(30).map(|part| URL_SAFE_NO_PAD.encode(part)).collect::<Vec<_>>().join(".");
        prop_assert!(check(&dotted, &EXPECT).is_err());
        prop_assert!(KeySet::parse(&bytes).is_none_or(|set| set.is_empty()));
    }

    #[test]
    fn arbitrary_headers_without_a_signature_are_refused(header in members(&["alg", "kid", "typ", "crit", "jwk"])) {
        let token = format!("{}.{}", message(&header, &claims()), URL_SAFE_NO_PAD.encode([7; 256]));
        prop_assert!(check(&token, &EXPECT).is_err());
    }

    #[test]
    fn signed_claims_are_believed_only_when_all_rules_hold(
        claims in members(&["iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub"])
    ) {
        let token = IDP.token(&header(), &claims);
        let expect = Expect { nonce: Nonce::Unused, ..EXPECT };
        if check(&token, &expect).is_ok() {
            prop_assert!(claims["iss"] == ISSUER && claims["exp"].is_number() && claims["iat"].is_number());
            prop_assert!(claims["aud"] == CLIENT || claims["aud"].as_array().is_some_and(|aud| aud.contains(&json!(CLIENT))));
            prop_assert!(claims["exp"].as_f64().unwrap() > NOW.unix_timestamp() as f64 - 61.0);
        }
    }
}
