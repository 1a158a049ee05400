//! Usernames: what may be one. Compared without regard to case.

/// Why a text cannot be a username.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Not 4 to 64 characters.
    Length,
    /// Something besides Latin letters, digits, `_` and `-`.
    Character,
    /// A telephone number, by its looks.
    PhoneNumber,
    /// Nothing but digits.
    OnlyDigits,
}

/// Checks a username.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(text: &str) -> Result<(), Unusable> {
    if !(4..=64).contains(&text.chars().count()) {
        return Err(Unusable::Length);
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Err(Unusable::Character);
    }
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let is_dialled = !text.chars().any(|c| c.is_ascii_alphabetic() || c == '_');
    match (is_dialled, digits) {
        (true, 7..=15) => Err(Unusable::PhoneNumber),
        (true, _) => Err(Unusable::OnlyDigits),
        (false, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinguished_from_numbers_and_noise() {
        for good in ["ada_lovelace", "ADA-1815", "a123", "_1234567"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("ada", Unusable::Length),
            (&"a".repeat(65), Unusable::Length),
            ("ada lovelace", Unusable::Character),
            ("\u{430}dа__", Unusable::Character),
            ("ada@x", Unusable::Character),
            ("030-1234567", Unusable::PhoneNumber),
            ("12345", Unusable::OnlyDigits),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
    }
}
