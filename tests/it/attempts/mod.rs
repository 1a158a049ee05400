//! Whatever calls a browser makes, in whatever order and under whatever settings: every answer is a documented one, and
//! nobody is signed in or made a user without what the settings demand.

mod actor;
mod dice;
mod settings;
mod watch;

use actor::Actor;
use dice::Dice;
use vestibule::crypto::SystemRng;
use vestibule::model::random::Rng as _;

use crate::support::TestApp;
use crate::support::processes::rounds;

/// How many calls a browser makes.
const CALLS: usize = 30;

/// `VESTIBULE_SEED` repeats what failed with that seed.
fn seed() -> u64 {
    if let Ok(seed) = std::env::var("VESTIBULE_SEED") {
        return seed.parse().expect("a number");
    }
    let mut bytes = [0; 8];
    SystemRng.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[tokio::test]
async fn no_sequence_of_calls_gets_in_without_what_the_settings_demand() {
    let first = seed();
    let app = TestApp::start().await;
    let mut reached = watch::Reached::default();
    for round in 0..u64::from(rounds()) {
        let seed = first.wrapping_add(round);
        // Shown with what follows if this fails.
        println!("VESTIBULE_SEED={seed} VESTIBULE_ROUNDS=1");
        let mut actor = Actor::enter(&app, Dice::new(seed), round).await;
        for _ in 0..CALLS {
            actor.act().await;
        }
        reached.add(&actor.reached);
    }
    println!("{} rounds: {reached:?}", rounds());
    assert!(rounds() < 100 || reached.is_everything(), "never reached: {reached:?}");
}
