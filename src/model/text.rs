//! Text that people read or that is stored, by whomever it was written: what is invisible in a name, and what a database
//! does not take.

use serde_json::{Map, Value};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The largest metadata object, in bytes of its JSON.
pub const METADATA_SIZE: usize = 8 * 1024;

/// True for a character that shows nothing or changes how its neighbors show: controls, format characters (category Cf:
/// zero-width spaces, soft hyphens, marks that turn the line around), line and paragraph separators, private use, and
/// the characters of other categories that have a blank glyph or are ignored when drawn (`Default_Ignorable_Code_Point`
/// of the Unicode Character Database). Spaces and variation selectors are judged by the callers.
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
    ) || matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2065}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1d159}'
            | '\u{e0000}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// True for a name that shows itself as it is: of an application, a provider or an instance, by which somebody decides
/// whom to trust. Two names that look alike must not differ in what nobody sees, so nothing invisible is in it, and
/// something visible is. The selector of the emoji form may follow a character.
pub fn is_plain_name(name: &str) -> bool {
    let mut before = None;
    for c in name.chars() {
        if is_invisible(c) || (is_variation_selector(c) && !(before.is_some_and(is_drawn) && is_emoji_selector(c))) {
            return false;
        }
        before = Some(c);
    }
    name.chars().any(is_drawn)
}

/// True for a name that a person may have. Unlike in [`is_plain_name`], joiners between letters of scripts that need them
/// (Persian, Hindi, …) and variation selectors (rare forms of Chinese characters) belong to a spelling.
pub fn is_person_name(name: &str) -> bool {
    name.is_empty() || (person_name(name) == name && name.chars().any(is_drawn))
}

/// A name without what [`is_person_name`] refuses. Empty if nothing visible is left.
pub fn person_name(name: &str) -> String {
    let mut seen: Vec<char> = Vec::with_capacity(name.len());
    for c in name.chars() {
        let belongs = if is_variation_selector(c) {
            seen.last().copied().is_some_and(is_drawn)
        } else {
            is_joiner(c) || !is_invisible(c)
        };
        if belongs {
            seen.push(c);
        }
    }
    let mut clean = String::with_capacity(name.len());
    for (index, &c) in seen.iter().enumerate() {
        let (before, after) = (clean.chars().next_back(), seen.get(index + 1).copied());
        if !is_joiner(c) || (before.is_some_and(is_joined) && after.is_some_and(is_joined)) {
            clean.push(c);
        }
    }
    if clean.chars().any(is_drawn) { clean } else { String::new() }
}

/// A value of foreign JSON as the database takes it: without U+0000, which `jsonb` refuses, in texts and member names.
pub fn storable(value: Value) -> Value {
    let text = |text: String| if text.contains('\0') { text.replace('\0', "") } else { text };
    match value {
        Value::String(given) => Value::String(text(given)),
        Value::Array(list) => Value::Array(list.into_iter().map(storable).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, it)| (text(name), storable(it))).collect())
        }
        other => other,
    }
}

/// Adds a member while the whole stays within [`METADATA_SIZE`]. Returns false, and changes nothing, if it would not.
pub fn add_metadata(metadata: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    let size =
        |members: &Map<String, Value>| members.iter().map(|(name, value)| member_size(name, value)).sum::<usize>();
    // Two braces.
    if 2 + size(metadata) + member_size(name, &value) > METADATA_SIZE {
        return false;
    }
    metadata.insert(name.to_owned(), value);
    true
}

/// A member in bytes: quoted name, colon, value, comma.
fn member_size(name: &str, value: &Value) -> usize {
    Value::from(name).to_string().len() + value.to_string().len() + 2
}

/// True for a character that leaves ink: neither a space, nor a mark that only changes the one before, nor invisible.
fn is_drawn(c: char) -> bool {
    let is_mark = matches!(
        c.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark | GeneralCategory::SpacingMark
    );
    !(c.is_whitespace() || is_mark || is_invisible(c))
}

fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// True for a letter or mark that a joiner may stand beside. Latin letters need none: there it would only hide.
fn is_joined(c: char) -> bool {
    let is_mark = matches!(c.general_category(), GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark);
    // Scripts whose letters join or conjoin begin after the European ones.
    u32::from(c) >= 0x600 && (is_mark || c.is_alphabetic())
}

/// True for a character that chooses a form of the one before it.
pub fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_emoji_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const INVISIBLE: [char; 24] = [
        '\0',
        '\n',
        '\u{7f}',
        '\u{85}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{1160}',
        '\u{180e}',
        '\u{200b}',
        '\u{200e}',
        '\u{2028}',
        '\u{202e}',
        '\u{2060}',
        '\u{2063}',
        '\u{2066}',
        '\u{2800}',
        '\u{3164}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{fff9}',
        '\u{e000}',
        '\u{e0041}',
    ];

    #[test]
    fn nothing_invisible_is_in_a_name() {
        for c in INVISIBLE {
            for name in [format!("Goo{c}gle"), format!("{c}Google"), format!("Google{c}"), c.to_string()] {
                assert!(!is_plain_name(&name), "{name:?}");
                assert!(!is_person_name(&name), "{name:?}");
                let clean = person_name(&name);
                assert!(clean == "Google" || clean.is_empty(), "{name:?} became {clean:?}");
            }
        }
        for name in
            ["Goo\u{200d}gle", "Goo\u{200c}gle", "Goo\u{fe0f}\u{fe0f}gle", "\u{fe0f}", "\u{301}", " ", "\u{3000}"]
        {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn names_of_the_world_stay_as_they_are() {
        for name in [
            "Grafana",
            "Café 24/7",
            "Ärzte & Söhne",
            "株式会社\u{3000}例",
            "Приложение",
            "\u{2764}\u{fe0f} Notes",
            "e\u{301}t",
        ] {
            assert!(is_plain_name(name), "{name:?}");
        }
        // A zero-width non-joiner in Persian, a joiner in Sinhala, a rare form of a Chinese character.
        for name in ["علی\u{200c}رضا", "ශ්\u{200d}රී", "邉\u{e0100}", "Ada King", "O’Brien", "Jean-Luc", ""]
        {
            assert!(is_person_name(name), "{name:?}");
            assert_eq!(person_name(name), name);
        }
        assert_eq!(person_name("A\u{200d}da"), "Ada");
    }

    #[test]
    fn foreign_json_loses_what_a_database_refuses() {
        let given = json!({"a\0b": ["x\0", {"y": "\0"}], "n": 1});
        assert_eq!(storable(given), json!({"ab": ["x", {"y": ""}], "n": 1}));
    }

    #[test]
    fn metadata_ends_at_its_size() {
        let mut metadata = Map::new();
        assert!(add_metadata(&mut metadata, "team", json!("a")));
        assert!(!add_metadata(&mut metadata, "roles", json!("x".repeat(METADATA_SIZE))));
        assert!(add_metadata(&mut metadata, "plan", json!("b")));
        assert_eq!(Value::from(metadata), json!({"team": "a", "plan": "b"}));
    }

    proptest! {
        #[test]
        fn cleaning_is_done_once(name in r"[a\u{200d}\u{200c}\u{fe0f}\u{e0100}\u{ad}\u{915}\u{94d} ]{0,8}") {
            let clean = person_name(&name);
            prop_assert!(is_person_name(&clean), "{clean:?}");
        }

        #[test]
        fn metadata_is_never_larger(values in prop::collection::vec((".{0,20}", ".{0,4000}"), 0..8)) {
            let mut metadata = Map::new();
            for (name, value) in values {
                add_metadata(&mut metadata, &name, value.into());
            }
            prop_assert!(Value::from(metadata).to_string().len() <= METADATA_SIZE);
        }
    }
}
