//! What a password may be: long enough, not longer than is compared, and not one that
//! everybody tries first. No rules about its characters, and nothing is cut off or folded.

mod common;

use super::problem::{Problem, code};
use super::settings::PasswordAttribute;

/// Accepts a new password of somebody who is known by `identifiers`.
///
/// # Errors
/// `form_password_length_too_short`, `form_password_length_too_long`, `form_password_matches_identifier`,
/// `form_password_pwned`, each at the parameter `password`.
pub fn check(password: &str, rules: &PasswordAttribute, identifiers: &[&str]) -> Result<(), Problem> {
    let refused = |code| Err(Problem::new(code).param("password"));
    let length = password.chars().count();
    let (least, most) = rules.lengths();
    if length < least {
        return Err(Problem::new(code::FORM_PASSWORD_LENGTH_TOO_SHORT)
            .param("password")
            .explain(format!("Passwords must be {least} or more characters.")));
    }
    if length > most {
        return Err(Problem::new(code::FORM_PASSWORD_LENGTH_TOO_LONG)
            .param("password")
            .explain(format!("Passwords must be {most} or fewer characters.")));
    }
    if identifiers.iter().any(|identifier| identifier.eq_ignore_ascii_case(password)) {
        return refused(code::FORM_PASSWORD_MATCHES_IDENTIFIER);
    }
    if common::is_common(password) {
        return refused(code::FORM_PASSWORD_PWNED);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(password: &str) -> Option<&'static str> {
        let problem = check(password, &PasswordAttribute::default(), &["ada@example.com", "ada_lovelace"]).err()?;
        assert_eq!(problem.errors[0].meta["param_name"], "password");
        Some(problem.code().name)
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(refusal("kJ8#qx2"), Some("form_password_length_too_short"));
        assert_eq!(refusal("kJ8#qx2z"), None);
        assert_eq!(refusal("ключ-от-двери"), None);
        assert_eq!(refusal("πλζ"), Some("form_password_length_too_short"));
        let long = "correct horse battery staple ".repeat(3);
        assert_eq!(refusal(&long[..72]), None);
        assert_eq!(refusal(&long[..73]), Some("form_password_length_too_long"));
        // Sixty-four must always be possible, whatever an instance says (ASVS 6.2.9), eight always the least.
        let odd = PasswordAttribute { min_length: 1, max_length: 10, ..PasswordAttribute::default() };
        assert_eq!(odd.lengths(), (8, 64));
        let odd = PasswordAttribute { min_length: 100, max_length: 5000, ..PasswordAttribute::default() };
        assert_eq!(odd.lengths(), (64, 128));
    }

    #[test]
    fn ones_own_name_is_no_password() {
        assert_eq!(refusal("Ada@Example.com"), Some("form_password_matches_identifier"));
        assert_eq!(refusal("ada_lovelace"), Some("form_password_matches_identifier"));
    }

    #[test]
    fn what_everybody_tries_first_is_none() {
        for common in ["password", "Password1!", "P@ssw0rd2024", "12345678", "qwertyuiop", "iloveyou", "aaaaaaaa"] {
            assert_eq!(refusal(common), Some("form_password_pwned"), "{common}");
        }
    }
}
