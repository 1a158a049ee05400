//! Refreshing on request: what is stored, what is handed out, what it costs.

use crate::support::TestApp;
use crate::support::issuer::{Hold, Issuer, Rotation, stored};
use crate::support::person::sign_up;
use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn an_expired_token_is_refreshed_and_a_valid_one_is_not() {
    let app = TestApp::start().await;
    let id = sign_up(&app, &app.browser(), "oauth_google", "ada@example.com").await;
    let path = format!("/v1/users/{id}/oauth_access_tokens/google");
    let first = app.backend_get(&path).await.expect(200).json()[0].clone();
    let again = app.backend_get(&path).await.expect(200).json()[0].clone();
    assert_eq!(first, again);
    app.advance(HOUR).await;
    let fresh = app.backend_get(&path).await.expect(200).json()[0].clone();
    assert_ne!(fresh["token"], first["token"]);
    assert_ne!(fresh["id_token"], first["id_token"]);
    assert!(fresh["expires_at"].as_i64() > first["expires_at"].as_i64());
    assert_eq!(fresh["scopes"], first["scopes"]);
    assert!(fresh.get("refresh_token").is_none());
    let enveloped = app.backend_get(&format!("{path}?paginated=true")).await.expect(200);
    assert_eq!(enveloped.json(), json!({ "data": [fresh], "total_count": 1 }));
    assert_eq!(enveloped.header("cache-control"), Some("no-store"));
    for version in ["2025-11-10", "2026-05-12"] {
        let url = app.url(&path);
        let request = app.browser().raw(http::Method::GET, &url).bearer_auth(&app.secret_key);
        let answer = crate::support::send(request.header("clerk-api-version", version)).await.expect(200);
        assert_eq!(answer.json(), json!([fresh]), "{version}");
    }
}

/// Accounts come before their tokens: an answer waits for a callback with nothing in its hands that the callback wants.
#[tokio::test]
async fn an_answer_waits_for_a_callback_without_the_tokens_in_its_hands() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    let pool = app.db.pool().await;
    let mut callback = pool.begin().await.unwrap();
    sqlx::query("select id from external_accounts for no key update").execute(&mut *callback).await.unwrap();
    let comes_back = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
            and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&app.app().db).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let take = "select external_account_id from provider_tokens for update nowait";
        sqlx::query(take).execute(&mut *callback).await.expect("nobody has the tokens");
        callback.commit().await.unwrap();
    };
    let path = ada.path();
    let (answer, ()) = tokio::join!(app.backend_get(&path), comes_back);
    answer.expect(200);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn nothing_is_refreshed_by_itself() {
    let mut app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    app.start_jobs();
    for _ in 0..24 {
        app.advance(HOUR).await;
        app.backend_get(&ada.health()).await.expect(200);
    }
    assert_eq!(issuer.asked(), 0);
    assert_eq!(app.backend_get(&ada.health()).await.json()["state"], "stale");
    app.backend_get(&ada.path()).await.expect(200);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_refresh_costs_its_caller_three_statements_and_one_upstream_call() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    app.backend_get(&ada.path()).await.expect(200);
    issuer.expire(&app, &ada).await;
    let cost = app.cost(app.backend_get(&ada.path())).await;
    assert_eq!((cost.statements, cost.commits), (3, 1), "{cost:?}");
    let cost = app.cost(app.backend_get(&ada.path())).await;
    assert_eq!((cost.statements, cost.commits), (1, 0), "{cost:?}");
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_rotated_refresh_token_replaces_the_old_one() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    for number in 2..5 {
        issuer.expire(&app, &ada).await;
        let token = app.backend_get(&ada.path()).await.expect(200).json()[0]["token"].clone();
        assert_eq!(token, issuer.newest(&ada));
        assert_eq!(stored(&app, &ada, "refresh_token_sealed").await.unwrap(), format!("rt-{}.0-{number}", ada.account));
    }
}

#[tokio::test]
async fn what_an_answer_does_not_name_stays() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.behave(|it| (it.rotation, it.id_token) = (Rotation::Fixed, true));
    issuer.expire(&app, &ada).await;
    let first = app.backend_get(&ada.path()).await.expect(200).json()[0].clone();
    assert_eq!(first["scopes"], json!(["first"]));
    assert_eq!(stored(&app, &ada, "refresh_token_sealed").await.unwrap(), format!("rt-{}.0-1", ada.account));
    issuer.behave(|it| (it.scope, it.id_token, it.expires_in) = (Some("write read"), false, None));
    issuer.expire(&app, &ada).await;
    let second = app.backend_get(&ada.path()).await.expect(200).json()[0].clone();
    assert_eq!(second["id_token"], first["id_token"], "the newest there is");
    assert_eq!(second["scopes"], json!(["read", "write"]));
    assert!(second["expires_at"].is_null(), "unknown, and nobody guesses");
    let scopes: String = sqlx::query_scalar("select array_to_string(approved_scopes, ' ') from external_accounts")
        .fetch_one(&app.app().db)
        .await
        .unwrap();
    assert_eq!(scopes, "write read");
    app.advance(24 * HOUR).await;
    assert_eq!(app.backend_get(&ada.path()).await.json()[0], second, "without an end nothing is refreshed");
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn many_callers_share_one_refresh() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    let path = ada.path();
    let answers = join_all((0..64).map(|_| app.backend_get(&path))).await;
    for answer in answers {
        assert_eq!(answer.expect(200).json()[0]["token"], issuer.newest(&ada));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn replicas_share_one_refresh_and_its_failure() {
    let mut app = TestApp::replicas(2).await;
    app.start_jobs();
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    let ports = app.ports();
    let ask = |index: usize| {
        let url = format!("http://localhost:{}{}", ports[index % 2], ada.path());
        crate::support::send(app.browser().raw(http::Method::GET, &url).bearer_auth(&app.secret_key))
    };
    issuer.expire(&app, &ada).await;
    for answer in join_all((0..20).map(ask)).await {
        assert_eq!(answer.expect(200).json()[0]["token"], issuer.newest(&ada));
    }
    assert_eq!(issuer.asked(), 1);
    issuer.behave(|it| it.fault = Some((503, "text/plain", "")));
    issuer.expire(&app, &ada).await;
    issuer.close();
    let opened = async {
        issuer.until_asked(2).await;
        issuer.open();
    };
    let (answers, ()) = futures_util::join!(join_all((0..20).map(ask)), opened);
    for answer in answers {
        assert_eq!(answer.expect(400).error_code(), "oauth_token_retrieval_error");
    }
    assert!(issuer.asked() <= 3, "a failure is shared by all who waited for it: {}", issuer.asked());
}

#[tokio::test]
async fn a_refresh_is_stored_although_its_caller_has_gone() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    issuer.close();
    {
        let path = ada.path();
        let mut call = Box::pin(app.backend_get(&path));
        tokio::select! {
            _ = &mut call => panic!("the provider has not answered"),
            () = issuer.until_asked(1) => {}
        }
    }
    issuer.open();
    let answer = app.backend_get(&ada.path()).await.expect(200);
    assert_eq!(answer.json()[0]["token"], format!("at-{}.0-2", ada.account));
    assert_eq!(issuer.asked(), 1, "the second caller found what the first one began");
}

#[tokio::test]
async fn an_answer_waits_until_the_database_takes_it() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    issuer.close();
    let blocked = async {
        issuer.until_asked(1).await;
        let pool = app.db.pool().await;
        let mut blocker = pool.begin().await.unwrap();
        sqlx::query("select from provider_tokens for update").execute(&mut *blocker).await.unwrap();
        issuer.open();
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        // Waits for the lock, is refused it, and waits again.
        for wanted in [1, 0, 1] {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        blocker.rollback().await.unwrap();
    };
    let path = ada.path();
    let (answer, ()) = futures_util::join!(app.backend_get(&path), blocked);
    assert_eq!(answer.expect(200).json()[0]["token"], format!("at-{}.0-2", ada.account));
    assert_eq!((issuer.asked(), stored(&app, &ada, "access_token_sealed").await), (1, Some(issuer.newest(&ada))));
}

#[tokio::test]
async fn an_older_answer_never_replaces_a_newer_one() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let ada = issuer.connect(&app, "ada").await;
    issuer.expire(&app, &ada).await;
    issuer.behave(|it| it.hold = Hold::Answer);
    issuer.close();
    let overtaken = async {
        issuer.until_asked(1).await;
        // Its owner connects the account again while the refresh is under way.
        issuer.reconnect(&app, &ada, Some(3600)).await;
        issuer.open();
    };
    let path = ada.path();
    let (answer, ()) = futures_util::join!(app.backend_get(&path), overtaken);
    let newer = format!("at-{}.1-1", ada.account);
    assert_eq!(answer.expect(200).json()[0]["token"], newer);
    assert_eq!(stored(&app, &ada, "access_token_sealed").await.unwrap(), newer);
}

#[tokio::test]
async fn several_accounts_are_refreshed_side_by_side_and_one_dead_one_blocks_nobody() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    let mut accounts = vec![issuer.connect(&app, "ada").await];
    for _ in 1..6 {
        accounts.push(issuer.connect_to(&app, &accounts[0].user).await);
    }
    let path = accounts[0].path();
    let newest_first: Vec<String> = accounts.iter().rev().map(|one| one.account.to_string()).collect();
    let ids = |list: &serde_json::Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["external_account_id"].as_str().unwrap().to_owned()).collect()
    };
    for account in &accounts {
        issuer.expire(&app, account).await;
    }
    issuer.close();
    let opened = async {
        issuer.until_asked(4).await;
        issuer.open();
    };
    let (all, ()) = futures_util::join!(app.backend_get(&path), opened);
    assert_eq!(ids(&all.expect(200).json()), newest_first);
    assert_eq!((issuer.asked(), issuer.most_at_once()), (6, 4));

    for account in &accounts {
        issuer.expire(&app, account).await;
    }
    issuer.revoke(&accounts[5]);
    let page = app.backend_get(&format!("{path}?paginated=true&limit=2")).await.expect(200).json();
    assert_eq!((ids(&page["data"]), page["total_count"].as_i64()), (vec![newest_first[1].clone()], Some(5)));
    assert_eq!(issuer.asked(), 8, "only the page's accounts are refreshed");
    let next = app.backend_get(&format!("{path}?limit=2&offset=2")).await.expect(200).json();
    assert_eq!(ids(&next), newest_first[2..4]);
    accounts.iter().for_each(|account| issuer.revoke(account));
    for account in &accounts {
        issuer.expire(&app, account).await;
    }
    let none = app.backend_get(&path).await.expect(400);
    assert_eq!(none.error_code(), "oauth_token_retrieval_error");
}
