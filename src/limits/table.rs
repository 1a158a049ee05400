//! The table: everything that is counted, how much of it may be, for whom, where, and what is answered to more.
//!
//! | what | rate | for whom | counted in | refused with |
//! |---|---|---|---|---|
//! | [`Limit::CreateAttempt`] | `limits.create_attempt` | address | memory | `too_many_requests` |
//! | [`Limit::AttemptProof`] | `limits.attempt_proof` | address | memory | `too_many_requests` |
//! | [`Limit::Backend`] | `limits.backend_production` or `limits.backend_development` | instance | memory | `too_many_requests` |
//! | [`Limit::Authorize`] | `limits.authorize` | address | memory | `too_many_requests` |
//! | [`Limit::SimulatedAuthorize`] | `limits.authorize` | address | memory | `too_many_requests` |
//! | [`Limit::StrayFlow`] | ten a minute | address | memory | nothing: the flow log keeps no record |
//! | [`Limit::OAuthClient`] | `limits.oauth_client` | [`ClientBudget`](super::ClientBudget) | memory | `too_many_requests` |
//! | [`Limit::ClientFailure`] | `limits.client_failure` | OAuth client and address | memory | `too_many_requests` |
//! | [`Exact::SendAgain`] | `limits.send_again` | recipient, or recipient and known browser | `rate_limits` | `verification_code_too_many_requests` |
//! | [`Exact::SendToRecipient`] | `limits.send_to_recipient` | the same | `rate_limits` | `verification_code_too_many_requests` |
//! | [`Exact::SendFromAddress`] | `limits.send_from_address` | address | `rate_limits` | `verification_code_too_many_requests` |
//! | [`Exact::FailedProofs`] | `limits.failed_proofs` | address | `rate_limits` | `too_many_requests` |
//! | [`lockout`](super::lockout) | the instance's `lockout` | account, or account and known browser | `users`, `known_clients` | `user_locked` |
//!
//! An address is one of IPv4 or a /64 of IPv6. What is counted in memory is counted by each replica for itself; what is
//! counted in the database is exact.

use std::time::Duration;

use crate::config::limits::Rate;
use crate::context::Ctx;
use crate::model::problem::{Problem, code};
use crate::model::reason::Reason;

/// What the flow log keeps of callbacks and token requests that belong to no start: a bound of its table, not of
/// requests.
const STRAY_FLOWS: Rate = Rate { count: 10, window: Duration::from_secs(60) };

/// What is counted in memory; a route names the one that its requests spend from before their handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// None.
    Unlimited,
    /// Beginning a sign-in or sign-up, per address.
    CreateAttempt,
    /// Trying a verification (a code, a password, a link), per address.
    AttemptProof,
    /// The backend API, per instance.
    Backend,
    /// `/oauth/authorize`, per address.
    Authorize,
    /// The same at a simulated provider of a development instance.
    SimulatedAuthorize,
    /// Callbacks and token requests that belong to no start, of which the flow log keeps a record, per address.
    StrayFlow,
    /// Token, userinfo, introspection: per client, which the handler finds out
    /// ([`admit_client`](super::admit_client)).
    OAuthClient,
    /// Failed authentications of an OAuth client, which the handler finds out as well
    /// ([`spend_client_failure`](super::spend_client_failure)).
    ClientFailure,
}

/// For whom a limit in memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The address a request comes from.
    Address,
    /// The instance it is for.
    Instance,
    /// The OAuth client that the handler finds out.
    Client,
}

impl Limit {
    /// Its line: the rate, and for whom it is counted; `None` where nothing is counted.
    pub(super) fn line(self, ctx: &Ctx) -> Option<(Rate, Per)> {
        let rates = &ctx.app.rates;
        Some(match self {
            Self::Unlimited => return None,
            Self::CreateAttempt => (rates.create_attempt, Per::Address),
            Self::AttemptProof => (rates.attempt_proof, Per::Address),
            Self::Backend if ctx.instance.allows_simulated_providers() => (rates.backend_development, Per::Instance),
            Self::Backend => (rates.backend_production, Per::Instance),
            Self::Authorize | Self::SimulatedAuthorize => (rates.authorize, Per::Address),
            Self::StrayFlow => (STRAY_FLOWS, Per::Address),
            Self::OAuthClient => (rates.oauth_client, Per::Client),
            Self::ClientFailure => (rates.client_failure, Per::Client),
        })
    }
}

/// What is counted exactly, in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    /// A code or link to one recipient, soon after another.
    SendAgain,
    /// Codes and links to one recipient.
    SendToRecipient,
    /// Codes and links asked for by one address of the network.
    SendFromAddress,
    /// Failed verifications of one address of the network.
    FailedProofs,
}

impl Exact {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SendAgain => "send_again",
            Self::SendToRecipient => "send_to_recipient",
            Self::SendFromAddress => "send_from_address",
            Self::FailedProofs => "failed_proofs",
        }
    }

    pub(super) fn rate(self, ctx: &Ctx) -> Rate {
        let rates = &ctx.app.rates;
        match self {
            Self::SendAgain => rates.send_again,
            Self::SendToRecipient => rates.send_to_recipient,
            Self::SendFromAddress => rates.send_from_address,
            Self::FailedProofs => rates.failed_proofs,
        }
    }

    pub(super) fn refusal(self) -> Problem {
        match self {
            Self::FailedProofs => code::TOO_MANY_REQUESTS.because(Reason::RateLimited, "requests"),
            Self::SendAgain | Self::SendToRecipient | Self::SendFromAddress => {
                code::VERIFICATION_CODE_TOO_MANY_REQUESTS.because(Reason::RateLimited, "codes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::limits::Rates;

    /// Each rate that can be set has its line, and no line names a rate that cannot be.
    #[test]
    fn every_setting_has_its_line() {
        let lines = include_str!("table.rs").lines().filter(|line| line.starts_with("//! | ["));
        let named: std::collections::BTreeSet<&str> = lines
            .flat_map(|line| line.split('`').filter(|word| word.starts_with("limits.") && !word.ends_with(".rs")))
            .collect();
        assert_eq!(named, Rates::SETTINGS.iter().copied().collect());
    }
}
