//! The search for users by a part of a name, address or id, and the terms it finds them by.
//!
//! The index offers candidates and their texts decide, before anything is cut off: however many names only look like what is
//! searched for, they hide nobody. A word that many users share is looked for in the order of creation, from the beginning
//! of the page on, where it is found soon; where it is not, all who share it are sorted.

use sqlx::{Postgres, QueryBuilder};

use super::pool::PgPool;
use crate::model::id::InstanceId;
use crate::model::search::{Names, Search, address_terms};

/// The most users that are taken from each index; a word that more users share is a common one.
pub const CANDIDATES: i64 = 2_000;
/// How many users are looked at for a common word.
pub const WALK: i64 = 10_000;

/// The searched text of `user_listings l`, folded as far as its terms are computed.
const NAMES: &str = "lower(concat(E'\\n', concat_ws(' ', l.first_name, l.last_name), E'\\n', l.last_name, E'\\n', \
                     l.username, E'\\x1f', l.user_id))";
/// The searched text of `identifications i`.
const ADDRESS: &str = "concat(E'\\n', i.value_key)";

/// Appends that `users u` match. As aggregates, so that the planner cannot look at everybody's texts first.
pub(super) fn push_match(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search) {
    query.push(" and (coalesce((select bool_or(strpos(").push(NAMES).push(", ");
    query.push_bind(search.needle().to_owned()).push(") > 0) from user_listings l where l.instance_id = ");
    query.push_bind(instance.as_str().to_owned()).push(" and l.user_id = u.id), false)");
    query.push(" or coalesce((select bool_or(strpos(").push(ADDRESS).push(", ");
    query.push_bind(search.needle().to_owned()).push(") > 0) from identifications i where i.instance_id = ");
    query.push_bind(instance.as_str().to_owned()).push(" and i.user_id = u.id), false))");
}

/// A table with texts that are searched.
struct Source {
    /// What it finds, as the name of a part of the statement.
    name: &'static str,
    /// The table, and what it is called there.
    table: &'static str,
    alias: &'static str,
    /// The searched text.
    text: &'static str,
}

const SOURCES: [Source; 2] = [
    Source { name: "named", table: "user_listings l", alias: "l", text: NAMES },
    Source { name: "addressed", table: "identifications i", alias: "i", text: ADDRESS },
];

impl Source {
    /// Appends a selection of the users that the index offers and whose text matches. The offset keeps the planner from
    /// looking at texts before the index.
    fn push_offered(&self, query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search) {
        query.push("select c.id from (select ").push(self.alias).push(".user_id as id, ");
        self.push_matches(query, search);
        query.push(" as is_match from ").push(self.table).push(" where ").push(self.alias).push(".instance_id = ");
        query.push_bind(instance.as_str().to_owned()).push(" and ").push(self.alias).push(".search_terms @> ");
        query.push_bind(search.terms().to_vec()).push(" offset 0) c where c.is_match");
    }

    /// Appends a selection of the users whose terms are not computed yet and whose text matches.
    fn push_waiting(&self, query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search) {
        query.push("select ").push(self.alias).push(".user_id as id from ").push(self.table).push(" where ");
        query.push(self.alias).push(".instance_id = ").push_bind(instance.as_str().to_owned()).push(" and ");
        query.push(self.alias).push(".search_terms = '{}' and ");
        self.push_matches(query, search);
    }

    fn push_matches(&self, query: &mut QueryBuilder<Postgres>, search: &Search) {
        query.push("strpos(").push(self.text).push(", ");
        query.push_bind(search.needle().to_owned()).push(") > 0");
    }
}

/// Appends `candidates`, whoever matches in either index or among the rows whose terms are not computed yet, and `word`,
/// which says whether there are too many of them to take all.
pub(super) fn push_candidates(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search) {
    for source in &SOURCES {
        query.push(source.name).push(" as materialized (");
        source.push_offered(query, instance, search);
        query.push(" limit ").push(CANDIDATES).push("), new_").push(source.name).push(" as materialized (");
        source.push_waiting(query, instance, search);
        query.push(" limit ").push(CANDIDATES).push("), ");
    }
    query.push("candidates as (select id from named union select id from addressed ");
    query.push("union select id from new_named union select id from new_addressed), ");
    query
        .push("word as materialized (select greatest((select count(*) from named), (select count(*) from addressed), ");
    query.push("(select count(*) from new_named), (select count(*) from new_addressed)) >= ").push(CANDIDATES);
    query.push(" as is_common)");
}

/// Appends a selection of everybody who matches, if `condition` holds.
pub(super) fn push_all(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search, condition: &str) {
    for (number, source) in SOURCES.iter().enumerate() {
        query.push(if number > 0 { " union " } else { "" });
        source.push_offered(query, instance, search);
        query.push(" and ").push(condition).push(" union ");
        source.push_waiting(query, instance, search);
        query.push(" and ").push(condition);
    }
}

/// How many users a search finds; of a common word, as many as are candidates.
pub(super) fn count(instance: &InstanceId, search: &Search) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("with ");
    push_candidates(&mut query, instance, search);
    query.push(" select case when (select is_common from word) then ").push(CANDIDATES);
    query.push(" else (select count(*) from candidates) end");
    query
}

/// Computes the terms of one batch of rows that wait for it: users of before, and those that another version or a hand at
/// the database wrote. Returns how many.
///
/// # Errors
/// Storage faults.
pub async fn fill(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    Ok(fill_names(db, batch).await? + fill_addresses(db, batch).await?)
}

async fn fill_names(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query!(
        r#"select instance_id as "instance: InstanceId", user_id, first_name, last_name, username from user_listings
           where search_terms = '{}' limit $1 for no key update skip locked"#,
        batch
    )
    .fetch_all(&mut *tx)
    .await?;
    let (mut instances, mut users, mut terms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut firsts, mut lasts, mut usernames) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let names = Names::new(row.first_name.as_deref(), row.last_name.as_deref(), row.username.as_deref());
        terms.push(names.terms(&row.instance, &row.user_id).join(" "));
        instances.push(row.instance.as_str().to_owned());
        users.push(row.user_id.clone());
        firsts.push(names.first);
        lasts.push(names.last);
        usernames.push(names.username);
    }
    let filled = sqlx::query!(
        r#"update user_listings l set first_name = n.first_name, last_name = n.last_name, username = n.username,
               search_terms = string_to_array(n.terms, ' ')
           from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
               as n (instance_id, user_id, first_name, last_name, username, terms)
           where l.instance_id = n.instance_id and l.user_id = n.user_id"#,
        &instances,
        &users,
        &firsts as &[Option<String>],
        &lasts as &[Option<String>],
        &usernames as &[Option<String>],
        &terms,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(filled.rows_affected())
}

async fn fill_addresses(db: &PgPool, batch: i64) -> sqlx::Result<u64> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query!(
        r#"select instance_id as "instance: InstanceId", id, value_key from identifications
           where search_terms = '{}' limit $1 for no key update skip locked"#,
        batch
    )
    .fetch_all(&mut *tx)
    .await?;
    let (mut instances, mut ids, mut terms) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        terms.push(address_terms(&row.instance, &row.value_key).join(" "));
        instances.push(row.instance.as_str().to_owned());
        ids.push(row.id.clone());
    }
    let filled = sqlx::query!(
        r#"update identifications i set search_terms = string_to_array(n.terms, ' ')
           from unnest($1::text[], $2::text[], $3::text[]) as n (instance_id, id, terms)
           where i.instance_id = n.instance_id and i.id = n.id"#,
        &instances,
        &ids,
        &terms,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(filled.rows_affected())
}
