//! An instance's signing keys: what each is for, and what it does at a moment. Times decide, so that all replicas change
//! at the same moment.

use std::time::Duration;

use super::text_enum::text_enum;
use super::time::Timestamp;

/// How long a key is public before it signs: longer than verifiers and their proxies use a key set that they have.
pub const PUBLIC_BEFORE_USE: Duration = Duration::from_secs(15 * 60);

text_enum! {
    /// What a key signs. Whoever verifies one kind of token never sees the keys of the other.
    pub enum KeyPurpose {
        /// Session tokens, what travels with them (handshakes), and JWT access tokens: backends fetch or pin this key.
        Session = "session",
        /// id_tokens, which third parties hold: no backend may take one for a session token.
        IdToken = "id_token",
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Public, its time to sign has not come.
    Next,
    /// It signs.
    Active,
    /// A newer one signs; what it signed still verifies.
    Retiring,
    /// No longer public.
    Gone,
}

/// The moments of a key's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// When it became public.
    pub published_at: Timestamp,
    /// When it begins to sign.
    pub active_from: Timestamp,
    /// When it leaves the key sets.
    pub removed_from: Option<Timestamp>,
    /// When an operator revoked it.
    pub revoked_at: Option<Timestamp>,
}

impl KeyTimes {
    /// The state of this key at `now`. `keys` are the keys of the same purpose, this one among them.
    pub fn state(&self, keys: impl IntoIterator<Item = Self>, now: Timestamp) -> KeyState {
        if self.is_gone(now) {
            return KeyState::Gone;
        }
        if self.active_from > now {
            return KeyState::Next;
        }
        let is_newer = |other: &Self| other.active_from > self.active_from && other.active_from <= now;
        match keys.into_iter().any(|other| is_newer(&other) && !other.is_gone(now)) {
            true => KeyState::Retiring,
            false => KeyState::Active,
        }
    }

    fn is_gone(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || self.removed_from.is_some_and(|from| from <= now)
    }

    /// For the key that an upgrade gave to an instance, which is dated before the instance's first key: until when that
    /// one signs in its place, because verifiers do not know this one yet.
    pub fn introduced_until(&self) -> Option<Timestamp> {
        (self.active_from < self.published_at).then(|| self.published_at + PUBLIC_BEFORE_USE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(minute: i64) -> Timestamp {
        match Timestamp::from_unix_timestamp(1_800_000_000 + 60 * minute) {
            Ok(moment) => moment,
            Err(_) => Timestamp::UNIX_EPOCH,
        }
    }

    fn key(published: i64, active: i64) -> KeyTimes {
        KeyTimes { published_at: at(published), active_from: at(active), removed_from: None, revoked_at: None }
    }

    #[test]
    fn a_planned_rotation_goes_through_the_four_states() {
        use KeyState::*;
        let old = KeyTimes { removed_from: Some(at(200)), ..key(0, 0) };
        let new = key(85, 100);
        for (minute, of_old, of_new) in [
            (85, Active, Next),
            (99, Active, Next),
            (100, Retiring, Active),
            (199, Retiring, Active),
            (200, Gone, Active),
        ] {
            let states = (old.state([old, new], at(minute)), new.state([old, new], at(minute)));
            assert_eq!(states, (of_old, of_new), "minute {minute}");
        }
    }

    #[test]
    fn a_revoked_key_is_gone_and_the_one_before_it_signs() {
        let revoked = KeyTimes { revoked_at: Some(at(60)), ..key(0, 50) };
        let before = key(0, 0);
        assert_eq!(revoked.state([before, revoked], at(60)), KeyState::Gone);
        assert_eq!(before.state([before, revoked], at(60)), KeyState::Active);
    }

    #[test]
    fn at_every_moment_at_most_one_key_is_active() {
        let keys = [key(0, 0), key(10, 25), KeyTimes { removed_from: Some(at(40)), ..key(12, 30) }, key(20, 50)];
        for minute in 0..60 {
            let active = keys.iter().filter(|one| one.state(keys, at(minute)) == KeyState::Active);
            assert_eq!(active.count(), 1, "minute {minute}");
        }
    }

    #[test]
    fn only_a_key_dated_back_is_introduced() {
        assert_eq!(key(0, 0).introduced_until(), None, "of a new instance");
        assert_eq!(key(0, 15).introduced_until(), None, "of a rotation");
        assert_eq!(key(60, 0).introduced_until(), Some(at(75)));
    }
}
