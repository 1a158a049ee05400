//! Collects values from the file, the environment and the flags, under their dotted names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{self, Form};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A variable.
    Variable(String),
    /// A command-line flag.
    Flag(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "{name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// In the configuration file.
    Toml(toml::Value),
    /// In a variable, a flag, or a secret's own file.
    Text(String),
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was written.
    pub value: Written,
    /// Where.
    pub origin: Origin,
}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that `--config` or `VESTIBULE_CONFIG` names: it must exist.
    pub file: Option<PathBuf>,
    /// Where to look otherwise.
    pub usual_files: Vec<PathBuf>,
    /// Variables.
    pub variables: Vec<(String, String)>,
    /// Flags that stand for settings: the setting, the value, the flag's name.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

impl Sources {
    /// What this process was given.
    pub fn of_this_process(config: Option<PathBuf>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                let concerns_us = name.starts_with("VESTIBULE_") || name == "DATABASE_URL";
                concerns_us.then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        let named = std::env::var_os("VESTIBULE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            file: config.or(named),
            usual_files: vec!["vestibule.toml".into(), "/etc/vestibule/vestibule.toml".into()],
            variables,
            flags: Vec::new(),
        }
    }

    /// The same with a flag that stands for a setting.
    #[must_use]
    pub fn with_flag(mut self, key: &'static str, value: String, flag: &'static str) -> Self {
        self.flags.push((key, value, flag));
        self
    }
}

/// Values under their dotted names, and what is wrong or worth a warning.
#[derive(Debug, Default)]
pub struct Collected {
    pub(super) values: BTreeMap<&'static str, Found>,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// One source's values, before `_file` forms are read.
type Layer = Vec<(Form, Found)>;

/// Reads all sources; later ones win.
pub fn collect(sources: &Sources) -> Collected {
    let mut collected = Collected::default();
    let file = sources.file.clone().or_else(|| sources.usual_files.iter().find(|path| path.exists()).cloned());
    if let Some(path) = file {
        let layer = read_file(&path, &mut collected.problems);
        collected.take(layer);
    }
    // Lower than the prefixed names, as everybody's convention.
    collected.take(plain_variables(&sources.variables));
    let layer = read_variables(&sources.variables, &mut collected.problems);
    collected.take(layer);
    let flags = sources.flags.iter().filter_map(|(key, value, flag)| {
        let found = Found { value: Written::Text(value.clone()), origin: Origin::Flag(flag) };
        Some((keys::find(key)?, found))
    });
    collected.take(flags.collect());
    collected
}

impl Collected {
    /// Lays one source over what is there.
    fn take(&mut self, layer: Layer) {
        let mut seen: BTreeMap<&'static str, Origin> = BTreeMap::new();
        for (form, found) in layer {
            let (Form::Value(key) | Form::File(key)) = form;
            if let Some(other) = seen.insert(key.name, found.origin.clone()) {
                let problem = format!(
                    "{}: {} is given twice, also at {other}: give the value or its _file",
                    found.origin, key.name
                );
                self.problems.push(problem);
                continue;
            }
            let found = match form {
                Form::Value(_) => Some(found),
                Form::File(_) => self.read_secret(key.name, found),
            };
            if let Some(found) = found {
                self.values.insert(key.name, found);
            }
        }
    }

    /// The content of a secret's file, without its last line break.
    fn read_secret(&mut self, key: &str, found: Found) -> Option<Found> {
        let (Written::Text(path) | Written::Toml(toml::Value::String(path))) = &found.value else {
            self.problems.push(format!("{}: {key}_file must be the path of a file", found.origin));
            return None;
        };
        let path = Path::new(path);
        if is_readable_by_others(path) {
            self.warnings.push(format!("{}: {} can be read by other users (chmod 600)", found.origin, path.display()));
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                Some(Found { value: Written::Text(text.to_owned()), origin: found.origin })
            }
            Err(error) => {
                self.problems.push(format!("{}: {key}_file: cannot read {}: {error}", found.origin, path.display()));
                None
            }
        }
    }
}

/// Secrets that an orchestrator mounts have the mode of the mount.
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let mounted = path.starts_with("/run/secrets");
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0 && !(mounted && found.uid() == 0))
}

fn read_file(path: &Path, problems: &mut Vec<String>) -> Layer {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("{}: {error}", path.display()));
            return Vec::new();
        }
    };
    let mut layer = Vec::new();
    match DeTable::parse(&text) {
        Ok(table) => walk(table.get_ref(), "", &mut |name, at, value| {
            let origin = Origin::File { path: path.to_owned(), line: line(&text, at) };
            let Some(form) = keys::find(name) else {
                problems.push(format!("{origin}: unknown setting {name}{}", suggestion(keys::nearest_key(name))));
                return;
            };
            let value = Written::Toml(plain_value(value));
            layer.push((form, Found { value, origin }));
        }),
        Err(error) => {
            let at = error.span().map_or(1, |span| line(&text, span.start));
            problems.push(format!("{}:{at}: {}", path.display(), error.message()));
        }
    }
    layer
}

/// Visits every value that is a setting, or that nobody knows.
fn walk(table: &DeTable<'_>, above: &str, visit: &mut dyn FnMut(&str, usize, &DeValue<'_>)) {
    for (key, value) in table {
        let name = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(below) if keys::find(&name).is_none() && keys::is_section(&name) => {
                walk(below, &name, visit)
            }
            other => visit(&name, key.span().start, other),
        }
    }
}

/// The value without positions; what has no plain form becomes text, which no setting of that type accepts.
fn plain_value(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix()).map(toml::Value::Integer);
            whole.unwrap_or_else(|_| toml::Value::String(number.as_str().to_owned()))
        }
        DeValue::Float(number) => toml::Value::String(number.as_str().to_owned()),
        DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
        DeValue::Datetime(moment) => toml::Value::Datetime(*moment),
        DeValue::Array(items) => toml::Value::Array(items.iter().map(|item| plain_value(item.get_ref())).collect()),
        DeValue::Table(table) => toml::Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), plain_value(value.get_ref()))).collect(),
        ),
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn plain_variables(variables: &[(String, String)]) -> Layer {
    let known = [("DATABASE_URL", "database.url"), ("VESTIBULE_LOG", "log.filter")];
    let pairs = variables.iter().filter_map(|(name, value)| {
        let (_, key) = known.iter().find(|(variable, _)| variable == name)?;
        let found = Found { value: Written::Text(value.clone()), origin: Origin::Variable(name.clone()) };
        (!value.is_empty()).then_some((keys::find(key)?, found))
    });
    pairs.collect()
}

fn read_variables(variables: &[(String, String)], problems: &mut Vec<String>) -> Layer {
    let mut layer = Vec::new();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix("VESTIBULE_") else { continue };
        if keys::OTHER_VARIABLES.contains(&variable.as_str()) {
            continue;
        }
        let name = rest.to_ascii_lowercase().replace("__", ".");
        let form = keys::find(&name).filter(|_| keys::variable(&name) == *variable);
        let Some(form) = form else {
            problems.push(format!("unknown variable {variable}{}", suggestion(keys::nearest_variable(variable))));
            continue;
        };
        let origin = Origin::Variable(variable.clone());
        layer.push((form, Found { value: Written::Text(value.clone()), origin }));
    }
    layer
}

fn suggestion(nearest: Option<String>) -> String {
    nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}
