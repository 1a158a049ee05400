//! Rate limits: those in memory through the routes that declare them, the exact ones over two
//! replicas.

use std::sync::Arc;

use vestibule::config::limits::{Rate, Rates};
use vestibule::context::Ctx;
use vestibule::limits::{self, Exact, Limit, exact};
use vestibule::model::id::ClientId;
use vestibule::model::problem::{Error, Problem};
use vestibule::store::retention::Remover;
use vestibule::store::{directory, instances};

use crate::support::person::{APP, sign_up};
use crate::support::retention::remove;
use crate::support::{Browser, TestApp};
use crate::verification::{code_for, form};

async fn strict(replicas: usize) -> TestApp {
    TestApp::with(replicas, |config| config.limits.relaxed = false).await
}

/// A context of the `index`th replica, as a request from `ip` would have it.
async fn ctx(app: &TestApp, index: usize, ip: &str) -> Ctx {
    let shared = Arc::clone(&app.apps[index]);
    let instance = directory::by_id(&shared.db, &app.instance).await.unwrap().unwrap();
    let mut from = app.ctx().await.from;
    from.ip = Some(ip.parse().unwrap());
    Ctx::new(shared, Arc::new(instance), from)
}

fn stranger(ctx: &Ctx) -> ClientId {
    ClientId::new(ctx.now, ctx.rng())
}

async fn spend(ctx: &Ctx, what: Exact, key: &str) -> Result<Option<exact::Spent>, Box<Problem>> {
    exact::spend(ctx, &mut ctx.db(), what, key).await.map_err(|error| match error {
        Error::Problem(problem) => problem,
        Error::Fault(fault) => panic!("{}", fault.source),
    })
}

#[tokio::test]
async fn two_replicas_count_as_one_to_the_last() {
    let app = strict(2).await;
    let (one, two) = (ctx(&app, 0, "192.0.2.1").await, ctx(&app, 1, "192.0.2.2").await);
    let attempts = (0..60).map(|index| spend(if index % 2 == 0 { &one } else { &two }, Exact::SendFromAddress, "net"));
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 20);
    let refused = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.code().name, "verification_code_too_many_requests");
    assert_eq!(vestibule::http::status::of_problem(&refused), 429);
    assert!((3590..=3600).contains(&refused.retry_after.unwrap()), "{:?}", refused.retry_after);
    assert!(spend(&two, Exact::SendFromAddress, "another").await.is_ok());
    // What is taken back makes room for one, exactly.
    app.advance(std::time::Duration::from_secs(3601)).await;
    let one = ctx(&app, 0, "192.0.2.1").await;
    let mut spent = Vec::new();
    for _ in 0..20 {
        spent.push(spend(&one, Exact::SendFromAddress, "net").await.unwrap().unwrap());
    }
    exact::release(&one, &mut one.db(), &spent[7]).await.unwrap();
    exact::release(&one, &mut one.db(), &spent[7]).await.unwrap();
    assert!(spend(&one, Exact::SendFromAddress, "net").await.is_ok());
    assert!(spend(&one, Exact::SendFromAddress, "net").await.is_err());
}

#[tokio::test]
async fn a_window_slides() {
    let app = strict(1).await;
    let seconds = std::time::Duration::from_secs;
    for _ in 0..5 {
        assert!(spend(&ctx(&app, 0, "192.0.2.1").await, Exact::SendToRecipient, "a@example.com").await.is_ok());
        app.advance(seconds(100)).await;
    }
    // The first was 500 s ago, the window is 600 s.
    let now = ctx(&app, 0, "192.0.2.1").await;
    let refused = spend(&now, Exact::SendToRecipient, "a@example.com").await.unwrap_err();
    assert!((90..=100).contains(&refused.retry_after.unwrap()), "{:?}", refused.retry_after);
    app.advance(seconds(100)).await;
    let now = ctx(&app, 0, "192.0.2.1").await;
    assert!(spend(&now, Exact::SendToRecipient, "a@example.com").await.is_ok());
    assert!(spend(&now, Exact::SendToRecipient, "a@example.com").await.is_err(), "one place came free, not five");
}

#[tokio::test]
async fn what_is_sent_is_counted_with_what_sends_it() {
    let app = strict(1).await;
    let now = ctx(&app, 0, "192.0.2.1").await;
    let send = async |now: &Ctx, commit: bool| {
        let mut db = now.db();
        let mut tx = db.begin().await.unwrap();
        let sent = exact::before_sending(now, &mut tx.connection(), "a@example.com", None, &stranger(now)).await;
        if commit && sent.is_ok() {
            tx.commit().await.unwrap();
        }
        sent.map_err(|error| match error {
            Error::Problem(problem) => problem.retry_after,
            Error::Fault(fault) => panic!("{}", fault.source),
        })
    };
    assert_eq!(send(&now, false).await, Ok(()));
    assert_eq!(send(&now, true).await, Ok(()), "what was rolled back was not sent");
    assert!((29..=30).contains(&send(&now, true).await.unwrap_err().unwrap()));
    // Another recipient, the same address of the network: twenty in all.
    for index in 0..19 {
        exact::before_sending(&now, &mut now.db(), &format!("{index}@example.com"), None, &stranger(&now))
            .await
            .unwrap();
    }
    assert!(exact::before_sending(&now, &mut now.db(), "last@example.com", None, &stranger(&now)).await.is_err());
}

/// 10 000 addresses of one /64 are one address.
#[tokio::test]
async fn addresses_of_one_network_share_an_exact_budget_and_one_in_memory() {
    let app = strict(1).await;
    let mut request = app.ctx().await;
    let mut passed = 0;
    for index in 0..10_000_u128 {
        let ip = std::net::Ipv6Addr::from((0x2001_0db8_0001_0002_u128 << 64) | (index * 0x1_0000_0001));
        request.from.ip = Some(ip.into());
        passed += usize::from(limits::spend(&request, Limit::AttemptProof).is_ok());
    }
    // A slow machine may begin a second window of ten seconds.
    assert!((3..=9).contains(&passed), "{passed}");
    let mut sent = 0;
    for index in 0..40 {
        let from = ctx(&app, 0, &format!("2001:db8:7:7::{index:x}")).await;
        let recipient = format!("{index}@example.com");
        let outcome = exact::before_sending(&from, &mut from.db(), &recipient, None, &stranger(&from)).await;
        sent += usize::from(outcome.is_ok());
    }
    assert_eq!(sent, 20);
}

#[tokio::test]
async fn a_clock_moved_back_an_hour_shuts_nobody_out() {
    let app = strict(1).await;
    let hour = 3_600_000_000;
    let at = async |offset: i64| {
        instances::set_clock_offset(&mut app.ctx().await.db(), offset).await.unwrap();
        ctx(&app, 0, "192.0.2.1").await
    };
    let late = at(hour).await;
    for _ in 0..5 {
        assert!(spend(&late, Exact::SendToRecipient, "a@example.com").await.is_ok());
    }
    assert!(spend(&late, Exact::SendToRecipient, "a@example.com").await.is_err());
    let back = at(0).await;
    for _ in 0..5 {
        assert!(spend(&back, Exact::SendToRecipient, "a@example.com").await.is_ok());
    }
    assert!(spend(&back, Exact::SendToRecipient, "a@example.com").await.is_err());
}

#[tokio::test]
async fn a_limit_of_nothing_is_off() {
    let off = |config: &mut vestibule::config::Config| {
        config.limits.relaxed = false;
        config.limits.rates = config.limits.rates.times(0);
    };
    let app = TestApp::with(1, off).await;
    let now = ctx(&app, 0, "192.0.2.1").await;
    for _ in 0..50 {
        assert!(spend(&now, Exact::SendAgain, "a@example.com").await.unwrap().is_none());
        assert!(limits::spend(&now, Limit::CreateAttempt).is_ok());
    }
}

#[tokio::test]
async fn old_logs_go() {
    let app = strict(1).await;
    let now = ctx(&app, 0, "192.0.2.1").await;
    for key in ["a", "b", "c"] {
        spend(&now, Exact::SendAgain, key).await.unwrap();
    }
    assert_eq!(remove(&app, Remover::RateLimits).await, 0);
    app.advance(std::time::Duration::from_secs(3700)).await;
    spend(&ctx(&app, 0, "192.0.2.1").await, Exact::SendAgain, "c").await.unwrap();
    assert_eq!(remove(&app, Remover::RateLimits).await, 2, "the one in use stays");
}

/// Whoever asks for codes to somebody's address uses up the strangers' share of it, not that of the owner's browser.
#[tokio::test]
async fn asking_for_codes_shuts_nobody_out_of_their_own_browser() {
    let app = TestApp::with(2, |config| {
        config.limits.relaxed = false;
        let rates = config.limits.rates.times(1_000);
        let seconds = std::time::Duration::from_secs;
        let (send_again, send_to_recipient) =
            (Rate { count: 1, window: seconds(30) }, Rate { count: 2, window: seconds(600) });
        config.limits.rates = Rates { send_again, send_to_recipient, ..rates };
    })
    .await;
    let email = "ada@example.com";
    let owner = app.browser();
    sign_up(&app, &owner, "oauth_google", email).await;
    let sign_out = async || {
        owner.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    };
    let ask = async |browser: &Browser| {
        let fields = [("identifier", email), ("strategy", "email_code")];
        form(&app, browser, "/v1/client/sign_ins", &fields).await
    };
    sign_out().await;
    ask(&app.browser()).await.expect(200);
    let refused = ask(&app.browser()).await.expect(429);
    assert_eq!(refused.error_code(), "verification_code_too_many_requests");
    // Her own browser gets its code at once, and comes in.
    let begun = ask(&owner).await.expect(200).json();
    let path = format!("/v1/client/sign_ins/{}/attempt_first_factor", begun["response"]["id"].as_str().unwrap());
    let code = code_for(&app, email).await;
    let done = form(&app, &owner, &path, &[("strategy", "email_code"), ("code", &code)]).await.expect(200).json();
    assert_eq!(done["response"]["status"], "complete");
    sign_out().await;
    // Its share has an end, too; and another user's browser is a stranger like any.
    ask(&owner).await.expect(429);
    app.advance(std::time::Duration::from_secs(31)).await;
    ask(&owner).await.expect(200);
    let zoe = app.browser();
    sign_up(&app, &zoe, "oauth_google", "zoe@example.com").await;
    zoe.post_form(app.url("/v1/client/sessions?_method=DELETE"), APP, &[]).await.expect(200);
    ask(&zoe).await.expect(200);
    app.advance(std::time::Duration::from_secs(31)).await;
    for browser in [&owner, &zoe] {
        ask(browser).await.expect(429);
    }
}
