//! Reads the HTML that our templates write, closely enough to check it. Not a parser for other people's HTML.

use std::collections::BTreeMap;

/// A tag with its attributes.
#[derive(Debug)]
pub struct Tag {
    /// Lower-case name; closing tags begin with a slash.
    pub name: String,
    /// Attributes; those without a value have an empty one.
    pub attributes: BTreeMap<String, String>,
}

/// A page taken apart.
#[derive(Debug)]
pub struct Markup {
    /// The tags, in order.
    pub tags: Vec<Tag>,
    /// The text between them, still escaped.
    pub text: String,
}

impl Markup {
    /// Takes `html` apart.
    ///
    /// # Panics
    /// On a quote or a bracket where our templates write none: something was not escaped.
    pub fn read(html: &str) -> Self {
        let (mut tags, mut text) = (Vec::new(), String::new());
        let mut rest = html;
        while let Some((before, after)) = rest.split_once('<') {
            assert!(!before.contains('>'), "a stray bracket before: <{}", &after[..after.len().min(60)]);
            text.push_str(before);
            let end = end_of_tag(after);
            tags.push(tag(&after[..end]));
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        Self { tags, text }
    }

    /// Every value of `attribute`.
    pub fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags.iter().filter_map(move |tag| tag.attributes.get(attribute).map(String::as_str))
    }

    /// Tags called `name`.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Tag> {
        self.tags.iter().filter(move |tag| tag.name == name)
    }
}

/// Where the tag that begins `rest` ends; brackets inside quoted values do not count.
fn end_of_tag(rest: &str) -> usize {
    let mut is_quoted = false;
    for (at, character) in rest.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return at,
            '<' => panic!("an unescaped bracket in a tag: <{}", &rest[..at]),
            _ => {}
        }
    }
    panic!("a tag without an end");
}

fn tag(inside: &str) -> Tag {
    let (name, mut rest) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Tag { name: name.to_ascii_lowercase(), attributes };
        }
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "not an attribute: {key} in <{inside}>");
        let Some(after) = after.strip_prefix("=\"") else {
            assert!(attributes.insert(key.to_owned(), String::new()).is_none());
            rest = after;
            continue;
        };
        let (value, after) = after.split_once('"').unwrap();
        assert!(attributes.insert(key.to_owned(), value.to_owned()).is_none(), "{key} twice in <{inside}>");
        rest = after;
    }
}
