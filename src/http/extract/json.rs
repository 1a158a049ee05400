//! JSON as requests carry it, read strictly: no object names a member twice, at any depth. Two readers of such a text
//! could each believe another one of the two, and a check pass on a value that is not the one used.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting of arrays and objects.
const DEPTH: usize = 64;

/// Reads one JSON value.
///
/// # Errors
/// What is no JSON, is nested more than 64 deep, or names a member twice.
pub fn parse(text: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth_left: DEPTH }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A value whose objects have no member twice.
#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let (inner, mut list) = (self.deeper()?, Vec::new());
        while let Some(element) = elements.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (inner, mut map) = (self.deeper()?, Map::new());
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is named twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A JSON value as its text spells it, doubled members included.
    #[derive(Clone, Debug)]
    enum Spelled {
        Plain(Value),
        List(Vec<Spelled>),
        Object(Vec<(String, bool, Spelled)>),
    }

    impl Spelled {
        fn text(&self) -> String {
            match self {
                Self::Plain(value) => value.to_string(),
                Self::List(list) => format!("[{}]", list.iter().map(Self::text).collect::<Vec<_>>().join(" , ")),
                Self::Object(members) => {
                    let member = |(name, is_escaped, value): &(String, bool, Self)| {
                        let name = if *is_escaped { escaped(name) } else { Value::from(name.as_str()).to_string() };
                        format!("{name} : {}", value.text())
                    };
                    format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
                }
            }
        }

        /// The plain way to find them: every name against every other.
        fn is_doubled(&self) -> bool {
            match self {
                Self::Plain(_) => false,
                Self::List(list) => list.iter().any(Self::is_doubled),
                Self::Object(members) => members.iter().enumerate().any(|(index, (name, _, value))| {
                    value.is_doubled() || members[..index].iter().any(|(other, _, _)| other == name)
                }),
            }
        }
    }

    /// Another spelling of the same name.
    fn escaped(name: &str) -> String {
        let units: String = name.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        format!("\"{units}\"")
    }

    fn spelled() -> impl Strategy<Value = Spelled> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e300..1e300).prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        plain.prop_map(Spelled::Plain).prop_recursive(5, 40, 5, |inner| {
            let member = ("[a-cä😀\"\\\\]{0,2}", any::<bool>(), inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Spelled::List),
                prop::collection::vec(member, 0..5).prop_map(Spelled::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn exactly_the_texts_with_doubled_members_are_refused(spelled in spelled()) {
            let text = spelled.text();
            let plain: Value = serde_json::from_str(&text).unwrap();
            let read = parse(text.as_bytes());
            prop_assert_eq!(read.is_err(), spelled.is_doubled(), "{}", text);
            if let Ok(value) = read {
                prop_assert_eq!(value, plain);
            }
        }

        #[test]
        fn whatever_is_read_is_what_anybody_reads(text in "[\\[\\]{}:,\"\\\\a1.e\\-+ \n]{0,24}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(DEPTH + 1).as_bytes()).is_err());
        assert!(parse(nested(30_000).as_bytes()).is_err());
        assert!(parse(b"{} {}").is_err() && parse(b"").is_err());
    }
}
