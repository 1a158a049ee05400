//! The small language in which a provider file says where a value lies in the provider's answers.
//!
//! ```text
//! expression = term { " | " term }                        the first that is not empty
//! term       = "lower(" path ")" | path [ test ]
//! test       = " is not null" | " is present" | " is absent" | " == " literal      gives true or false
//! path       = root { step }                              root: a call's id, id_token, token, callback
//! step       = "." name | "[" number "]" | "['" text "']" | "[" name "=" literal "]" | "[largest]"
//! ```
//! `[name=literal]` picks the first element of a list whose member has that value; `[largest]` the element with the
//! greatest `width` times `height`. A number after a dot also picks from a list.

use serde_json::Value;
use std::collections::BTreeMap;

/// The answers that paths reach into, by root.
pub type Sources = BTreeMap<String, Value>;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    terms: Vec<Term>,
}

/// Why an expression does not parse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("path `{text}`: {what}")]
pub struct PathError {
    text: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    path: Path,
    reading: Reading,
}

/// What is made of the value that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reading {
    Plain,
    Lower,
    /// Also the reading of `is present`: null and absent are the same to us.
    IsPresent,
    IsAbsent,
    Equals(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    root: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(usize),
    Where { member: String, equals: String },
    Largest,
}

impl Expression {
    /// Parses an expression.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = |what| PathError { text: text.to_owned(), what };
        let terms = split_outside_quotes(text).into_iter().map(Term::parse).collect::<Result<Vec<_>, _>>();
        Ok(Self { terms: terms.map_err(error)? })
    }

    /// The one path `root.member`, where `member` is taken as it is.
    pub fn member(root: &str, member: &str) -> Self {
        let path = Path { root: root.to_owned(), steps: vec![Step::Member(member.to_owned())] };
        Self { terms: vec![Term { path, reading: Reading::Plain }] }
    }

    /// The value of the first term that is not empty (null, absent and `""` are).
    pub fn value(&self, sources: &Sources) -> Option<Value> {
        self.terms.iter().find_map(|term| term.value(sources))
    }

    /// The value as text: a string, or a whole number in decimal (providers' ids).
    pub fn text(&self, sources: &Sources) -> Option<String> {
        scalar_text(&self.value(sources)?)
    }

    /// True if the value is on the closed list of truths: `true`, `"true"`, `1`, `"1"`.
    pub fn is_true(&self, sources: &Sources) -> bool {
        self.value(sources).is_some_and(|value| is_true(&value))
    }

    /// True if the provider's answers have this member, whatever is in it: null and `""` are there.
    pub fn is_given(&self, sources: &Sources) -> bool {
        self.terms.iter().any(|term| term.path.find(sources).is_some())
    }

    /// The roots that must be known before this expression has its value: those of the terms up to and including the
    /// first one that `sources` satisfies.
    pub fn roots_needed<'e>(&'e self, sources: &Sources) -> Vec<&'e str> {
        let mut roots = Vec::new();
        for term in &self.terms {
            roots.push(term.path.root.as_str());
            if term.value(sources).is_some() {
                break;
            }
        }
        roots
    }

    /// Every root named.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|term| term.path.root.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A string that is not empty, or a whole number in decimal. Numbers that do not fit 64 bits are nothing: JSON reading
/// has rounded them, and a rounded id is somebody else's.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// True for `true`, `"true"`, `1` and `"1"` alone; anything else counts as false.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::String(text) => text == "true" || text == "1",
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let (path, reading) = if let Some(inner) = text.strip_prefix("lower(").and_then(|rest| rest.strip_suffix(')')) {
            (inner, Reading::Lower)
        } else if let Some(path) = text.strip_suffix(" is not null").or_else(|| text.strip_suffix(" is present")) {
            (path, Reading::IsPresent)
        } else if let Some(path) = text.strip_suffix(" is absent") {
            (path, Reading::IsAbsent)
        } else if let Some((path, literal)) = text.split_once(" == ") {
            (path, Reading::Equals(literal.trim().to_owned()))
        } else {
            (text, Reading::Plain)
        };
        Ok(Self { path: Path::parse(path.trim())?, reading })
    }

    fn value(&self, sources: &Sources) -> Option<Value> {
        let found = self.path.find(sources).filter(|value| !is_empty(value));
        match &self.reading {
            Reading::Plain => found.cloned(),
            Reading::Lower => found.and_then(Value::as_str).map(|text| Value::String(text.to_lowercase())),
            Reading::IsPresent => self.answered(sources, found.is_some()),
            Reading::IsAbsent => self.answered(sources, found.is_none()),
            Reading::Equals(literal) => self.answered(sources, found.is_some_and(|value| reads_as(value, literal))),
        }
    }

    /// The outcome of a test; nothing while the answer it asks about is unknown.
    fn answered(&self, sources: &Sources, outcome: bool) -> Option<Value> {
        sources.contains_key(&self.path.root).then_some(Value::Bool(outcome))
    }
}

impl Path {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (root, mut rest) = text.split_at(end);
        if !is_name(root) {
            return Err("a path begins with the name of a call");
        }
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = Step::parse(rest)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { root: root.to_owned(), steps })
    }

    fn find<'v>(&self, sources: &'v Sources) -> Option<&'v Value> {
        self.steps.iter().try_fold(sources.get(&self.root)?, |value, step| step.apply(value))
    }
}

impl Step {
    /// The first step of `text` and what follows it.
    fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        if let Some(rest) = text.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            return if is_name(name) { Ok((Self::Member(name.to_owned()), after)) } else { Err("bad member name") };
        }
        if let Some(rest) = text.strip_prefix("['") {
            let (name, after) = rest.split_once("']").ok_or("quote without an end")?;
            return Ok((Self::Member(name.to_owned()), after));
        }
        let rest = text.strip_prefix('[').ok_or("a step begins with a dot or a bracket")?;
        let (inner, after) = rest.split_once(']').ok_or("bracket without an end")?;
        if inner == "largest" {
            return Ok((Self::Largest, after));
        }
        if let Some((member, literal)) = inner.split_once('=') {
            let filter = Self::Where { member: member.to_owned(), equals: literal.to_owned() };
            return if is_name(member) { Ok((filter, after)) } else { Err("bad member name in a filter") };
        }
        inner
            .parse()
            .map(|index| (Self::Index(index), after))
            .map_err(|_| "a bracket holds a number, a filter or a quote")
    }

    fn apply<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Member(name) => match value {
                Value::Array(list) => list.get(name.parse::<usize>().ok()?),
                _ => value.get(name),
            },
            Self::Index(index) => value.as_array()?.get(*index),
            Self::Where { member, equals } => value
                .as_array()?
                .iter()
                .find(|element| element.get(member).is_some_and(|found| reads_as(found, equals))),
            Self::Largest => value.as_array()?.iter().rev().max_by_key(|element| area(element)),
        }
    }
}

fn area(image: &Value) -> u64 {
    let side = |name| image.get(name).and_then(Value::as_u64).unwrap_or(1);
    side("width").saturating_mul(side("height"))
}

fn reads_as(value: &Value, literal: &str) -> bool {
    match value {
        Value::String(text) => text == literal,
        Value::Bool(flag) => literal == if *flag { "true" } else { "false" },
        Value::Number(number) => number.to_string() == literal,
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-@$".contains(&byte))
}

/// Splits at `|`, but not inside `'…'`: member names may be anything.
fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|letter| {
        quoted ^= letter == '\'';
        letter == '|' && !quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sources() -> Sources {
        let user = json!({
            "id": 583231, "name": "Ada", "empty": "", "confirmed_at": null, "state": "active", "Big": "LOUD",
            "https://slack.com/user_id": "U1", "a|b": 7,
            "images": [{"width": 64, "height": 64, "url": "s"}, {"width": 640, "height": 640, "url": "l"}, {"url": "x"}],
        });
        let emails = json!([{"email": "b@x", "primary": false}, {"email": "a@x", "primary": true, "verified": true}]);
        Sources::from([("user".to_owned(), user), ("emails".to_owned(), emails)])
    }

    fn value(text: &str) -> Option<Value> {
        Expression::parse(text).unwrap().value(&sources())
    }

    #[test]
    fn reaches_what_the_25_providers_need() {
        for (path, expected) in [
            ("user.name", json!("Ada")),
            ("emails[primary=true].email", json!("a@x")),
            ("emails[primary=true].verified", json!(true)),
            ("emails[0].email", json!("b@x")),
            ("emails.1.email", json!("a@x")),
            ("user['https://slack.com/user_id']", json!("U1")),
            ("user['a|b'] | user.name", json!(7)),
            ("user.images[largest].url", json!("l")),
            ("user.empty | user.absent | user.name", json!("Ada")),
            ("lower(user.Big)", json!("loud")),
            ("user.confirmed_at is not null", json!(false)),
            ("user.name is present", json!(true)),
            ("user.error is absent", json!(true)),
            ("user.state == active", json!(true)),
            ("user.id == 583231", json!(true)),
            ("nobody.x is absent | user.name", json!("Ada")),
        ] {
            assert_eq!(value(path), Some(expected), "{path}");
        }
        for path in ["user.absent", "user.empty", "nobody.name", "user.name.first", "emails[7]", "user.name[largest]"] {
            assert_eq!(value(path), None, "{path}");
        }
    }

    #[test]
    fn numbers_become_text_unless_rounded() {
        let text =
            |value| Expression::parse("a.b").unwrap().text(&Sources::from([("a".to_owned(), json!({ "b": value }))]));
        assert_eq!(text(json!(583231)), Some("583231".to_owned()));
        assert_eq!(text(json!(-5)), Some("-5".to_owned()));
        let rounded: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        for nothing in [rounded, json!(1.5), json!(true), json!([1]), json!({}), json!("")] {
            assert_eq!(text(nothing.clone()), None, "{nothing}");
        }
    }

    #[test]
    fn truth_is_a_closed_list() {
        for yes in [json!(true), json!("true"), json!(1), json!("1")] {
            assert!(is_true(&yes), "{yes}");
        }
        for no in
            [json!(false), json!("TRUE"), json!("yes"), json!(2), json!(1.5), json!(null), json!([true]), json!(" 1")]
        {
            assert!(!is_true(&no), "{no}");
        }
    }

    #[test]
    fn says_which_answers_it_still_needs() {
        let expression = Expression::parse("token.id | me.id").unwrap();
        let known = Sources::from([("token".to_owned(), json!({"id": "1"}))]);
        assert_eq!(expression.roots_needed(&known), ["token"]);
        let lacking = Sources::from([("token".to_owned(), json!({"id": null}))]);
        assert_eq!(expression.roots_needed(&lacking), ["token", "me"]);
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for text in
            ["", ".a", "a.", "a..b", "a[", "a[x", "a['b", "a[x]", "a[-1]", "a b", "a.b c", "| a", "lower(a", "a[=1]"]
        {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}", path in r"r((\.[a-c0-2])|(\[[0-2]\])|(\[[a-c]=true\])|(\['[a-c]'\])|(\[largest\])){0,5}", answer in any_json()) {
            let sources = Sources::from([("r".to_owned(), answer)]);
            if let Ok(expression) = Expression::parse(&text) {
                expression.value(&sources);
            }
            let expression = Expression::parse(&path).unwrap();
            // What a path finds is never empty, and an expression gives exactly the first of its terms that finds
            // something.
            let found = expression.value(&sources);
            prop_assert!(found.as_ref().is_none_or(|value| !is_empty(value)));
            let fallback = Expression::parse(&format!("{path} | f.x")).unwrap();
            let mut more = sources.clone();
            more.insert("f".to_owned(), json!({"x": "fallback"}));
            prop_assert_eq!(fallback.value(&more), found.or(Some(json!("fallback"))));
        }
    }
}
