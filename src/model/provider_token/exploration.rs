//! Every order of events of one refresh: two replicas, three callers, a rotating provider; a replica may crash, stall
//! beyond its lease or miss an answer at any step. The steps are those of `actions::provider_token`, the decisions are
//! the very functions that it calls.

use std::collections::{HashSet, VecDeque};

use super::{ArrivalState, Lease, Refusal, Row, Step, TokenDemand, TokenLife, TokenState, decide, judge};
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// How often what may go wrong goes wrong, at most, on one way.
const FAULTS: u8 = 2;

/// Whether the provider takes the token before the newest one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grace {
    None,
    OneBack,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Looks at a row it has read.
    Looking(Row),
    /// Holds the lease and has not sent.
    Taken,
    /// Has sent; the provider has not answered.
    Sent,
    /// Has the provider's answer: a version, or why not.
    Answered(Result<u8, Refusal>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refresh {
    arrival: ArrivalState,
    phase: Phase,
    /// Under the lease: its number, the generation and version it is about, whether an earlier one was unanswered.
    owner: u8,
    generation: i64,
    version: u8,
    was_unanswered: bool,
    is_late: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Caller {
    Away,
    /// Has read the row.
    Came(Row),
    Waiting,
    Got(u8),
    Refused(Refusal),
    /// Its replica crashed, or it was sent away to ask again.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    row: Row,
    /// The version of the stored tokens, and who holds the lease.
    stored: u8,
    owner: u8,
    /// The newest version that the provider gave, and how often it was asked.
    newest: u8,
    asked: u8,
    leases: u8,
    faults: u8,
    refreshes: [Option<Refresh>; 2],
    callers: [Caller; 3],
}

/// The replica that a caller asks.
fn replica(caller: usize) -> usize {
    caller % 2
}

impl World {
    fn new() -> Self {
        let row = Row {
            generation: 1,
            has_access_token: true,
            has_refresh_token: true,
            exchanges_long_lived: false,
            life: TokenLife::Over,
            state: TokenState::Good,
            refusal: None,
            last_refresh_at: None,
            lease: Lease::Free,
        };
        let callers = [Caller::Away, Caller::Away, Caller::Away];
        let refreshes = [None, None];
        Self { row, stored: 1, owner: 0, newest: 1, asked: 0, leases: 0, faults: 0, refreshes, callers }
    }

    fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Everything that may happen next.
    fn next(&self, grace: Grace, most_faults: u8) -> Vec<Self> {
        let mut worlds = Vec::new();
        for caller in 0..self.callers.len() {
            worlds.extend(self.caller_moves(caller));
        }
        for replica in 0..self.refreshes.len() {
            worlds.extend(self.flight_moves(replica, grace));
            if self.faults < most_faults {
                worlds.extend(self.faults_at(replica, grace));
            }
        }
        worlds.retain(|world| world != self);
        worlds
    }

    fn caller_moves(&self, caller: usize) -> Option<Self> {
        match &self.callers[caller] {
            Caller::Away => Some(self.but(|world| world.callers[caller] = Caller::Came(world.row.clone()))),
            Caller::Came(row) => {
                let arrival = ArrivalState::at(row);
                let now = match decide(row, &arrival, TokenDemand::Usable) {
                    Step::HandOut => Caller::Got(self.stored),
                    Step::Refuse(refusal) => Caller::Refused(refusal),
                    Step::Take | Step::Wait => Caller::Waiting,
                };
                Some(self.but(|world| {
                    if now == Caller::Waiting && world.refreshes[replica(caller)].is_none() {
                        let phase = Phase::Looking(row.clone());
                        let (owner, generation, version) = (0, 0, 0);
                        let (was_unanswered, is_late) = (false, false);
                        world.refreshes[replica(caller)] =
                            Some(Refresh { arrival, phase, owner, generation, version, was_unanswered, is_late });
                    }
                    world.callers[caller] = now;
                }))
            }
            _ => None,
        }
    }

    fn flight_moves(&self, at: usize, grace: Grace) -> Option<Self> {
        let refresh = self.refreshes[at].as_ref()?;
        Some(match &refresh.phase {
            Phase::Looking(seen) => match decide(seen, &refresh.arrival, TokenDemand::Usable) {
                Step::HandOut => self.land(at, |world| Caller::Got(world.stored)),
                Step::Refuse(refusal) => self.land(at, |_| Caller::Refused(refusal.clone())),
                Step::Take
                    if self.row.lease != Lease::Held && ArrivalState::at(seen) == ArrivalState::at(&self.row) =>
                {
                    self.take(at)
                }
                // Somebody was faster, or is at work: look again.
                Step::Take | Step::Wait => {
                    self.but(|world| world.set(at, |refresh, row| refresh.phase = Phase::Looking(row.clone())))
                }
            },
            // Its lease may be over by its own clock: it gives up instead of sending.
            Phase::Taken if refresh.is_late => self.but(|world| world.give_back(at)).land(at, |_| Caller::Gone),
            Phase::Taken => self.but(|world| world.set(at, |refresh, _| refresh.phase = Phase::Sent)),
            Phase::Sent => self.but(|world| {
                let answer = world.provide(refresh.version, grace);
                world.set(at, |refresh, _| refresh.phase = Phase::Answered(answer.clone()));
            }),
            Phase::Answered(answer) => self.keep(at, refresh, answer),
        })
    }

    fn set(&mut self, at: usize, change: impl FnOnce(&mut Refresh, &Row)) {
        if let Some(refresh) = self.refreshes[at].as_mut() {
            change(refresh, &self.row);
        }
    }

    fn land(&self, at: usize, outcome: impl Fn(&Self) -> Caller) -> Self {
        self.but(|world| {
            world.refreshes[at] = None;
            for caller in 0..world.callers.len() {
                if replica(caller) == at && world.callers[caller] == Caller::Waiting {
                    world.callers[caller] = outcome(world);
                }
            }
        })
    }

    fn take(&self, at: usize) -> Self {
        self.but(|world| {
            let was_unanswered = world.row.lease == Lease::Left;
            world.leases += 1;
            world.owner = world.leases;
            world.row.lease = Lease::Held;
            let (owner, version) = (world.owner, world.stored);
            world.set(at, |refresh, row| {
                (refresh.owner, refresh.version, refresh.generation) = (owner, version, row.generation);
                (refresh.was_unanswered, refresh.phase) = (was_unanswered, Phase::Taken);
            });
        })
    }

    fn give_back(&mut self, at: usize) {
        let Some(refresh) = &self.refreshes[at] else { return };
        if self.owner == refresh.owner && self.row.lease != Lease::Free {
            self.row.lease = if refresh.was_unanswered { Lease::Left } else { Lease::Free };
        }
    }

    /// The provider's answer to a refresh token.
    fn provide(&mut self, version: u8, grace: Grace) -> Result<u8, Refusal> {
        self.asked += 1;
        let oldest = if grace == Grace::OneBack { self.newest.saturating_sub(1) } else { self.newest };
        if version < oldest {
            return Err(Refusal::new(Reason::RefreshRefused, "invalid_grant"));
        }
        self.newest += 1;
        Ok(self.newest)
    }

    fn keep(&self, at: usize, refresh: &Refresh, answer: &Result<u8, Refusal>) -> Self {
        let look_again = || self.but(|world| world.set(at, |refresh, row| refresh.phase = Phase::Looking(row.clone())));
        if self.row.generation != refresh.generation {
            return look_again();
        }
        match answer {
            Ok(version) => self
                .but(|world| {
                    world.stored = *version;
                    let last_refresh_at = world.tick();
                    world.row = Row {
                        generation: world.row.generation + 1,
                        life: TokenLife::Good,
                        last_refresh_at,
                        has_refresh_token: true,
                        ..Self::new().row
                    };
                })
                .land(at, |world| Caller::Got(world.stored)),
            Err(_) if self.owner != refresh.owner || self.row.lease == Lease::Free => look_again(),
            Err(failed) => {
                let verdict = judge(failed.clone(), refresh.was_unanswered);
                self.but(|world| {
                    world.row.state = verdict.state;
                    world.row.refusal = Some(verdict.refusal.clone());
                    world.row.has_refresh_token &= !verdict.drops_refresh_token;
                    world.row.last_refresh_at = world.tick();
                    world.row.lease = if verdict.is_unanswered { Lease::Left } else { Lease::Free };
                })
                .land(at, |_| Caller::Refused(verdict.refusal.clone()))
            }
        }
    }

    /// Another moment than any before.
    fn tick(&self) -> Option<Timestamp> {
        let last = self.row.last_refresh_at.unwrap_or(Timestamp::UNIX_EPOCH);
        Some(last + time::Duration::SECOND)
    }

    /// A crash, a lease that ends under a living holder, an answer that never comes.
    fn faults_at(&self, at: usize, grace: Grace) -> Vec<Self> {
        let crashed = |mut world: Self| {
            world.faults += 1;
            let held = world.refreshes[at].take().is_some_and(|refresh| refresh.owner == world.owner);
            if held && world.row.lease == Lease::Held {
                world.row.lease = Lease::Left;
            }
            for caller in 0..world.callers.len() {
                if replica(caller) == at && matches!(world.callers[caller], Caller::Waiting | Caller::Came(_)) {
                    world.callers[caller] = Caller::Gone;
                }
            }
            world
        };
        let mut worlds = vec![crashed(self.clone())];
        let Some(refresh) = &self.refreshes[at] else { return worlds };
        if refresh.phase == Phase::Sent {
            // What was sent is done at the provider, whether or not anybody hears the answer.
            let heard = self.but(|world| drop(world.provide(refresh.version, grace)));
            worlds.push(crashed(heard.clone()));
            let timeout = Refusal::new(Reason::ProviderTimeout, "");
            for mut world in [self.clone(), heard] {
                world.faults += 1;
                world.set(at, |refresh, _| refresh.phase = Phase::Answered(Err(timeout.clone())));
                worlds.push(world);
            }
        }
        // An exchange ends within the lease; what a stalled holder does before and after it may be late.
        if self.owner == refresh.owner
            && self.row.lease == Lease::Held
            && matches!(refresh.phase, Phase::Taken | Phase::Answered(_))
        {
            worlds.push(self.but(|world| {
                world.faults += 1;
                world.row.lease = Lease::Left;
                world.set(at, |refresh, _| refresh.is_late = true);
            }));
        }
        worlds
    }

    fn is_final(&self) -> bool {
        self.refreshes.iter().all(Option::is_none)
            && !self.callers.iter().any(|caller| matches!(caller, Caller::Away | Caller::Came(_) | Caller::Waiting))
    }

    /// What must hold between two moments.
    fn check(&self, next: &Self) {
        assert!(next.stored >= self.stored, "an older token replaced a newer one: {self:?} {next:?}");
        assert!(next.stored <= next.newest);
        for caller in &next.callers {
            if let Caller::Got(version) = caller {
                assert!(*version <= next.stored, "somebody saw what is not durable: {next:?}");
            }
            if let Caller::Refused(refusal) = caller {
                assert_ne!(refusal.to_string(), "refresh_refused:invalid_grant", "nobody withdrew it: {next:?}");
            }
        }
        assert!(next.asked <= 1 + next.faults, "asked more often than anything went wrong: {next:?}");
    }
}

/// What somebody gets who asks when all is quiet.
fn asks_once_more(outcome: &World, grace: Grace) -> World {
    let mut world = outcome.clone();
    world.callers = [Caller::Away, Caller::Gone, Caller::Gone];
    if world.row.life == TokenLife::Good {
        world.row.life = TokenLife::Over;
    }
    while !world.is_final() {
        // Without faults there is one way only.
        world = world.next(grace, 0).into_iter().next().expect("nobody waits for ever");
    }
    world
}

/// Explores every order of events; returns how many states there are and in how many the account has to be connected
/// again, now or when somebody asks next.
fn explore(grace: Grace, most_faults: u8) -> (usize, usize) {
    let mut seen = HashSet::from([World::new()]);
    let mut queue = VecDeque::from([World::new()]);
    let mut lost = 0;
    while let Some(world) = queue.pop_front() {
        let next = world.next(grace, most_faults);
        assert!(!next.is_empty() || world.is_final(), "somebody waits for ever: {world:?}");
        if world.is_final() {
            let after = asks_once_more(&world, grace);
            match &after.callers[0] {
                Caller::Got(version) => assert_eq!(*version, after.newest, "an answer was lost silently: {world:?}"),
                Caller::Refused(refusal) => {
                    assert_eq!(refusal.to_string(), "refresh_refused:lost", "{world:?}");
                    assert!(world.stored < world.newest, "nothing was lost: {world:?}");
                    assert_eq!(after.row.state, TokenState::NeedsReconnect);
                    lost += 1;
                }
                other => panic!("{other:?} after {world:?}"),
            }
        }
        for next in next {
            world.check(&next);
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    (seen.len(), lost)
}

#[test]
fn no_order_of_events_loses_a_token_silently() {
    let (states, lost) = explore(Grace::None, FAULTS);
    println!("provider token lease, single-use refresh tokens: {states} states, {lost} ends that need a reconnect");
    assert!(states > 1_000 && lost > 0);
    let (states, lost) = explore(Grace::OneBack, FAULTS);
    println!("provider token lease, refresh tokens with grace: {states} states, {lost} ends that need a reconnect");
    assert!(states > 1_000 && lost > 0, "two answers lost are one too many");
    let (_, lost) = explore(Grace::OneBack, 1);
    assert_eq!(lost, 0, "a provider that takes the last token again loses nothing by one fault");
}

#[test]
fn without_faults_the_provider_is_asked_once_and_all_get_the_same() {
    let mut queue = VecDeque::from([World::new()]);
    let mut seen = HashSet::from([World::new()]);
    while let Some(world) = queue.pop_front() {
        if world.is_final() {
            assert_eq!(world.asked, 1);
            assert!(world.callers.iter().all(|caller| *caller == Caller::Got(2)), "{world:?}");
        }
        for next in world.next(Grace::None, 0) {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
}
