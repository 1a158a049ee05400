use super::*;
use crate::config::keys::KEYS;
use crate::crypto::SystemRng;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const REFERENCE: &str = include_str!("../../../config/vestibule.toml");

/// The sources of a file with this text and these variables.
struct Given {
    folder: tempfile::TempDir,
    sources: Sources,
}

fn given(file: &str, variables: &[(&str, &str)]) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vestibule.toml");
    fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Given { folder, sources: Sources { file: Some(path), variables, ..Sources::default() } }
}

impl Given {
    #[track_caller]
    fn config(&self) -> Config {
        load(&self.sources, Config::default()).unwrap().config
    }

    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let problems = load(&self.sources, Config::default()).unwrap_err().problems;
        let folder = format!("{}/", self.folder.path().display());
        problems.into_iter().map(|problem| problem.replace(&folder, "")).collect()
    }

    fn secret_file(&self, name: &str, content: &str, mode: u32) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn shown(config: &Config) -> String {
    format!("{config:#?}")
}

#[test]
fn the_reference_file_changes_nothing() {
    assert_eq!(shown(&given(REFERENCE, &[]).config()), shown(&Config::default()));
}

#[test]
fn the_reference_file_lists_every_setting_with_its_default() {
    let active: String = REFERENCE
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())).unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let given = given(&active, &[]);
    let collected = collect(&given.sources);
    assert_eq!(collected.problems, Vec::<String>::new());
    for key in KEYS {
        assert!(collected.values.contains_key(key.name), "{} is not in config/vestibule.toml", key.name);
    }
    // The sample key is refused by name: nobody can run with it.
    let problems = given.problems();
    assert!(problems.len() == 1 && problems[0].contains("sample key"), "{problems:?}");
    let mut config = read(&given.sources, Config::default()).0;
    // Settings without a default show an example.
    config.server.proxies.header = None;
    config.database.url = None;
    config.database.direct_url = None;
    config.log.format = None;
    config.log.filter = None;
    config.outbound.proxy = None;
    config.outbound.ca_file = None;
    config.email = None;
    config.dev.is_data_dir_chosen = false;
    assert_eq!(shown(&config), shown(&Config::default()));
}

#[test]
fn every_setting_is_read() {
    let mut asked = read(&Sources::default(), Config::default()).1.asked;
    asked.sort_unstable();
    asked.dedup();
    let mut listed: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    listed.sort_unstable();
    assert_eq!(asked, listed);
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let mut given = given(
        "[server]\nlisten = [\"localhost:1\"]\nrequest_timeout = \"1s\"\n[jobs]\nworkers = 1\n",
        &[("VESTIBULE_SERVER__LISTEN", "localhost:2, 127.0.0.1:3"), ("VESTIBULE_JOBS__WORKERS", "2")],
    );
    given.sources = given.sources.clone().with_flag("jobs.workers", "0".to_owned(), "--no-jobs");
    let config = given.config();
    let listen: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["localhost:2", "127.0.0.1:3"]);
    assert_eq!(config.server.request_timeout, Duration::from_secs(1));
    assert_eq!(config.jobs.workers, 0);
}

#[test]
fn the_usual_database_variable_is_lower_than_ours() {
    use crate::crypto::ExposeSecret;
    let url = |variables: &[(&str, &str)], file: &str| {
        given(file, variables).config().database.url.map(|url| url.expose_secret().to_owned())
    };
    let file = "[database]\nurl = \"postgres://file\"";
    assert_eq!(url(&[], file).as_deref(), Some("postgres://file"));
    assert_eq!(url(&[("DATABASE_URL", "postgres://usual")], file).as_deref(), Some("postgres://usual"));
    let both = [("VESTIBULE_DATABASE__URL", "postgres://ours"), ("DATABASE_URL", "postgres://usual")];
    assert_eq!(url(&both, file).as_deref(), Some("postgres://ours"));
    assert_eq!(url(&[("DATABASE_URL", "")], ""), None, "an empty variable is none");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let given = given(
        "[server]\nlisen = \"localhost:1\"\nrequest_timeout = 30\n\n[database]\nmax_connections = 0\n[servr]\nx = 1\n",
        &[("VESTIBULE_JOBS_WORKERS", "2"), ("VESTIBULE_DEV__PAGES", "yes"), ("VESTIBULE_LOG__LEVEL", "loud")],
    );
    let mut problems = given.problems();
    problems.sort();
    assert_eq!(
        problems,
        [
            "VESTIBULE_DEV__PAGES: dev.pages: must be true or false",
            "VESTIBULE_LOG__LEVEL: log.level: must be one of error, warn, info, debug, trace",
            "unknown variable VESTIBULE_JOBS_WORKERS; did you mean VESTIBULE_JOBS__WORKERS?",
            "vestibule.toml:2: unknown setting server.lisen; did you mean server.listen?",
            "vestibule.toml:3: server.request_timeout: must be a whole number and a unit: 500ms, 30s, 10m, 12h, 7d",
            "vestibule.toml:6: database.max_connections: must be a whole number from 1 to 10000",
            "vestibule.toml:7: unknown setting servr",
        ]
    );
}

#[test]
fn proxies_are_networks_and_a_header() {
    let listed = given(
        "[server]\ntrusted_proxies = [\"loopback\", \"10.1.0.0/16\"]\n",
        &[("VESTIBULE_SERVER__CLIENT_IP_HEADER", "CF-Connecting-IP")],
    );
    let proxies = listed.config().server.proxies;
    assert!(["127.0.0.1", "::1", "10.1.2.3"].iter().all(|address| proxies.trusts(address.parse().unwrap())));
    assert!(!proxies.trusts("10.2.0.1".parse().unwrap()));
    assert_eq!(proxies.header.unwrap().as_str(), "cf-connecting-ip");
    let wrong = given("", &[("VESTIBULE_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,proxy.internal")]);
    let problems = wrong.problems();
    assert!(problems.len() == 1 && problems[0].contains("\"proxy.internal\""), "{problems:?}");
}

#[test]
fn a_file_that_is_no_toml_is_reported_with_its_line() {
    let problems = given("[server]\nlisten = \n", &[]).problems();
    assert!(problems.len() == 1 && problems[0].starts_with("vestibule.toml:2: "), "{problems:?}");
}

#[test]
fn a_named_file_must_exist() {
    let sources = Sources { file: Some("/nowhere/vestibule.toml".into()), ..Sources::default() };
    let error = load(&sources, Config::default()).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/vestibule.toml: "), "{error}");
}

#[test]
fn secrets_can_lie_in_files_of_their_own() {
    use crate::crypto::ExposeSecret;
    let mut given = given("", &[]);
    let path = given.secret_file("url", "postgres://u:p@h/d\n", 0o600);
    given.sources.variables = vec![("VESTIBULE_DATABASE__URL_FILE".to_owned(), path.clone())];
    assert_eq!(given.config().database.url.unwrap().expose_secret(), "postgres://u:p@h/d");
    given.sources.variables.push(("VESTIBULE_DATABASE__URL".to_owned(), "postgres://other".to_owned()));
    let problems = given.problems();
    assert!(problems.len() == 1 && problems[0].contains("given twice"), "{problems:?}");
    let open = given.secret_file("open", "postgres://u:p@h/d", 0o644);
    given.sources.variables = vec![("VESTIBULE_DATABASE__URL_FILE".to_owned(), open)];
    let warnings = load(&given.sources, Config::default()).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("chmod 600"), "{warnings:?}");
    given.sources.variables = vec![("VESTIBULE_DATABASE__URL_FILE".to_owned(), "/nowhere".to_owned())];
    assert!(given.problems()[0].contains("cannot read /nowhere"));
}

#[test]
fn the_key_ring_has_three_forms() {
    let (one, two) = (RingEntry::generate(&SystemRng), RingEntry::generate(&SystemRng));
    let ids = |given: &Given| given.config().keys.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>();
    use crate::crypto::ExposeSecret;
    let pairs = format!("{},{}", one.to_setting().expose_secret(), two.to_setting().expose_secret());
    assert_eq!(ids(&given("", &[("VESTIBULE_KEYS", &pairs)])), [one.id.clone(), two.id.clone()]);
    let file = given("", &[]);
    let path = file.secret_file("key", &format!("{}\n", two.secret.expose_secret()), 0o600);
    let secret = one.secret.expose_secret();
    let text = format!(
        "keys = [{{ id = \"{}\", secret = \"{secret}\" }}, {{ id = \"{}\", secret_file = \"{path}\" }}]",
        one.id, two.id
    );
    fs::write(file.sources.file.as_ref().unwrap(), text).unwrap();
    assert_eq!(ids(&file), [one.id.clone(), two.id.clone()]);
    let path = file.secret_file("ring", &pairs, 0o600);
    assert_eq!(ids(&given("", &[("VESTIBULE_KEYS_FILE", &path)])), [one.id, two.id]);
}

#[test]
fn no_mistake_shows_a_secret() {
    let canary = "c4n4ry";
    let cases = [
        given("", &[("VESTIBULE_KEYS", &format!("a:{canary}"))]),
        given("", &[("DATABASE_URL", &format!("mysql://u:{canary}@h"))]),
        given(&format!("keys = \"{canary}\"\n[database]\nurl = [\"{canary}\"]"), &[]),
        given(&format!("keys = [{{ id = \"a\", secrt = \"{canary}\" }}]"), &[]),
    ];
    for case in &cases {
        let problems = case.problems().join("\n");
        assert!(!problems.contains(canary), "{problems}");
    }
    let url = given("", &[("DATABASE_URL", &format!("postgres://u:{canary}@h"))]);
    assert!(!shown(&url.config()).contains(canary));
}
