//! Every page in every state, rendered with hostile text in every field, and the rules that hold for all of them.

use std::collections::BTreeSet;

use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use time::macros::datetime;

use super::connections_view::{self, Connection, Connections, Removal};
use super::consent::{Consent, MadeByOperator, ScopeLine};
use super::content_security_policy::FormTarget;
use super::dev_view::{Index, Person};
use super::error::{self, Refused};
use super::fixtures::{Fixed, HOSTILE, development, production};
use super::flows_view::{Detail, List, Mode};
use super::gallery_steps::{codes, fields, popups, resets};
use super::inbox::{Inbox, Message};
use super::link::{self, LinkPage};
use super::markup::Markup;
use super::redirect_params::{EntryPage, RedirectParams};
use super::start_view::{ProviderButton, Start, StartMessage};
use super::user_view::{Account, Email, Profile};
use super::{error_kinds, reasons, redirect_page};
use crate::actions::flow_reader::{Configuration, Shown};
use crate::http::extract::Params;
use crate::model::flow::{Kind, ObservedStatus, Status, StepName, StepOutcome};
use crate::model::id::{FlowId, RequestId};
use crate::model::instance::Instance;
use crate::model::problem::{Problem, code};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::store::flows::{Flow, Step};

fn reference() -> RequestId {
    RequestId::new(Timestamp::UNIX_EPOCH, &Fixed(2))
}

fn finished(refused: impl IntoResponse) -> Response {
    error::complete(refused.into_response(), true, reference().as_str())
}

fn buttons(count: usize) -> Vec<ProviderButton> {
    let button = |index: usize| ProviderButton {
        key: format!("custom_{index}"),
        name: format!("{HOSTILE} {index}"),
        was_last: index == 1,
        leads_to: FormTarget::of_url(&format!("https://provider{index}.example/authorize?x=1")),
    };
    (0..count).map(button).collect()
}

fn start(instance: &Instance, entry: EntryPage, providers: usize, remark: StartMessage) -> Response {
    let query = Params::from_form(b"redirect_url=/%22%3E%3Cscript%3E&after_sign_up_url=//evil.example").unwrap();
    let redirects = RedirectParams::read(instance, entry, &query);
    let start = Start {
        instance,
        entry,
        redirects: &redirects,
        beyond: None,
        csrf: HOSTILE.to_owned(),
        providers: buttons(providers),
        fields: if providers == 2 { fields(None) } else { Vec::new() },
        forgot: (entry == EntryPage::SignIn).then(|| "/sign-in/reset-password?a=1&b=\"".to_owned()),
        remark,
    };
    start.render()
}

fn starts(instance: &Instance) -> Vec<Response> {
    let remarks = [
        StartMessage::None,
        StartMessage::FlashMessage(HOSTILE.to_owned()),
        StartMessage::Problem(HOSTILE.to_owned(), StatusCode::UNPROCESSABLE_ENTITY),
        StartMessage::Wait(9),
    ];
    let mut pages = Vec::new();
    for entry in [EntryPage::SignIn, EntryPage::SignUp] {
        for providers in [0, 1, 2, 9] {
            pages.extend(remarks.iter().map(|remark| start(instance, entry, providers, remark.clone())));
        }
    }
    pages
}

fn consents(instance: &Instance) -> Vec<Response> {
    let uris =
        ["https://app.example/cb?a=%22%27&b", "http://127.0.0.1:9/cb", "com.example.app:/cb'&", "http://[::1]:9/cb"];
    let scopes = ["email", "openid", "private_metadata", HOSTILE].map(ScopeLine::of).to_vec();
    let page = |uri, vouched, scopes| {
        let consent = Consent {
            instance,
            client: HOSTILE,
            vouched,
            account: HOSTILE,
            other_account: Some("/sign-in?a=1&b=2".to_owned()),
            scopes,
            redirect_uri: uri,
            action: "/v1/me/oauth/consent/x?a=1&b=2".to_owned(),
            csrf: Some(HOSTILE.to_owned()),
            parameters: vec![("state".to_owned(), HOSTILE.to_owned()), (HOSTILE.to_owned(), String::new())],
        };
        consent.render()
    };
    let mut pages: Vec<Response> = uris.iter().map(|uri| page(uri, MadeByOperator::Yes, scopes.clone())).collect();
    pages.extend(uris.iter().map(|uri| page(uri, MadeByOperator::No, Vec::new())));
    pages
}

fn profiles(instance: &Instance) -> Vec<Response> {
    let text = || HOSTILE.to_owned();
    let email = |is_primary, is_verified| Email { address: text(), is_primary, is_verified, linked_to: vec![text()] };
    let account = |needs_attention| Account {
        provider: text(),
        name: Some(text()),
        since: text(),
        needs_attention,
        token: Some(text()),
    };
    let full = Profile {
        identifier: text(),
        name: Some(text()),
        username: Some(text()),
        emails: vec![email(true, true), email(false, false)],
        accounts: vec![account(true), account(false)],
        since: datetime!(2026-11-21 10:00 UTC),
        until: datetime!(2026-11-28 10:00 UTC),
        csrf: text(),
    };
    let bare = Profile { name: None, username: None, emails: Vec::new(), accounts: Vec::new(), ..full.clone() };
    vec![full.render(instance), bare.render(instance)]
}

fn connections(instance: &Instance) -> Vec<Response> {
    let text = || HOSTILE.to_owned();
    let account = |id: &str, is_bad: bool| Connection {
        id: id.to_owned(),
        provider: text(),
        name: Some(text()),
        email: Some(text()),
        scopes: vec![text(), text()],
        since: (!is_bad).then(text),
        token: (!is_bad).then(text),
        problem: is_bad.then(text),
        needs_reconnect: is_bad,
    };
    let page = |accounts, remark| Connections {
        instance,
        accounts,
        offered: buttons(2),
        leads_to: Vec::new(),
        remark,
        csrf: text(),
    };
    let done = |key| connections_view::ConnectionsMessage::Done(key);
    let removal = |problem| Removal { instance, account: account("eac_1", false), problem, csrf: text() };
    vec![
        page(Vec::new(), connections_view::ConnectionsMessage::None).render(),
        page(vec![account("eac_1", false)], connections_view::ConnectionsMessage::None).render(),
        page(vec![account("eac_1", false), account("eac_2", true)], connections_view::ConnectionsMessage::None)
            .render(),
        page(vec![account("eac_1", false)], done(connections_view::Done::Connected)).render(),
        page(vec![account("eac_1", false)], done(connections_view::Done::Removed)).render(),
        page(Vec::new(), connections_view::ConnectionsMessage::Problem(text())).render(),
        page(Vec::new(), connections_view::ConnectionsMessage::Wait(7)).render(),
        removal(None).render(),
        removal(Some(text())).render(),
    ]
}

fn errors(instance: &Instance) -> Vec<Response> {
    let mut pages: Vec<Response> = code::ALL
        .iter()
        .map(|code| {
            let problem = Problem::new(*code).param(HOSTILE).explain(HOSTILE).retry_after(3);
            finished(Refused::new(Some(instance), problem).client(HOSTILE).detail(HOSTILE))
        })
        .collect();
    for reason in Reason::ALL {
        let problem = Problem::from(code::OAUTH_CALLBACK_INVALID);
        pages.push(finished(Refused::of_reason(instance, problem.clone(), *reason, "")));
        let Some(key) = reasons::text_key(*reason, "unprovable") else { continue };
        let start = "/sign-in?redirect_url=a&b=\"";
        let refused = Refused::new(Some(instance), problem);
        pages.push(finished(refused.with_text(instance, key, Some(HOSTILE), start, Some("https://app.example/?a&b"))));
    }
    pages.push(finished(error::not_found()));
    pages
}

/// Pages of the Flow inspector, in every state.
fn flows(instance: &Instance) -> Vec<Response> {
    let text = || Some(HOSTILE.to_owned());
    let flow = Flow {
        id: FlowId::new(Timestamp::UNIX_EPOCH, &Fixed(3)),
        kind: Kind::Authorize,
        status: Status::Failed,
        reason: Some(Reason::ProviderTimeout),
        detail: text(),
        provider: text(),
        application_id: text(),
        client_id: None,
        user_id: text(),
        session_id: text(),
        config_hash: None,
        decision_sealed: None,
        started_at: datetime!(2026-11-21 10:00 UTC),
        ended_at: Some(datetime!(2026-11-21 10:01 UTC)),
        last_step_at: None,
        last_step: None,
    };
    let step = Step {
        name: StepName::TokenExchange,
        outcome: StepOutcome::Failed,
        reason: Some(Reason::ProviderTimeout),
        duration_ms: Some(7),
        detail: serde_json::json!({ HOSTILE: HOSTILE, "list": [HOSTILE] }),
        request_id: text(),
        occurred_at: datetime!(2026-11-21 10:00 UTC),
    };
    let mut pages =
        vec![List { instance, flows: &[], mode: Mode::Live { still: "/_dev/flows?user=%3C".to_owned() } }.render()];
    for status in ObservedStatus::ALL.iter().copied() {
        pages.push(
            List {
                instance,
                flows: &[(flow.clone(), status)],
                mode: Mode::Still { live: "/_dev/flows?live=1".to_owned() },
            }
            .render(),
        );
        let shown = Shown {
            status,
            hint: text(),
            same_today: 3,
            configuration: Some(Configuration { hash: "0".repeat(64), differs: status == ObservedStatus::Open }),
            steps: vec![step.clone(), step.clone()],
            flow: flow.clone(),
        };
        pages.push(Detail { instance, shown: &shown }.render());
    }
    pages
}

fn gallery() -> Vec<Response> {
    let mut pages = Vec::new();
    for instance in [production(), development()] {
        pages.extend(starts(&instance));
        pages.extend(codes(&instance));
        pages.extend(consents(&instance));
        pages.extend(profiles(&instance));
        pages.extend(connections(&instance));
        pages.extend(errors(&instance));
        pages.push(redirect_page::go(&instance, "com.example.app:/cb?a=1&b='"));
        pages.push(redirect_page::form_post(
            &instance,
            "https://app.example/cb?a=1&b=2",
            &[("state", HOSTILE), ("code", "x")],
        ));
        let people = vec![Person { hint: HOSTILE.to_owned(), name: HOSTILE.to_owned() }];
        let index = |people| Index {
            instance: &instance,
            people,
            links: vec!["/sign-in"],
            action: "/_dev".to_owned(),
            csrf: HOSTILE.to_owned(),
            form_action: Vec::new(),
        };
        pages.extend(flows(&instance));
        pages.extend(popups(&instance));
        pages.extend(resets(&instance));
        pages.push(index(people).render());
        pages.push(index(Vec::new()).render());
        let text = || HOSTILE.to_owned();
        let message = Message { to: text(), subject: text(), at: text(), code: Some(text()), link: None, text: text() };
        let linked =
            Message { code: None, link: Some("https://id.example/v1/verify?token=a&b".to_owned()), ..message.clone() };
        pages.push(Inbox { instance: &instance, messages: vec![message, linked] }.render());
        pages.push(Inbox { instance: &instance, messages: Vec::new() }.render());
        for state in link::State::ALL {
            let page = LinkPage { csrf: text(), token: text(), ..LinkPage::new(&instance, state, "/sign-in?a=1&b=\"") };
            pages.push(page.render());
        }
    }
    pages
}

async fn html(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// The value of the one tag attribute that tells pages and states apart.
fn of_main<'a>(markup: &'a Markup, attribute: &str) -> &'a str {
    &markup.named("main").next().unwrap().attributes[attribute]
}

fn check(html: &str) {
    // Reading fails on any quote or bracket that was not escaped.
    let markup = Markup::read(html);
    assert!(!html.contains(HOSTILE) && !html.contains("<script>"), "{html}");
    assert!(html.len() < 30 * 1024);
    let state = of_main(&markup, "data-state");
    assert!(!of_main(&markup, "data-page").is_empty() && !state.is_empty());

    let ids: Vec<&str> = markup.values("id").collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "ids are unique: {ids:?}");
    for attribute in ["for", "aria-labelledby", "aria-describedby", "data-copies"] {
        for id in markup.values(attribute).flat_map(str::split_whitespace) {
            assert!(unique.contains(id), "{attribute} names {id}, which is not there");
        }
    }
    for tag in &markup.tags {
        for attribute in tag.attributes.keys() {
            assert!(attribute != "style" && !attribute.starts_with("on"), "{tag:?}");
        }
        if tag.name == "script" {
            assert!(tag.attributes["src"].starts_with("/assets/"), "{tag:?}");
        }
        if tag.name == "input" && tag.attributes["type"] != "hidden" {
            let has_label = markup.values("for").any(|id| id == tag.attributes["id"]);
            assert!(has_label, "a visible field needs a label: {tag:?}");
        }
        if tag.name == "a" {
            let href = &tag.attributes["href"];
            let is_known = ["/", "https://", "http://", "mailto:"].iter().any(|begin| href.starts_with(begin));
            assert!(is_known || href.is_empty() || of_main(&markup, "data-page") == "go", "{tag:?}");
        }
    }
    assert_eq!(markup.named("h1").count(), 1);
    for landmark in ["header", "main", "footer", "title"] {
        assert_eq!(markup.named(landmark).count(), 1, "{landmark}");
    }
    let is_error = html.contains("<title>Error: ");
    assert_eq!(is_error, state.starts_with("error.") || html.contains("id=\"reference\""), "{state}");
    assert!(markup.text.contains("Vestibule"));
}

#[tokio::test]
async fn every_state_renders_and_keeps_the_rules_of_all_pages() {
    let mut seen = BTreeSet::new();
    for page in gallery() {
        let html = html(page).await;
        check(&html);
        let markup = Markup::read(&html);
        seen.insert(format!("{} {}", of_main(&markup, "data-page"), of_main(&markup, "data-state")));
    }
    for state in ["empty", "error.provider", "notice", "no-methods", "only-provider", "rate-limited"] {
        assert!(seen.contains(&format!("sign-in.start {state}")), "{state}");
    }
    for state in ["ask", "ask.unverified", "ask.loopback"] {
        assert!(seen.contains(&format!("oauth.consent {state}")), "{state}");
    }
    for state in ["continue.email-needed", "error.field", "rate-limited"] {
        assert!(seen.contains(&format!("sign-up.continue {state}")), "{state}");
    }
    let states = ["empty", "connections", "needs-attention", "reconnected", "remove.confirm", "error.remove"];
    for state in states.into_iter().chain(["rate-limited"]) {
        assert!(seen.contains(&format!("user.connections {state}")), "{state}");
    }
    for state in ["reset.begin", "reset.new", "error.reset", "rate-limited", "code", "error.code", "methods"] {
        assert!(seen.contains(&format!("sign-in.reset {state}")), "{state}");
    }
    for state in ["password", "code", "methods", "error.code", "error.credentials"] {
        assert!(seen.contains(&format!("user.reverify {state}")), "{state}");
        assert!(seen.contains(&format!("sign-in.factor-one {state}")), "{state}");
    }
    for state in ["no-opener", "refused"] {
        assert!(seen.contains(&format!("popup.callback {state}")), "{state}");
    }
    for kind in error_kinds::ALL.iter().filter(|kind| kind.status != StatusCode::GONE) {
        assert!(seen.contains(&format!("error {}", kind.state)), "{}", kind.state);
    }
    let shown = Reason::ALL.iter().filter_map(|reason| reasons::text_key(*reason, ""));
    for key in shown {
        let of_flow = format!("provider.error {key}");
        assert!(seen.contains(&of_flow) || seen.contains(&format!("error {key}")), "{key}");
    }
}

#[tokio::test]
async fn details_are_for_developers() {
    let refused = |instance: Instance| {
        let problem = Problem::new(code::FORM_PARAM_MISSING).param("redirect_uri").explain("one was expected");
        Refused::new(Some(&instance), problem).detail("and more")
    };
    let shown = html(finished(refused(development()))).await;
    assert!(shown.contains("form_param_missing (redirect_uri): one was expected") && shown.contains("and more"));
    let hidden = html(finished(refused(production()))).await;
    assert!(!hidden.contains("one was expected") && !hidden.contains("and more") && !hidden.contains("<details"));
    assert!(hidden.contains(reference().as_str()));
}

#[tokio::test]
async fn programs_get_json_and_the_headers_given_on_the_way_stay() {
    let mut refused = error::refusal(Some(&production()), Problem::new(code::TOO_MANY_REQUESTS).retry_after(7).into());
    refused.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
    let answer = error::complete(refused, false, reference().as_str());
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(answer.headers()["set-cookie"], "a=b");
    let body: serde_json::Value = serde_json::from_str(&html(answer).await).unwrap();
    assert_eq!(body["errors"][0]["code"], "too_many_requests");
}

#[tokio::test]
async fn deny_stands_before_allow_and_a_start_page_names_where_it_leads() {
    let consent = consents(&production()).remove(0);
    let policy = consent.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("form-action 'self' https://app.example;"), "{policy}");
    let body = html(consent).await;
    assert!(body.find("id=\"consent-deny\"").unwrap() < body.find("id=\"consent-allow\"").unwrap());
    assert!(body.find("private details").unwrap() < body.find("email address").unwrap(), "sensitive scopes come first");

    let page = start(&production(), EntryPage::SignIn, 2, StartMessage::None);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let expected = "form-action 'self' https://provider0.example https://provider1.example https://id.example;";
    assert!(policy.contains(expected), "{policy}");
    assert!(!page.headers().contains_key("x-robots-tag") && !page.headers().contains_key("cross-origin-opener-policy"));
    let profile = profiles(&production()).remove(0);
    assert_eq!(profile.headers()["cross-origin-opener-policy"], "same-origin");
    assert_eq!(profile.headers()["x-robots-tag"], "noindex, nofollow");
}
