//! No statement may cost more because there are more users. Every checked statement of the program, and every variant
//! that a built one can be spelled in, runs in a database of a thousand rows a table and in one of a hundred thousand:
//! with values that exist and with missing ones, under generic and under custom plans.
//!
//! `VESTIBULE_GROWTH` is the number of rows of the large one; `scripts/growth` runs a million and prints the table.

mod binding;
mod measure;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row};

use crate::house::files;
use crate::support::TestDb;
use binding::{Samples, Values};
use measure::{Costs, SAVEPOINT, Statement, TRANSACTION};
use vestibule::config;
use vestibule::model::id::{InstanceId, UserId};
use vestibule::model::search::Search;
use vestibule::store::retention::PAGE;
use vestibule::store::user_lists::{self, Direction, Filter, OrderBy, Page, Position};
use vestibule::store::{InstanceConnection, pool, user_search};

const DATA: &str = include_str!("data.sql");
/// The instance that has all the rows.
const INSTANCE: &str = "ins_2O4BCh3zUONvWlZHtBXv6s6tm7u";
/// Rows in the small database.
const SMALL: i64 = 1_000;
/// Rows in the large one.
const LARGE: i64 = 100_000;

/// Statements whose cost may grow, each with why. One that is not needed any more must go.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("store/erase.rs::instance", "removes an instance with all that belongs to it: its cost is what it removes"),
    ("store/ring_keys.rs::used", "an operator's command asks which keys of the ring any row still needs"),
    ("store/flows.rs::list", "the inspector's record of a week, filtered by what has no index; for operators"),
    ("store/flows.rs::count_since", "counts what failed alike within a day, on one page for operators"),
    ("list by UpdatedAt", "no index on updated_at (docs/api-conventions.md): each change of a user would write it"),
];

/// Statements that meet no row although they are given the values of one, by why: their cost is that of a look-up. What
/// else meets none is not measured at all.
const MEETS_NO_ROW: &[(&str, &[&str])] = &[
    (
        "writes a row and looks for none",
        &[
            "store/audit.rs::append",
            "store/flows.rs::write",
            "store/flows.rs::write_steps",
            "store/handshakes.rs::put",
            "store/oauth_families.rs::insert_access_token",
            "store/outbox.rs::put",
            "store/outbox.rs::put_sealed",
            "store/provider_authorizations.rs::begin",
            "store/user_passwords.rs::set",
            "store/users.rs::create",
        ],
    ),
    (
        "the row that it would write is there",
        &[
            "store/attempts.rs::create_sign_in",
            "store/attempts.rs::create_sign_up",
            "store/attempts.rs::create_verification",
            "store/connections.rs::add_address",
            "store/connections.rs::create_pending",
            "store/external_accounts.rs::create",
            "store/verifications.rs::create",
        ],
    ),
    (
        "the row is in another state, or its values do not go together for this",
        &[
            "list by CreatedAt Ascending after",
            "store/connections.rs::refuse_pending",
            "store/connections.rs::renew_pending",
            "store/provider_authorizations.rs::close",
            "store/provider_authorizations.rs::finish",
            "store/provider_authorizations.rs::forget_waiting",
            "store/provider_authorizations.rs::waiting",
            "store/sessions.rs::end",
            "store/sign_ups.rs::change",
            "store/user_search.rs::fill_addresses",
            "store/user_search.rs::fill_names",
            "store/users.rs::has_base",
            "store/users.rs::has_username",
            "store/users.rs::update_listing",
            "store/verifications.rs::transfer",
        ],
    ),
];

/// The most buffers of a search for a word that most users share: as many candidates and users as it may look at.
const COMMON: u64 = 120_000;

/// Lists of rows that a search reads in the two indexes of its terms; each takes a page for some six thousand rows that
/// share a term. Nothing else of a search may grow.
const POSTINGS: u64 = 48;

/// Indexes without which a statement must be found: evidence that the test sees what it should.
const PLANTED: &[(&str, &str)] = &[
    ("identifications_value_idx", "store/external_accounts.rs::known"),
    ("identifications_base_idx", "store/users.rs::has_base"),
    ("identifications_search_idx", "list by CreatedAt Descending, search"),
    ("user_listings_first_name_idx", "list by FirstName Ascending"),
    ("users_last_sign_in_at_idx", "list by LastSignInAt Ascending"),
    ("users_created_at_idx", "list by CreatedAt Descending"),
    ("verifications_owner_idx", "store/attempts.rs::had_transfer"),
    ("sign_ins_user_id_idx", "store/sign_ins.rs::replace_others"),
    ("oauth_codes_user_idx", "store/bans.rs::end_access"),
    ("outbox_due_idx", "store/outbox.rs::take"),
];

/// What the names of removers' statements begin with: they are put together, so that no literal is found.
const REMOVAL: &str = "store/retention";

/// Where a checked statement stands: its file and function.
fn place(query: &str, sources: &[(String, String)]) -> String {
    // The whole literal: one statement may begin like another.
    let spelled = [format!("\"{query}\""), format!("\"{}\"", query.replace('"', "\\\""))];
    for (file, text) in sources {
        let Some(at) = spelled.iter().find_map(|query| text.find(query.as_str())) else { continue };
        let function = text[..at].rfind("fn ").map_or("", |at| &text[at + 3..]);
        let name: String = function.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        return format!("{file}::{name}");
    }
    if let Some(action) = query.split("done as (").nth(1).and_then(|rest| rest.split(" where ").next()) {
        // Of the two removers of clients, one is for those that signed in.
        let which = if query.contains("t.removed_at is not null") { ", signed in" } else { "" };
        return format!("{REMOVAL}: {}{which}", action.split_whitespace().take(3).collect::<Vec<_>>().join(" "));
    }
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The statements that are checked at compile time.
fn checked() -> Vec<Statement> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("src");
    let sources: Vec<(String, String)> = files(&source)
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(file).unwrap())
        })
        .collect();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(".sqlx")).unwrap() {
        let record = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        let sql = record["query"].as_str().unwrap().to_owned();
        found.push(Statement { name: place(&sql, &sources), sql, types: None, limit: 1_000 });
    }
    assert!(found.len() > 200, "{} statements in .sqlx", found.len());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Every filter, as a name and its value.
fn filters(instance: &InstanceId) -> Vec<(&'static str, Filter)> {
    let one = || vec!["x".to_owned()];
    let search = || Search::parse(instance, "nobody");
    vec![
        ("", Filter::default()),
        (", email_address", Filter { email_addresses: one(), ..Filter::default() }),
        (", user_id", Filter { user_ids: one(), ..Filter::default() }),
        (", external_id", Filter { external_ids: one(), ..Filter::default() }),
        (", username", Filter { usernames: one(), ..Filter::default() }),
        (", search", Filter { search: search(), ..Filter::default() }),
        (", search and email_address", Filter { search: search(), email_addresses: one(), ..Filter::default() }),
        (
            ", all filters",
            Filter { email_addresses: one(), user_ids: one(), external_ids: one(), usernames: one(), search: search() },
        ),
    ]
}

/// The statement that the program just spelled on this connection, as the database knows it.
async fn spelled(db: &mut InstanceConnection<'_>, name: String) -> Statement {
    let rows = sqlx::raw_sql(
        "select statement, array_to_string(parameter_types, ';') from pg_prepared_statements order by prepare_time desc limit 1",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let types: String = rows[0].get(1);
    let types = types.split(';').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
    Statement { name, sql: rows[0].get(0), types: Some(types), limit: 10 }
}

/// Every variant of the statements that are built at run time.
async fn built(db: &TestDb) -> Vec<Statement> {
    let pool = pool::open(db.options(), &config::Database { min_connections: 0, ..config::Database::default() });
    let (connection, instance) = (&mut pool.acquire().await.unwrap(), InstanceId::parse(INSTANCE).unwrap());
    let db = &mut InstanceConnection::on(connection, &instance, time::Duration::ZERO);
    let after = Position {
        created_at: time::OffsetDateTime::UNIX_EPOCH,
        id: UserId::parse("user_2O4BCh3zUONvWlZHtBXv6s6tm7u").unwrap(),
    };
    let mut found = Vec::new();
    for (label, filter) in filters(&instance) {
        user_lists::count(db, &filter).await.unwrap();
        found.push(spelled(db, format!("count{label}")).await);
        for order in OrderBy::ALL {
            for direction in [Direction::Ascending, Direction::Descending] {
                let page = Page { order, direction, limit: 10, offset: 0, after: None };
                user_lists::list(db, &filter, &page).await.unwrap();
                found.push(spelled(db, format!("list by {order:?} {direction:?}{label}")).await);
                if order == OrderBy::CreatedAt {
                    let page = Page { after: Some(after.clone()), ..page };
                    user_lists::list(db, &filter, &page).await.unwrap();
                    found.push(spelled(db, format!("list by {order:?} {direction:?} after{label}")).await);
                }
            }
        }
    }
    found
}

/// A database with so many rows in every table that grows.
async fn database(rows: i64) -> (TestDb, PgConnection) {
    let db = TestDb::new().await;
    let limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"].map(|name| (name, "0"));
    let options = db.options().options(limits).options([("jit", "off")]);
    let mut connection = options.clone().disable_statement_logging().connect().await.unwrap();
    connection.execute(sqlx::raw_sql(DATA)).await.unwrap();
    connection.execute(AssertSqlSafe(format!("select grow({rows})"))).await.unwrap();
    let patient = config::Database {
        min_connections: 0,
        statement_timeout: Duration::from_secs(3_600),
        ..config::Database::default()
    };
    let pool = pool::open(options, &patient);
    while user_search::fill(&pool, 20_000).await.unwrap() > 0 {}
    pool.close().await;
    connection.execute("select grow_indexes()").await.unwrap();
    connection.execute("vacuum analyze").await.unwrap();
    until_indexes_count(&mut connection).await;
    (db, connection)
}

/// Waits until the planner uses every index. One that was made after its rows were changed is left alone while a
/// transaction goes on that began before, in whatever database of the server: tests beside this one have some.
async fn until_indexes_count(connection: &mut PgConnection) {
    let waiting = "select count(*) from pg_index where indcheckxmin
        and xmin::text::bigint >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
    let all_count = async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *connection).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all_count).await.expect("no transaction is open for minutes");
}

fn searches(instance: &InstanceId) -> BTreeMap<Values, (String, String)> {
    let of = |text: &str| {
        let search = Search::parse(instance, text).unwrap();
        (search.needle().to_owned(), format!("{{\"{}\"}}", search.terms().join("\",\"")))
    };
    let known = [
        (Values::Existing, "person00000500@"),
        (Values::Missing, "person99999999@"),
        (Values::Common, "example"),
        (Values::Alike, "000000000"),
    ];
    known.into_iter().map(|(values, text)| (values, of(text))).collect()
}

/// A search that no other filter narrows.
fn is_search(statement: &Statement) -> bool {
    statement.types.is_some() && statement.name.ends_with(", search")
}

/// True if a remover looks at rows in the order of a hash.
fn is_scattered(statement: &Statement) -> bool {
    statement.name.starts_with(REMOVAL) && (statement.sql.contains("t.hash") || statement.sql.contains("t.key_hash"))
}

/// True if a statement looks up each row of a page in indexes of other tables.
fn looks_up_each_row(statement: &Statement) -> bool {
    let names = ["list by PhoneNumber", "list by Web3Wallet", "store/retention: delete from clients"];
    names.iter().any(|name| statement.name.starts_with(name))
}

/// By how much the cost of a statement may grow beside a level of each index.
fn allowance(statement: &Statement, rows: i64) -> u64 {
    match statement {
        statement if is_search(statement) => POSTINGS * rows.unsigned_abs() / 6_000,
        // Each row of a page lies on a page of the table of its own, once the table has so many.
        statement if is_scattered(statement) => PAGE.unsigned_abs(),
        // Each row of a page is looked up in several indexes (`scripts/growth 1000000`: 1.6 to 1.74 times the buffers of a
        // thousand rows, as those trees have a level more).
        statement if rows > LARGE && looks_up_each_row(statement) => match statement.name.starts_with(REMOVAL) {
            true => 2 * PAGE.unsigned_abs(),
            false => PAGE.unsigned_abs() / 10,
        },
        _ => 0,
    }
}

/// Measures one statement in all ways that it knows.
async fn measure(db: &mut PgConnection, statement: &Statement, samples: &Samples) -> Costs {
    let all = [Values::Existing, Values::Missing, Values::Common, Values::Alike];
    let count = if !is_search(statement) { 2 } else { all.len() };
    measure::costs(db, statement, samples, &all[..count], TRANSACTION).await
}

#[tokio::test]
async fn no_statement_costs_more_because_there_are_more_users() {
    let rows =
        std::env::var("VESTIBULE_GROWTH").map_or(LARGE, |rows| rows.parse().expect("VESTIBULE_GROWTH is a number"));
    let is_shown = std::env::var("VESTIBULE_GROWTH").is_ok();
    let (small_db, mut small) = database(SMALL).await;
    // Lists first: what the others write and take back leaves dead entries in the indexes.
    let mut statements = built(&small_db).await;
    statements.extend(checked());
    let (large_db, mut large) = database(rows).await;
    let mut samples = measure::samples(&mut large).await;
    samples.searches = searches(&InstanceId::parse(INSTANCE).unwrap());
    // A small table is read as a large one is: by its indexes.
    small.execute("set enable_seqscan = off").await.unwrap();

    let (mut wrong, mut used, mut baseline) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut unmet = BTreeSet::new();
    for statement in statements.iter().filter(|statement| samples.grows(&statement.sql)) {
        let exception = EXCEPTIONS.iter().find(|(name, _)| statement.name.starts_with(name));
        if let Some((name, _)) = exception.filter(|(name, _)| *name == "store/erase.rs::instance") {
            used.push(*name);
            continue;
        }
        let before = measure(&mut small, statement, &samples).await;
        let mut after = measure(&mut large, statement, &samples).await;
        if statement.name.starts_with(REMOVAL) && !measure::all_read_rows(&after) {
            wrong.push(format!("{}: looked at no row; its page must be one", statement.name));
        }
        if !measure::meets_a_row(&after) {
            unmet.insert(statement.name.as_str());
        }
        if is_shown {
            show(&statement.name, &before, &after);
        }
        if !after.values().any(Result::is_ok) {
            let why = after.values().find_map(|cost| cost.as_ref().err()).cloned().unwrap_or_default();
            wrong.push(format!(
                "{}: could not be run: {why}; give the columns of its parameters a rule in tests/it/growth/data.sql",
                statement.name
            ));
        }
        // This one grows with those who look alike, and is only shown: docs/api-conventions.md.
        after.retain(|(values, _), _| *values != Values::Alike);
        for plan in ["generic", "custom"] {
            if let Some(Ok(common)) = after.remove(&(Values::Common, plan))
                && common.buffers > COMMON
            {
                wrong.push(format!("{}: {} buffers for a common word, {plan} plan", statement.name, common.buffers));
            }
        }
        let mut found = measure::findings(&before, &after, &samples, allowance(statement, rows));
        if !found.is_empty() {
            // What other sessions did to the server may have emptied this one's cache of the catalog, which the first
            // execution after that reads anew.
            let mut again = measure(&mut large, statement, &samples).await;
            again.retain(|(values, _), _| !matches!(values, Values::Common | Values::Alike));
            found = measure::findings(&before, &again, &samples, allowance(statement, rows));
        }
        match exception {
            Some((name, _)) if !found.is_empty() => used.push(*name),
            _ => wrong.extend(found.into_iter().map(|found| format!("{}: {found}", statement.name))),
        }
        baseline.insert(statement.sql.clone(), before);
    }
    let expected: BTreeSet<&str> = MEETS_NO_ROW.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    wrong.extend(unmet.difference(&expected).map(|name| format!("{name}: met no row by values that exist")));
    wrong.extend(expected.difference(&unmet).map(|name| format!("{name}: meets a row; its line can go")));
    for (name, reason) in EXCEPTIONS.iter().filter(|(name, _)| !used.contains(name)) {
        wrong.push(format!("{name} needs no exception any more ({reason})"));
    }
    for (index, name) in PLANTED {
        if !is_found(&mut large, (index, name), &statements, &baseline, &samples, rows).await {
            wrong.push(format!("nothing was found without {index} in {name}"));
        }
    }
    measure::close(small).await;
    measure::close(large).await;
    drop((small_db, large_db));
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether a statement is found when an index is missing.
async fn is_found(
    db: &mut PgConnection,
    (index, name): (&str, &str),
    statements: &[Statement],
    baseline: &BTreeMap<String, Costs>,
    samples: &Samples,
    rows: i64,
) -> bool {
    db.execute("begin").await.unwrap();
    db.execute(AssertSqlSafe(format!("drop index {index}"))).await.unwrap();
    let mut is_found = false;
    for statement in statements.iter().filter(|statement| statement.name == name) {
        let values = [Values::Existing, Values::Missing];
        let costs = measure::costs(&mut *db, statement, samples, &values, SAVEPOINT).await;
        is_found |= baseline
            .get(&statement.sql)
            .is_some_and(|before| !measure::findings(before, &costs, samples, allowance(statement, rows)).is_empty());
    }
    db.execute("rollback").await.unwrap();
    is_found
}

fn show(name: &str, before: &Costs, after: &Costs) {
    for ((values, plan), cost) in after {
        let small = before.get(&(*values, *plan)).and_then(|cost| cost.as_ref().ok()).cloned().unwrap_or_default();
        if let Ok(cost) = cost {
            println!(
                "{name}\t{values:?}\t{plan}\t{}\t{}\t{}\t{:.1}\t{:.1}",
                small.buffers, cost.buffers, cost.removed, small.millis, cost.millis
            );
        }
    }
}

/// A statement that is built at run time is not in `.sqlx`: its file must be known here, and its variants spelled
/// above.
#[test]
fn statements_are_built_in_known_places() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let builds = |file: &&std::path::PathBuf| std::fs::read_to_string(file).unwrap().contains("QueryBuilder");
    let found: Vec<String> = files(&source)
        .iter()
        .filter(builds)
        .map(|file| file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut found = found;
    found.sort();
    assert_eq!(found, ["store/user_lists.rs", "store/user_search.rs"]);
}

/// What a deletion takes along is looked up by the columns that point to it; no plan shows what that costs.
#[tokio::test]
async fn every_foreign_key_leads_an_index() {
    let db = TestDb::new().await;
    let without: Vec<String> = sqlx::query_scalar(
        "select k.conname::text from pg_constraint k
         where k.contype = 'f' and k.connamespace = 'vestibule'::regnamespace and not exists (
             select from pg_index x where x.indrelid = k.conrelid and x.indisvalid
                 and (select array_agg(c order by c) from unnest((x.indkey::int2[])[0:cardinality(k.conkey) - 1]) c)
                     = (select array_agg(c order by c) from unnest(k.conkey) c)
                 and (x.indpred is null or pg_get_expr(x.indpred, x.indrelid) ~ '^\\([a-z_]+ IS NOT NULL\\)$'))
         order by 1",
    )
    .fetch_all(&db.pool().await)
    .await
    .unwrap();
    assert_eq!(without, ["provider_configs_instance_fkey"], "few rows an instance, and their key begins with it");
}
