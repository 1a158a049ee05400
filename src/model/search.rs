//! Searching users by a part of a name or address: texts are folded and cut into trigrams here, so that a plain index of
//! the database finds them whatever its locale and without an extension.
//!
//! A term stands for three characters of one instance, or for one or two with which a text begins. It is a short hash: the
//! index finds candidates, and the text itself decides.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use unicode_normalization::UnicodeNormalization;

use super::id::InstanceId;

/// What stands before each text that is searched; no text contains it.
const START: char = '\n';
/// The longest text that is searched for, in characters.
const LONGEST: usize = 256;
/// The most terms that a search asks the index for; further ones narrow it no more.
const TERMS: usize = 24;
/// How much of a name is sorted and searched, in characters.
const NAME: usize = 128;

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    needle: String,
    terms: Vec<String>,
}

impl Search {
    /// Reads what is searched for; `None` where nothing is. Under three characters it must begin a name or address.
    pub fn parse(instance: &InstanceId, text: &str) -> Option<Self> {
        let folded: String = fold(text).trim().chars().take(LONGEST).collect();
        let letters: Vec<char> = folded.chars().collect();
        if letters.is_empty() {
            return None;
        }
        if letters.len() < 3 {
            let needle = format!("{START}{folded}");
            return Some(Self { terms: vec![hash_term(instance, &needle)], needle });
        }
        let terms: BTreeSet<String> = trigrams(instance, &letters).collect();
        Some(Self { needle: folded, terms: terms.into_iter().take(TERMS).collect() })
    }

    /// What a text that is found contains, folded; a searched text begins with a line feed.
    pub fn needle(&self) -> &str {
        &self.needle
    }

    /// The terms of every text that contains it.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }
}

/// The names of a user as lists sort and search them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Given name, folded.
    pub first: Option<String>,
    /// Family name, folded.
    pub last: Option<String>,
    /// Username, folded.
    pub username: Option<String>,
}

impl Names {
    /// Folds the names of a user.
    pub fn new(first: Option<&str>, last: Option<&str>, username: Option<&str>) -> Self {
        let folded = |name: Option<&str>| name.map(|name| fold(name).chars().take(NAME).collect());
        Self { first: folded(first), last: folded(last), username: folded(username) }
    }

    /// The terms that find this user, also by a part of the id.
    pub fn terms(&self, instance: &InstanceId, user: &str) -> Vec<String> {
        let both: Vec<&str> = [&self.first, &self.last].into_iter().flatten().map(String::as_str).collect();
        let mut terms = BTreeSet::new();
        add_text(instance, &both.join(" "), &mut terms);
        for name in [&self.last, &self.username].into_iter().flatten() {
            add_text(instance, name, &mut terms);
        }
        let id: Vec<char> = fold(user).chars().collect();
        terms.extend(trigrams(instance, &id));
        terms.into_iter().collect()
    }
}

/// The terms that find an address in canonical form.
pub fn address_terms(instance: &InstanceId, address: &str) -> Vec<String> {
    let mut terms = BTreeSet::new();
    add_text(instance, &fold(address), &mut terms);
    terms.into_iter().collect()
}

/// One spelling per text: composed, lower case, without control characters.
fn fold(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).filter(|letter| !letter.is_control()).collect()
}

/// The terms of a text: its trigrams, and what it begins with.
fn add_text(instance: &InstanceId, folded: &str, terms: &mut BTreeSet<String>) {
    let letters: Vec<char> = folded.chars().collect();
    for length in 1..=letters.len().min(2) {
        let beginning: String = std::iter::once(&START).chain(letters.iter().take(length)).collect();
        terms.insert(hash_term(instance, &beginning));
    }
    terms.extend(trigrams(instance, &letters));
}

fn trigrams<'a>(instance: &'a InstanceId, letters: &'a [char]) -> impl Iterator<Item = String> + 'a {
    letters.windows(3).map(move |window| hash_term(instance, &window.iter().collect::<String>()))
}

/// Four letters for three characters of an instance: FNV-1a, folded to 24 bits. Stored, so it never changes.
fn hash_term(instance: &InstanceId, characters: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in instance.as_str().bytes().chain([0]).chain(characters.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    BASE64_STANDARD_NO_PAD.encode([a ^ d ^ g, b ^ e ^ h, c ^ f])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> InstanceId {
        InstanceId::parse("ins_2O4BCh3zUONvWlZHtBXv6s6tm7u").unwrap()
    }

    /// True if the index would offer a user of these names for a search.
    fn finds(names: &Names, text: &str) -> bool {
        let terms = names.terms(&instance(), "user_2O4BCh3zUONvWlZHtBXv6s6tm7u");
        Search::parse(&instance(), text).unwrap().terms().iter().all(|term| terms.contains(term))
    }

    #[test]
    fn every_part_of_a_name_finds_it() {
        let names = Names::new(Some("Zo\u{eb} Anne"), Some("O\u{2019}Neill"), Some("zoe_n"));
        for text in
            ["zo\u{eb}", "ZOE\u{308}", "anne o", "neill", "\u{2019}ne", "oe_", "2o4bch3", "z", "zo", "o", "o\u{2019}"]
        {
            assert!(finds(&names, text), "{text}");
        }
        for text in ["zoey", "xneill", "ne", "a", "us"] {
            assert!(!finds(&names, text), "{text}");
        }
    }

    #[test]
    fn a_search_is_bounded_and_may_be_none() {
        assert_eq!(Search::parse(&instance(), " \u{0}\n "), None);
        let long = Search::parse(&instance(), &"abcdefghijklmnopqrstuvwxyz0123456789".repeat(100)).unwrap();
        assert_eq!((long.needle().len(), long.terms().len()), (LONGEST, TERMS));
        assert_eq!(Search::parse(&instance(), "Ab").unwrap().needle(), "\nab");
    }

    #[test]
    fn terms_stay_as_they_are_stored_and_belong_to_an_instance() {
        assert_eq!(address_terms(&instance(), "ab@c"), ["0neR", "2iLj", "A6Fr", "wsOu"]);
        let other = InstanceId::parse("ins_2O4BCh3zUONvWlZHtBXv6s6tm7v").unwrap();
        assert!(address_terms(&other, "ab@c").iter().all(|term| !address_terms(&instance(), "ab@c").contains(term)));
    }
}
