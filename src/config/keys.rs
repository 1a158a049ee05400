//! The list of settings, and the nearest one to a mistyped name.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its dotted name: `server.listen`.
    pub name: &'static str,
    /// Whether its value is secret: it also has a `_file` form, and is never shown.
    pub is_secret: bool,
}

const fn plain(name: &'static str) -> Key {
    Key { name, is_secret: false }
}

const fn secret(name: &'static str) -> Key {
    Key { name, is_secret: true }
}

/// Every setting, in the order of `config/vestibule.toml`.
pub const KEYS: &[Key] = &[
    plain("server.listen"),
    plain("server.internal_listen"),
    plain("server.trusted_proxies"),
    plain("server.client_ip_header"),
    plain("server.shutdown.drain"),
    plain("server.shutdown.grace"),
    plain("server.request_timeout"),
    plain("server.send_timeout"),
    plain("server.http2_control_frames"),
    plain("server.max_connections"),
    plain("server.max_connections_per_address"),
    secret("database.url"),
    secret("database.direct_url"),
    plain("database.connect_timeout"),
    plain("database.max_connections"),
    plain("database.min_connections"),
    plain("database.acquire_timeout"),
    plain("database.migrate_on_start"),
    secret("keys"),
    plain("log.format"),
    plain("log.level"),
    plain("log.filter"),
    plain("outbound.allow"),
    plain("outbound.proxy"),
    plain("outbound.ca_file"),
    plain("outbound.offline"),
    secret("email.url"),
    plain("email.from"),
    plain("email.reply_to"),
    plain("limits.relaxed"),
    plain("limits.create_attempt"),
    plain("limits.attempt_proof"),
    plain("limits.backend_production"),
    plain("limits.backend_development"),
    plain("limits.authorize"),
    plain("limits.oauth_client"),
    plain("limits.client_failure"),
    plain("limits.send_again"),
    plain("limits.send_to_recipient"),
    plain("limits.send_from_address"),
    plain("limits.failed_proofs"),
    plain("passwords.memory"),
    plain("passwords.passes"),
    plain("retention.attempts"),
    plain("retention.access_tokens"),
    plain("retention.grants"),
    plain("retention.sessions"),
    plain("retention.clients"),
    plain("retention.visitors"),
    plain("retention.flows"),
    plain("retention.audit"),
    plain("retention.outbox"),
    plain("retention.outbox_payloads"),
    plain("retention.messages"),
    plain("retention.inbox"),
    plain("jobs.workers"),
    plain("dev.pages"),
    plain("dev.data_dir"),
];

/// Variables that do not name a setting by the rule `VESTIBULE_` + section + `__` + key.
pub const OTHER_VARIABLES: &[&str] =
    &["VESTIBULE_CONFIG", "VESTIBULE_INSTANCE", "VESTIBULE_LOG", "VESTIBULE_PG_BIN", "VESTIBULE_PG_FETCH"];

/// A name as somebody wrote it, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value itself.
    Value(Key),
    /// The path of a file that holds it.
    File(Key),
}

/// What a dotted name means.
pub fn find(name: &str) -> Option<Form> {
    let by_name = |name: &str| KEYS.iter().find(|key| key.name == name).copied();
    if let Some(key) = by_name(name) {
        return Some(Form::Value(key));
    }
    by_name(name.strip_suffix("_file")?).filter(|key| key.is_secret).map(Form::File)
}

/// True if settings lie below the table `name`.
pub fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The variable of a dotted name.
pub fn variable(name: &str) -> String {
    format!("VESTIBULE_{}", name.replace('.', "__").to_ascii_uppercase())
}

/// The known dotted name that looks most like `name`, if one does.
pub fn nearest_key(name: &str) -> Option<String> {
    nearest(name, KEYS.iter().flat_map(spellings))
}

/// The known variable that looks most like `name`, if one does.
pub fn nearest_variable(name: &str) -> Option<String> {
    let others = OTHER_VARIABLES.iter().map(|name| (*name).to_owned());
    nearest(name, KEYS.iter().flat_map(spellings).map(|name| variable(&name)).chain(others))
}

fn spellings(key: &Key) -> impl Iterator<Item = String> + use<> {
    let file = key.is_secret.then(|| format!("{}_file", key.name));
    std::iter::once(key.name.to_owned()).chain(file)
}

/// The candidate with the fewest edits, unless it differs in more than a third of its letters.
pub fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|candidate| (distance(name, &candidate), candidate))
        .filter(|(edits, candidate)| *edits * 3 <= candidate.len().max(name.len()))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (right, above) in b.iter().zip(row.iter().skip(1)) {
            let edits = (diagonal + usize::from(left != *right)).min(above + 1).min(before + 1);
            diagonal = *above;
            before = edits;
            next.push(edits);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, edits) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("same", "same", 0)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn suggests_what_looks_alike_only() {
        assert_eq!(nearest_key("server.lisen").as_deref(), Some("server.listen"));
        assert_eq!(nearest_key("database.uri_file").as_deref(), Some("database.url_file"));
        assert_eq!(nearest_variable("VESTIBULE_DATABASE_URL").as_deref(), Some("VESTIBULE_DATABASE__URL"));
        assert_eq!(nearest_key("smtp.password"), None);
    }

    #[test]
    fn only_secrets_have_a_file_form() {
        assert!(matches!(find("database.url_file"), Some(Form::File(key)) if key.name == "database.url"));
        assert_eq!(find("log.level_file"), None);
        assert!(matches!(find("outbound.ca_file"), Some(Form::Value(_))));
    }
}
