//! A provider's token endpoint of the test's own: refreshes, counts, and fails as it is configured to. Its tokens say
//! which they are (`at-<family>-<number>`), so that older and newer can be distinguished.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use vestibule::crypto::ExposeSecret;
use vestibule::model::id::{ExternalAccountId, IdentificationId};
use vestibule::store::provider_tokens::{self, MissingRefreshToken, Stored};

use super::TestApp;

/// What a refresh does to the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// A new one; the old one is dead at once.
    SingleUse,
    /// A new one; the one before works, too.
    Grace,
    /// None: the first one stays, and no answer repeats it.
    Fixed,
}

/// When a closed gate holds a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Before anything happens.
    Request,
    /// When everything has happened but the answer.
    Answer,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// What a refresh does to the refresh token.
    pub rotation: Rotation,
    /// Seconds; `None` says nothing.
    pub expires_in: Option<u64>,
    /// Granted scopes; `None` says nothing.
    pub scope: Option<&'static str>,
    /// Sends an id_token.
    pub id_token: bool,
    /// Answers this instead: status, content type, body.
    pub fault: Option<(u16, &'static str, &'static str)>,
    /// When a closed gate holds.
    pub hold: Hold,
}

impl Default for Behavior {
    fn default() -> Self {
        let rotation = Rotation::SingleUse;
        Self { rotation, expires_in: Some(3600), scope: None, id_token: false, fault: None, hold: Hold::Request }
    }
}

struct Shared {
    behavior: Mutex<Behavior>,
    newest: Mutex<HashMap<String, u32>>,
    asked: watch::Sender<u32>,
    most_at_once: Mutex<(u32, u32)>,
    gate: watch::Sender<bool>,
}

/// The endpoint.
pub struct Issuer {
    shared: Arc<Shared>,
    url: String,
}

/// An account whose tokens come from here.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its user.
    pub user: String,
    /// Its id.
    pub account: ExternalAccountId,
}

impl Connected {
    /// The path of the token for backends.
    pub fn path(&self) -> String {
        format!("/v1/users/{}/oauth_access_tokens/custom_vault", self.user)
    }

    /// The path of the token's state.
    pub fn health(&self) -> String {
        format!("/v1/vestibule/users/{}/external_accounts/{}/token", self.user, self.account)
    }
}

impl Issuer {
    /// Listens, and is the provider `custom_vault` of the app's instance.
    pub async fn start(app: &TestApp) -> Self {
        let shared = Arc::new(Shared {
            behavior: Mutex::default(),
            newest: Mutex::default(),
            asked: watch::channel(0).0,
            most_at_once: Mutex::default(),
            gate: watch::channel(true).0,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/token", post(answer)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let custom = json!({
            "name": "Vault", "authorization_url": format!("{url}/authorize"), "token_url": format!("{url}/token"),
            "userinfo_url": format!("{url}/me"),
        });
        sqlx::query(
            "insert into provider_configs (instance_id, provider, environment_type, enabled, credentials, client_id,
                 custom, created_at, updated_at)
             values ($1, 'custom_vault', 'development', true, 'custom', 'vault', $2, now(), now())",
        )
        .bind(app.instance.as_str())
        .bind(custom)
        .execute(&app.app().db)
        .await
        .unwrap();
        Self { shared, url }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behavior)) {
        change(&mut self.shared.behavior.lock().unwrap());
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        *self.shared.asked.borrow()
    }

    /// Waits until it was asked so often.
    pub async fn until_asked(&self, times: u32) {
        self.shared.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    /// How many asked at the same time, at most.
    pub fn most_at_once(&self) -> u32 {
        self.shared.most_at_once.lock().unwrap().1
    }

    /// Holds requests until [`Self::open`].
    pub fn close(&self) {
        self.shared.gate.send_replace(false);
    }

    /// Lets requests through.
    pub fn open(&self) {
        self.shared.gate.send_replace(true);
    }

    /// The newest access token that it gave of the account's family.
    pub fn newest(&self, connected: &Connected) -> String {
        let newest = self.shared.newest.lock().unwrap();
        let (family, number) = newest
            .iter()
            .filter(|(family, _)| family.starts_with(connected.account.as_str()))
            .max_by_key(|(family, _)| family.rsplit('.').next().unwrap().parse::<u32>().unwrap())
            .unwrap();
        format!("at-{family}-{number}")
    }

    /// Forgets the refresh tokens of an account.
    pub fn revoke(&self, connected: &Connected) {
        let mut newest = self.shared.newest.lock().unwrap();
        newest.retain(|family, _| !family.starts_with(connected.account.as_str()));
    }

    /// A new user with an account here, whose access token ends in an hour.
    pub async fn connect(&self, app: &TestApp, username: &str) -> Connected {
        let person = app.person(username).await;
        self.connect_to(app, &person.user_id).await
    }

    /// Another account of a user.
    pub async fn connect_to(&self, app: &TestApp, user: &str) -> Connected {
        let ctx = app.ctx().await;
        let account = ExternalAccountId::new(ctx.now, ctx.rng());
        sqlx::query(
            "insert into external_accounts (instance_id, id, identification_id, user_id, provider, provider_user_id,
                 status, verified_at, approved_scopes, created_at, updated_at)
             values ($1, $2, $3, $4, 'custom_vault', $2, 'verified', now(), '{first}', clock_timestamp(), now())",
        )
        .bind(app.instance.as_str())
        .bind(account.as_str())
        .bind(IdentificationId::new(ctx.now, ctx.rng()).as_str())
        .bind(user)
        .execute(&ctx.app.db)
        .await
        .unwrap();
        let connected = Connected { user: user.to_owned(), account };
        self.reconnect(app, &connected, Some(3600)).await;
        connected
    }

    /// Stores new tokens, as a callback does.
    pub async fn reconnect(&self, app: &TestApp, connected: &Connected, expires_in: Option<i64>) {
        let ctx = app.ctx().await;
        let family = {
            let mut newest = self.shared.newest.lock().unwrap();
            let known = newest.keys().filter(|family| family.starts_with(connected.account.as_str())).count();
            let family = format!("{}.{known}", connected.account);
            newest.insert(family.clone(), 1);
            family
        };
        let seal = |column, token: String| {
            let at = provider_tokens::sealed_at(ctx.instance_id(), &connected.account, column);
            ctx.app.ring.seal(ctx.rng(), &at, token.as_bytes()).unwrap()
        };
        let (access, refresh) = (
            seal("access_token_sealed", format!("at-{family}-1")),
            seal("refresh_token_sealed", format!("rt-{family}-1")),
        );
        let stored = Stored {
            access_token: Some(&access),
            refresh_token: Some(&refresh),
            id_token: None,
            token_type: Some("Bearer"),
            scopes: &["first".to_owned()],
            expires_in,
            missing_refresh_token: MissingRefreshToken::Drop,
        };
        provider_tokens::store(&mut ctx.db(), &connected.account, &stored).await.unwrap();
    }

    /// Ends the stored access token's life now.
    pub async fn expire(&self, app: &TestApp, connected: &Connected) {
        app.execute(
            "update provider_tokens set expires_at = now() - interval '1 s'
             where instance_id = $1 and external_account_id = $2",
            connected.account.as_str(),
        )
        .await;
    }
}

/// A stored token, opened.
pub async fn stored(app: &TestApp, connected: &Connected, column: &'static str) -> Option<String> {
    let sealed: Option<Vec<u8>> = match column {
        "access_token_sealed" => {
            sqlx::query_scalar("select access_token_sealed from provider_tokens where external_account_id = $1")
        }
        _ => sqlx::query_scalar("select refresh_token_sealed from provider_tokens where external_account_id = $1"),
    }
    .bind(connected.account.as_str())
    .fetch_one(&app.app().db)
    .await
    .unwrap();
    let at = provider_tokens::sealed_at(&app.instance, &connected.account, column);
    sealed.map(|sealed| app.app().ring.open_text(&at, &sealed).unwrap().expose_secret().to_owned())
}

async fn answer(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let behavior = shared.behavior.lock().unwrap().clone();
    shared.asked.send_modify(|asked| *asked += 1);
    let _inside = Inside::enter(Arc::clone(&shared));
    let mut gate = shared.gate.subscribe();
    if behavior.hold == Hold::Request {
        let _ = gate.wait_for(|open| *open).await;
    }
    let answer = refresh(&shared, &behavior, &body);
    if behavior.hold == Hold::Answer {
        let _ = gate.wait_for(|open| *open).await;
    }
    answer
}

fn refresh(shared: &Shared, behavior: &Behavior, body: &str) -> Response {
    if let Some((status, content_type, body)) = behavior.fault {
        let status = http::StatusCode::from_u16(status).unwrap();
        return (status, [("content-type", content_type)], body).into_response();
    }
    let members: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let token = members.get("refresh_token").and_then(|token| token.strip_prefix("rt-"));
    let (family, number) = token.and_then(|token| token.rsplit_once('-')).unwrap_or_default();
    let number: u32 = number.parse().unwrap_or_default();
    let mut newest = shared.newest.lock().unwrap();
    let refused = || (http::StatusCode::BAD_REQUEST, axum::Json(json!({ "error": "invalid_grant" }))).into_response();
    let Some(last) = newest.get_mut(family) else { return refused() };
    let is_good = match behavior.rotation {
        Rotation::SingleUse => number == *last,
        Rotation::Grace => number + 1 >= *last,
        Rotation::Fixed => number == 1,
    };
    if !is_good {
        return refused();
    }
    *last += 1;
    let mut tokens = json!({ "access_token": format!("at-{family}-{last}"), "token_type": "Bearer" });
    let members = tokens.as_object_mut().unwrap();
    let mut add = |name: &str, value: Option<Value>| value.map(|value| members.insert(name.to_owned(), value));
    add("refresh_token", (behavior.rotation != Rotation::Fixed).then(|| format!("rt-{family}-{last}").into()));
    add("expires_in", behavior.expires_in.map(Value::from));
    add("scope", behavior.scope.map(Value::from));
    add("id_token", behavior.id_token.then(|| format!("id-{family}-{last}").into()));
    axum::Json(tokens).into_response()
}

/// Counts who is inside.
struct Inside(Arc<Shared>);

impl Inside {
    fn enter(shared: Arc<Shared>) -> Self {
        let mut counts = shared.most_at_once.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        drop(counts);
        Self(shared)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.most_at_once.lock().unwrap().0 -= 1;
    }
}
