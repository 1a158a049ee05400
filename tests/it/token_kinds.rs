//! Every kind of token of ours at every place of the server that takes one, against the table in
//! `tests/fixtures/token_kinds/server.txt`. What the server SDKs take is in `tests/sdk/token-kinds.test.mjs`.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};
use url::Url;

use crate::native::{Native, come_back};
use crate::support::oauth::{OAuthClient, member, parameters};
use crate::support::person::{APP, provider_url};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::{form, newest};
use vestibule::actions::session::handshake;
use vestibule::actions::signing_keys;
use vestibule::crypto::{ExposeSecret, TokenType};
use vestibule::model::signing_key::KeyPurpose;

const TABLE: &str = include_str!("../fixtures/token_kinds/server.txt");
const ADA: &str = "ada@example.com";

/// The places, and by kind those that take it.
fn table() -> (Vec<&'static str>, Vec<(&'static str, BTreeSet<&'static str>)>) {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    let mut rows = lines.map(|(name, rest)| (name, rest.split_whitespace()));
    let (_, places) = rows.next().unwrap();
    (places.collect(), rows.map(|(kind, places)| (kind, places.collect())).collect())
}

struct World {
    app: TestApp,
    client: OAuthClient,
    session: String,
    tokens: BTreeMap<&'static str, String>,
}

impl World {
    /// Ada with one token of each kind.
    async fn new() -> Self {
        let app = TestApp::start().await;
        app.execute(
            "update instances set settings = settings || $2::jsonb where id = $1",
            r#"{"email": {"link": true, "same_device": false}}"#,
        )
        .await;
        app.app().forget_directory();
        let client = app.application(json!({ "consent_screen_enabled": false })).await;
        let browser = app.browser();
        let ada = app.person("ada").await;
        let session = app.sign_in(&browser, &ada).await;
        let mut world = Self { app, client, session, tokens: BTreeMap::new() };
        world.of_the_browser(&browser).await;
        world.of_the_client(&browser).await;
        world.of_backends().await;
        world.forged(&ada.user_id).await;
        world
    }

    fn add(&mut self, kind: &'static str, token: impl Into<String>) {
        self.tokens.insert(kind, token.into());
    }

    async fn of_the_browser(&mut self, browser: &Browser) {
        let minted = form(&self.app, browser, &format!("/v1/client/sessions/{}/tokens", self.session), &[]).await;
        self.add("session_token", minted.expect(200).json()["jwt"].as_str().unwrap());
        self.add("client_token", browser.cookie("localhost", "__client").unwrap());
        let ctx = self.app.ctx().await;
        let directives = ["__session=x; Path=/".to_owned()];
        self.add("handshake_token", handshake::sign(&ctx, &directives).await.unwrap());
        self.add("handshake_nonce", handshake::keep(&ctx, &directives).await.unwrap().expose_secret());
        let fields = [("identifier", ADA), ("strategy", "email_link"), ("redirect_url", "/arrived")];
        form(&self.app, &self.app.browser(), "/v1/client/sign_ins", &fields).await.expect(200);
        let link = Url::parse(newest(&self.app, ADA).await["link"].as_str().unwrap()).unwrap();
        self.add("email_link", parameters(&link)["token"].clone());
    }

    async fn of_the_client(&mut self, browser: &Browser) {
        let code = self.app.code(browser, &self.client, &[]).await;
        let tokens = self.app.redeem(&self.client, &code, &[]).await.expect(200).json();
        for kind in ["id_token", "access_token", "refresh_token"] {
            self.add(kind, member(&tokens, kind));
        }
        let code = self.app.code(browser, &self.client, &[]).await;
        self.add("authorization_code", code);
        self.add("client_secret", self.client.secret.clone().unwrap());
    }

    async fn of_backends(&mut self) {
        self.add("secret_key", self.app.secret_key.clone());
        self.add("publishable_key", self.app.publishable_key.clone());
    }

    async fn forged(&mut self, user: &str) {
        let ctx = self.app.ctx().await;
        let now = ctx.now.unix_timestamp();
        let claims = json!({ "iss": self.app.origin(), "sub": user, "aud": self.client.id, "client_id": self.client.id,
            "sid": self.session, "scope": "openid email profile", "jti": "oat_x", "iat": now, "nbf": now, "exp": now + 60 });
        for (kind, purpose, typ) in [
            ("at_jwt_of_session_key", KeyPurpose::Session, TokenType::AccessToken),
            ("logout_jwt_of_id_token_key", KeyPurpose::IdToken, TokenType::LogoutToken),
            ("id_token_of_session_key", KeyPurpose::Session, TokenType::Jwt),
        ] {
            let key = signing_keys::active(&ctx, purpose).await.unwrap();
            self.add(kind, key.sign(typ, &claims).unwrap());
        }
        let mut session = claims;
        session.as_object_mut().unwrap().remove("aud");
        let key = signing_keys::active(&ctx, KeyPurpose::IdToken).await.unwrap();
        self.add("session_token_of_id_token_key", key.sign(TokenType::Jwt, &session).unwrap());
    }

    /// A request that belongs to no browser, with these headers.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let browser = self.app.browser();
        let request = browser.raw(Method::GET, &self.app.url(path)).header("accept", "text/html");
        browser.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// An address with the token in its query.
    fn with(path: &str, name: &str, token: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, token).finish();
        format!("{path}?{query}")
    }

    async fn is_taken(&self, place: &str, kind: &str, token: &str) -> bool {
        let bearer = format!("Bearer {token}");
        let cookie = format!("__client={token}");
        let (app, client) = (&self.app, &self.client);
        let answer = match place {
            "client_cookie" => return sees_a_session(&self.get("/v1/client", &[("cookie", &cookie)]).await),
            "native_header" => {
                return sees_a_session(&self.get("/v1/client?_is_native=1", &[("authorization", token)]).await);
            }
            "bearer" => return sees_a_session(&self.get("/v1/client", &[("authorization", &bearer)]).await),
            "session_cookie" => {
                let cookie = format!("__session={token}");
                return sees_a_session(&self.get("/v1/client", &[("cookie", &cookie)]).await);
            }
            "db_jwt" => {
                return sees_a_session(&self.get(&Self::with("/v1/client", "__clerk_db_jwt", token), &[]).await);
            }
            "token_info" => return app.introspect(client, token).await["active"] == true,
            "id_token_hint" => return self.is_hint(token).await,
            "verify_link" => {
                return self.get(&Self::with("/v1/verify", "token", token), &[]).await.text.contains("name=\"token\"");
            }
            "rotating_token_nonce" => return self.is_nonce(kind, token).await,
            "revoke" => return self.is_revoked(kind, token).await,
            "mint" => {
                let mint = app.url(&format!("/v1/client/sessions/{}/tokens", self.session));
                let request = app.browser().raw(Method::POST, &mint).header("origin", APP).header("cookie", &cookie);
                app.browser().send(request).await
            }
            "backend" => self.get("/v1/users", &[("authorization", &bearer)]).await,
            "handshake_payload" => {
                let path = Self::with("/v1/clients/handshake_payload", "nonce", token);
                app.backend_get(&path).await
            }
            "userinfo" => app.userinfo(token).await,
            "userinfo_form" => {
                let request = app.browser().raw(Method::POST, &app.url("/oauth/userinfo"));
                app.browser().send(request.form(&[("access_token", token)])).await
            }
            "refresh_grant" => app.refresh(client, token).await,
            "code_grant" => app.redeem(client, token, &[]).await,
            "client_secret_post" => {
                let request = app.browser().raw(Method::POST, &app.url("/oauth/token_info"));
                let form = [("client_id", client.id.as_str()), ("client_secret", token), ("token", "x")];
                app.browser().send(request.form(&form)).await
            }
            other => panic!("{other} is no place"),
        };
        assert!(!answer.status.is_server_error(), "{kind} at {place}: {answer:?}");
        answer.status.is_success()
    }

    /// Nobody is signed in: a hint that counts makes the answer `login_required`.
    async fn is_hint(&self, token: &str) -> bool {
        let url = self.app.authorize_url(&self.client, &[("id_token_hint", token), ("prompt", "none")]);
        let answer = self.app.browser().get(&url).await.expect(302);
        match parameters(&answer.location())["error"].as_str() {
            "login_required" => true,
            "invalid_request" => false,
            other => panic!("{other}"),
        }
    }

    /// A native app that waits for its nonce presents the token in its place; for the nonce itself, its own.
    async fn is_nonce(&self, kind: &str, token: &str) -> bool {
        let native = Native::new(&self.app);
        let begun = native.begin("sign_ups", "oauth_google").await.expect(200);
        let back = come_back(&self.app, provider_url(&begun), "nadia@example.com").await;
        let own = parameters(&back)["rotating_token_nonce"].clone();
        let token = if kind == "rotating_token_nonce" { &own } else { token };
        let id = begun.json()["response"]["id"].as_str().unwrap().to_owned();
        let path = Self::with(&format!("/v1/client/sign_ups/{id}"), "rotating_token_nonce", token);
        native.get(&path).await.expect(200).json()["response"]["status"] == "complete"
    }

    /// Whether a grant ends. Access and refresh tokens are of a new grant, for it ends with them.
    async fn is_revoked(&self, kind: &str, token: &str) -> bool {
        let own = match kind {
            "access_token" | "refresh_token" => self.app.tokens(&self.client, kind, "openid").await,
            _ => Value::Null,
        };
        let access = own["access_token"].as_str().unwrap_or(&self.tokens["access_token"]);
        let token = own[kind].as_str().unwrap_or(token);
        let answer = self.app.post("/oauth/token/revoke", &self.client, &[("token", token)]).await;
        assert!(answer.status == 200 || answer.json()["error"] == "unsupported_token_type", "{kind}: {answer:?}");
        self.app.userinfo(access).await.status != 200
    }
}

fn sees_a_session(answer: &Answer) -> bool {
    assert!(!answer.status.is_server_error(), "{answer:?}");
    answer.status.is_success()
        && answer.json()["response"]["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty())
}

#[tokio::test]
async fn each_kind_of_token_is_taken_where_the_table_says_and_nowhere_else() {
    let world = World::new().await;
    let (places, rows) = table();
    // The nonce is made at its place, for the app that waits there; elsewhere any would do.
    let made: BTreeSet<&str> = world.tokens.keys().copied().chain(["rotating_token_nonce"]).collect();
    assert_eq!(made, rows.iter().map(|(kind, _)| *kind).collect(), "each kind of the table is made, and no other");
    let mut differences = Vec::new();
    for place in places {
        for (kind, takers) in &rows {
            let token = world.tokens.get(kind).map_or("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", String::as_str);
            let is_taken = world.is_taken(place, kind, token).await;
            if is_taken != takers.contains(place) {
                let what = if is_taken { "is taken" } else { "is refused" };
                differences.push(format!("{kind} {what} at {place}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
