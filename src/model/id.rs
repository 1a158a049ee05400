//! Identifiers: `<prefix>_` and a KSUID (4 bytes of seconds since 2014-05-13, 16 random bytes, base62, 27 characters).
//!
//! They sort by time when compared as bytes, are compared as text, and grant nothing.

use super::random::{BASE62, Rng};
use super::time::Timestamp;

/// Seconds between 1970-01-01 and the KSUID epoch (2014-05-13 16:53:20 UTC).
const KSUID_EPOCH: i64 = 1_400_000_000;
/// Characters after the prefix.
pub const KSUID_LENGTH: usize = 27;

/// The 27 characters of a KSUID made at `now`.
pub fn ksuid(now: Timestamp, rng: &dyn Rng) -> String {
    let mut bytes = [0u8; 20];
    let (head, tail) = bytes.split_at_mut(4);
    let seconds = u32::try_from((now.unix_timestamp() - KSUID_EPOCH).max(0)).unwrap_or(u32::MAX);
    head.copy_from_slice(&seconds.to_be_bytes());
    rng.fill(tail);
    encode(bytes)
}

/// The first KSUID of its second.
struct Least;

impl Rng for Least {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// Big-endian base62 of 20 bytes, padded to 27 characters.
fn encode(mut number: [u8; 20]) -> String {
    let mut digits = [b'0'; KSUID_LENGTH];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = BASE62.get(remainder as usize).copied().unwrap_or(b'0');
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The second at which a KSUID was made.
fn made_at(digits: &str) -> Timestamp {
    let value = |digit: u8| BASE62.iter().position(|known| *known == digit).unwrap_or(0);
    let mut number = [0u8; 20];
    for digit in digits.bytes() {
        let mut carry = u32::try_from(value(digit)).unwrap_or(0);
        for byte in number.iter_mut().rev() {
            let sum = u32::from(*byte) * 62 + carry;
            *byte = u8::try_from(sum % 256).unwrap_or(u8::MAX);
            carry = sum / 256;
        }
    }
    let seconds = number.iter().take(4).fold(0i64, |seconds, byte| seconds * 256 + i64::from(*byte));
    Timestamp::from_unix_timestamp(seconds + KSUID_EPOCH).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// True if `text` is `prefix`, `_` and 27 base62 characters.
fn is_well_formed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == KSUID_LENGTH && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The letters before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, made at `now`.
            pub fn new(now: Timestamp, rng: &dyn Rng) -> Self {
                Self(format!("{}_{}", Self::PREFIX, ksuid(now, rng)))
            }

            /// The id that `text` spells; `None` if it cannot be one (answered like an unknown id).
            pub fn parse(text: &str) -> Option<Self> {
                is_well_formed(text, Self::PREFIX).then(|| Self(text.to_owned()))
            }

            /// The least text that an id made at `now` or later can be.
            pub fn floor(now: Timestamp) -> String {
                format!("{}_{}", Self::PREFIX, ksuid(now, &Least))
            }

            /// When it was made, to the second.
            pub fn made_at(&self) -> Timestamp {
                made_at(self.0.rsplit('_').next().unwrap_or_default())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// An instance: one development or production installation of an app.
    InstanceId = "ins";
    /// Groups a development and a production instance.
    AppId = "app";
    /// A user.
    UserId = "user";
    /// A session.
    SessionId = "sess";
    /// A browser or device.
    ClientId = "client";
    /// A sign-in attempt.
    SignInId = "sia";
    /// A sign-up attempt.
    SignUpId = "sua";
    /// An identification: an e-mail address, or the identification behind an external account.
    IdentificationId = "idn";
    /// An external account.
    ExternalAccountId = "eac";
    /// An OAuth application (a client of ours).
    ApplicationId = "oa";
    /// A grant: one redeemed authorization code and the refresh family that began with it.
    GrantId = "ogr";
    /// A backend secret key.
    SecretKeyId = "key";
    /// A verification: a code, a link or a provider's answer, asked of one owner.
    VerificationId = "ver";
    /// One authorization at a provider.
    ProviderAuthorizationId = "sfl";
    /// A row of the audit log.
    AuditEventId = "aud";
    /// A row of the outbox; also the message's idempotency id.
    OutboxId = "msg";
    /// A message stored in the development inbox.
    InboxMessageId = "inb";
    /// An address of a native application that may receive a sign-in.
    RedirectUrlId = "ru";
    /// A request; shown as `clerk_trace_id`.
    RequestId = "req";
    /// One browser flow on the flow log: what a person did from a start to its end.
    FlowId = "flw";
    /// A step of such a flow.
    FlowStepId = "fst";
    /// A session's latest activity.
    SessionActivityId = "sact";
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    struct Fixed(u8);
    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn spells_the_reference_vectors() {
        // The smallest and the largest KSUID of the reference implementation.
        assert_eq!(encode([0; 20]), "000000000000000000000000000");
        assert_eq!(encode([255; 20]), "aWgEPTl1tmebfsQzFP4bxwgy80V");
        // 0669F7EF B5A1CD34 B5F99D11 54FB6853 345C9735: the example of the reference implementation.
        let bytes = [
            0x06, 0x69, 0xF7, 0xEF, 0xB5, 0xA1, 0xCD, 0x34, 0xB5, 0xF9, 0x9D, 0x11, 0x54, 0xFB, 0x68, 0x53, 0x34, 0x5C,
            0x97, 0x35,
        ];
        assert_eq!(encode(bytes), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    }

    #[test]
    fn id_holds_its_time_of_creation() {
        for moment in
            [datetime!(2014-05-13 16:53:20 UTC), datetime!(2026-11-21 10:00 UTC), datetime!(2150-06-19 23:21:35 UTC)]
        {
            for rest in [0, 7, 255] {
                assert_eq!(UserId::new(moment, &Fixed(rest)).made_at(), moment);
            }
        }
        assert_eq!(made_at("0ujtsYcgvSTl8PAuAdqWYSMnLOv"), datetime!(2017-10-10 4:00:47 UTC));
    }

    #[test]
    fn later_ids_sort_later() {
        let earlier = UserId::new(datetime!(2026-11-21 10:00 UTC), &Fixed(255));
        let later = UserId::new(datetime!(2026-11-21 10:00:01 UTC), &Fixed(0));
        assert!(earlier < later);
    }

    #[test]
    fn parses_only_its_own_form() {
        let id = UserId::new(datetime!(2026-11-21 10:00 UTC), &Fixed(7));
        assert_eq!(UserId::parse(id.as_str()), Some(id.clone()));
        for text in ["", "user_", "user_x", &id.as_str().replace("user", "sess"), &format!("{id}0"), "user_\0"] {
            assert_eq!(UserId::parse(text), None, "{text}");
        }
    }
}
