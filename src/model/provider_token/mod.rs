//! A provider's token: what its row says, what to do about it, and what an attempt to refresh it leaves behind. Pure,
//! so that the server and the exploration of every order of events (`exploration`) run the same decisions.
//!
//! The promise: every answer that we received completely is durable before anyone sees it; an older token never
//! replaces a newer one; whatever is lost in between is reported as "needs to reconnect", never silently.
//!
//! One refresh at a time, over all replicas, by a lease in the row. A lease that ends without an answer being stored is
//! *left*: its owner stays in the row, because the provider may have replaced the refresh token meanwhile. Only a
//! stored answer, or a refusal that says the token is dead, wipes it away.

#[cfg(test)]
mod exploration;
mod refusal;

pub use refusal::{Refusal, Verdict, judge};

use super::reason::Reason;
use super::text_enum::text_enum;
use super::time::Timestamp;

/// How usable a token is, for the backend API, the pages, the command line and the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Usable now.
    Fresh,
    /// Expired, and can be refreshed.
    Stale,
    /// The last refresh failed and may be tried again.
    Refused,
    /// There is no refresh token, or it was refused for good.
    NeedsReconnect,
}

impl Health {
    /// As shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::NeedsReconnect => "needs_reconnect",
        }
    }
}

text_enum! {
    /// What is stored of the health: the rest follows from the clock.
    pub enum TokenState {
        /// The last answer was good.
        Good = "ok",
        /// The last refresh failed and may be tried again.
        Refused = "refused",
        /// Only the person can mend it.
        NeedsReconnect = "needs_reconnect",
    }
}

/// How much of its life an access token has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenLife {
    /// More than the leeway, or its end is not known.
    Good,
    /// It ends within the leeway.
    Ending,
    /// It has ended.
    Over,
}

/// Who refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lease {
    /// Nobody.
    Free,
    /// Somebody, now.
    Held,
    /// Somebody did and never stored an answer: the refresh token may be used up.
    Left,
}

/// A row, as far as decisions go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Grows with every stored answer.
    pub generation: i64,
    /// There is an access token.
    pub has_access_token: bool,
    /// There is a refresh token.
    pub has_refresh_token: bool,
    /// The provider trades an access token that still lives for one that lives longer.
    pub exchanges_long_lived: bool,
    /// What is left of the access token.
    pub life: TokenLife,
    /// The stored state.
    pub state: TokenState,
    /// Why it is not good.
    pub refusal: Option<Refusal>,
    /// When a refresh ended last, well or badly.
    pub last_refresh_at: Option<Timestamp>,
    /// Who refreshes.
    pub lease: Lease,
}

impl Row {
    /// There is something that the provider may give newer tokens for. What it refused for good it is not asked again.
    pub fn can_refresh(&self) -> bool {
        let can_exchange =
            self.exchanges_long_lived && self.life != TokenLife::Over && self.state != TokenState::NeedsReconnect;
        self.has_refresh_token || can_exchange
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenDemand {
    /// A usable token.
    Usable,
    /// A new token, whatever is left of the stored one.
    Newer,
}

/// The row as it was when somebody came to ask: what happened since then was done for them, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArrivalState {
    generation: i64,
    last_refresh_at: Option<Timestamp>,
}

impl ArrivalState {
    /// Remembers `row`.
    pub const fn at(row: &Row) -> Self {
        Self { generation: row.generation, last_refresh_at: row.last_refresh_at }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stored token is the answer.
    HandOut,
    /// Take the lease and ask the provider.
    Take,
    /// Somebody is asking: look again when they are done.
    Wait,
    /// There is none to be had.
    Refuse(Refusal),
}

/// What to do for somebody who came at `arrival`, now that the row is `row`.
pub fn decide(row: &Row, arrival: &ArrivalState, asked: TokenDemand) -> Step {
    if !row.has_access_token {
        return Step::Refuse(Refusal::new(Reason::TokenMissing, "access"));
    }
    // Stored while we waited: the newest there is, even if the provider gave it less life than our leeway.
    if row.generation > arrival.generation || (asked == TokenDemand::Usable && row.life == TokenLife::Good) {
        return Step::HandOut;
    }
    if row.lease == Lease::Held {
        return Step::Wait;
    }
    let known = || row.refusal.clone().filter(|_| row.state != TokenState::Good);
    // Whoever waits for a refresh shares its failure: the provider was asked a moment ago.
    if row.last_refresh_at != arrival.last_refresh_at
        && let Some(refusal) = known()
    {
        return Step::Refuse(refusal);
    }
    if !row.can_refresh() {
        let missing = || Refusal::new(Reason::TokenMissing, "refresh");
        return Step::Refuse(known().filter(|_| row.state == TokenState::NeedsReconnect).unwrap_or_else(missing));
    }
    Step::Take
}

/// The health that the row shows, and why it is not fresh.
pub fn health(row: &Row) -> (Health, Option<Refusal>) {
    if !row.has_access_token {
        return (Health::NeedsReconnect, Some(Refusal::new(Reason::TokenMissing, "access")));
    }
    match row.state {
        TokenState::NeedsReconnect => (Health::NeedsReconnect, row.refusal.clone()),
        TokenState::Good if row.life != TokenLife::Over => (Health::Fresh, None),
        _ if row.life == TokenLife::Over && !row.can_refresh() => {
            (Health::NeedsReconnect, Some(Refusal::new(Reason::TokenMissing, "refresh")))
        }
        TokenState::Refused => (Health::Refused, row.refusal.clone()),
        TokenState::Good => (Health::Stale, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            generation: 3,
            has_access_token: true,
            has_refresh_token: true,
            exchanges_long_lived: false,
            life: TokenLife::Over,
            state: TokenState::Good,
            refusal: None,
            last_refresh_at: None,
            lease: Lease::Free,
        }
    }

    fn refused(reason: Reason, detail: &'static str) -> Step {
        Step::Refuse(Refusal::new(reason, detail))
    }

    #[test]
    fn what_is_done_follows_from_the_row() {
        let down = Some(Refusal::new(Reason::ProviderTimeout, ""));
        let dead = Some(Refusal::new(Reason::RefreshRefused, "lost"));
        let later = Some(Timestamp::UNIX_EPOCH);
        for (row, expected) in [
            (Row { life: TokenLife::Good, ..row() }, Step::HandOut),
            (Row { life: TokenLife::Ending, ..row() }, Step::Take),
            (row(), Step::Take),
            (Row { lease: Lease::Left, ..row() }, Step::Take),
            (Row { lease: Lease::Held, ..row() }, Step::Wait),
            (Row { life: TokenLife::Good, lease: Lease::Held, ..row() }, Step::HandOut),
            (Row { has_access_token: false, ..row() }, refused(Reason::TokenMissing, "access")),
            (Row { has_refresh_token: false, ..row() }, refused(Reason::TokenMissing, "refresh")),
            // A failure from before is tried again; one that we waited for is ours.
            (Row { state: TokenState::Refused, refusal: down.clone(), ..row() }, Step::Take),
            (
                Row { state: TokenState::Refused, refusal: down, last_refresh_at: later, ..row() },
                refused(Reason::ProviderTimeout, ""),
            ),
            // What was refused for good stays so, under its own reason.
            (
                Row { state: TokenState::NeedsReconnect, refusal: dead, has_refresh_token: false, ..row() },
                refused(Reason::RefreshRefused, "lost"),
            ),
        ] {
            assert_eq!(decide(&row, &ArrivalState::at(&self::row()), TokenDemand::Usable), expected, "{row:?}");
        }
    }

    #[test]
    fn access_token_is_exchanged_while_valid_and_not_refused_for_good() {
        let row = Row { has_refresh_token: false, exchanges_long_lived: true, ..row() };
        let dead = Some(Refusal::new(Reason::RefreshRefused, "invalid_grant"));
        let down = Some(Refusal::new(Reason::Provider5xx, ""));
        let missing = || refused(Reason::TokenMissing, "refresh");
        for (row, step, shown) in [
            (Row { life: TokenLife::Good, ..row.clone() }, Step::HandOut, Health::Fresh),
            (Row { life: TokenLife::Ending, ..row.clone() }, Step::Take, Health::Fresh),
            (Row { life: TokenLife::Ending, lease: Lease::Held, ..row.clone() }, Step::Wait, Health::Fresh),
            (row.clone(), missing(), Health::NeedsReconnect),
            (
                Row { life: TokenLife::Ending, state: TokenState::Refused, refusal: down.clone(), ..row.clone() },
                Step::Take,
                Health::Refused,
            ),
            (Row { state: TokenState::Refused, refusal: down, ..row.clone() }, missing(), Health::NeedsReconnect),
            (
                Row { life: TokenLife::Ending, state: TokenState::NeedsReconnect, refusal: dead, ..row.clone() },
                refused(Reason::RefreshRefused, "invalid_grant"),
                Health::NeedsReconnect,
            ),
        ] {
            assert_eq!(decide(&row, &ArrivalState::at(&row), TokenDemand::Usable), step, "{row:?}");
            assert_eq!(health(&row).0, shown, "{row:?}");
        }
        let fresh = Row { life: TokenLife::Good, ..row };
        assert_eq!(decide(&fresh, &ArrivalState::at(&fresh), TokenDemand::Newer), Step::Take);
    }

    #[test]
    fn whoever_wants_a_newer_one_is_content_with_what_was_stored_since() {
        let fresh = Row { life: TokenLife::Good, ..row() };
        assert_eq!(decide(&fresh, &ArrivalState::at(&fresh), TokenDemand::Newer), Step::Take);
        let newer = Row { generation: 4, life: TokenLife::Over, ..row() };
        assert_eq!(decide(&newer, &ArrivalState::at(&fresh), TokenDemand::Newer), Step::HandOut);
        assert_eq!(decide(&newer, &ArrivalState::at(&fresh), TokenDemand::Usable), Step::HandOut);
    }

    #[test]
    fn health_is_one_of_four_states() {
        for (row, expected) in [
            (Row { life: TokenLife::Good, ..row() }, Health::Fresh),
            (Row { life: TokenLife::Ending, has_refresh_token: false, ..row() }, Health::Fresh),
            (row(), Health::Stale),
            (Row { has_refresh_token: false, ..row() }, Health::NeedsReconnect),
            (Row { has_access_token: false, ..row() }, Health::NeedsReconnect),
            (Row { state: TokenState::Refused, ..row() }, Health::Refused),
            (Row { state: TokenState::NeedsReconnect, life: TokenLife::Good, ..row() }, Health::NeedsReconnect),
        ] {
            assert_eq!(health(&row).0, expected, "{row:?}");
        }
        for state in [TokenState::Good, TokenState::Refused, TokenState::NeedsReconnect] {
            assert_eq!(TokenState::parse(state.as_str()), Some(state));
        }
    }
}
