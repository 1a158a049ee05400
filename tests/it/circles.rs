//! No module knows itself through others: what two modules know of each other belongs below both.
//!
//! A folder and its files count as one among themselves (a file uses what its `mod.rs` defines and is declared by it);
//! among the folders and files of a module no circle is allowed, nor among the files of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::house::files;

/// A module as its path: `["actions", "provider_auth", "apply_decision"]`.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// Every module under `source` with its text; tests left out.
fn modules(source: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    for file in files(source) {
        let inside = file.strip_prefix(source).unwrap().with_extension("");
        let mut path: Module = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let is_test = path.iter().any(|part| part == "tests" || part.ends_with("_tests"));
        let is_declared_for_tests = |parent: &str| {
            let name = path.last().unwrap();
            parent.contains(&format!("#[cfg(test)]\nmod {name};"))
                || parent.contains(&format!("#[cfg(test)]\npub mod {name};"))
        };
        let parents =
            ["mod.rs", "../mod.rs"].map(|parent| std::fs::read_to_string(file.parent().unwrap().join(parent)));
        if !is_test && !parents.iter().flatten().any(|parent| is_declared_for_tests(parent)) {
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code: Vec<&str> = code.lines().map(|line| line.split("//").next().unwrap()).collect();
            found.insert(path, code.join("\n"));
        }
    }
    found
}

/// The paths a `use` tree names, `{}` multiplied out.
fn expand(tree: &str, before: &[String], paths: &mut Vec<Module>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap();
        paths.push(before.iter().cloned().chain(name.split("::").map(|part| part.trim().to_owned())).collect());
        return;
    };
    let parts = head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
    let before: Vec<String> = before.iter().cloned().chain(parts).collect();
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&group[start..at], &before, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths in `text`: of its `use` declarations, and those written out.
fn paths(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let mut rest = String::new();
    for statement in text.split_inclusive(';') {
        match statement.rfind("use ").filter(|at| statement[..*at].ends_with(['\n', ' ']) || *at == 0) {
            Some(at) if statement.ends_with(';') => expand(&statement[at + 4..statement.len() - 1], &[], &mut found),
            _ => rest.push_str(statement),
        }
    }
    for start in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(start) {
            if !rest[..at].ends_with("::") {
                let path: String = rest[at..]
                    .chars()
                    .take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'))
                    .collect();
                found.push(path.split("::").map(str::to_owned).collect());
            }
        }
    }
    found
}

/// The module that `path` leads to from `here`.
fn resolve(here: &[String], path: &[String], all: &BTreeMap<Module, String>) -> Option<Module> {
    let mut base = here.to_vec();
    let mut parts = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            parts = &parts[1..];
        }
        "super" => {
            while parts.first().is_some_and(|part| part == "super") {
                base.pop();
                parts = &parts[1..];
            }
        }
        "self" => parts = &parts[1..],
        name => {
            base.push(name.to_owned());
            all.get(&base)?;
            parts = &parts[1..];
        }
    }
    for part in parts {
        base.push(part.clone());
        if !all.contains_key(&base) {
            base.pop();
            break;
        }
    }
    Some(base)
}

/// Modules that reach themselves, in the graph whose vertices are cut to `depth` parts and lie in one folder.
fn circles(edges: &Graph, depth: usize) -> BTreeSet<Module> {
    let mut graph = Graph::new();
    for (from, targets) in edges {
        for to in targets.iter().filter(|to| to.len() >= depth && from.len() >= depth) {
            let (from, to) = (&from[..depth], &to[..depth]);
            if from != to && from[..depth - 1] == to[..depth - 1] {
                graph.entry(from.to_vec()).or_default().insert(to.to_vec());
            }
        }
    }
    let reaches_itself = |start: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for to in graph.get(module).into_iter().flatten() {
                if to == start {
                    return true;
                }
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        false
    };
    graph.keys().filter(|module| reaches_itself(module)).cloned().collect()
}

#[test]
fn no_modules_know_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let all = modules(&source);
    let mut edges = Graph::new();
    for (module, text) in &all {
        let named = paths(text).into_iter().filter_map(|path| resolve(module, &path, &all));
        edges.insert(module.clone(), named.filter(|other| other != module).collect());
    }
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > all.len(), "the paths are read");
    let found: BTreeSet<String> =
        (2..=4).flat_map(|depth| circles(&edges, depth)).map(|module| module.join("/")).collect();
    assert!(found.is_empty(), "in a circle: {found:?}");
}
