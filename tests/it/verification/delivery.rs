//! The way of a message: over SMTP, into a directory, or onto the inbox page.

use super::{ask, client_of, messages, newest};
use crate::support::smtp::{Offers, Smtp, authority};
use crate::support::{TestApp, scratch};
use std::time::{Duration, Instant};
use vestibule::actions::verification::can_send;
use vestibule::model::instance::Environment;
use vestibule::outbound::mail::{MailConfig, MailError, MailRoute, Mailer, OutgoingMail};

const ADA: &str = "ada@example.com";
const OWNER: &str = "sia_2O4BCh3zUONvWlZHtBXv6s6tm7u";

/// Waits until `done` is true.
#[track_caller]
fn eventually(done: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{place}: never");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_code_travels_over_smtp() {
    let smtp = Smtp::start();
    let mut app = TestApp::with(1, |config| config.email = Some(smtp.config())).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    assert!(messages(&app, ADA).await.is_empty(), "what a mail server delivers is not stored");
    app.start_jobs();
    eventually(|| !smtp.handed().is_empty()).await;
    let handed = smtp.handed().remove(0);
    assert!(handed.from.contains("no-reply@acme.example"), "{handed:?}");
    assert_eq!(handed.to, [format!("<{ADA}>")]);
    assert_eq!(handed.login.as_deref(), Some("AHZlc3RpYnVsZQBodW50ZXIy"), "\\0vestibule\\0hunter2");
    let subject = handed.data.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
    let code: String = subject.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(code.len(), 6, "{subject}");
    assert!(subject.starts_with("[Development] "), "{subject}");
    assert_eq!(handed.data.matches(&code).count(), 4, "subject, text, HTML and its title:\n{}", handed.data);
    for part in ["From: Acme <no-reply@acme.example>", "Reply-To: help@acme.example", "text/plain", "text/html"] {
        assert!(handed.data.contains(part), "{part}:\n{}", handed.data);
    }
    let id: String =
        sqlx::query_scalar("select id from outbox where kind = 'mail'").fetch_one(&app.app().db).await.unwrap();
    assert!(handed.data.contains(&format!("Message-ID: <{id}@acme.example>")), "{}", handed.data);
}

/// A day later nothing tells any more who was written to, and what: of a message that was delivered, and of one that no mail
/// server took.
#[tokio::test]
async fn content_of_a_message_is_gone_a_day_later() {
    let smtp = Smtp::start();
    let mut app = TestApp::with(1, |config| config.email = Some(smtp.config())).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    let day_old = async |n: &str| {
        let age = "update outbox set id = $2, created_at = now() - interval '24 h 1 min' where instance_id = $1
            and kind = 'mail' and id > 'msg_1'";
        app.execute(age, &format!("msg_0{n}")).await;
    };
    ask(&ctx, &client, OWNER, ADA).await;
    day_old("delivered").await;
    app.execute("update outbox set done_at = created_at where instance_id = $1 and id = $2", "msg_0delivered").await;
    ask(&ctx, &client, "sia_2O4BCh3zUONvWlZHtBXv6s6tm7v", "bob@example.com").await;
    day_old("waiting").await;
    ask(&ctx, &client, "sia_2O4BCh3zUONvWlZHtBXv6s6tm7w", "cyd@example.com").await;
    let stored = "select count(*) from outbox where instance_id = $1 and kind = $2 and payload_sealed is not null";
    assert_eq!(app.count(stored, "mail").await, 3);
    app.program().run(&["prune"]).expect(0);
    assert_eq!(app.count(stored, "mail").await, 1, "what is younger stays");
    let given_up = "select count(*) from outbox where instance_id = $1 and id = $2 and failed_at is not null
        and last_error is not null";
    assert_eq!(app.count(given_up, "msg_0waiting").await, 1);
    assert_eq!(app.count(given_up, "msg_0delivered").await, 0);
    app.start_jobs();
    eventually(|| !smtp.handed().is_empty()).await;
    app.stop_jobs().await;
    let handed = smtp.handed();
    assert!(handed.len() == 1 && handed[0].to == ["<cyd@example.com>"], "{handed:?}");
}

/// By both ways of TLS, with an authority of the operator's own; the login travels under it.
#[tokio::test]
async fn a_code_travels_over_tls() {
    for (offers, scheme) in [(Offers::Tls, "smtps"), (Offers::StartTls, "smtp+starttls")] {
        let smtp = Smtp::offering(offers);
        let mut app = TestApp::with(1, |config| {
            config.email = Some(smtp.config_by(scheme));
            config.outbound.ca_file = Some(authority());
        })
        .await;
        let ctx = app.ctx().await;
        let client = client_of(&ctx).await;
        ask(&ctx, &client, OWNER, ADA).await;
        app.start_jobs();
        eventually(|| !smtp.handed().is_empty()).await;
        let handed = smtp.handed().remove(0);
        assert!(handed.is_protected, "{scheme}");
        assert_eq!(handed.to, [format!("<{ADA}>")]);
        assert_eq!(handed.login.as_deref(), Some("AHZlc3RpYnVsZQBodW50ZXIy"));
        assert!(handed.data.contains("is your ") && handed.data.contains("text/html"), "{}", handed.data);
        let clear = smtp.heard_in_the_clear();
        assert!(clear.iter().all(|verb| verb == "EHLO" || verb == "STAR"), "{scheme}: {clear:?}");
    }
}

/// Sends a letter without the way of the outbox: the refusal that it would be tried again for.
async fn refused(config: &MailConfig, trusting: bool) -> String {
    let authority = authority();
    let mailer = Mailer::new(config, trusting.then_some(authority.as_path())).unwrap();
    let text = || "ada".to_owned();
    let letter =
        OutgoingMail { id: "msg_1".to_owned(), to: ADA.to_owned(), subject: text(), text: text(), html: text() };
    match mailer.send(letter).await {
        Err(error @ MailError::Unreachable(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_gets_nothing() {
    for (offers, scheme) in [(Offers::Tls, "smtps"), (Offers::StartTls, "smtp+starttls")] {
        let smtp = Smtp::offering(offers);
        let error = refused(&smtp.config_by(scheme), false).await;
        assert!(error.ends_with("its certificate is not trusted"), "{scheme}: {error}");
        // Trusted, but another's: the certificate names 127.0.0.1 and idp.example.
        let mut config = smtp.config_by(scheme);
        if let MailRoute::Smtp(server) = &mut config.route {
            server.host = "localhost".to_owned();
        }
        let error = refused(&config, true).await;
        assert!(error.ends_with("its certificate is not trusted"), "{scheme}: {error}");
        assert!(smtp.handed().is_empty());
        let clear = smtp.heard_in_the_clear();
        assert!(clear.iter().all(|verb| verb == "EHLO" || verb == "STAR"), "{scheme}: {clear:?}");
    }
}

#[tokio::test]
async fn where_tls_is_demanded_a_server_without_it_gets_nothing() {
    let plain = Smtp::start();
    let error = refused(&plain.config_by("smtp+starttls"), true).await;
    assert!(error.ends_with("it offers no TLS, or no login that we know"), "{error}");
    let error = refused(&plain.config_by("smtps"), true).await;
    assert!(error.ends_with("no TLS"), "{error}");
    assert!(plain.handed().is_empty());
    let clear = plain.heard_in_the_clear();
    assert!(!clear.iter().any(|verb| ["AUTH", "MAIL", "DATA"].contains(&verb.as_str())), "{clear:?}");
}

#[tokio::test]
async fn refused_mail_is_retried_and_its_error_reveals_nothing() {
    let smtp = Smtp::start();
    smtp.refuse(1);
    let mut app = TestApp::with(1, |config| config.email = Some(smtp.config())).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    app.start_jobs();
    let begun = Instant::now();
    let error = loop {
        let error: Option<String> = sqlx::query_scalar("select last_error from outbox where kind = 'mail'")
            .fetch_one(&app.app().db)
            .await
            .unwrap();
        if let Some(error) = error {
            break error;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(error.contains("451"), "{error}");
    assert!(!error.contains("person.example") && !error.contains("ada"), "{error}");
    app.execute("update outbox set run_at = now() where instance_id = $1 and kind = 'mail' and $2 = ''", "").await;
    eventually(|| !smtp.handed().is_empty()).await;
}

#[tokio::test]
async fn a_mail_that_comes_too_late_is_dropped() {
    let smtp = Smtp::start();
    let app = TestApp::with(1, |config| config.email = Some(smtp.config())).await;
    let ctx = app.ctx().await;
    let mail = vestibule::actions::verification::delivery::Mail {
        to: ADA.to_owned(),
        subject: "Late".to_owned(),
        text: "late".to_owned(),
        html: "late".to_owned(),
        code: None,
        link: None,
        until: 0,
    };
    let at = vestibule::store::outbox::payload_at(app.instance.as_str(), "msg_1");
    let sealed = ctx.app.ring.seal(ctx.rng(), &at, &serde_json::to_vec(&mail).unwrap()).unwrap();
    let taken = vestibule::store::outbox::ClaimedEffect {
        instance: app.instance.to_string(),
        id: "msg_1".to_owned(),
        kind: Ok(vestibule::store::outbox::Kind::Mail),
        attempts: 1,
        payload_sealed: Some(sealed),
    };
    vestibule::actions::verification::delivery::deliver(app.app(), &taken).await.unwrap();
    assert!(smtp.handed().is_empty());
}

#[tokio::test]
async fn a_directory_takes_one_file_per_message() {
    let directory = tempfile::tempdir_in(scratch()).unwrap();
    let config = MailConfig {
        route: MailRoute::parse(&format!("file:{}", directory.path().display())).unwrap(),
        from: "no-reply@acme.example".parse().unwrap(),
        reply_to: None,
    };
    let mut app = TestApp::with(1, |settings| settings.email = Some(config)).await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    ask(&ctx, &client, OWNER, ADA).await;
    app.start_jobs();
    let files = || std::fs::read_dir(directory.path()).unwrap().flatten().collect::<Vec<_>>();
    eventually(|| files().iter().any(|file| std::fs::metadata(file.path()).is_ok_and(|file| file.len() > 0))).await;
    let text = std::fs::read_to_string(files()[0].path()).unwrap();
    assert!(text.contains("To: ada@example.com"), "{text}");
}

#[tokio::test]
async fn the_inbox_page_shows_codes_on_development_instances_alone() {
    let app = TestApp::start().await;
    let ctx = app.ctx().await;
    let client = client_of(&ctx).await;
    assert!(app.browser().get(app.url("/_dev/inbox")).await.expect(200).text.contains("data-state=\"empty\""));
    ask(&ctx, &client, OWNER, ADA).await;
    let message = newest(&app, ADA).await;
    let code = message["code"].as_str().unwrap();
    assert!(message["subject"].as_str().unwrap().contains(code));
    assert!(message["text"].as_str().unwrap().contains(code) && message["html"].as_str().unwrap().contains(code));
    let page = app.browser().get(app.url("/_dev/inbox")).await.expect(200);
    assert!(page.text.contains(code) && page.text.contains("data-state=\"list\""), "{}", page.text);
    let mut production = (*ctx.instance).clone();
    production.environment = Environment::Production;
    assert!(can_send(app.app(), &ctx.instance));
    assert!(!can_send(app.app(), &production), "without a mail server a production instance verifies no address");
    let off = TestApp::with(1, |config| config.dev.pages = false).await;
    for path in ["/_dev/inbox", "/_dev/inbox.json"] {
        off.browser().get(off.url(path)).await.expect(404);
    }
}
