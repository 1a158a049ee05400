//! Well-signed tokens whose claims or headers are not what was asked for.

use super::*;

#[test]
fn believes_good_tokens_of_every_algorithm() {
    for (alg, kid) in [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed")] {
        let read = with_header(json!({ "alg": alg, "kid": kid })).unwrap();
        assert_eq!(read.subject(), Some("24400320"), "{alg}");
        assert_eq!(read.into_value(), claims());
    }
    assert!(with_header(json!({ "typ": null })).is_ok());
    assert!(with_header(json!({ "typ": "application/jwt" })).is_ok());
    assert!(with_claims(json!({ "aud": ["other", CLIENT], "azp": CLIENT })).is_ok());
    assert!(with_claims(json!({ "aud": [CLIENT] })).is_ok());
    assert!(with_claims(json!({ "exp": NOW.unix_timestamp() as f64 + 10.5 })).is_ok());
}

#[test]
fn refuses_claims_that_are_not_for_us() {
    let now = NOW.unix_timestamp();
    let issuer = |found: &str| JwtRefusal::Issuer { expected: ISSUER.into(), found: found.into() };
    let audience = |found: &str| JwtRefusal::Audience { found: found.into() };
    let cases = [
        (json!({ "iss": "https://evil.example" }), issuer("https://evil.example")),
        (json!({ "iss": "https://idp.example/" }), issuer("https://idp.example/")),
        (json!({ "iss": "HTTPS://idp.example" }), issuer("HTTPS://idp.example")),
        (json!({ "iss": [ISSUER] }), JwtRefusal::WrongClaimType("iss")),
        (json!({ "iss": null }), JwtRefusal::MissingClaim("iss")),
        (json!({ "aud": "other" }), audience("other")),
        (json!({ "aud": "client_abcd" }), audience("client_abcd")),
        (json!({ "aud": ["other", "more"], "azp": CLIENT }), audience("other more")),
        (json!({ "aud": [] }), audience("")),
        (json!({ "aud": [1, CLIENT] }), JwtRefusal::WrongClaimType("aud")),
        (json!({ "aud": { "0": CLIENT } }), JwtRefusal::WrongClaimType("aud")),
        (json!({ "aud": null }), JwtRefusal::MissingClaim("aud")),
        (json!({ "aud": ["other", CLIENT] }), JwtRefusal::MissingClaim("azp")),
        (json!({ "aud": ["other", CLIENT], "azp": "other" }), JwtRefusal::AuthorizedParty { found: "other".into() }),
        (json!({ "nonce": "another" }), JwtRefusal::Nonce),
        (json!({ "nonce": "" }), JwtRefusal::Nonce),
        (json!({ "nonce": 7 }), JwtRefusal::WrongClaimType("nonce")),
        (json!({ "nonce": null }), JwtRefusal::MissingClaim("nonce")),
        (json!({ "exp": now - 60 }), JwtRefusal::Expired { by: 60 }),
        (json!({ "exp": now - 86_400 }), JwtRefusal::Expired { by: 86_400 }),
        (json!({ "exp": (now + 3600).to_string() }), JwtRefusal::WrongClaimType("exp")),
        (json!({ "exp": true }), JwtRefusal::WrongClaimType("exp")),
        (json!({ "exp": null }), JwtRefusal::MissingClaim("exp")),
        (json!({ "exp": i64::MIN }), JwtRefusal::Expired { by: i64::MAX }),
        (json!({ "iat": now + 61 }), JwtRefusal::IssuedInFuture { by: 61 }),
        (json!({ "iat": now.to_string() }), JwtRefusal::WrongClaimType("iat")),
        (json!({ "iat": null }), JwtRefusal::MissingClaim("iat")),
        (json!({ "nbf": now + 61 }), JwtRefusal::NotYetValid { by: 61 }),
        (json!({ "nbf": now.to_string() }), JwtRefusal::WrongClaimType("nbf")),
    ];
    for (changes, refusal) in cases {
        assert_eq!(with_claims(changes.clone()), Err(refusal), "{changes}");
    }
}

#[test]
fn refuses_headers_that_choose_their_own_rules() {
    let algorithm = |found: &str| JwtRefusal::Algorithm { found: found.into() };
    let key = |kid: Option<&str>| JwtRefusal::Key { kid: kid.map(str::to_owned) };
    let typ = |found: &str| JwtRefusal::Type { found: Some(found.into()) };
    let cases = [
        (json!({ "alg": "none" }), algorithm("none")),
        (json!({ "alg": "nOnE" }), algorithm("nOnE")),
        (json!({ "alg": "RS512" }), algorithm("RS512")),
        (json!({ "alg": "rs256" }), algorithm("rs256")),
        (json!({ "alg": "HS256" }), algorithm("HS256")),
        (json!({ "alg": null }), JwtRefusal::Malformed),
        (json!({ "alg": ["RS256"] }), JwtRefusal::Malformed),
        (json!({ "crit": ["exp"], "exp": 1 }), JwtRefusal::Critical),
        (json!({ "crit": [] }), JwtRefusal::Critical),
        (json!({ "kid": "foreign" }), key(Some("foreign"))),
        (json!({ "kid": "p256" }), key(Some("p256"))),
        (json!({ "kid": 1 }), JwtRefusal::Malformed),
        (json!({ "alg": "ES256", "kid": "p384" }), key(Some("p384"))),
        (json!({ "typ": "at+jwt" }), typ("at+jwt")),
        (json!({ "typ": "logout+jwt" }), typ("logout+jwt")),
        (json!({ "typ": "application/at+jwt" }), typ("application/at+jwt")),
        (json!({ "typ": 1 }), JwtRefusal::Malformed),
    ];
    for (changes, refusal) in cases {
        assert_eq!(with_header(changes.clone()), Err(refusal), "{changes}");
    }
}

#[test]
fn several_spellings_and_tenants_of_an_issuer() {
    let google = [ISSUER.to_owned(), "idp.example".to_owned()];
    let any = Expect { issuer: Issuer::AnyOf(&google), ..EXPECT };
    let issued_by = |iss: &str, tid: Value| IDP.token(&header(), &with(claims(), json!({ "iss": iss, "tid": tid })));
    assert!(check(&issued_by("idp.example", Value::Null), &any).is_ok());
    let refusal = check(&issued_by("evil.example", Value::Null), &any);
    let expected = "https://idp.example or idp.example".to_owned();
    assert_eq!(refusal, Err(JwtRefusal::Issuer { expected, found: "evil.example".into() }));

    let tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    let other = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let microsoft = Expect { issuer: Issuer::Tenant("https://login.example/{tid}/v2.0"), ..EXPECT };
    let of = |tid: &str| format!("https://login.example/{tid}/v2.0");
    assert!(check(&issued_by(&of(tenant), json!(tenant)), &microsoft).is_ok());
    let refusal = check(&issued_by(&of(tenant), json!(other)), &microsoft);
    assert_eq!(refusal, Err(JwtRefusal::Issuer { expected: of(other), found: of(tenant) }));
    assert_eq!(check(&issued_by(&of(tenant), Value::Null), &microsoft), Err(JwtRefusal::MissingClaim("tid")));
    for odd in ["evil/../72f988bf", "", "{tid}", "72f988bf-86f1-41af-91ab-2d7cd011db4/"] {
        let refusal = check(&issued_by(&of(odd), json!(odd)), &microsoft);
        assert_eq!(refusal, Err(JwtRefusal::WrongClaimType("tid")), "{odd}");
    }
}

#[test]
fn a_nonce_may_be_known_by_its_hash_only() {
    let token = IDP.token(&header(), &claims());
    let is_ours = |nonce: &str| nonce == "n-0S6_WzA2Mj";
    assert!(check(&token, &Expect { nonce: Nonce::Matches(&is_ours), ..EXPECT }).is_ok());
    let is_not = |_: &str| false;
    let refusal = check(&token, &Expect { nonce: Nonce::Matches(&is_not), ..EXPECT });
    assert_eq!(refusal, Err(JwtRefusal::Nonce));
    let without = IDP.token(&header(), &with(claims(), json!({ "nonce": null })));
    assert!(check(&without, &Expect { nonce: Nonce::Unused, ..EXPECT }).is_ok());
    assert_eq!(
        check(&without, &Expect { nonce: Nonce::Matches(&is_ours), ..EXPECT }),
        Err(JwtRefusal::MissingClaim("nonce"))
    );
}

#[test]
fn a_subject_is_not_empty_and_at_most_255_bytes() {
    let subject = |sub: Value| with_claims(json!({ "sub": sub })).unwrap().subject().map(str::len);
    assert_eq!(subject(json!("s".repeat(255))), Some(255));
    assert_eq!(subject(json!("s".repeat(256))), None);
    assert_eq!(subject(json!("")), None);
    assert_eq!(subject(json!(7)), None);
    assert_eq!(subject(Value::Null), None);
}

#[test]
fn refusals_and_debug_output_show_no_claim_of_the_person() {
    let read = with_claims(json!({ "email": "ada@example.com" })).unwrap();
    assert!(!format!("{read:?}").contains("ada@"));
    let Err(JwtRefusal::Issuer { found, .. }) = with_claims(json!({ "iss": format!("a\r\nb{}", "x".repeat(500)) }))
    else {
        panic!("must be refused");
    };
    assert_eq!(found, format!("ab{}", "x".repeat(198)));
}
