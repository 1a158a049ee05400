//! Users: the tree, lists, and coming into being.

use sqlx::postgres::types::PgInterval;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};

use super::pool::PgConnection;
use crate::model::email::Base;
use crate::model::id::{ClientId, IdentificationId, InstanceId, UserId};
use crate::model::linking::Standing;
use crate::model::time::Timestamp;
use crate::model::user::User;

/// Shards of the user counter: sign-ups must not queue for one row.
const SHARDS: u8 = 16;

/// A user with addresses and accounts.
///
/// # Errors
/// Storage faults.
pub async fn get(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId, id: &UserId) -> sqlx::Result<Option<User>> {
    let tree = sqlx::query_scalar!(
        r#"select tree as "tree!: Json<User>" from user_trees where instance_id = $1 and id = $2"#,
        instance.as_str(),
        id.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(tree.map(|tree| tree.0))
}

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
}

impl OrderBy {
    fn column(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::LastSignInAt => "last_sign_in_at",
            Self::LastActiveAt => "last_active_at",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
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
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.email_addresses.is_empty()
            && self.user_ids.is_empty()
            && self.external_ids.is_empty()
            && self.usernames.is_empty()
    }

    /// Appends the conditions to a statement about `users u`.
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
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
            query.push(
                " and exists (select from identifications i where i.instance_id = u.instance_id and i.user_id = u.id \
                 and i.kind = 'email_address' and i.value_key = any(",
            );
            query.push_bind(self.email_addresses.clone()).push("))");
        }
    }
}

/// One page of users; ties are broken by id, so that pages neither repeat nor skip.
///
/// # Errors
/// Storage faults.
pub async fn list(
    db: impl sqlx::PgExecutor<'_>,
    instance: &InstanceId,
    filter: &Filter,
    order: (OrderBy, Direction),
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<User>> {
    let (column, (direction, nulls)) = (
        order.0.column(),
        match order.1 {
            Direction::Ascending => ("asc", "nulls last"),
            Direction::Descending => ("desc", "nulls last"),
        },
    );
    // created_at is never null, and its index has no `nulls last`.
    let nulls = if order.0 == OrderBy::CreatedAt { "" } else { nulls };
    let mut query = QueryBuilder::new(
        "select t.tree from (select u.id, row_number() over () as place from (select u.id from users u where u.instance_id = ",
    );
    query.push_bind(instance.as_str().to_owned());
    filter.push(&mut query);
    query.push(" order by u.").push(column).push(" ").push(direction).push(" ").push(nulls);
    query.push(", u.id ").push(direction).push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
    query.push(") u) p join user_trees t on t.instance_id = ").push_bind(instance.as_str().to_owned());
    query.push(" and t.id = p.id order by p.place");
    let trees: Vec<Json<User>> = query.build_query_scalar().fetch_all(db).await?;
    Ok(trees.into_iter().map(|tree| tree.0).collect())
}

/// How many users there are; without a filter from the maintained counter.
///
/// # Errors
/// Storage faults.
pub async fn count(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId, filter: &Filter) -> sqlx::Result<i64> {
    if filter.is_empty() {
        return sqlx::query_scalar!(
            r#"select coalesce(sum(value), 0)::bigint as "count!" from counters where instance_id = $1 and name = 'users'"#,
            instance.as_str(),
        )
        .fetch_one(db)
        .await;
    }
    let mut query = QueryBuilder::new("select count(*) from users u where u.instance_id = ");
    query.push_bind(instance.as_str().to_owned());
    filter.push(&mut query);
    query.build_query_scalar().fetch_one(db).await
}

/// A user about to be.
pub struct NewUser<'a> {
    /// Names the user.
    pub id: &'a UserId,
    /// Username.
    pub username: Option<&'a str>,
    /// Given name.
    pub first_name: Option<&'a str>,
    /// Family name.
    pub last_name: Option<&'a str>,
    /// The provider's picture.
    pub image_url: Option<&'a str>,
    /// BCP 47.
    pub locale: Option<&'a str>,
    /// The user's own metadata.
    pub unsafe_metadata: Option<&'a serde_json::Value>,
    /// When terms were accepted.
    pub legal_accepted_at: Option<Timestamp>,
    /// The password, as a PHC string.
    pub password_digest: Option<&'a str>,
    /// The address, if there is one.
    pub email: Option<NewAddress<'a>>,
}

/// The address of a user about to be.
pub struct NewAddress<'a> {
    /// Names it.
    pub id: &'a IdentificationId,
    /// Canonical form.
    pub value: &'a str,
    /// Proven already?
    pub is_verified: bool,
    /// `from_oauth_google`.
    pub strategy: &'a str,
}

/// Creates a user and claims the address, first come: `false` if a proven address is somebody's already, and then
/// nothing was written. Foreign keys are checked at the end of the statement, so the address may come first.
///
/// # Errors
/// Storage faults; a violation of `users_username_key` when somebody else was first.
pub async fn create(
    db: &mut PgConnection,
    instance: &InstanceId,
    new: &NewUser<'_>,
    offset: PgInterval,
) -> sqlx::Result<bool> {
    let email = new.email.as_ref();
    let created = sqlx::query_scalar!(
        r#"with claimed as (
               insert into identifications (instance_id, id, user_id, kind, value, value_key, status, is_primary,
                   verification_strategy, verified_at, created_at, updated_at)
               select $1, $6, $2, 'email_address', $7, $7, case when $8 then 'verified' else 'unverified' end, true,
                   $9, case when $8 then now() + $10 end, now() + $10, now() + $10
               where $6::text is not null
               on conflict (instance_id, kind, value_key) where status in ('verified', 'reserved') do nothing
               returning user_id
           ),
           counted as (
               insert into counters as c (instance_id, name, shard, value)
               select $1, 'users', $5, 1 where $6::text is null or exists (select from claimed)
               on conflict (instance_id, name, shard) do update set value = c.value + 1
           ),
           password as (
               insert into user_passwords (instance_id, user_id, digest, hasher, created_at, updated_at)
               select $1, $2, $14, 'argon2id', now() + $10, now() + $10
               where $14::text is not null and ($6::text is null or exists (select from claimed))
           )
           insert into users (instance_id, id, username, username_key, first_name, last_name, image_url, locale,
               unsafe_metadata, legal_accepted_at, created_at, updated_at)
           select $1, $2, $15, lower($15), $3, $11, $4, $12, coalesce($13, '{}'::jsonb), $16, now() + $10, now() + $10
           where $6::text is null or exists (select from claimed)
           returning id"#,
        instance.as_str(),
        new.id.as_str(),
        new.first_name,
        new.image_url,
        shard(new.id),
        email.map(|email| email.id.as_str()),
        email.map(|email| email.value),
        email.is_some_and(|email| email.is_verified),
        email.map(|email| email.strategy),
        offset,
        new.last_name,
        new.locale,
        new.unsafe_metadata,
        new.password_digest,
        new.username,
        new.legal_accepted_at,
    )
    .fetch_optional(db)
    .await?;
    Ok(created.is_some())
}

/// True if somebody has this username.
///
/// # Errors
/// Storage faults.
pub async fn has_username(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId, username: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from users where instance_id = $1 and username_key = lower($2)) as "is_taken!""#,
        instance.as_str(),
        username,
    )
    .fetch_one(db)
    .await
}

/// True if an address of the same base belongs to a user: local part up to the first separator, without dots where the
/// domain ignores them.
///
/// # Errors
/// Storage faults.
pub async fn has_base(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId, base: &Base) -> sqlx::Result<bool> {
    // What all spellings of the base begin with, so that the index finds them.
    let first: String = base.local.chars().take(if base.ignores_dots { 1 } else { usize::MAX }).collect();
    let pattern = format!("{}%", first.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    sqlx::query_scalar!(
        r#"select exists (select from identifications
               where instance_id = $1 and kind = 'email_address' and status in ('verified', 'reserved')
                   and value_key like $2 and split_part(value_key, '@', 2) = any($3)
                   and case when $5 then replace(regexp_replace(split_part(value_key, '@', 1), $6, ''), '.', '')
                       else regexp_replace(split_part(value_key, '@', 1), $6, '') end = $4) as "is_taken!""#,
        instance.as_str(),
        pattern,
        &base.domains,
        base.local,
        base.ignores_dots,
        base.separators,
    )
    .fetch_one(db)
    .await
}

/// Locks a user until the transaction ends, and says whether he may sign in on `client`; `None` if he is gone. Strangers'
/// failures do not shut out a browser that he signed in from before. Nobody's rows keep this waiting that only point to the
/// user: they would wait for each other.
///
/// # Errors
/// Storage faults.
pub async fn lock(
    db: &mut PgConnection,
    instance: &InstanceId,
    id: &UserId,
    client: &ClientId,
    offset: PgInterval,
) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"select u.banned_at is not null as "is_banned!", coalesce(u.locked_at is not null
               and (u.locked_until is null or u.locked_until > now() + $3), false)
               and not (u.lock_reason is not distinct from 'attempts' and exists (select from known_clients k where k.instance_id = $1
                   and k.user_id = u.id and k.client_id = $4
                   and (k.locked_until is null or k.locked_until <= now() + $3))) as "is_locked!"
           from users u where u.instance_id = $1 and u.id = $2 for no key update of u"#,
        instance.as_str(),
        id.as_str(),
        offset,
        client.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing::of(row.is_banned, row.is_locked)))
}

/// The counter shard of a user: by the last character of the id, which is random.
fn shard(id: &UserId) -> i16 {
    i16::from(id.as_str().bytes().next_back().unwrap_or(0) % SHARDS)
}

/// Fills names and picture that are still empty; never overwrites what a user has.
///
/// # Errors
/// Storage faults.
pub async fn fill_if_empty(
    db: &mut PgConnection,
    instance: &InstanceId,
    id: &UserId,
    first_name: Option<&str>,
    last_name: Option<&str>,
    image_url: Option<&str>,
    offset: PgInterval,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update users set first_name = coalesce(first_name, $3), last_name = coalesce(last_name, $4),
               image_url = coalesce(image_url, $5), updated_at = now() + $6, version = version + 1
           where instance_id = $1 and id = $2
               and ((first_name is null and $3::text is not null) or (last_name is null and $4::text is not null)
                   or (image_url is null and $5::text is not null))"#,
        instance.as_str(),
        id.as_str(),
        first_name,
        last_name,
        image_url,
        offset,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if a user has a password.
///
/// # Errors
/// Storage faults.
pub async fn has_password(db: impl sqlx::PgExecutor<'_>, instance: &InstanceId, id: &UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from user_passwords where instance_id = $1 and user_id = $2) as "has!""#,
        instance.as_str(),
        id.as_str(),
    )
    .fetch_one(db)
    .await
}
