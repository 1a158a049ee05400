//! Verification of an address: codes and links, their way to the person and back.

mod delivery;
mod enumeration;
mod guesses;
mod links;
mod reverification;
mod sign_in;
mod sign_up;

use crate::support::person::APP;
use crate::support::{Answer, Browser, TestApp};
use serde_json::Value;
use vestibule::actions::client;
use vestibule::actions::verification::issue::{Recipient, VerificationMethod, VerificationRequest, issue};
use vestibule::context::Ctx;
use vestibule::crypto::ExposeSecret;
use vestibule::model::email::EmailAddress;
use vestibule::model::id::ClientId;
use vestibule::model::verification::Role;

/// The newest message to `to` on the development inbox.
pub async fn newest(app: &TestApp, to: &str) -> Value {
    let mut messages = messages(app, to).await;
    assert!(!messages.is_empty(), "no message to {to}");
    messages.remove(0)
}

/// The messages to `to`, the newest first.
pub async fn messages(app: &TestApp, to: &str) -> Vec<Value> {
    let mut url = url::Url::parse(&app.url("/_dev/inbox.json")).unwrap();
    url.query_pairs_mut().append_pair("to", to);
    let list = app.browser().get(url.as_str()).await.expect(200).json();
    list["messages"].as_array().unwrap().clone()
}

/// The code in the newest message to `to`.
pub async fn code_for(app: &TestApp, to: &str) -> String {
    newest(app, to).await["code"].as_str().unwrap().to_owned()
}

/// A form as the SDK posts it.
pub async fn form(app: &TestApp, browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    browser.post_form(app.url(path), APP, fields).await
}

/// A new client.
async fn client_of(ctx: &Ctx) -> ClientId {
    let updated = client::ensure(ctx, None).await.unwrap();
    assert!(!updated.issued.unwrap().token.expose_secret().is_empty());
    updated.client.id
}

/// Asks for a code for the attempt `owner` of `client`.
async fn ask(ctx: &Ctx, client: &ClientId, owner: &str, address: &str) {
    let mut db = ctx.db();
    let mut tx = db.begin().await.unwrap();
    let ask = VerificationRequest {
        owner,
        role: Role::FirstFactor,
        client,
        session: None,
        address: &EmailAddress::parse(address).unwrap(),
        identification: None,
        method: VerificationMethod::Code,
        recipient: Recipient::Owner,
    };
    issue(ctx, &mut tx.connection(), &ask).await.unwrap();
    tx.commit().await.unwrap();
}
