//! What a statement costs: buffers, rows that a filter threw away, tables that were read from end to end.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::binding::{Samples, Values};

/// A statement of the program, and what to call it.
pub struct Statement {
    /// `store/users.rs::get`, or the variant of a built one.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// The types of its parameters, where the text leaves them open.
    pub types: Option<Vec<String>>,
    /// What its limit is, where that is a parameter.
    pub limit: i64,
}

/// One way to run a statement: with which values, under which kind of plan.
pub type Way = (Values, &'static str);

/// What it cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub buffers: u64,
    pub removed: u64,
    /// Rows that a table returned or changed, over all nodes of the plan: what shows that there was something to do.
    pub rows: u64,
    pub millis: f64,
    pub scanned: BTreeSet<String>,
}

/// Every way in which a statement ran, or why it did not.
pub type Costs = BTreeMap<Way, Result<Cost, String>>;

/// How one measurement is undone.
pub const TRANSACTION: (&str, &str) = ("begin", "rollback");
/// The same inside a transaction.
pub const SAVEPOINT: (&str, &str) = ("savepoint measured", "rollback to savepoint measured");

async fn run(db: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop)
}

/// Runs a statement in every way and takes back what it did.
pub async fn costs(
    db: &mut PgConnection,
    statement: &Statement,
    samples: &Samples,
    values: &[Values],
    (begin, end): (&str, &str),
) -> Costs {
    let types = statement.types.as_ref().map(|types| format!("({})", types.join(", "))).filter(|types| types != "()");
    let prepare = format!("prepare measured{} as {}", types.unwrap_or_default(), statement.sql);
    run(db, begin.to_owned()).await.unwrap();
    if let Err(error) = run(db, prepare).await {
        run(db, end.to_owned()).await.unwrap();
        return values.iter().map(|values| ((*values, "generic"), Err(error.to_string()))).collect();
    }
    let types: Vec<String> =
        sqlx::raw_sql("select unnest(parameter_types)::text from pg_prepared_statements where name = 'measured'")
            .fetch_all(&mut *db)
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
    run(db, end.to_owned()).await.unwrap();
    let mut costs = Costs::new();
    for values in values {
        let literal = |value: &Option<String>| match value {
            Some(value) => format!("'{}'", value.replace('\'', "''")),
            None => "null".to_owned(),
        };
        let bound = samples.bind(&statement.sql, &types, *values, statement.limit);
        let bound = bound.iter().map(literal).collect::<Vec<_>>().join(", ");
        let execute =
            if bound.is_empty() { "execute measured".to_owned() } else { format!("execute measured({bound})") };
        for plan in ["generic", "custom"] {
            // Nobody's rows point nowhere: whether they may is not what is measured.
            let role = if *values == Values::Missing { "replica" } else { "origin" };
            run(db, begin.to_owned()).await.unwrap();
            let settings =
                format!("set local plan_cache_mode = force_{plan}_plan; set local session_replication_role = {role}");
            run(db, settings).await.unwrap();
            let explain = format!("explain (analyze, buffers, costs off, timing off, format json) {execute}");
            let cost = match sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *db).await {
                Ok(row) => {
                    let document: Value = serde_json::from_str(&row.get_unchecked::<String, _>(0)).unwrap();
                    let millis = document[0]["Execution Time"].as_f64().unwrap_or(0.0);
                    Ok(Cost { millis, ..cost(&document[0]["Plan"]) })
                }
                Err(error) => Err(format!("{error} with {bound}")),
            };
            run(db, end.to_owned()).await.unwrap();
            costs.insert((*values, plan), cost);
        }
    }
    run(db, "deallocate measured".to_owned()).await.unwrap();
    costs
}

fn cost(plan: &Value) -> Cost {
    let number = |name: &str| plan[name].as_u64().unwrap_or(0);
    let mut cost = Cost { buffers: number("Shared Hit Blocks") + number("Shared Read Blocks"), ..Cost::default() };
    add_node(plan, &mut cost);
    cost
}

fn add_node(node: &Value, cost: &mut Cost) {
    let number = |name: &str| node[name].as_u64().unwrap_or(0);
    let removed = ["Rows Removed by Filter", "Rows Removed by Index Recheck", "Rows Removed by Join Filter"];
    if node["Relation Name"].is_string() {
        cost.rows += number("Actual Rows") * number("Actual Loops");
    }
    cost.removed += removed.map(number).iter().sum::<u64>() * number("Actual Loops").max(1);
    if node["Node Type"] == "Seq Scan" && number("Actual Loops") > 0 {
        cost.scanned.extend(node["Relation Name"].as_str().map(str::to_owned));
    }
    for inner in node["Plans"].as_array().into_iter().flatten() {
        add_node(inner, cost);
    }
}

/// Whether a statement found rows in every way in which it ran.
pub fn all_read_rows(costs: &Costs) -> bool {
    costs.values().all(|cost| cost.as_ref().is_ok_and(|cost| cost.rows > 0))
}

/// Whether a statement met a row, be it one that it leaves aside, when it was given values that exist.
pub fn meets_a_row(costs: &Costs) -> bool {
    let existing = costs.iter().filter(|((values, _), _)| *values == Values::Existing);
    existing.filter_map(|(_, cost)| cost.as_ref().ok()).any(|cost| cost.rows + cost.removed > 0)
}

/// What is wrong with a statement: how its cost in a large database compares with that in a small one. A tree of an
/// index grows by a level, and no more; eight buffers are one for each index that a statement of ours may write. `more` is
/// what it may grow by for a reason of its own.
pub fn findings(small: &Costs, large: &Costs, samples: &Samples, more: u64) -> Vec<String> {
    let mut found = Vec::new();
    for (way @ (values, plan), grown) in large {
        let (Ok(grown), Some(Ok(before))) = (grown, small.get(way)) else { continue };
        let mut wrong = Vec::new();
        if grown.buffers > before.buffers + before.buffers / 2 + 8 + more {
            wrong.push(format!("buffers {} -> {}", before.buffers, grown.buffers));
        }
        if grown.removed > before.removed + before.removed / 2 + 50 {
            wrong.push(format!("rows removed by filters {} -> {}", before.removed, grown.removed));
        }
        let scanned: Vec<&str> =
            grown.scanned.iter().filter(|table| !samples.few.contains(*table)).map(String::as_str).collect();
        if !scanned.is_empty() {
            wrong.push(format!("reads all of {}", scanned.join(", ")));
        }
        if !wrong.is_empty() {
            found.push(format!("{values:?} values, {plan} plan: {}", wrong.join("; ")));
        }
    }
    found
}

/// Reads what row 500 holds.
pub async fn samples(db: &mut PgConnection) -> Samples {
    let mut samples =
        Samples { rows: BTreeMap::new(), relations: BTreeSet::new(), few: BTreeSet::new(), searches: BTreeMap::new() };
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("select relation, col, value from growth_sample").fetch_all(&mut *db).await.unwrap();
    for (relation, column, value) in rows {
        samples.rows.entry(relation).or_default().insert(column, value);
    }
    samples
        .few
        .extend(sqlx::query_scalar::<_, String>("select relation from growth_few").fetch_all(&mut *db).await.unwrap());
    let relations = "select relname::text from pg_class where relnamespace = 'vestibule'::regnamespace and relkind in ('r', 'p', 'v')
        and relname !~ '^growth_'";
    samples.relations.extend(sqlx::query_scalar::<_, String>(relations).fetch_all(db).await.unwrap());
    // A view of trees has the columns of its table.
    for view in &samples.relations {
        let row = view.strip_suffix("_trees").and_then(|name| samples.rows.get(&format!("{name}s"))).cloned();
        samples.rows.extend(row.map(|row| (view.clone(), row)));
    }
    samples
}

/// Ends a connection that held prepared statements.
pub async fn close(db: PgConnection) {
    db.close().await.unwrap();
}
