//! E-mail addresses: exactly one, and one canonical form to compare by.

use super::text::{is_invisible, is_variation_selector};
use unicode_normalization::UnicodeNormalization;

/// The longest address, in bytes (RFC 5321 section 4.5.3.1.3).
const MAX_LENGTH: usize = 254;

/// A well-formed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress {
    value: String,
}

impl EmailAddress {
    /// Parses exactly one address; what could be read as two, or as none, is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.trim().nfc().collect();
        // Two addresses that look alike must not differ in what nobody sees.
        let forbidden =
            |c: char| is_invisible(c) || is_variation_selector(c) || c.is_whitespace() || ",;<>()[]\\\":".contains(c);
        if text.len() > MAX_LENGTH || text.chars().any(forbidden) || text.matches('@').count() != 1 {
            return None;
        }
        let (local, domain) = text.split_once('@')?;
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        let dotted = domain.split('.').count() > 1 && domain.split('.').all(|label| !label.is_empty());
        let local_dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
        if local.is_empty() || local.len() > 64 || !dotted || local_dots {
            return None;
        }
        let value: String = format!("{}@{domain}", local.to_lowercase());
        Some(Self { value: value.nfc().collect() })
    }

    /// The canonical form: NFC, lower case, domain in punycode. Stored, shown and compared.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// True for an address whose subaddress makes it a test's: it is sent nothing where test mode is on.
    pub fn is_test(&self) -> bool {
        let local = self.value.split('@').next().unwrap_or_default();
        local.split('+').skip(1).any(|tag| tag == "clerk_test")
    }

    /// What may be shown to somebody who has not verified to know the address: first letter and domain.
    pub fn masked(&self) -> String {
        let (local, domain) = self.value.split_once('@').unwrap_or((&self.value, ""));
        format!("{}****@{domain}", local.chars().next().unwrap_or_default())
    }

    /// What its subaddresses have in common.
    pub fn base(&self) -> Base {
        const GMAIL: [&str; 2] = ["gmail.com", "googlemail.com"];
        let (local, domain) = self.value.split_once('@').unwrap_or((&self.value, ""));
        let is_yahoo = domain.split('.').any(|label| label == "yahoo" || label == "ymail");
        let separators: &[char] = if is_yahoo { &['+', '=', '#', '-'] } else { &['+', '=', '#'] };
        let stem = local.split(separators).next().unwrap_or(local);
        let ignores_dots = GMAIL.contains(&domain);
        Base {
            local: if ignores_dots { stem.replace('.', "") } else { stem.to_owned() },
            domains: if ignores_dots { GMAIL.map(str::to_owned).to_vec() } else { vec![domain.to_owned()] },
            ignores_dots,
            separators: if is_yahoo { "[-+=#].*$" } else { "[+=#].*$" },
        }
    }
}

/// What all subaddresses of a mailbox have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The local part up to the first separator.
    pub local: String,
    /// The domains under which it is the same mailbox.
    pub domains: Vec<String>,
    /// Dots in the local part mean nothing.
    pub ignores_dots: bool,
    /// What is not part of a base, as a regular expression.
    pub separators: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_spellings_of_one_address_into_one_form() {
        for text in ["Ada@Example.COM", " ada@example.com ", "ada@EXAMPLE.com"] {
            assert_eq!(EmailAddress::parse(text).unwrap().as_str(), "ada@example.com", "{text}");
        }
        assert_eq!(EmailAddress::parse("a@bücher.example").unwrap().as_str(), "a@xn--bcher-kva.example");
        // One letter, two spellings in Unicode.
        assert_eq!(EmailAddress::parse("e\u{301}@x.example"), EmailAddress::parse("\u{e9}@x.example"));
        // A look-alike letter is another person.
        assert_ne!(EmailAddress::parse("\u{430}da@example.com"), EmailAddress::parse("ada@example.com"));
        assert_eq!(EmailAddress::parse("a.b+tag@example.com").unwrap().as_str(), "a.b+tag@example.com");
    }

    #[test]
    fn subaddresses_have_their_base_in_common() {
        let base = |text: &str| EmailAddress::parse(text).unwrap().base();
        for same in ["a.da+x@gmail.com", "ada=y@googlemail.com", "ADA@gmail.com"] {
            assert_eq!(base(same), base("ada@gmail.com"), "{same}");
        }
        assert_eq!(base("ada+x#y@example.com").local, "ada");
        assert_ne!(base("a.da@example.com"), base("ada@example.com"));
        assert_eq!((base("ada-x@yahoo.com").local.as_str(), base("ada-x@x.example").local.as_str()), ("ada", "ada-x"));
    }

    #[test]
    fn knows_test_addresses_and_masks_all() {
        let parse = |text| EmailAddress::parse(text).unwrap();
        assert!(parse("ada+clerk_test@example.com").is_test());
        assert!(parse("ada+x+clerk_test@example.com").is_test());
        for text in ["ada@example.com", "clerk_test@example.com", "ada+clerk_tests@example.com"] {
            assert!(!parse(text).is_test(), "{text}");
        }
        assert_eq!(parse("ada@example.com").masked(), "a****@example.com");
    }

    #[test]
    fn refuses_what_is_not_exactly_one_address() {
        let long = format!("{}@example.com", "a".repeat(250));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "a@b@c.example",
            "a@x.example,b@x.example",
            "a@x.example;b@x.example",
            "a b@x.example",
            "<a@x.example>",
            "a\0@x.example",
            "a\n@x.example",
            "a@x..example",
            "a@.example",
            "a@example.",
            ".a@x.example",
            "a.@x.example",
            "a..b@x.example",
            "\"a\"@x.example",
            "a@[127.0.0.1]",
            "a@exa mple.com",
            "a\u{200b}da@x.example",
            "a\u{ad}da@x.example",
            "a\u{202e}da@x.example",
            "a\u{3164}da@x.example",
            "ada\u{fe00}@x.example",
            "ada\u{fe0f}@x.example",
            "ada\u{e0100}@x.example",
            "ada@x\u{200b}.example",
            &long,
        ] {
            assert_eq!(EmailAddress::parse(text), None, "{text:?}");
        }
    }
}
