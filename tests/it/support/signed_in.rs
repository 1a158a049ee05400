//! A signed-in person, put into the database as the sign-in flows would leave them.

use super::{Browser, TestApp};
use vestibule::crypto::Lookup;
use vestibule::model::id::{ClientId, IdentificationId, InstanceId, SessionId, UserId};
use vestibule::model::random;

/// Somebody with a verified address.
#[derive(Clone, Debug)]
pub struct SignedUp {
    /// Their id.
    pub user_id: String,
    /// Their address.
    pub email: String,
}

impl TestApp {
    /// A new user called Ada Lovelace with everything that a claim can tell.
    pub async fn person(&self, username: &str) -> SignedUp {
        self.person_of(&self.instance, username).await
    }

    /// The same in another instance.
    pub async fn person_of(&self, instance: &InstanceId, username: &str) -> SignedUp {
        let ctx = self.ctx().await;
        let person =
            SignedUp { user_id: UserId::new(ctx.now, ctx.rng()).to_string(), email: format!("{username}@example.com") };
        sqlx::query(
            r#"with person as (
                   insert into users (instance_id, id, username, username_key, first_name, last_name, image_url,
                       public_metadata, private_metadata, unsafe_metadata, created_at, updated_at)
                   values ($1, $2, $3, $3, 'Ada', 'Lovelace', 'https://img.example/ada.png', '{"plan": "pro"}',
                       '{"credit": 7}', '{"theme": "dark"}', now(), now())),
               listed as (
                   insert into user_listings (instance_id, user_id, first_name, last_name, username)
                   values ($1, $2, 'ada', 'lovelace', $3)),
               counted as (
                   insert into counters (instance_id, name, shard, value) values ($1, 'users', 0, 1)
                   on conflict (instance_id, name, shard) do update set value = counters.value + 1)
               insert into identifications (instance_id, id, user_id, kind, value, value_key, status, is_primary,
                   verification_strategy, verified_at, created_at, updated_at)
               values ($1, $4, $2, 'email_address', $5, $5, 'verified', true, 'admin', now(), now(), now())"#,
        )
        .bind(instance.as_str())
        .bind(&person.user_id)
        .bind(username)
        .bind(IdentificationId::new(ctx.now, ctx.rng()).as_str())
        .bind(&person.email)
        .execute(&ctx.app.db)
        .await
        .unwrap();
        person
    }

    /// Signs `person` in on `browser`, as a new client; returns the session's id.
    pub async fn sign_in(&self, browser: &Browser, person: &SignedUp) -> String {
        let (session, token) = self.session_of(&self.instance, person).await;
        browser.set_cookie("localhost", "__client", &token);
        session
    }

    /// A session of `person` of `instance` in a new client; returns its id and the client's token.
    pub async fn session_of(&self, instance: &InstanceId, person: &SignedUp) -> (String, String) {
        let ctx = self.ctx().await;
        let token = random::token(ctx.rng());
        let hash = ctx.app.ring.lookup_hash(Lookup::ClientToken, &token);
        let session = SessionId::new(ctx.now, ctx.rng()).to_string();
        sqlx::query(
            r#"with client as (
                   insert into clients (instance_id, id, last_active_session_id, created_at, updated_at)
                   values ($1, $2, $3, now() + $7, now() + $7)),
               token as (
                   insert into client_tokens (instance_id, hash, hash_key_id, client_id, kind, generation, created_at)
                   values ($1, $4, $5, $2, 'browser', 1, now() + $7))
               insert into sessions (instance_id, id, client_id, user_id, status, amr, authenticated_at, expire_at,
                   last_active_at, created_at, updated_at)
               values ($1, $3, $2, $6, 'active', '{pwd}', now() + $7, now() + $7 + interval '400 days', now() + $7,
                   now() + $7, now() + $7)"#,
        )
        .bind(instance.as_str())
        .bind(ClientId::new(ctx.now, ctx.rng()).as_str())
        .bind(&session)
        .bind(hash.as_bytes().as_slice())
        .bind(ctx.app.ring.first_id())
        .bind(&person.user_id)
        .bind(ctx.offset())
        .execute(&ctx.app.db)
        .await
        .unwrap();
        (session, token)
    }

    /// Runs a statement about this instance, whose id is `$1`; `$2` is `value`.
    pub async fn execute(&self, statement: &'static str, value: &str) {
        sqlx::query(statement).bind(self.instance.as_str()).bind(value).execute(&self.app().db).await.unwrap();
    }

    /// Counts rows of this instance, whose id is `$1`; `$2` is `value`.
    pub async fn count(&self, statement: &'static str, value: &str) -> i64 {
        let query = sqlx::query_scalar(statement).bind(self.instance.as_str()).bind(value);
        query.fetch_one(&self.app().db).await.unwrap()
    }
}
