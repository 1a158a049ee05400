//! Lists of users: every published order, pages after a user, and the search.

use std::cmp::Ordering;

use serde_json::json;

use crate::support::TestApp;
use crate::support::browser::Answer;
use crate::support::person::go;
use crate::verification::{code_for, form};
use vestibule::model::id::UserId;
use vestibule::model::search::Names;
use vestibule::store::user_search;

/// Users with and without a value in every column that can be sorted by; created one second after the other.
async fn people(app: &TestApp) -> Vec<Person> {
    let ctx = app.ctx().await;
    let text = |text: &str| Some(text.to_owned());
    let mut people = Vec::new();
    for (number, (first, last, username, email, phone, wallet)) in [
        (text("Zoë"), text("Adler"), text("zoe"), text("zoe@example.com"), None, None),
        (text("ada"), text("Lovelace"), None, text("ada@mail.example"), text("+15550101"), None),
        (text("Ada"), None, text("countess"), None, text("+15550100"), text("0xabc")),
        (None, text("Hopper"), text("grace_h"), text("grace@example.com"), None, text("0xabd")),
        (None, None, None, None, None, None),
        (text("Émile"), text("zola"), None, text("emile@example.com"), None, None),
    ]
    .into_iter()
    .enumerate()
    {
        let id = UserId::new(ctx.now, ctx.rng()).to_string();
        let seconds = i32::try_from(number).unwrap();
        sqlx::query(
            "with listed as (
                 insert into user_listings (instance_id, user_id, first_name, last_name, username)
                 values ($1, $2, $3, $4, lower($5)))
             insert into users (instance_id, id, external_id, first_name, last_name, username, username_key, created_at, updated_at,
                 last_sign_in_at, last_active_at)
             values ($1, $2, $2, $3, $4, $5, lower($5), now() + make_interval(secs => $6), now() - make_interval(secs => $6),
                 case when $6 % 2 = 0 then now() - make_interval(secs => $6) end,
                 case when $6 % 3 = 0 then now() + make_interval(secs => $6) end)",
        )
        .bind(app.instance.as_str())
        .bind(&id)
        .bind(&first)
        .bind(&last)
        .bind(&username)
        .bind(seconds)
        .execute(&app.app().db)
        .await
        .unwrap();
        for (kind, value) in [("email_address", &email), ("phone_number", &phone), ("web3_wallet", &wallet)] {
            let Some(value) = value else { continue };
            sqlx::query(
                "insert into identifications (instance_id, id, user_id, kind, value, value_key, status, is_primary,
                     created_at, updated_at)
                 values ($1, $2, $3, $4, $5, $5, 'unverified', true, now(), now())",
            )
            .bind(app.instance.as_str())
            .bind(format!("idn_{number}_{kind}"))
            .bind(&id)
            .bind(kind)
            .bind(value)
            .execute(&app.app().db)
            .await
            .unwrap();
        }
        let time = |is_there: bool, seconds: i32| is_there.then(|| format!("{:03}", seconds + 100));
        let keys = [
            ("created_at", time(true, seconds)),
            ("updated_at", time(true, -seconds)),
            ("last_sign_in_at", time(seconds % 2 == 0, -seconds)),
            ("last_active_at", time(seconds % 3 == 0, seconds)),
            ("first_name", first.map(|name| name.to_lowercase())),
            ("last_name", last.map(|name| name.to_lowercase())),
            ("username", username),
            ("email_address", email),
            ("phone_number", phone),
            ("web3wallet", wallet),
        ];
        people.push(Person { id, keys });
    }
    people
}

struct Person {
    id: String,
    keys: [(&'static str, Option<String>); 10],
}

fn ids(reply: &Answer) -> Vec<String> {
    let list = reply.json();
    list.as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

async fn listed(app: &TestApp, query: &str) -> Vec<String> {
    ids(&app.backend_get(&format!("/v1/users{query}")).await.expect(200))
}

/// Computes every search term that waits for it, as the job does.
async fn fill(app: &TestApp) {
    while user_search::fill(&app.app().db, 2).await.unwrap() > 0 {}
}

#[tokio::test]
async fn every_order_sorts_both_ways_with_nulls_last() {
    let app = TestApp::start().await;
    let mut people = people(&app).await;
    fill(&app).await;
    for column in 0..10 {
        let name = people[0].keys[column].0;
        for (sign, is_up) in [("-", false), ("%2B", true), ("", true)] {
            people.sort_by(|one, other| {
                let turned = |order: Ordering| if is_up { order } else { order.reverse() };
                match (&one.keys[column].1, &other.keys[column].1) {
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (a, b) => turned(a.cmp(b).then_with(|| one.id.cmp(&other.id))),
                }
            });
            let expected: Vec<&str> = people.iter().map(|person| person.id.as_str()).collect();
            let order = format!("order_by={sign}{name}");
            assert_eq!(listed(&app, &format!("?{order}")).await, expected, "{order}");
            let mut paged = Vec::new();
            for offset in 0..4 {
                paged.extend(listed(&app, &format!("?{order}&limit=2&offset={}", 2 * offset)).await);
            }
            assert_eq!(paged, expected, "{order} in pages");
            let named: String = expected.iter().map(|id| format!("&user_id={id}")).collect();
            assert_eq!(listed(&app, &format!("?{order}{named}")).await, expected, "{order} of users by name");
            assert_eq!(listed(&app, &format!("?{order}&query=user_")).await, expected, "{order} of a search");
        }
    }
}

#[tokio::test]
async fn a_page_begins_after_a_user() {
    let app = TestApp::start().await;
    let people = people(&app).await;
    let oldest: Vec<&str> = people.iter().map(|person| person.id.as_str()).collect();
    let after = |place: usize, more: &str| format!("?starting_after={}{more}", oldest[place]);
    assert_eq!(listed(&app, &after(2, "&order_by=created_at&limit=2")).await, oldest[3..5]);
    assert_eq!(listed(&app, &after(2, "")).await, [oldest[1], oldest[0]]);
    assert_eq!(listed(&app, &after(2, "&query=user_&order_by=created_at")).await, oldest[3..]);
    assert_eq!(listed(&app, &after(0, &format!("&user_id={}&order_by=%2Bcreated_at", oldest[4]))).await, [oldest[4]]);
    assert!(listed(&app, &after(0, "")).await.is_empty());
    let unknown = "?starting_after=user_2O4BCh3zUONvWlZHtBXv6s6tm7u".to_owned();
    let offset = after(2, "&offset=1");
    let order = after(2, "&order_by=first_name");
    for query in [unknown, offset, order, "?starting_after=nobody".to_owned()] {
        let refused = app.backend_get(&format!("/v1/users{query}")).await.expect(422);
        assert_eq!(refused.error_code(), "form_param_value_invalid", "{query}");
        assert_eq!(refused.json()["errors"][0]["meta"]["param_name"], "starting_after");
    }
}

/// What each search finds, by the place of the user in `people`.
const SEARCHES: &[(&str, &[usize])] = &[
    ("ADA", &[1, 2]),
    ("da+love", &[1]),
    ("example.com", &[0, 3, 5]),
    ("hopper", &[3]),
    ("GRACE_", &[3]),
    ("5550100", &[2]),
    ("0xab", &[2, 3]),
    ("nobody", &[]),
    ("ad", &[0, 1, 2]),
    ("A", &[0, 1, 2]),
    ("lo", &[1]),
    ("us", &[]),
];

#[tokio::test]
async fn a_search_finds_parts_of_names_addresses_and_ids() {
    let app = TestApp::start().await;
    let people = people(&app).await;
    let id_part = people[4].id[8..].to_lowercase();
    for is_filled in [false, true] {
        if is_filled {
            fill(&app).await;
        }
        for (text, places) in SEARCHES.iter().copied().chain([(id_part.as_str(), &[4_usize][..])]) {
            let expected: Vec<&str> = places.iter().map(|place| people[*place].id.as_str()).collect();
            let found = listed(&app, &format!("?query={text}&order_by=created_at")).await;
            assert_eq!(found, expected, "{text}, terms computed: {is_filled}");
            let count = app.backend_get(&format!("/v1/users/count?query={text}")).await.expect(200).json();
            assert_eq!(count["total_count"], places.len(), "{text}");
        }
    }
    // The terms of capitals outside ASCII are computed in any locale.
    assert_eq!(listed(&app, "?query=%C3%89MI").await, [people[5].id.clone()]);
    assert_eq!(listed(&app, "?query=%C3%89MI&email_address=emile@example.com").await, [people[5].id.clone()]);
    assert!(listed(&app, "?query=%C3%89MI&email_address=zoe@example.com").await.is_empty());
    assert_eq!(listed(&app, "?query=+").await.len(), 6, "an empty search is none");
}

#[tokio::test]
async fn a_search_follows_what_is_written() {
    let app = TestApp::start().await;
    let people = people(&app).await;
    fill(&app).await;
    let db = &app.app().db;
    let first = &people[0].id;
    for (statement, query, count) in [
        ("update users set last_sign_in_at = now() where id = $1", "adler", 1),
        ("delete from identifications where user_id = $1", "zoe@", 0),
        ("delete from users where id = $1", "adler", 0),
    ] {
        sqlx::query(statement).bind(first).execute(db).await.unwrap();
        for _ in 0..2 {
            assert_eq!(listed(&app, &format!("?query={query}")).await.len(), count, "{statement}");
            fill(&app).await;
        }
    }
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from user_listings where search_terms = '{}'").fetch_one(db).await.unwrap();
    assert_eq!(waiting, 0);
}

/// Somebody without a last name connects an account that tells one, and one with a first name keeps it.
#[tokio::test]
async fn name_that_a_provider_fills_in_is_sorted_and_found_at_once() {
    let app = TestApp::start().await;
    let browser = app.browser();
    app.execute("update instances set settings = settings || $2::jsonb where id = $1", r#"{"attributes": {}}"#).await;
    app.app().forget_directory();
    let fields = [("email_address", "ada@example.com"), ("first_name", "Augusta")];
    let attempt = form(&app, &browser, "/v1/client/sign_ups", &fields).await.expect(200).json()["response"].clone();
    let path = format!("/v1/client/sign_ups/{}", attempt["id"].as_str().unwrap());
    form(&app, &browser, &format!("{path}/prepare_verification"), &[("strategy", "email_code")]).await.expect(200);
    let code = code_for(&app, "ada@example.com").await;
    let done =
        form(&app, &browser, &format!("{path}/attempt_verification"), &[("strategy", "email_code"), ("code", &code)])
            .await;
    let user = done.expect(200).json()["response"]["created_user_id"].as_str().unwrap().to_owned();
    assert!(listed(&app, "?query=lovelace").await.is_empty());

    go(&app, &app.browser(), "sign_ins", "oauth_google", "ada@example.com").await.expect(303);
    let shown = app.backend_get(&format!("/v1/users/{user}")).await.expect(200).json();
    assert_eq!((&shown["first_name"], &shown["last_name"]), (&json!("Augusta"), &json!("Lovelace")));
    // "ta lo" is across both names, so its terms must be of both.
    for query in ["?query=lovelace", "?query=ta+lo", "?query=august", "?order_by=last_name"] {
        assert_eq!(listed(&app, query).await, [user.as_str()], "{query}");
    }
    let waiting = "select count(*) from user_listings where instance_id = $1 and user_id = $2 and search_terms = '{}'";
    assert_eq!(app.count(waiting, &user).await, 0, "nothing waits for a job");
    app.invariants().await;
}

/// Users of one name, each a second younger than the one before, the last of them `age` seconds old; with their terms, or as
/// those whose terms are not computed yet.
async fn crowd(app: &TestApp, name: &str, count: i32, age: i32, has_terms: bool) -> Vec<String> {
    let terms = if has_terms { Names::new(Some(name), None, None).terms(&app.instance, "") } else { Vec::new() };
    sqlx::query_scalar(
        "with made as (
             select 'user_' || lpad(($3 + n)::text, 27, '0') as id, now() - make_interval(secs => $3 + n) as at, n
             from generate_series($2 - 1, 0, -1) n),
         listed as (
             insert into user_listings (instance_id, user_id, first_name, search_terms)
             select $1, id, $4, $5 from made order by n desc)
         insert into users (instance_id, id, external_id, first_name, created_at, updated_at)
         select $1, id, id, $4, at, at from made order by n desc returning id",
    )
    .bind(app.instance.as_str())
    .bind(count)
    .bind(age)
    .bind(name)
    .bind(terms)
    .fetch_all(&app.app().db)
    .await
    .unwrap()
}

/// Names of all the trigrams that are searched for, in another order; and enough newer users that no walk meets the one.
#[tokio::test]
async fn users_who_look_alike_hide_nobody_from_a_search() {
    let app = TestApp::start().await;
    crowd(&app, "abd abcab", 2_100, 20_000, true).await;
    // Behind them in the table and in every index, and before as many others.
    let hidden = crowd(&app, "Zoe Abcabd", 1, 90_000, true).await;
    crowd(&app, "abd abcab", 2_100, 30_000, true).await;
    crowd(&app, "x", 10_000, 0, true).await;
    for order in ["-created_at", "%2Bcreated_at", "first_name", "-updated_at"] {
        assert_eq!(listed(&app, &format!("?query=abcabd&order_by={order}")).await, hidden, "{order}");
    }
    let count = app.backend_get("/v1/users/count?query=abcabd").await.expect(200).json();
    assert_eq!(count["total_count"], 1);
}

/// More users share a word than are taken from an index, all of them older than those whom a walk meets.
#[tokio::test]
async fn search_for_a_word_that_many_old_users_share_is_exact() {
    let app = TestApp::start().await;
    let mut oldest = crowd(&app, "Acme", 2_100, 20_000, false).await;
    oldest.sort_by(|one, other| other.cmp(one));
    crowd(&app, "x", 10_000, 0, true).await;
    for is_filled in [false, true] {
        if is_filled {
            while user_search::fill(&app.app().db, 1_000).await.unwrap() > 0 {}
        }
        let newest: Vec<String> = oldest.iter().rev().cloned().collect();
        assert_eq!(listed(&app, "?query=acme&limit=3").await, newest[..3], "terms computed: {is_filled}");
        assert_eq!(listed(&app, "?query=acme&limit=3&offset=2090").await, newest[2090..2093]);
        assert_eq!(listed(&app, "?query=acme&limit=3&order_by=%2Bcreated_at").await, oldest[..3]);
        let after = format!("?query=acme&limit=3&starting_after={}", newest[999]);
        assert_eq!(listed(&app, &after).await, newest[1000..1003]);
    }
}
