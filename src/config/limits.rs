//! `limits.*`: how often what may happen.

use std::time::Duration;

use super::reader::Reader;
pub use super::value::Rate;

impl Rate {
    const fn per_seconds(count: u32, seconds: u64) -> Self {
        Self { count, window: Duration::from_secs(seconds) }
    }

    /// The same length of time, `factor` times as many.
    const fn times(self, factor: u32) -> Self {
        Self { count: self.count.saturating_mul(factor), ..self }
    }
}

macro_rules! rates {
    ($($(#[$doc:meta])* $name:ident = $count:literal / $seconds:literal, $key:literal;)*) => {
        /// How often what may happen.
        #[derive(Clone, Debug)]
        pub struct Rates {$(
            $(#[$doc])*
            pub $name: Rate,
        )*}

        impl Default for Rates {
            fn default() -> Self {
                Self { $($name: Rate::per_seconds($count, $seconds),)* }
            }
        }

        impl Rates {
            /// The settings, in this order.
            pub const SETTINGS: &[&str] = &[$($key),*];

            /// Every limit `factor` times as generous.
            #[must_use]
            pub fn times(&self, factor: u32) -> Self {
                Self { $($name: self.$name.times(factor),)* }
            }

            pub(super) fn read(reader: &mut Reader, base: &Self) -> Self {
                Self { $($name: reader.rate($key, base.$name),)* }
            }
        }
    };
}

rates! {
    /// Sign-ins and sign-ups begun, per address.
    create_attempt = 5 / 10, "limits.create_attempt";
    /// Verifications tried (codes, passwords, links), per address.
    attempt_proof = 3 / 10, "limits.attempt_proof";
    /// Calls of the backend API, per production instance.
    backend_production = 1000 / 10, "limits.backend_production";
    /// Calls of the backend API, per development instance.
    backend_development = 100 / 10, "limits.backend_development";
    /// Authorization requests, per address.
    authorize = 60 / 60, "limits.authorize";
    /// Token, userinfo and introspection requests, per OAuth client.
    oauth_client = 1000 / 10, "limits.oauth_client";
    /// Failed authentications of an OAuth client, per client and address.
    client_failure = 20 / 60, "limits.client_failure";
    /// Codes and links to one recipient: the pause between two.
    send_again = 1 / 30, "limits.send_again";
    /// Codes and links to one recipient.
    send_to_recipient = 5 / 600, "limits.send_to_recipient";
    /// Codes and links asked for by one address of the network.
    send_from_address = 20 / 3600, "limits.send_from_address";
    /// Failed verifications of one address of the network, over all accounts.
    failed_proofs = 100 / 3600, "limits.failed_proofs";
}

/// Rate limits.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// `limits.relaxed`: tenfold budgets, for development and tests.
    pub relaxed: bool,
    /// The limits as they are written; see [`Self::in_force`].
    pub rates: Rates,
}

impl Limits {
    /// The limits that hold: tenfold where they are relaxed.
    pub fn in_force(&self) -> Rates {
        if self.relaxed { self.rates.times(10) } else { self.rates.clone() }
    }
}
