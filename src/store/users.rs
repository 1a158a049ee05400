//! Users: the tree, and coming into being. Lists of them: `user_lists`.

use sqlx::types::Json;

use super::InstanceConnection;
use crate::model::email::Base;
use crate::model::id::{ClientId, IdentificationId, UserId};
use crate::model::linking::UserStatus;
use crate::model::search::{self, Names};
use crate::model::strategy::AddressStrategy;
use crate::model::time::Timestamp;
use crate::model::user::User;

/// Shards of the user counter: sign-ups must not queue for one row.
const SHARDS: u8 = 16;

/// A user with addresses and accounts.
///
/// # Errors
/// Storage faults.
pub async fn get(db: &mut InstanceConnection<'_>, id: &UserId) -> sqlx::Result<Option<User>> {
    let tree = sqlx::query_scalar!(
        r#"select tree as "tree!: Json<User>" from user_trees where instance_id = $1 and id = $2"#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(tree.map(|tree| tree.0))
}

/// How many users there are, from the maintained counter.
///
/// # Errors
/// Storage faults.
pub async fn count(db: &mut InstanceConnection<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(value), 0)::bigint as "count!" from counters where instance_id = $1 and name = 'users'"#,
        db.instance().as_str(),
    )
    .fetch_one(db)
    .await
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
    /// Verified already?
    pub is_verified: bool,
    /// `from_oauth_google`.
    pub strategy: &'a AddressStrategy,
}

/// Creates a user and claims the address, first come: `false` if a verified address is somebody's already, and then
/// nothing was written. Foreign keys are checked at the end of the statement, so the address may come first.
///
/// # Errors
/// Storage faults; a violation of `users_username_key` when somebody else was first.
pub async fn create(db: &mut InstanceConnection<'_>, new: &NewUser<'_>) -> sqlx::Result<bool> {
    let email = new.email.as_ref();
    let names = Names::new(new.first_name, new.last_name, new.username);
    let terms = names.terms(db.instance(), new.id.as_str());
    let email_terms = email.map(|email| search::address_terms(db.instance(), email.value)).unwrap_or_default();
    let created = sqlx::query_scalar!(
        r#"with claimed as (
               insert into identifications (instance_id, id, user_id, kind, value, value_key, status, is_primary,
                   verification_strategy, verified_at, created_at, updated_at, search_terms)
               select $1, $6, $2, 'email_address', $7, $7, case when $8 then 'verified' else 'unverified' end, true,
                   $9, case when $8 then now() + $10 end, now() + $10, now() + $10, $17
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
           ),
           listed as (
               insert into user_listings (instance_id, user_id, first_name, last_name, username, search_terms)
               select $1, $2, $18, $19, $20, $21 where $6::text is null or exists (select from claimed)
           )
           insert into users (instance_id, id, username, username_key, first_name, last_name, image_url, locale,
               unsafe_metadata, legal_accepted_at, created_at, updated_at)
           select $1, $2, $15, lower($15), $3, $11, $4, $12, coalesce($13, '{}'::jsonb), $16, now() + $10, now() + $10
           where $6::text is null or exists (select from claimed)
           returning id"#,
        db.instance().as_str(),
        new.id.as_str(),
        new.first_name,
        new.image_url,
        shard(new.id),
        email.map(|email| email.id.as_str()),
        email.map(|email| email.value),
        email.is_some_and(|email| email.is_verified),
        email.map(|email| email.strategy) as Option<&AddressStrategy>,
        db.offset(),
        new.last_name,
        new.locale,
        new.unsafe_metadata,
        new.password_digest,
        new.username,
        new.legal_accepted_at,
        &email_terms,
        names.first,
        names.last,
        names.username,
        &terms,
    )
    .fetch_optional(db)
    .await?;
    Ok(created.is_some())
}

/// True if somebody has this username.
///
/// # Errors
/// Storage faults.
pub async fn has_username(db: &mut InstanceConnection<'_>, username: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from users where instance_id = $1 and username_key = lower($2)) as "is_taken!""#,
        db.instance().as_str(),
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
pub async fn has_base(db: &mut InstanceConnection<'_>, base: &Base) -> sqlx::Result<bool> {
    // How the index has it: without dots. Where a hyphen separates as well, everything up to the next character counts.
    let stem = base.local.replace('.', "");
    let end = format!("{stem}{}", if base.separators.contains('-') { '.' } else { '\u{1}' });
    sqlx::query_scalar!(
        r#"select exists (select from identifications
               where instance_id = $1 and kind = 'email_address' and status in ('verified', 'reserved')
                   and split_part(value_key, '@', 2) = any($2)
                   and replace(regexp_replace(split_part(value_key, '@', 1), '[+=#].*$', ''), '.', '') >= $3
                   and replace(regexp_replace(split_part(value_key, '@', 1), '[+=#].*$', ''), '.', '') < $4
                   and case when $6 then replace(regexp_replace(split_part(value_key, '@', 1), $7, ''), '.', '')
                       else regexp_replace(split_part(value_key, '@', 1), $7, '') end = $5) as "is_taken!""#,
        db.instance().as_str(),
        &base.domains,
        stem,
        end,
        base.local,
        base.ignores_dots,
        base.separators,
    )
    .fetch_one(db)
    .await
}

/// Locks a user until the transaction ends, and says whether they may sign in on `client`; `None` if they are gone.
/// Strangers' failures do not shut out a browser that they signed in from before. Nobody's rows keep this waiting that
/// only point to the user: they would wait for each other.
///
/// # Errors
/// Storage faults.
pub async fn lock(db: &mut InstanceConnection<'_>, id: &UserId, client: &ClientId) -> sqlx::Result<Option<UserStatus>> {
    let row = sqlx::query!(
        r#"select u.banned_at is not null as "is_banned!", coalesce(u.locked_at is not null
               and (u.locked_until is null or u.locked_until > now() + $3), false)
               and not (u.lock_reason is not distinct from 'attempts' and exists (select from known_clients k where k.instance_id = $1
                   and k.user_id = u.id and k.client_id = $4
                   and (k.locked_until is null or k.locked_until <= now() + $3))) as "is_locked!"
           from users u where u.instance_id = $1 and u.id = $2 for no key update of u"#,
        db.instance().as_str(),
        id.as_str(),
        db.offset(),
        client.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| UserStatus::of(row.is_banned, row.is_locked)))
}

/// The counter shard of a user: by the last character of the id, which is random.
fn shard(id: &UserId) -> i16 {
    i16::from(id.as_str().bytes().next_back().unwrap_or(0) % SHARDS)
}

/// Fills names and picture that are still empty; never overwrites what a user has. Lists learn of the names in a second
/// statement, since their terms are computed from what the user is called then.
///
/// # Errors
/// Storage faults.
pub async fn fill_if_empty(
    db: &mut InstanceConnection<'_>,
    id: &UserId,
    first_name: Option<&str>,
    last_name: Option<&str>,
    image_url: Option<&str>,
) -> sqlx::Result<()> {
    let filled = sqlx::query!(
        r#"update users set first_name = coalesce(first_name, $3), last_name = coalesce(last_name, $4),
               image_url = coalesce(image_url, $5), updated_at = now() + $6, version = version + 1
           where instance_id = $1 and id = $2
               and ((first_name is null and $3::text is not null) or (last_name is null and $4::text is not null)
                   or (image_url is null and $5::text is not null))
           returning first_name, last_name, username"#,
        db.instance().as_str(),
        id.as_str(),
        first_name,
        last_name,
        image_url,
        db.offset(),
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(filled) = filled.filter(|_| first_name.is_some() || last_name.is_some()) else { return Ok(()) };
    let names = Names::new(filled.first_name.as_deref(), filled.last_name.as_deref(), filled.username.as_deref());
    update_listing(db, id, &names).await
}

/// Writes the names by which lists sort and search a user, in the transaction that changed them: the user's row is locked,
/// so nobody writes older ones over them.
///
/// # Errors
/// Storage faults.
async fn update_listing(db: &mut InstanceConnection<'_>, id: &UserId, names: &Names) -> sqlx::Result<()> {
    let terms = names.terms(db.instance(), id.as_str());
    sqlx::query!(
        r#"insert into user_listings as l (instance_id, user_id, first_name, last_name, username, search_terms)
           values ($1, $2, $3, $4, $5, $6)
           on conflict (instance_id, user_id) do update
           set first_name = $3, last_name = $4, username = $5, search_terms = $6
           where (l.first_name, l.last_name, l.username) is distinct from ($3, $4, $5)"#,
        db.instance().as_str(),
        id.as_str(),
        names.first.as_deref(),
        names.last.as_deref(),
        names.username.as_deref(),
        &terms,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// True if a user has a password.
///
/// # Errors
/// Storage faults.
pub async fn has_password(db: &mut InstanceConnection<'_>, id: &UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from user_passwords where instance_id = $1 and user_id = $2) as "has!""#,
        db.instance().as_str(),
        id.as_str(),
    )
    .fetch_one(db)
    .await
}
