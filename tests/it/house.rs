//! The modules keep their shape: arrows point down, no circles between modules, no long files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module at the top of `src` may name besides itself; every one has its row.
const MAY: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("crypto", &["model"]),
    ("outbound", &["model", "crypto"]),
    ("store", &["model", "crypto", "config"]),
    ("upstream", &["model", "crypto", "outbound"]),
    ("flow_log", &["model", "store"]),
    ("config", &["crypto", "outbound"]),
    ("telemetry", &["config", "model"]),
    ("limits", &["config", "model", "crypto", "store", "app", "context"]),
    ("embedded", &["model"]),
    ("app", &["config", "crypto", "model", "outbound", "store", "flow_log", "upstream"]),
    ("context", &["app", "model", "store", "flow_log"]),
    ("simulator", &["model", "crypto", "upstream", "store", "app", "context", "config"]),
    (
        "actions",
        &["model", "store", "upstream", "crypto", "outbound", "app", "context", "config", "limits", "flow_log"],
    ),
    ("jobs", &["model", "store", "actions", "outbound", "crypto", "app", "context", "config", "telemetry"]),
    (
        "http",
        &[
            "actions",
            "model",
            "crypto",
            "simulator",
            "store",
            "app",
            "context",
            "config",
            "limits",
            "telemetry",
            "flow_log",
        ],
    ),
];
/// Modules that only the top may name.
const TOP: &[&str] = &["cli", "server"];
/// Lines after which a file asks to be split.
const LONGEST: usize = 500;

/// The Rust files of a folder and its folders.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let own = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    own.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

/// The modules that a file names by `crate::`.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut modules = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        modules.insert(part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
    }
    modules
}

/// The top, and the files that declare it.
fn is_above(module: &str) -> bool {
    TOP.contains(&module) || matches!(module, "main" | "lib")
}

#[test]
fn arrows_point_down_and_files_stay_short() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&source) {
        let text = std::fs::read_to_string(&file).unwrap();
        let inside = file.strip_prefix(&source).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if text.lines().count() > LONGEST {
            wrong.push(format!("{}: {} lines", inside.display(), text.lines().count()));
        }
        if is_above(&module) {
            continue;
        }
        let Some((_, may)) = MAY.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: {module} has no row here", inside.display()));
            continue;
        };
        let modules = MAY.iter().map(|(name, _)| *name).chain(TOP.iter().copied());
        for other in modules.filter(|other| *other != module && !may.contains(other)) {
            if named(&text).contains(other) {
                wrong.push(format!("{}: {module} names {other}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What may end in more than two ways says so in an enum with names; `Ok(Err(…))` names nothing.
#[test]
fn no_result_lies_in_a_result() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&source) {
        let text: String = std::fs::read_to_string(&file).unwrap().split_whitespace().collect();
        let mut rest = text.as_str();
        while let Some((_, inside)) = rest.split_once("Result<") {
            rest = inside;
            let end = inside.find(['<', ',', '>', '(']).unwrap_or(0);
            let (first, after) = inside.split_at(end);
            let inner = if first == "Option" { after.trim_start_matches('<') } else { inside };
            let name: String = inner.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            if name == "Result" || name.ends_with("::Result") {
                wrong.push(format!("{}: Result<{}", file.display(), inside.chars().take(60).collect::<String>()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The hash of a client token travels with the token: made by the guard for the one presented, with the token for one
/// issued, and for the one that a development instance takes from the query. Nobody else computes it again.
#[test]
fn a_client_token_is_hashed_where_it_comes_in_or_is_made() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let hashing: BTreeSet<String> = files(&source)
        .iter()
        .filter(|file| std::fs::read_to_string(file).unwrap().contains("lookup_hash(Lookup::ClientToken"))
        .map(|file| file.strip_prefix(&source).unwrap().display().to_string())
        .collect();
    assert_eq!(Vec::from_iter(hashing), ["actions/client.rs", "http/guard.rs", "http/oauth/authorize.rs"]);
}

/// A code that nobody answers with is a promise that nobody keeps.
#[test]
fn every_code_is_answered_somewhere() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (table, statuses) = (source.join("model/problem.rs"), source.join("http/status.rs"));
    let texts: Vec<String> = files(&source)
        .iter()
        .filter(|file| **file != table && **file != statuses)
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let table = std::fs::read_to_string(table).unwrap();
    let is_name = |word: &&str| {
        word.len() > 3
            && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
    };
    let rows = table.lines().filter(|line| line.starts_with("        ") && line.trim_end().ends_with("\";"));
    let names: Vec<&str> = rows.filter_map(|line| line.split_whitespace().next()).filter(is_name).collect();
    assert_eq!(names.len(), vestibule::model::problem::code::ALL.len());
    let is_used = |name: &&str| texts.iter().any(|text| text.contains(*name));
    let unused: Vec<&&str> = names.iter().filter(|name| !is_used(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// The pool's own types limit the time of every statement; sqlx's do not. Allowed are who makes these types, and
/// who migrates or starts a private database before anything is served.
#[test]
fn no_statement_goes_past_the_pool() {
    const MAY: [&str; 4] = ["store/pool.rs", "store/pool/connection.rs", "store/schema.rs", "embedded/cluster.rs"];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = ["PgPool", "PgConnection", "Transaction"];
    let is_raw = |line: &str| {
        let path = line.split_once("sqlx::").map(|(_, path)| path).unwrap_or_default();
        let mut words = path.split(|c: char| !c.is_alphanumeric() && c != '_');
        if line.trim_start().starts_with("use sqlx::") {
            words.any(|word| names.contains(&word))
        } else {
            words.next().is_some_and(|word| names.contains(&word))
        }
    };
    for name in MAY {
        assert!(source.join(name).exists(), "{name} is no more");
    }
    for file in files(&source) {
        let text = std::fs::read_to_string(&file).unwrap();
        let raw = text.lines().find(|line| !line.trim_start().starts_with("//") && is_raw(line));
        let is_allowed = MAY.iter().any(|name| file.ends_with(name));
        assert!(raw.is_none() || is_allowed, "{}: {}", file.display(), raw.unwrap_or_default());
    }
}
