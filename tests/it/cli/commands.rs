//! Commands that change or show data, with and without a running server.

use super::deployed;
use serde_json::json;

#[tokio::test]
async fn an_instance_is_made_listed_and_shown() {
    let (db, program) = deployed().await;
    let made = program
        .run(&[
            "instance",
            "create",
            "--name",
            "shop",
            "--type",
            "production",
            "--frontend-api",
            "https://clerk.example.com",
            "--home",
            "https://example.com",
            "--json",
        ])
        .expect(0)
        .json();
    assert_eq!(made["publishable_key"], "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k");
    let secret = made["secret_key"].as_str().unwrap();
    assert!(secret.starts_with("sk_live_") && secret.len() == 40, "{secret}");
    let all = program.run(&["instance", "list", "--json"]).expect(0).json();
    assert_eq!((&all[0]["name"], &all[0]["environment_type"]), (&json!("shop"), &json!("production")));
    let shown = program.run(&["instance", "env"]).expect(0);
    assert!(shown.stdout.contains("CLERK_API_URL=https://clerk.example.com\n"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("CLERK_PROXY_URL"), "the key's host is called directly: {}", shown.stdout);
    assert!(!shown.stdout.contains("sk_live_"), "{}", shown.stdout);
    let taken = program.run(&["instance", "create", "--name", "shop"]).expect(1);
    assert!(taken.stderr.contains("exists already"), "{}", taken.stderr);

    let pool = db.pool().await;
    let (action, actor): (String, String) =
        sqlx::query_as("select action, actor_kind || ':' || actor_id from audit_events order by id limit 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(action, "instance.created");
    assert!(actor.starts_with("cli:") && actor.contains('@'), "{actor}");
    let text: String =
        sqlx::query_scalar("select string_agg(s::text, ' ') from secret_keys s").fetch_one(&pool).await.unwrap();
    assert!(!text.contains(secret), "the database keeps a hash only");
}

#[tokio::test]
async fn the_instance_must_be_named_where_there_are_several() {
    let (_db, program) = deployed().await;
    assert!(program.run(&["provider", "list"]).expect(2).stderr.contains("instance create"));
    program.run(&["instance", "create", "--name", "one"]).expect(0);
    program.run(&["provider", "list"]).expect(0);
    program.run(&["instance", "create", "--name", "two"]).expect(0);
    let finished = program.run(&["provider", "list"]).expect(2);
    assert!(finished.stderr.contains("one, two"), "{}", finished.stderr);
    program.run(&["provider", "list", "-i", "two"]).expect(0);
    program.run(&["provider", "list", "-i", "three"]).expect(1);
    program.variable("VESTIBULE_INSTANCE", "one").run(&["provider", "list"]).expect(0);
}

#[tokio::test]
async fn a_provider_changes_between_simulation_and_the_real_service() {
    let (db, program) = deployed().await;
    program.run(&["instance", "create", "--name", "dev"]).expect(0);
    let list = program.run(&["provider", "list", "--json"]).expect(0).json();
    let shown: Vec<_> = list.as_array().unwrap().iter().map(|one| (&one["key"], &one["credentials"])).collect();
    let simulated = json!("simulated");
    let expected = [json!("github"), json!("google"), json!("notion")];
    assert_eq!(shown, expected.each_ref().map(|key| (key, &simulated)));

    let set = ["provider", "set", "google", "--client-id", "abc", "--client-secret-file", "-", "--json"];
    let real = program.run_with_input(&set, "s3cret-c4n4ry\n").expect(0);
    assert!(!real.stdout.contains("c4n4ry") && !real.stderr.contains("c4n4ry"));
    assert_eq!((&real.json()["credentials"], &real.json()["client_id"]), (&json!("custom"), &json!("abc")));
    let callback = real.json()["callback_url"].as_str().unwrap().to_owned();
    assert!(callback.starts_with("http://dev.localhost:") && callback.ends_with("/v1/oauth_callback"), "{callback}");

    let pasted = program.run_with_input(&set, " s3cret\n").expect(1);
    assert!(pasted.stderr.contains("pasted"), "{}", pasted.stderr);
    program.run(&["provider", "set", "google", "--client-id", "abc"]).expect(2);
    program.run(&["provider", "set", "google"]).expect(2);
    let back = program.run(&["provider", "set", "google", "--simulated", "--json"]).expect(0).json();
    assert_eq!((&back["credentials"], &back["client_id"]), (&json!("simulated"), &json!(null)));
    let off = program.run(&["provider", "set", "google", "--disable", "--json"]).expect(0).json();
    assert_eq!(off["enabled"], false);

    assert!(program.run(&["provider", "remove", "notion"]).expect(2).stderr.contains("--yes"));
    program.run(&["provider", "remove", "notion", "--yes"]).expect(0);
    assert!(program.run(&["provider", "show", "notion"]).expect(1).stderr.contains("provider add notion"));
    program.run(&["provider", "add", "notion"]).expect(0);
    program.run(&["provider", "add", "notion"]).expect(1);
    assert!(program.run(&["provider", "add", "nosuch"]).expect(2).stderr.contains("google, notion"));

    let pool = db.pool().await;
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_events where target_kind = 'provider' order by created_at, id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        actions,
        ["provider.updated", "provider.updated", "provider.updated", "provider.deleted", "provider.created"]
    );
    let sealed: Option<Vec<u8>> =
        sqlx::query_scalar("select client_secret_sealed from provider_configs where provider = 'google'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(sealed, None, "going back to the simulation forgets the secret");
}

#[tokio::test]
async fn production_simulates_nothing() {
    let (_db, program) = deployed().await;
    let new = ["instance", "create", "--type", "production", "--frontend-api", "https://clerk.example.com"];
    program.run(&new).expect(0);
    assert_eq!(program.run(&["provider", "list", "--json"]).expect(0).json(), json!([]));
    assert!(program.run(&["provider", "add", "google"]).expect(2).stderr.contains("--client-id"));
    let add = ["provider", "add", "google", "--client-id", "abc", "--client-secret-file", "-"];
    program.run_with_input(&add, "secret").expect(0);
    let finished = program.run(&["provider", "set", "google", "--simulated"]).expect(1);
    assert!(finished.stderr.contains("simulates no provider"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_provider_is_found_by_its_issuer() {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let server = MockServer::start().await;
    let issuer = server.uri();
    let document = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
    });
    let discovery = ResponseTemplate::new(200).set_body_json(&document);
    Mock::given(path("/.well-known/openid-configuration")).respond_with(discovery).mount(&server).await;
    let (_db, program) = deployed().await;
    program.run(&["instance", "create"]).expect(0);
    let add =
        ["provider", "add", "custom_acme", "--issuer", &issuer, "--client-id", "abc", "--label", "Acme", "--json"];
    let refused = program.run(&add);
    assert!(refused.expect(1).stderr.contains("cannot be used"), "loopback is not public");
    let program = program.variable("VESTIBULE_OUTBOUND__ALLOW", "loopback");
    let added = program.run(&add).expect(0).json();
    assert_eq!((&added["strategy"], &added["enabled"]), (&json!("oauth_custom_acme"), &json!(true)));
    let other = format!("{issuer}/other");
    let missing = program.run(&["provider", "add", "custom_b", "--issuer", &other, "--client-id", "abc"]).expect(1);
    assert!(missing.stderr.contains(&other), "{}", missing.stderr);
    assert!(program.run(&["provider", "add", "custom_B", "--client-id", "x"]).expect(2).stderr.contains("custom_KEY"));
}

#[tokio::test]
async fn every_setting_of_a_provider_can_be_set() {
    let (db, program) = deployed().await;
    program.run(&["instance", "create"]).expect(0);
    let set = |key: &str, more: &[&str]| {
        let mut arguments = vec!["provider", "set", key, "--json"];
        arguments.extend(more);
        program.run(&arguments)
    };
    for (option, member) in [
        ("--authenticatable", "authenticatable"),
        ("--required", "required"),
        ("--not-selectable", "not_selectable"),
        ("--block-subaddresses", "block_email_subaddresses"),
        ("--multiple-accounts", "multiple_accounts"),
    ] {
        for value in ["true", "false"] {
            assert_eq!(set("github", &[option, value]).expect(0).json()[member], value == "true", "{option}");
        }
        set("github", &[option, "perhaps"]).expect(2);
    }
    let scopes = set("github", &["--scopes", "repo gist repo", "--allowed-scopes", "read:org"]).expect(0).json();
    assert_eq!(
        (&scopes["scopes"], &scopes["allowed_additional_scopes"]),
        (&json!(["repo", "gist"]), &json!(["read:org"]))
    );
    assert_eq!(set("github", &["--allowed-scopes", "any"]).expect(0).json()["allowed_additional_scopes"], json!(null));
    assert!(set("github", &["--parameter", "tenant=x"]).expect(1).stderr.contains("parameters.tenant"));
    assert!(set("github", &["--issuer", "https://id.acme.example"]).expect(1).stderr.contains("custom"));
    let shown = program.run(&["provider", "show", "github"]).expect(0).stdout;
    assert!(shown.contains("enabled, connect only") && shown.contains("read:user user:email repo gist"), "{shown}");

    let with_identifier = [
        "provider",
        "add",
        "custom_acme",
        "--json",
        "--client-id",
        "ours",
        "--label",
        "Acme",
        "--disabled",
        "--authorization-url",
        "https://id.acme.example/a",
        "--token-url",
        "https://id.acme.example/t",
        "--userinfo-url",
        "https://id.acme.example/u",
        "--token-auth",
        "client_secret_post",
        "--pkce",
        "false",
        "--base-scopes",
        "basic",
        "--map",
        "email=data.0.mail",
        "--map",
        "username=",
        "--map-default",
        "email=x@y.example",
    ];
    let made = program.run(&with_identifier).expect(0).json();
    assert_eq!((&made["enabled"], &made["base_scopes"]), (&json!(false), &json!(["basic"])));
    let custom = &made["custom"];
    assert_eq!((&custom["client_auth"], &custom["use_pkce"]), (&json!("client_secret_post"), &json!(false)));
    let email = json!({"source": "data.0.mail", "default": "x@y.example"});
    assert_eq!(custom["attribute_mapping"], json!({"email": email, "username": {"source": "", "default": null}}));
    let moved =
        set("custom_acme", &["--enable", "--map", "email=mail", "--trust-email-verified", "true"]).expect(0).json();
    assert_eq!(moved["custom"]["attribute_mapping"]["email"], json!({"source": "mail", "default": "x@y.example"}));
    assert_eq!((&moved["enabled"], &moved["custom"]["name"]), (&json!(true), &json!("Acme")));
    let warned = program.run(&["provider", "show", "custom_acme"]).expect(0).stdout;
    assert!(warned.contains("can take over accounts"), "{warned}");
    let active = program.run(&["provider", "remove", "custom_acme", "--yes"]).expect(1);
    assert!(active.stderr.contains("--disable"), "{}", active.stderr);
    set("custom_acme", &["--disable"]).expect(0);
    program.run(&["provider", "remove", "custom_acme", "--yes"]).expect(0);
    let pool = db.pool().await;
    let changed: serde_json::Value = sqlx::query_scalar(
        "select changes from audit_events where action = 'provider.updated' and target_id = 'custom_acme' order by created_at, id limit 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(changed["enabled"], json!([false, true]), "old and new value: {changed}");
    assert!(changed.get("scopes").is_none(), "{changed}");
}

#[tokio::test]
async fn origins_are_listed_and_taken_off_the_list() {
    let (db, program) = deployed().await;
    let home = ["--home", "https://shop.example.com"];
    let create = ["instance", "create", "--name", "shop", "--type", "production"];
    let at = ["--frontend-api", "https://clerk.shop.example.com"];
    program.run(&[&create[..], &at, &home].concat()).expect(0);
    let run = |arguments: &[&str]| program.run(&[&["instance", "origins"], arguments, &["--json"]].concat());
    let home = "https://shop.example.com";
    assert_eq!(run(&["list"]).expect(0).json()["origins"], json!([home]));
    let added = run(&["add", "HTTPS://Admin.Shop.Example.com:443/"]).expect(0).json();
    assert_eq!(added["origins"], json!(["https://admin.shop.example.com", home]), "spelled as browsers do");
    run(&["add", "https://admin.shop.example.com"]).expect(0);
    for unfit in ["http://admin.shop.example.com", "https://localhost", "https://a.example/path", "shop", "myapp://x"] {
        run(&["add", unfit]).expect(2);
    }
    run(&["remove", home]).expect(2);
    let left = run(&["remove", "https://admin.shop.example.com"]).expect(0).json();
    assert_eq!(left["origins"], json!([home]));
    run(&["remove", "https://admin.shop.example.com"]).expect(2);
    for number in 2..=50 {
        let filled = format!("https://a{number}.example");
        sqlx::query("insert into instance_origins (instance_id, origin, kind, created_at) select id, $1, 'allowed', now() from instances")
            .bind(filled)
            .execute(&db.pool().await)
            .await
            .unwrap();
    }
    run(&["add", "https://a51.example"]).expect(2);
    let reported =
        "select count(*) from audit_events where action = 'instance.updated' and changes ? 'allowed_origins'";
    let reported: i64 = sqlx::query_scalar(reported).fetch_one(&db.pool().await).await.unwrap();
    assert_eq!(reported, 2, "what changed the list, and nothing else");
}

#[tokio::test]
async fn settings_are_changed_by_name_all_or_none() {
    let (db, program) = deployed().await;
    program.run(&["instance", "create", "--name", "shop"]).expect(0);
    let settings = || program.run(&["instance", "show", "--json"]).expect(0).json()["settings"].clone();
    let before = settings();
    assert_eq!((&before["native_api"], &before["linking"]), (&json!(true), &json!("verified_only")), "{before}");

    let values =
        ["native_api=false", "session.inactivity=3600", "linking=never", "oauth.default_scopes=profile, email"];
    let set: Vec<&str> = ["instance", "set", "--json"].into_iter().chain(values).collect();
    let reported = program.run(&set).expect(0).json();
    let expected = json!({
        "native_api": false, "session.inactivity": 3600, "linking": "never",
        "oauth.default_scopes": ["profile", "email"],
    });
    assert_eq!(reported, expected);
    let shown = settings();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    let lines = program.run(&["instance", "show"]).expect(0).stdout;
    let line = lines.lines().find(|line| line.starts_with("linking ")).unwrap();
    assert!(line.contains("never") && line.contains("(changed)"), "{line}");

    // What is wrong is shown, with the name that was probably meant; nothing of the same call is stored.
    for (wrong, words) in [
        ("native_apl=true", "did you mean native_api?"),
        ("inactivty=60", "did you mean session.inactivity?"),
        ("session=60", "unknown setting session"),
        ("nothing_like_any_of_them=1", "unknown setting nothing_like_any_of_them"),
        ("native_api=perhaps", "native_api cannot be \"perhaps\": it takes true or false"),
        ("session.inactivity=soon", "it takes a whole number"),
        ("linking=always", "linking cannot be \"always\""),
        ("home_url=javascript:alert(1)", "https://"),
        ("native_api", "NAME=VALUE"),
    ] {
        let refused = program.run(&["instance", "set", "enumeration_protection=strict", wrong]).expect(2);
        assert!(refused.stderr.contains(words), "{wrong}: {}", refused.stderr);
    }
    assert_eq!(settings(), shown, "all or none");
    assert!(program.run(&["instance", "set"]).expect(2).stdout.is_empty());
    program.run(&["instance", "set", "native_api=", "linking="]).expect(0);
    assert_eq!(settings()["native_api"], before["native_api"], "an empty value brings the default back");

    let pool = db.pool().await;
    let changes: Vec<serde_json::Value> = sqlx::query_scalar(
        "select changes from audit_events where action = 'instance.updated' order by created_at, id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(changes.len(), 2, "one per call that changed something");
    assert_eq!(changes[0]["linking"], json!(["verified_only", "never"]));
    assert_eq!(changes[1], json!({"linking": ["never", "verified_only"], "native_api": [false, true]}));
}

#[tokio::test]
async fn an_application_is_made_and_listed() {
    let (_db, program) = deployed().await;
    program.run(&["instance", "create"]).expect(0);
    let create = ["app", "create", "My app", "--redirect-uri", "https://example.com/cb", "--json"];
    let made = program.run(&create).expect(0).json();
    assert_eq!(made["client_id"].as_str().unwrap().len(), 16);
    assert_eq!(made["client_secret"].as_str().unwrap().len(), 32);
    let public =
        program.run(&["app", "create", "Phone", "--redirect-uri", "http://localhost:1/cb", "--public", "--json"]);
    assert_eq!(public.expect(0).json()["client_secret"], json!(null));
    let wrong = program.run(&["app", "create", "Bad", "--redirect-uri", "javascript:alert(1)"]).expect(1);
    assert!(wrong.stderr.contains("redirect_uris"), "{}", wrong.stderr);
    let names: Vec<String> = program
        .run(&["app", "list", "--json"])
        .expect(0)
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["My app", "Phone"]);
}

#[test]
fn the_version_is_shown_without_a_database() {
    let program = crate::support::program::Program::new();
    assert_eq!(program.run(&["version", "--json"]).expect(0).json()["version"], env!("CARGO_PKG_VERSION"));
    assert!(program.run(&["version"]).expect(0).stdout.starts_with("vestibule "));
}
