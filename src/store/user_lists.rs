//! Lists of users: filters, orders, searches, and counts. No list may cost more because there are more users, so each
//! order walks its index no further than the page reaches, and whoever is named by a filter is looked up first.
//!
//! Columns without a value come last in both directions. An index puts them at one end, so a page is read in two parts:
//! those with a value, and only where these do not reach, those without.

use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};

use super::InstanceConnection;
use super::user_search;
use crate::model::id::{InstanceId, UserId};
use crate::model::search::Search;
use crate::model::time::Timestamp;
use crate::model::user::User;

/// The column a list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Creation.
    #[default]
    CreatedAt,
    /// Last change.
    UpdatedAt,
    /// Newest sign-in.
    LastSignInAt,
    /// Newest day of activity.
    LastActiveAt,
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Username.
    Username,
    /// Primary e-mail address.
    EmailAddress,
    /// Primary phone number.
    PhoneNumber,
    /// Primary wallet.
    Web3Wallet,
}

/// Where a column is, and how its index has the rows without a value.
enum Place {
    /// Of `users`, never null.
    Always(&'static str),
    /// Of `users`, null or not; indexed from the largest down, nulls last.
    Sometimes(&'static str),
    /// Of `user_listings`, null or not; indexed from the smallest up, nulls last.
    Listed(&'static str),
    /// The primary address of a kind.
    Primary(&'static str),
}

impl OrderBy {
    /// Every order.
    pub const ALL: [Self; 10] = [
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::LastSignInAt,
        Self::LastActiveAt,
        Self::FirstName,
        Self::LastName,
        Self::Username,
        Self::EmailAddress,
        Self::PhoneNumber,
        Self::Web3Wallet,
    ];

    fn place(self) -> Place {
        match self {
            Self::CreatedAt => Place::Always("created_at"),
            Self::UpdatedAt => Place::Always("updated_at"),
            Self::LastSignInAt => Place::Sometimes("last_sign_in_at"),
            Self::LastActiveAt => Place::Sometimes("last_active_at"),
            Self::FirstName => Place::Listed("first_name"),
            Self::LastName => Place::Listed("last_name"),
            Self::Username => Place::Listed("username"),
            Self::EmailAddress => Place::Primary("email_address"),
            Self::PhoneNumber => Place::Primary("phone_number"),
            Self::Web3Wallet => Place::Primary("web3_wallet"),
        }
    }
}

/// Up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    #[default]
    Descending,
}

impl Direction {
    const fn sql(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    const fn beyond(self) -> &'static str {
        match self {
            Self::Ascending => ">",
            Self::Descending => "<",
        }
    }
}

/// Which users a list or count is about; empty members do not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these canonical addresses.
    pub email_addresses: Vec<String>,
    /// Any of these ids.
    pub user_ids: Vec<String>,
    /// Any of these ids of the operator's.
    pub external_ids: Vec<String>,
    /// Any of these usernames, lower case.
    pub usernames: Vec<String>,
    /// A part of a name, address or id.
    pub search: Option<Search>,
}

impl Filter {
    /// True if it names users one by one, so that there are few.
    fn is_by_name(&self) -> bool {
        [&self.email_addresses, &self.user_ids, &self.external_ids, &self.usernames]
            .iter()
            .any(|named| !named.is_empty())
    }

    /// Appends the conditions that name users to a statement about `users u`.
    fn push_names(&self, query: &mut QueryBuilder<Postgres>, instance: &InstanceId) {
        if !self.user_ids.is_empty() {
            query.push(" and u.id = any(").push_bind(self.user_ids.clone()).push(")");
        }
        if !self.external_ids.is_empty() {
            query.push(" and u.external_id = any(").push_bind(self.external_ids.clone()).push(")");
        }
        if !self.usernames.is_empty() {
            query.push(" and u.username_key = any(").push_bind(self.usernames.clone()).push(")");
        }
        if !self.email_addresses.is_empty() {
            // As an array the planner cannot turn it around and look at all users first.
            query.push(" and u.id = any(array(select i.user_id from identifications i where i.instance_id = ");
            query.push_bind(instance.as_str().to_owned());
            query.push(" and i.kind = 'email_address' and i.value_key = any(");
            query.push_bind(self.email_addresses.clone()).push(")))");
        }
        if let Some(search) = &self.search {
            user_search::push_match(query, instance, search);
        }
    }
}

/// A user in the order of creation: a page may begin after one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the user was created.
    pub created_at: Timestamp,
    /// Which of those created then.
    pub id: UserId,
}

/// Which part of a list, and in which order.
#[derive(Clone, Debug)]
pub struct Page {
    /// By what.
    pub order: OrderBy,
    /// Up or down.
    pub direction: Direction,
    /// At most so many.
    pub limit: i64,
    /// After so many.
    pub offset: i64,
    /// After this user; for [`OrderBy::CreatedAt`] only.
    pub after: Option<Position>,
}

impl Page {
    /// How far a walk must reach, as a number to be spelled out: the planner takes a parameter for a tenth of all rows and
    /// sorts them. Powers of four, so that there are few statements to prepare.
    fn reach(&self) -> i64 {
        let wanted = self.limit.saturating_add(self.offset).max(1);
        std::iter::successors(Some(16_i64), |reach| reach.checked_mul(4))
            .find(|reach| *reach >= wanted)
            .unwrap_or(i64::MAX)
    }

    /// Appends that a page begins after a user of `alias`.
    fn push_after(&self, query: &mut QueryBuilder<Postgres>, alias: &str) {
        if let Some(after) = &self.after {
            query
                .push(" and (")
                .push(alias)
                .push(".created_at, ")
                .push(alias)
                .push(".id) ")
                .push(self.direction.beyond());
            query.push(" (").push_bind(after.created_at).push(", ").push_bind(after.id.as_str().to_owned()).push(")");
        }
    }

    fn push_part(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" order by place limit ").push_bind(self.limit).push(" offset ").push_bind(self.offset).push(")");
    }
}

/// Where a user stands in the order of creation; `None` if there is no such user.
///
/// # Errors
/// Storage faults.
pub async fn position(db: &mut InstanceConnection<'_>, id: &UserId) -> sqlx::Result<Option<Position>> {
    let created_at = sqlx::query_scalar!(
        "select created_at from users where instance_id = $1 and id = $2",
        db.instance().as_str(),
        id.as_str()
    );
    Ok(created_at.fetch_optional(db).await?.map(|created_at| Position { created_at, id: id.clone() }))
}

/// One page of users; ties are broken by id, so that pages neither repeat nor skip.
///
/// # Errors
/// Storage faults.
pub async fn list(db: &mut InstanceConnection<'_>, filter: &Filter, page: &Page) -> sqlx::Result<Vec<User>> {
    let mut query = QueryBuilder::new("with ");
    match &filter.search {
        _ if filter.is_by_name() => push_named(&mut query, db.instance(), filter, page),
        Some(search) => {
            push_found(&mut query, db.instance(), search, page);
            push_sorted(&mut query, db.instance(), page);
        }
        None => push_walk(&mut query, db.instance(), page),
    }
    // The limit keeps the planner from reading the trees of all users for a few.
    query.push(" select t.tree from page p cross join lateral (select t.tree from user_trees t where t.instance_id = ");
    query.push_bind(db.instance().as_str().to_owned()).push(" and t.id = p.id limit 1) t order by p.place");
    let trees: Vec<Json<User>> = query.build_query_scalar().fetch_all(db).await?;
    Ok(trees.into_iter().map(|tree| tree.0).collect())
}

/// The users that a filter names, as the page of a list.
fn push_named(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, filter: &Filter, page: &Page) {
    query.push("found as materialized (select u.id from users u where u.instance_id = ");
    query.push_bind(instance.as_str().to_owned());
    filter.push_names(query, instance);
    page.push_after(query, "u");
    query.push("), ");
    push_sorted(query, instance, page);
}

/// Appends `found`: whoever a search finds. Of a common word, in the order of creation, those whom a walk meets; if it ends
/// before it has met enough for the page, everybody.
fn push_found(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, search: &Search, page: &Page) {
    let direction = match (page.order, page.direction) {
        (OrderBy::CreatedAt, Direction::Ascending) => "asc",
        _ => "desc",
    };
    user_search::push_candidates(query, instance, search);
    query.push(", passed as materialized (select u.id from users u where u.instance_id = ");
    query.push_bind(instance.as_str().to_owned());
    page.push_after(query, "u");
    query
        .push(" and (select is_common from word) order by u.created_at ")
        .push(direction)
        .push(", u.id ")
        .push(direction);
    query
        .push(" limit ")
        .push(user_search::WALK)
        .push("), walked as materialized (select u.id from passed u where true");
    user_search::push_match(query, instance, search);
    query
        .push(" limit ")
        .push(page.reach())
        .push("), walk as materialized (select case when (select is_common from word)");
    query.push(" and (select count(*) from walked) < ").push(page.reach());
    query
        .push(" then (select count(*) from passed) >= ")
        .push(user_search::WALK)
        .push(" else false end as is_short), ");
    query.push("matched as (select id from candidates");
    if page.order == OrderBy::CreatedAt {
        query.push(" union ");
        user_search::push_all(query, instance, search, "(select is_short from walk)");
    }
    query.push("), found as materialized (select id from walked union select c.id from matched c");
    if page.after.is_some() {
        // Of each candidate by itself, so that the planner cannot walk the order from there on.
        query.push(" where coalesce((select bool_or(true) from users u where u.id = c.id and u.instance_id = ");
        query.push_bind(instance.as_str().to_owned());
        page.push_after(query, "u");
        query.push("), false)");
    }
    query.push("), ");
}

/// Sorts the users in `found`.
fn push_sorted(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, page: &Page) {
    let direction = page.direction.sql();
    query.push("page as (select f.id, row_number() over (order by (select ");
    let (column, from) = match page.order.place() {
        Place::Always(column) | Place::Sometimes(column) => (column, "users k where k.id"),
        Place::Listed(column) => (column, "user_listings k where k.user_id"),
        Place::Primary(_) => ("value_key", "identifications k where k.user_id"),
    };
    query.push("k.").push(column).push(" from ").push(from).push(" = f.id and k.instance_id = ");
    query.push_bind(instance.as_str().to_owned());
    if let Place::Primary(kind) = page.order.place() {
        query.push(" and k.is_primary and k.kind = '").push(kind).push("'");
    }
    query.push(") ").push(direction).push(" nulls last, f.id ").push(direction).push(") as place from found f");
    page.push_part(query);
}

/// A page of all users, read in the order of an index.
fn push_walk(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, page: &Page) {
    let (direction, reach) = (page.direction.sql(), page.reach());
    match page.order.place() {
        Place::Always(column) => {
            query.push("page as (select id, row_number() over (order by ").push(column).push(" ").push(direction);
            query.push(", id ").push(direction).push(") as place from (select u.id, u.").push(column);
            query.push(" from users u where u.instance_id = ").push_bind(instance.as_str().to_owned());
            page.push_after(query, "u");
            query.push(" order by u.").push(column).push(" ").push(direction).push(", u.id ").push(direction);
            query.push(" limit ").push(reach).push(") u");
            return page.push_part(query);
        }
        Place::Sometimes(column) => {
            push_halves(query, instance, page, ("users u", "id", column), ["nulls first", "nulls last"])
        }
        Place::Listed(column) => {
            push_halves(query, instance, page, ("user_listings u", "user_id", column), ["nulls last", "nulls first"]);
        }
        Place::Primary(kind) => push_primary(query, instance, page, kind),
    }
    query.push("page as (select id, place from (select id, row_number() over (order by key ").push(direction);
    query.push(", id ").push(direction).push(") as place from with_value union all select id, ");
    query.push("(select count(*) from with_value) + row_number() over (order by id ").push(direction);
    query.push(") from without) both_parts");
    page.push_part(query);
}

/// Users with a value and without one, of a column whose index has the nulls at one end; `nulls` is where they are when it
/// is read upwards and downwards.
fn push_halves(
    query: &mut QueryBuilder<Postgres>,
    instance: &InstanceId,
    page: &Page,
    (table, id, column): (&str, &str, &str),
    nulls: [&str; 2],
) {
    let nulls = if page.direction == Direction::Ascending { nulls[0] } else { nulls[1] };
    for (name, is_null) in [("with_value", "is not null"), ("without", "is null")] {
        query
            .push(name)
            .push(" as materialized (select u.")
            .push(id)
            .push(" as id, u.")
            .push(column)
            .push(" as key from ");
        query.push(table).push(" where u.instance_id = ").push_bind(instance.as_str().to_owned());
        query.push(" and u.").push(column).push(" ").push(is_null);
        if name == "without" {
            query.push(" and (select count(*) from with_value) < ").push(page.reach());
        }
        query.push(" order by u.").push(column).push(" ").push(page.direction.sql()).push(" ").push(nulls);
        query.push(", u.").push(id).push(" ").push(page.direction.sql()).push(" limit ").push(page.reach()).push("), ");
    }
}

/// Users by their primary address of a kind. Those without one are found among twice as many as the page reaches, since
/// fewer than it reaches have one.
fn push_primary(query: &mut QueryBuilder<Postgres>, instance: &InstanceId, page: &Page, kind: &str) {
    let (direction, reach) = (page.direction.sql(), page.reach());
    query.push("with_value as materialized (select i.user_id as id, i.value_key as key from identifications i ");
    query.push("where i.is_primary and i.kind = '").push(kind).push("' and i.instance_id = ");
    query.push_bind(instance.as_str().to_owned()).push(" order by i.value_key ").push(direction);
    query.push(", i.user_id ").push(direction).push(" limit ").push(reach).push("), ");
    query.push("without as materialized (select u.id from (select u.id from users u where u.instance_id = ");
    query.push_bind(instance.as_str().to_owned()).push(" and (select count(*) from with_value) < ").push(reach);
    query.push(" order by u.id ").push(direction).push(" limit ").push(reach.saturating_mul(2));
    query.push(") u where not coalesce((select bool_or(true) from identifications i where i.instance_id = ");
    query.push_bind(instance.as_str().to_owned()).push(" and i.user_id = u.id and i.is_primary and i.kind = '");
    query.push(kind).push("'), false)), ");
}

/// How many users a filter lets through; a search counts no further than [`user_search::CANDIDATES`].
///
/// # Errors
/// Storage faults.
pub async fn count(db: &mut InstanceConnection<'_>, filter: &Filter) -> sqlx::Result<i64> {
    let mut query = match &filter.search {
        _ if filter.is_by_name() => {
            let mut query = QueryBuilder::new("select count(*) from users u where u.instance_id = ");
            query.push_bind(db.instance().as_str().to_owned());
            filter.push_names(&mut query, db.instance());
            query
        }
        Some(search) => user_search::count(db.instance(), search),
        None => return super::users::count(db).await,
    };
    query.build_query_scalar().fetch_one(db).await
}
