//! Everything that an attacker and the owner of an address can do to each other, in every order of six moves: the rules
//! themselves decide ([`linking::decide`], [`connecting::decide`], [`sign_in::apply_factor`], [`sign_up::fields`]),
//! over a world of a few users in memory. With all defences nobody ends in the other's account; with any one taken
//! away, somebody does.

mod world;

use std::collections::HashMap;

use super::defences::Defences;
use super::settings::EnumerationProtection;
use world::{Claim, EntryPage, Move, Provider, Rules, Who, World};

/// What each can do. The owner's claims are true, but for one mistaken address at the untrusted provider.
fn moves() -> Vec<(Who, Move)> {
    use Who::{Attacker, Owner};
    let said = |provider, mail| Claim { provider, mail };
    let mut moves = Vec::new();
    for who in [Attacker, Owner] {
        let words: Vec<Claim> = [Provider::Trusted, Provider::Untrusted]
            .into_iter()
            .flat_map(|provider| [said(provider, who), said(provider, Owner)])
            .collect();
        let mut mine: Vec<Move> = Vec::new();
        for said in words {
            mine.extend([
                Move::Social(EntryPage::SignIn, said),
                Move::Social(EntryPage::SignUp, said),
                Move::Connect(said),
            ]);
        }
        for mail in [who, Owner] {
            mine.extend([true, false].map(|password| Move::SignUp { mail, password }));
            mine.push(Move::Password(mail));
        }
        if who == Owner {
            mine.push(Move::Connect(said(Provider::Untrusted, Attacker)));
        } else {
            mine.push(Move::Grant);
        }
        mine.extend([Move::Transfer, Move::Code, Move::Verify, Move::NewPassword]);
        mine.extend([Provider::Trusted, Provider::Untrusted].map(Move::Disconnect));
        for act in mine {
            if !moves.contains(&(who, act)) {
                moves.push((who, act));
            }
        }
    }
    moves
}

/// Visits every world within so many moves; returns how many there are, and the shortest way to a lost one.
fn explore(rules: &Rules, depth: usize) -> (usize, Option<Vec<(Who, Move)>>) {
    let moves = moves();
    let mut seen: HashMap<World, usize> = HashMap::from([(World::default(), 0)]);
    let mut way: Vec<(usize, Option<(Who, Move)>)> = vec![(0, None)];
    let mut edge = vec![(0, World::default())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (number, world) in edge {
            for (who, act) in &moves {
                let after = world.after(rules, *who, *act);
                if after == world || seen.contains_key(&after) {
                    continue;
                }
                let found = way.len();
                way.push((number, Some((*who, *act))));
                if after.is_lost() {
                    return (way.len(), Some(steps_to(&way, found)));
                }
                seen.insert(after.clone(), found);
                next.push((found, after));
            }
        }
        edge = next;
    }
    (way.len(), None)
}

fn steps_to(way: &[(usize, Option<(Who, Move)>)], mut at: usize) -> Vec<(Who, Move)> {
    let mut moves = Vec::new();
    while let (before, Some(act)) = &way[at] {
        moves.push(*act);
        at = *before;
    }
    moves.reverse();
    moves
}

/// How many moves are tried in every order.
const DEPTH: usize = 6;

/// The one setting with millions of worlds is tried a move less deep in the everyday run.
fn depth(rules: &Rules) -> usize {
    let rounds = std::env::var("VESTIBULE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(0);
    let is_full = rounds >= 500_u32;
    let is_large = rules.policy.enumeration == EnumerationProtection::Strict
        && !rules.settings.attributes.email_address.verify_at_sign_up;
    if is_large && !is_full { DEPTH - 1 } else { DEPTH }
}

#[test]
fn no_order_of_moves_lets_the_attacker_into_the_owner_s_account() {
    let all = Rules::all(Defences::ALL);
    let explored: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|rules| scope.spawn(|| explore(rules, depth(rules)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (rules, (states, lost)) in std::iter::zip(&all, &explored) {
        let verify = rules.settings.attributes.email_address.verify_at_sign_up;
        let setting = format!("verify_at_sign_up={verify}, enumeration={:?}", rules.policy.enumeration);
        println!("{states} states within {} moves: {setting}", depth(rules));
        assert_eq!(*lost, None, "{setting}");
    }
    println!("{} states in all", explored.iter().map(|(states, _)| states).sum::<usize>());
}

#[test]
fn any_defence_taken_away_lets_the_attacker_in() {
    let all = Defences::ALL;
    for (name, without) in [
        ("only_trusted_words", Defences { only_trusted_words: false, ..all }),
        ("hostile_until_verified", Defences { hostile_until_verified: false, ..all }),
        ("somebody_else_keeps_out", Defences { somebody_else_keeps_out: false, ..all }),
        ("verification_of_that_address", Defences { verification_of_that_address: false, ..all }),
        ("verified_at_sign_up", Defences { verified_at_sign_up: false, ..all }),
        ("ends_sessions", Defences { ends_sessions: false, ..all }),
        ("removes_accounts", Defences { removes_accounts: false, ..all }),
        ("removes_password", Defences { removes_password: false, ..all }),
        ("revokes_grants", Defences { revokes_grants: false, ..all }),
    ] {
        let found = Rules::all(without).iter().find_map(|rules| explore(rules, DEPTH).1);
        let way = found.unwrap_or_else(|| panic!("without {name} nothing happens: it defends nothing"));
        println!("without {name}:");
        way.iter().for_each(|(who, act)| println!("    {who:?}: {act:?}"));
    }
}
