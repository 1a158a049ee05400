//! The people of the simulated providers: a few with a name, and anybody with an address.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Fixes the ids: the same person has the same id at a provider on every installation.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3c52_90ab_4be7_8d15_2e64_c0a7_93f1);

/// Somebody, as `simulator_people.person` keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Given name.
    pub first_name: String,
    /// Family name; may be empty.
    pub last_name: String,
    /// The address they show, if any.
    pub email: Option<String>,
    /// What the provider's flag says about it, where it has one.
    pub email_verified: bool,
}

/// Somebody and the name by which they are found again (`simulator_people.login_hint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `ada`, or an address.
    pub hint: String,
    /// Who.
    pub person: Person,
}

/// Whether the address of somebody without a name counts as verified at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFlag {
    /// Yes.
    Verified,
    /// No.
    Unverified,
}

/// The people that every page offers.
pub const SAVED: [&str; 5] = ["ada", "bob", "cyd", "eve", "grace"];

impl Person {
    /// The whole name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim_end().to_owned()
    }
}

impl Known {
    /// The person that a hint names: `ada`, `ada@example.com`, `new-7`, or any address; `None` for other words.
    pub fn by_hint(hint: &str, flag: AddressFlag) -> Option<Self> {
        let hint = hint.trim().to_lowercase();
        let name = hint.strip_suffix("@example.com").unwrap_or(&hint);
        if let Some(person) = named_person(name).or_else(|| numbered(name)) {
            return Some(Self { hint: name.to_owned(), person });
        }
        let (local, domain) = hint.rsplit_once('@')?;
        let is_address = !local.is_empty() && !domain.is_empty() && hint.len() <= 320;
        if !is_address || hint.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return None;
        }
        let mut words = local.split(['.', '_', '-', '+']).filter(|word| !word.is_empty()).map(capitalized);
        let person = Person {
            first_name: words.next().unwrap_or_else(|| "Somebody".to_owned()),
            last_name: words.collect::<Vec<_>>().join(" "),
            email: Some(hint.clone()),
            email_verified: flag == AddressFlag::Verified,
        };
        Some(Self { hint, person })
    }

    /// A new person without an address, distinguished by `token`.
    pub fn without_address(token: &str) -> Self {
        let person = person("Noel", "Nomail", None, AddressFlag::Unverified);
        Self { hint: format!("nobody-{token}"), person }
    }

    /// What the ids of this person at a provider are made from.
    pub fn seed(&self, provider: &str) -> Uuid {
        Uuid::new_v5(&NAMESPACE, format!("{provider}/{}", self.hint).as_bytes())
    }

    /// The address that the page shows for a saved person: names them even if they show another one, or none.
    pub fn page_address(name: &str) -> String {
        format!("{name}@example.com")
    }
}

/// The people who have a part in the documentation and the tests.
fn named_person(name: &str) -> Option<Person> {
    Some(match name {
        "ada" => person("Ada", "Lovelace", Some("ada@example.com"), AddressFlag::Verified),
        "bob" => person("Bob", "Babbage", Some("bob@example.com"), AddressFlag::Unverified),
        "cyd" => person("Cyd", "Clear", None, AddressFlag::Unverified),
        // Claims an address that is somebody else's.
        "eve" => person("Eve", "Dropper", Some("ada@example.com"), AddressFlag::Unverified),
        "grace" => person("Grace", "Hopper", Some("grace@example.com"), AddressFlag::Verified),
        _ => return None,
    })
}

/// `new-<n>`: as many strangers as a test needs.
fn numbered(name: &str) -> Option<Person> {
    let number: u32 = name.strip_prefix("new-")?.parse().ok()?;
    let email = format!("new-{number}@example.com");
    Some(person("New", &number.to_string(), Some(&email), AddressFlag::Verified))
}

fn person(first_name: &str, last_name: &str, email: Option<&str>, flag: AddressFlag) -> Person {
    Person {
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        email: email.map(str::to_owned),
        email_verified: flag == AddressFlag::Verified,
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(hint: &str) -> Known {
        Known::by_hint(hint, AddressFlag::Verified).unwrap()
    }

    #[test]
    fn names_and_addresses_lead_to_the_same_person() {
        for name in SAVED {
            assert_eq!(known(name), known(&Known::page_address(name)));
            assert_eq!(known(name).seed("google"), known(&name.to_uppercase()).seed("google"));
        }
        assert_ne!(known("ada").seed("google"), known("ada").seed("notion"));
        assert_ne!(known("ada").seed("google"), known("eve").seed("google"));
        assert_eq!(known("eve").person.email, known("ada").person.email);
        assert_eq!(known("new-12").person.email.as_deref(), Some("new-12@example.com"));
    }

    #[test]
    fn any_address_is_somebody() {
        let grace = known("Grace.Hopper@Navy.mil");
        assert_eq!((grace.hint.as_str(), grace.person.name().as_str()), ("grace.hopper@navy.mil", "Grace Hopper"));
        assert!(grace.person.email_verified);
        assert!(!Known::by_hint("x@y.z", AddressFlag::Unverified).unwrap().person.email_verified);
        for nobody in ["", "zoe", "new-", "new-x", "@", "a@", "@b", "a b@c", "a@b\u{0}"] {
            assert_eq!(Known::by_hint(nobody, AddressFlag::Verified), None, "{nobody}");
        }
    }
}
