//! The catalogue says what is known of the providers: `tests/fixtures/providers.json` holds the facts.

use crate::upstream::catalogue::Catalogue;
use crate::upstream::descriptor::{Descriptor, RefreshSupport};
use serde_json::{Value, json};

fn facts(descriptor: &Descriptor) -> Value {
    let oidc = descriptor.oidc.as_ref();
    let authorize = &descriptor.authorize;
    let calls = descriptor.calls.iter();
    let mut userinfo_headers = serde_json::Map::new();
    for (name, value) in calls.clone().flat_map(|call| &call.headers) {
        userinfo_headers.insert(name.clone(), value.as_str().into());
    }
    json!({
        "slug": descriptor.slug,
        "name": descriptor.name,
        "kind": descriptor.kind,
        "strategy": descriptor.strategy(),
        "authorize_url": authorize.url,
        "token_url": descriptor.token.url,
        "issuer": oidc.map(|oidc| &oidc.issuer).or(authorize.issuer.as_ref()),
        "issuer_aliases": oidc.map(|oidc| oidc.issuer_aliases.clone()).unwrap_or_default(),
        "discovery_url": oidc.and_then(|oidc| oidc.discovery_url.as_ref()),
        "jwks_uri": oidc.and_then(|oidc| oidc.jwks_url.as_ref()),
        "client_auth": descriptor.token.client_auth,
        "token_request_encoding": descriptor.token.encoding,
        "client_id_param": authorize.client_id_param,
        "pkce": authorize.pkce,
        "send_pkce": authorize.send_pkce,
        "authorize_params": authorize.params,
        "optional_authorize_params": authorize.optional_params,
        "scope_separator": authorize.scope_separator,
        "base_scopes": authorize.base_scopes,
        "response_mode": authorize.response_mode,
        "revoke": descriptor.revoke.as_ref().map(|revoke| json!({
            "url": revoke.url, "method": revoke.method, "encoding": revoke.encoding, "auth": revoke.client_auth,
        })),
        "userinfo": calls.map(|call| json!({ "id": call.id, "url": call.url, "method": call.method })).collect::<Vec<_>>(),
        "token_headers": descriptor.token.headers,
        "userinfo_headers": userinfo_headers,
        "refresh": {
            "supported": descriptor.refresh.supported == RefreshSupport::Always,
            "access_ttl": descriptor.refresh.access_ttl,
            "rotates": descriptor.refresh.rotates,
        },
        "email_trust": descriptor.email.trust,
        "nonce": oidc.map_or(json!("n/a"), |oidc| json!(oidc.nonce)),
    })
}

#[test]
fn the_catalogue_agrees_with_the_recorded_facts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/providers.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let catalogue = Catalogue::load().unwrap();
    assert_eq!(recorded.as_object().unwrap().len(), catalogue.all().count());
    for descriptor in catalogue.all() {
        let (found, expected) = (facts(descriptor), &recorded[&descriptor.slug]);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&found[name], value, "{}: {name}", descriptor.slug);
        }
    }
}
