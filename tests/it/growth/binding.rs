//! Values for the parameters of any statement: each parameter is compared with a column, or stored in one, and row 500 of
//! that column's table has a value. What is missing is spelled alike and belongs to nobody.

use std::collections::{BTreeMap, BTreeSet};

/// What a statement is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Values {
    /// Row 500 of every table.
    Existing,
    /// Nobody's.
    Missing,
    /// Searches only: a word that most users share.
    Common,
    /// Searches only: a word that nobody has, though most users share each of its trigrams.
    Alike,
}

/// Row 500 of each table, and what is searched for.
pub struct Samples {
    /// By table and column; a column that is null there has none.
    pub rows: BTreeMap<String, BTreeMap<String, String>>,
    /// All tables and views.
    pub relations: BTreeSet<String>,
    /// Tables that do not grow with people.
    pub few: BTreeSet<String>,
    /// Needle and terms, as literals.
    pub searches: BTreeMap<Values, (String, String)>,
}

/// A parameter's place.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Compared with a column, or set: its table if that is known.
    Column(Option<String>, String),
    /// Inserted into a column.
    Inserted(String, String),
    /// `limit`, `offset`.
    Bound(&'static str),
    /// The text that is searched for.
    Needle,
    /// A JSON array of rows.
    Rows,
    /// Where a page of a remover begins and ends in each instance, and what time it is there.
    Page(PageBound),
    /// Elsewhere: its type decides.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageBound {
    After,
    BeforeKey,
    BeforeDay,
    Moment,
}

const RESERVED: &[&str] = &[
    "select",
    "set",
    "where",
    "on",
    "as",
    "values",
    "using",
    "left",
    "join",
    "lateral",
    "for",
    "order",
    "limit",
    "inner",
    "cross",
    "returning",
    "group",
    "and",
    "union",
    "from",
    "default",
    "do",
    "then",
    "when",
];

/// A statement in pieces: words (`i.value_key`, `$1`, `'text'`) and signs.
pub fn tokens(sql: &str) -> Vec<String> {
    let letters: Vec<char> = sql.chars().collect();
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '$' | '"');
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let begun = at;
        at += 1;
        if letters[begun].is_whitespace() {
            continue;
        }
        if letters[begun] == '\'' {
            while at < letters.len() && letters[at] != '\'' {
                at += 1;
            }
            at = (at + 1).min(letters.len());
        } else if is_word(letters[begun]) {
            while at < letters.len() && is_word(letters[at]) {
                at += 1;
            }
        } else if matches!(letters[begun], '<' | '>' | '=' | '@' | ':' | '|') {
            while at < letters.len() && matches!(letters[at], '<' | '>' | '=' | ':' | '|') {
                at += 1;
            }
        }
        found.push(letters[begun..at].iter().collect());
    }
    found
}

impl Samples {
    /// What the relations in a statement are called there.
    fn aliases(&self, tokens: &[String]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for pair in tokens.windows(2) {
            let is_before = matches!(pair[0].as_str(), "from" | "join" | "update" | "into" | "using" | ",");
            if is_before && self.relations.contains(&pair[1]) {
                found.push((pair[1].clone(), pair[1].clone()));
            }
        }
        for part in tokens.windows(4) {
            let is_before = matches!(part[0].as_str(), "from" | "join" | "update" | "into" | "using" | ",");
            let alias = if part[2] == "as" { &part[3] } else { &part[2] };
            let is_name = alias.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
            if is_before && self.relations.contains(&part[1]) && is_name && !RESERVED.contains(&alias.as_str()) {
                found.push((alias.clone(), part[1].clone()));
            }
        }
        found
    }

    /// True if a statement is about a table that grows.
    pub fn grows(&self, sql: &str) -> bool {
        self.aliases(&tokens(sql)).iter().any(|(_, relation)| !self.few.contains(relation))
    }

    fn place(&self, tokens: &[String], parameter: &str) -> Place {
        let aliases = self.aliases(tokens);
        let sample = |relation: &str, column: &str| self.rows.get(relation).is_some_and(|row| row.contains_key(column));
        for at in (0..tokens.len()).filter(|at| tokens[*at] == parameter) {
            match at.checked_sub(1).map(|before| tokens[before].as_str()) {
                Some("limit") => return Place::Bound("limit"),
                Some("offset") => return Place::Bound("offset"),
                Some("(") if at > 1 && tokens[at - 2] == "jsonb_to_recordset" => return Place::Rows,
                _ => {}
            }
            if let Some(column) = compared(tokens, at) {
                let (alias, column) = column.rsplit_once('.').map_or((None, column), |(a, c)| (Some(a), c));
                let relations = aliases.iter().filter(|(name, _)| alias.is_none_or(|alias| alias == name));
                let relation = relations.map(|(_, relation)| relation).find(|relation| sample(relation, column));
                return Place::Column(relation.cloned(), column.to_owned());
            }
        }
        if let Some((relation, column)) = inserted(tokens, parameter) {
            return Place::Inserted(relation, column);
        }
        if let Some(column) = unnested(tokens, parameter) {
            let is_day = tokens.windows(2).any(|pair| pair[0] == "i.before" && pair[1].starts_with("::"));
            let bound = match column.as_str() {
                "after" => Some(PageBound::After),
                "before" if is_day => Some(PageBound::BeforeDay),
                "before" => Some(PageBound::BeforeKey),
                "moment" => Some(PageBound::Moment),
                _ => None,
            };
            if let Some(bound) = bound {
                return Place::Page(bound);
            }
            let relation = aliases.iter().map(|(_, relation)| relation).find(|relation| sample(relation, &column));
            return Place::Column(relation.cloned(), column);
        }
        let is_needle = tokens.windows(4).any(|part| part[0] == "strpos") && {
            let at = tokens.iter().position(|token| token == parameter).unwrap_or(0);
            tokens.get(at + 1).is_some_and(|token| token == ")") && tokens.get(at + 2).is_some_and(|token| token == ">")
        };
        if is_needle { Place::Needle } else { Place::Unknown }
    }

    /// A literal for each parameter of a statement; `None` is null.
    pub fn bind(&self, sql: &str, types: &[String], values: Values, limit: i64) -> Vec<Option<String>> {
        let tokens = tokens(sql);
        types
            .iter()
            .enumerate()
            .map(|(index, kind)| self.value(self.place(&tokens, &format!("${}", index + 1)), kind, values, limit))
            .collect()
    }

    fn value(&self, place: Place, kind: &str, values: Values, limit: i64) -> Option<String> {
        let is_new = matches!(&place, Place::Inserted(_, column) if column == "id" || column.ends_with("hash"));
        let (relation, column) = match place {
            Place::Bound("limit") => return Some(limit.to_string()),
            Place::Bound(_) => return Some("1".to_owned()),
            Place::Rows => return Some("[]".to_owned()),
            // A whole page from the beginning; nothing young is beyond its end.
            Place::Page(PageBound::After) => return Some("{\"\"}".to_owned()),
            Place::Page(PageBound::BeforeKey) => return Some("{~}".to_owned()),
            Place::Page(PageBound::BeforeDay) => return Some("{99999}".to_owned()),
            Place::Page(PageBound::Moment) => return Some("{now}".to_owned()),
            Place::Needle => return Some(self.searches[&values].0.clone()),
            Place::Column(_, column) if column == "search_terms" => return Some(self.searches[&values].1.clone()),
            Place::Inserted(relation, column) => {
                let is_null = self.rows.get(&relation).is_some_and(|row| !row.contains_key(&column));
                if is_null && kind == "text" {
                    return None;
                }
                (Some(relation), column)
            }
            Place::Column(relation, column) => (relation, column),
            Place::Unknown => (None, String::new()),
        };
        let sample = relation.and_then(|relation| self.rows.get(&relation)?.get(&column).cloned());
        let by_kind = match kind {
            "boolean" => Some(if values == Values::Missing { "false" } else { "true" }),
            "interval" => Some("0"),
            "jsonb" | "json" => Some("{}"),
            "timestamp with time zone" => Some("now"),
            "bigint" => Some("100"),
            "smallint" => Some("5"),
            "double precision" => Some("60"),
            "inet" => Some("127.0.0.1"),
            _ => None,
        };
        if let Some(fixed) = by_kind {
            return Some(fixed.to_owned());
        }
        let Some(mut value) = sample else {
            return Some(match kind {
                "text" => "x".to_owned(),
                "integer" => "1".to_owned(),
                "bytea" => format!("\\x{}", "ee".repeat(32)),
                _ => "{}".to_owned(),
            });
        };
        if values == Values::Missing || is_new {
            value = value.replace("00000500", if is_new { "88888888" } else { "99999999" });
            if value.starts_with("\\x") {
                value = format!("\\x{}", if is_new { "dd" } else { "ee" }.repeat(32));
            }
        }
        if kind.ends_with("[]") {
            value = match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => format!("{{{list}}}"),
                None if value.starts_with('{') => value,
                None => format!("{{\"{}\"}}", value.replace('\\', "\\\\")),
            };
        }
        Some(value)
    }
}

/// The column that the token at `at` is compared with: `column = $1`, `column = any($1)`, `column is distinct from $1`.
fn compared(tokens: &[String], at: usize) -> Option<&str> {
    let mut before = at.checked_sub(1)?;
    if tokens[before] == "(" {
        before = before.checked_sub(1)?;
        if tokens[before] != "any" {
            return None;
        }
        before = before.checked_sub(1)?;
    }
    match tokens[before].as_str() {
        "=" | "<>" | "<" | ">" | ">=" | "<=" | "@>" | "like" => before = before.checked_sub(1)?,
        "from" if before > 0 && tokens[before - 1] == "distinct" => {
            before = before.checked_sub(if tokens[before.checked_sub(2)?] == "not" { 4 } else { 3 })?;
        }
        _ => return None,
    }
    let is_column =
        |word: &str| word.chars().all(|letter| letter.is_ascii_lowercase() || "_.0123456789".contains(letter));
    Some(tokens[before].as_str())
        .filter(|word| is_column(word) && word.starts_with(|first: char| first.is_alphabetic()))
}

/// The tokens between the parenthesis that opened before `from` and its end, in parts between commas; a `select` list
/// ends with its clause.
fn parts(tokens: &[String], from: usize) -> Vec<&[String]> {
    let (mut found, mut depth, mut begun, mut at) = (Vec::new(), 0, from, from);
    while at < tokens.len() {
        match tokens[at].as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" if depth == 0 => break,
            ")" | "]" => depth -= 1,
            "from" | "where" | "on" | "returning" if depth == 0 && tokens[at - 1] != "distinct" => break,
            "," if depth == 0 => {
                found.push(&tokens[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    found.push(&tokens[begun..at]);
    found
}

/// The table and column that a parameter is inserted into.
fn inserted(tokens: &[String], parameter: &str) -> Option<(String, String)> {
    for at in (0..tokens.len().saturating_sub(4)).filter(|at| tokens[*at] == "insert" && tokens[at + 1] == "into") {
        let open = (at + 3..tokens.len()).find(|at| tokens[*at] == "(")?;
        let columns = parts(tokens, open + 1);
        let after = (open..tokens.len()).find(|at| tokens[*at] == ")")? + 1;
        let first = match tokens.get(after).map(String::as_str) {
            Some("values") => after + 2,
            Some("select") => after + 1,
            _ => continue,
        };
        let place = parts(tokens, first).iter().position(|part| part.iter().any(|token| token == parameter));
        if let Some(column) = place.and_then(|place| columns.get(place)).and_then(|column| column.first()) {
            return Some((tokens[at + 2].clone(), column.clone()));
        }
    }
    None
}

/// The name that the elements of an array get: `unnest($1, $2) as n (id, …)`.
fn unnested(tokens: &[String], parameter: &str) -> Option<String> {
    for at in (0..tokens.len()).filter(|at| tokens[*at] == "unnest") {
        let arrays = parts(tokens, at + 2);
        let Some(place) = arrays.iter().position(|part| part.iter().any(|token| token == parameter)) else { continue };
        let close = at + 2 + arrays.iter().map(|part| part.len() + 1).sum::<usize>() - 1;
        let open = (close + 1..tokens.len()).find(|at| tokens[*at] == "(")?;
        return parts(tokens, open + 1).get(place)?.first().cloned();
    }
    None
}
