//! `kill -9` at random moments of a refresh at a provider whose refresh tokens work once: no older token ever replaces a
//! newer one, and whatever is lost is reported as "needs to reconnect".

use crate::support::TestApp;
use crate::support::issuer::{Connected, Issuer};
use futures_util::future::join_all;
use std::time::Duration;
use vestibule::crypto::ExposeSecret;
use vestibule::store::provider_tokens;

use super::processes::{Replica, ask, count};

/// Callers at once, over both processes.
const CALLERS: usize = 6;
/// The longest wait before a kill; a refresh takes a fraction of it.
const LATEST: u64 = 40;

/// Writes every stored answer down, in the order of their commits.
const HISTORY: &str = "
    create table history (seq bigserial, generation bigint, access_token_sealed bytea);
    create function note() returns trigger language plpgsql as $$ begin
        insert into vestibule.history (generation, access_token_sealed) values (new.generation, new.access_token_sealed);
        return new;
    end $$;
    create trigger note after update on provider_tokens for each row
        when (new.access_token_sealed is distinct from old.access_token_sealed) execute function note()";

/// What one kill led to.
#[derive(Default)]
struct Counts {
    kills: usize,
    fresh: usize,
    lost: usize,
}

#[tokio::test]
async fn kills_during_refreshes_lose_nothing_silently() {
    let app = TestApp::start().await;
    let issuer = Issuer::start(&app).await;
    sqlx::raw_sql(HISTORY).execute(&app.app().db).await.unwrap();
    let ada = issuer.connect(&app, "ada").await;
    let mut replicas = vec![Replica::start(&app), Replica::start(&app)];
    let mut counts = Counts::default();
    for _ in 0..count("VESTIBULE_KILLS", 10) {
        issuer.expire(&app, &ada).await;
        kill_one(&app, &ada, &mut replicas).await;
        finish_round(&app, &issuer, &ada, &replicas, &mut counts).await;
        replicas.push(Replica::start(&app));
    }
    let stored = history(&app, &ada).await;
    assert!(stored.is_sorted_by(|earlier, later| earlier < later), "an older token replaced a newer one: {stored:?}");
    let Counts { kills, fresh, lost } = counts;
    println!(
        "provider tokens: {kills} kills, {fresh} refreshed, {lost} lost and reported, {} answers stored in order",
        stored.len()
    );
    // Of so many moments, some lie before the provider's answer and some after it; otherwise nothing was tested.
    assert!(kills < 100 || (fresh > 0 && lost > 0), "{fresh} refreshed, {lost} lost");
}

/// Calls both processes and kills one of them at some moment. Leaves the other one, and the dead one's lease over: its
/// 12 s are another test's matter.
async fn kill_one(app: &TestApp, ada: &Connected, replicas: &mut Vec<Replica>) {
    let mut random = [0; 2];
    app.app().rng.fill(&mut random);
    let mut victim = replicas.remove(usize::from(random[0]) % replicas.len());
    let ports = [victim.port, replicas[0].port];
    let path = ada.path();
    let calls = join_all((0..CALLERS).map(|index| ask(ports[index % 2], app, &path)));
    let killed = async {
        tokio::time::sleep(Duration::from_millis(u64::from(random[1]) * LATEST / 255)).await;
        let owner = format!("{}:", victim.kill());
        app.execute(
            "update provider_tokens set refresh_lease_until = now()
             where instance_id = $1 and starts_with(refresh_lease_owner, $2) and refresh_lease_until > now()",
            &owner,
        )
        .await;
    };
    let (answers, ()) = futures_util::join!(calls, killed);
    for answer in answers.into_iter().flatten() {
        assert!(matches!(answer.status.as_u16(), 200 | 400), "{}", answer.text);
    }
}

/// After the kill: either the newest token the provider ever gave, or the report that it was lost.
async fn finish_round(app: &TestApp, issuer: &Issuer, ada: &Connected, replicas: &[Replica], counts: &mut Counts) {
    counts.kills += 1;
    let answer = replicas[0].ask(app, &ada.path()).await.expect("it lives");
    if answer.status == 200 {
        assert_eq!(answer.json()[0]["token"], issuer.newest(ada), "an answer was lost silently");
        counts.fresh += 1;
        return;
    }
    assert_eq!(answer.expect(400).error_code(), "oauth_token_retrieval_error");
    let health = app.backend_get(&ada.health()).await.json();
    assert_eq!((&health["state"], &health["reason"]), (&"needs_reconnect".into(), &"refresh_refused:lost".into()));
    counts.lost += 1;
    issuer.reconnect(app, ada, Some(3600)).await;
    assert_eq!(app.backend_get(&ada.health()).await.json()["state"], "fresh", "a reconnect mends it");
}

/// Every access token that was ever stored: connection and number, in the order of the commits.
async fn history(app: &TestApp, ada: &Connected) -> Vec<(i64, u32, u32)> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("select generation, access_token_sealed from history order by seq")
        .fetch_all(&app.app().db)
        .await
        .unwrap();
    let at = provider_tokens::sealed_at(&app.instance, &ada.account, "access_token_sealed");
    rows.into_iter()
        .map(|(generation, sealed)| {
            let token = app.app().ring.open_text(&at, &sealed).unwrap();
            let (family, number) = token.expose_secret().rsplit_once('-').unwrap();
            let family = family.rsplit('.').next().unwrap();
            (generation, family.parse().unwrap(), number.parse().unwrap())
        })
        .collect()
}
