//! The removers as a table. Every statement has the same shape: a page of the table in the order of one index,
//! beginning after a position in each of the instances; then what is over among those rows is removed.
//!
//! Why it is spelled as it is: a page ends after 1,000 rows whatever becomes of them, so nothing is filtered while
//! looking; what is removed is named by where it lies (`ctid`), which cannot become a scan; and a row that somebody
//! holds or changes meanwhile is passed over. Other tables are asked by a sub-select of one value: of an `exists` the
//! planner may make a hash of the whole other table.
//!
//! The outer limit takes the instances in the order of the arrays, although no `order by` says so: a lateral join can
//! only be a nested loop. An `order by` would make the planner sort all pages.
//!
//! The parts may name `t`, the row; `i.after`, the position; `i.before`, the first key that is too young; `i.moment`,
//! the instance's time; and `$5`, how long a row stays after its end.

use super::walk::{Batch, Page};
use crate::store::pool::PgPool;

macro_rules! statement {
    ($name:ident, $table:literal, $action:literal, $key:literal, $order:literal, $range:literal, $ended:literal,
        $may_go:literal) => {
        async fn $name(db: &PgPool, page: &Page) -> sqlx::Result<Batch> {
            sqlx::query_as!(
                Batch,
                r#"with page as materialized (
                       select t.place, t.instance_id, t.position, t.overdue,
                           t.may_go and coalesce(t.overdue > interval '0', false) as is_over
                       from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
                           as i (instance_id, after, before, moment)
                       cross join lateral (
                           select t.ctid as place, t.instance_id, "#
                    + $key
                    + r#" as position, "#
                    + $may_go
                    + r#" as may_go,
                               i.moment - $5::interval - ("#
                    + $ended
                    + r#") as overdue
                           from "#
                    + $table
                    + r#" t
                           where t.instance_id = i.instance_id and "#
                    + $range
                    + r#"
                           order by "#
                    + $order
                    + r#" limit 1000) t
                       limit $6
                   ),
                   done as (
                       "#
                    + $action
                    + r#" where ctid = any(array(
                           select t.ctid from "#
                    + $table
                    + r#" t
                           where t.ctid = any(array(select place from page where is_over)) and $7
                           for update skip locked))
                       returning 1
                   )
                   select count(*) as "seen!", count(*) filter (where is_over) as "over!",
                       (select count(*) from done) as "removed!",
                       extract(epoch from max(overdue) filter (where is_over))::float8 as overdue_seconds,
                       max((instance_id || ' ' || position) collate "C") as last
                   from page"#,
                &page.instances,
                &page.after,
                &page.before,
                &page.moments,
                &page.keep,
                page.limit,
                page.removes,
            )
            .fetch_one(db)
            .await
        }
    };
}

macro_rules! removers {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $name:ident ($table:literal) $action:literal
            by $key:literal, $order:literal where $range:literal
            ended $ended:literal, if $may_go:literal;
    )*) => {
        /// A remover.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Remover {$(
            $(#[$doc])*
            $variant,
        )*}

        /// Every remover, in the order in which they run.
        pub const REMOVERS: &[Remover] = &[$(Remover::$variant,)*];

        impl Remover {
            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// The table whose rows it removes.
            pub fn table(self) -> &'static str {
                match self { $(Self::$variant => $table,)* }
            }

            pub(super) async fn run(self, db: &PgPool, page: &Page) -> sqlx::Result<Batch> {
                match self { $(Self::$variant => $name(db, page).await,)* }
            }
        }

        $(statement!($name, $table, $action, $key, $order, $range, $ended, $may_go);)*
    };
}

removers! {
    /// What a provider said of a person, its tokens and the verifier, of authorizations that nobody can go on from:
    /// abandoned on the way, or with an attempt that is over. That there was an authorization stays.
    ProviderAuthorizationSecrets = provider_authorization_secrets ("provider_authorizations")
        "update provider_authorizations set pkce_verifier_sealed = null, callback_sealed = null, tokens_sealed = null,
             profile = null, provider_user_id = null"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before
            and (t.pkce_verifier_sealed is not null or t.callback_sealed is not null
                or t.tokens_sealed is not null or t.profile is not null)"
        ended "t.expires_at",
        // A verification waits as long as its attempt, and one that belongs in the other kind of attempt ten minutes.
        if "not (t.finished_at is not null
            and (t.transport = 'cookie' or t.rotating_token_nonce_used_at is not null)
            and (select true from verifications v where v.instance_id = t.instance_id
                and v.id = t.verification_id and v.status = 'transferable' and v.transferable_until <= i.moment) is null
            and ((select true from sign_ins s where s.instance_id = t.instance_id and s.id = t.target_id
                    and s.replaced_at is null and s.completed_at is null and s.abandon_at > i.moment) is not null
                or (select true from sign_ups s where s.instance_id = t.instance_id and s.id = t.target_id
                    and s.replaced_at is null and s.completed_at is null and s.abandon_at > i.moment) is not null))";
    /// Accounts that nobody came back to connect: an hour after their authorization's end, or as long as attempts after
    /// they were refused.
    ExternalAccounts = external_accounts ("external_accounts") "delete from external_accounts"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before and t.status = 'pending'"
        ended "case when t.error is null then t.expires_at + interval '1 h' - $5::interval else t.updated_at end", if "true";
    /// Authorizations at providers, once nothing is left in them.
    ProviderAuthorizations = provider_authorizations ("provider_authorizations") "delete from provider_authorizations"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.expires_at",
        if "t.tokens_sealed is null and t.profile is null
            and t.pkce_verifier_sealed is null and t.callback_sealed is null";
    /// Verifications, whatever became of what they were asked of.
    Verifications = verifications ("verifications") "delete from verifications"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.expires_at", if "true";
    /// Sign-ins.
    SignIns = sign_ins ("sign_ins") "delete from sign_ins"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.abandon_at", if "true";
    /// Sign-ups.
    SignUps = sign_ups ("sign_ups") "delete from sign_ups"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.abandon_at", if "true";
    /// Handshake answers that nobody fetched.
    Handshakes = handshakes ("handshakes") "delete from handshakes"
        by "lpad((extract(epoch from t.expires_at) * 1000000)::bigint::text, 18, '0') || ' ' || encode(t.hash, 'hex')",
            "t.expires_at, t.hash"
        where "(t.expires_at, t.hash) > (timestamptz 'epoch'
                + coalesce(nullif(split_part(i.after, ' ', 1), ''), '0')::bigint * interval '1 microsecond',
                decode(split_part(i.after, ' ', 2), 'hex'))
            and t.expires_at < i.moment - $5::interval"
        ended "t.expires_at", if "true";
    /// Authorization codes. One that was used stays as long as the grant made from it lives: whoever presents it once
    /// more ends that grant (RFC 6749 section 4.1.2).
    OauthCodes = oauth_codes ("oauth_codes") "delete from oauth_codes"
        by "lpad(t.expires_day::text, 6, '0') || encode(t.hash, 'hex')", "t.expires_day, t.hash"
        where "(t.expires_day, t.hash) > (coalesce(nullif(left(i.after, 6), ''), '0')::int, decode(substr(i.after, 7), 'hex'))
            and t.expires_day < i.before::int"
        ended "t.expires_at",
        if "t.consumed_at is null or (select true from oauth_grants g where g.instance_id = t.instance_id
            and g.id = t.grant_id and g.revoked_at is null and g.refresh_expires_at > i.moment) is null";
    /// Access tokens.
    OauthAccessTokens = oauth_access_tokens ("oauth_access_tokens") "delete from oauth_access_tokens"
        by "lpad(t.expires_day::text, 6, '0') || encode(t.hash, 'hex')", "t.expires_day, t.hash"
        where "(t.expires_day, t.hash) > (coalesce(nullif(left(i.after, 6), ''), '0')::int, decode(substr(i.after, 7), 'hex'))
            and t.expires_day < i.before::int"
        ended "t.expires_at", if "true";
    /// Refresh tokens. A used one tells of theft until its own end; after that it is refused like any.
    OauthRefreshTokens = oauth_refresh_tokens ("oauth_refresh_tokens") "delete from oauth_refresh_tokens"
        by "lpad(t.expires_day::text, 6, '0') || encode(t.hash, 'hex')", "t.expires_day, t.hash"
        where "(t.expires_day, t.hash) > (coalesce(nullif(left(i.after, 6), ''), '0')::int, decode(substr(i.after, 7), 'hex'))
            and t.expires_day < i.before::int"
        ended "t.expires_at", if "true";
    /// Grants that were revoked, or whose refresh family ended.
    OauthGrants = oauth_grants ("oauth_grants") "delete from oauth_grants"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "coalesce(t.revoked_at, t.refresh_expires_at)", if "true";
    /// Sessions that ended or expired.
    Sessions = sessions ("sessions") "delete from sessions"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "coalesce(t.ended_at, t.expire_at)", if "true";
    /// Browsers that never signed in and in which no attempt goes on, with what hangs on them.
    Visitors = visitors ("clients") "delete from clients"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "greatest(t.created_at, t.updated_at, t.client_uat_at, t.last_active_at,
            (select max(greatest(a.updated_at, a.abandon_at - $5::interval)) from sign_ins a
                where a.instance_id = t.instance_id and a.client_id = t.id),
            (select max(greatest(a.updated_at, a.abandon_at - $5::interval)) from sign_ups a
                where a.instance_id = t.instance_id and a.client_id = t.id))",
        if "t.client_uat_at is null and (select true from sessions s where s.instance_id = t.instance_id and s.client_id = t.id limit 1) is null";
    /// Browsers whose last session is gone, with what hangs on them. One that was removed need not be unused for long.
    Clients = clients ("clients") "delete from clients"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "case when t.removed_at is not null then t.removed_at - $5::interval else
            greatest(t.created_at, t.updated_at, t.client_uat_at, t.last_active_at,
            (select max(greatest(a.updated_at, a.abandon_at - $5::interval)) from sign_ins a
                where a.instance_id = t.instance_id and a.client_id = t.id),
            (select max(greatest(a.updated_at, a.abandon_at - $5::interval)) from sign_ups a
                where a.instance_id = t.instance_id and a.client_id = t.id)) end",
        if "(t.client_uat_at is not null or t.removed_at is not null)
            and (select true from sessions s where s.instance_id = t.instance_id and s.client_id = t.id limit 1) is null";
    /// Client tokens that were replaced.
    ClientTokens = client_tokens ("client_tokens") "delete from client_tokens"
        by "encode(t.hash, 'hex')", "t.hash" where "t.hash > decode(i.after, 'hex')"
        ended "t.superseded_at", if "true";
    /// Logs of rate limits that nobody has written into for long.
    RateLimits = rate_limits ("rate_limits") "delete from rate_limits"
        by "t.kind || ' ' || encode(t.key_hash, 'hex')", "t.kind, t.key_hash"
        where "(t.kind, t.key_hash) > (split_part(i.after, ' ', 1), decode(split_part(i.after, ' ', 2), 'hex'))"
        ended "t.expires_at", if "true";
    /// Recorded flows.
    Flows = flows ("flows") "delete from flows"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.started_at", if "true";
    /// Steps of recorded flows. They go with their flow, however late they were.
    FlowSteps = flow_steps ("flow_steps") "delete from flow_steps"
        by "t.flow_id || ' ' || t.id", "t.flow_id, t.id"
        where "(t.flow_id, t.id) > (split_part(i.after, ' ', 1), split_part(i.after, ' ', 2)) and t.flow_id < i.before"
        ended "least(t.occurred_at, i.moment - $5::interval - interval '1 s')", if "true";
    /// Audit events.
    AuditEvents = audit_events ("audit_events") "delete from audit_events"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.created_at", if "true";
    /// Content of messages, delivered or not: who got them, and codes and links that have long been dead. Nobody tries any
    /// further to deliver one.
    Messages = messages ("outbox")
        "update outbox set payload = '{}', payload_sealed = null,
             failed_at = case when done_at is null then coalesce(failed_at, now()) else failed_at end,
             last_error = case when done_at is null and failed_at is null then 'it was not delivered in time'
                 else last_error end"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before
            and t.kind in ('mail', 'message') and t.payload_sealed is not null"
        ended "t.created_at", if "(t.leased_until is null or t.leased_until < now())";
    /// What side effects were about.
    OutboxPayloads = outbox_payloads ("outbox") "update outbox set payload = '{}', payload_sealed = null"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "coalesce(t.done_at, t.failed_at)", if "(t.payload_sealed is not null or t.payload <> '{}')";
    /// Side effects that were done or given up.
    Outbox = outbox ("outbox") "delete from outbox"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "coalesce(t.done_at, t.failed_at)", if "true";
    /// Messages of development inboxes.
    InboxMessages = inbox_messages ("inbox_messages") "delete from inbox_messages"
        by "t.id", "t.id" where "t.id > i.after and t.id < i.before"
        ended "t.created_at", if "true";
    /// Codes and tokens of simulated providers whose approval has nothing left that works: the others tell which are
    /// the newest.
    SimulatorTokens = simulator_tokens ("simulator_tokens") "delete from simulator_tokens"
        by "encode(t.hash, 'hex')", "t.hash" where "t.hash > decode(i.after, 'hex')"
        ended "least(t.expires_at, t.used_at, t.revoked_at)",
        if "(select true from simulator_tokens o where o.instance_id = t.instance_id
                and o.family_id = t.family_id and o.used_at is null and o.revoked_at is null
                and (o.expires_at is null or o.expires_at > i.moment) limit 1) is null";
    /// People at simulated providers whom no account and none of their own codes or tokens needs: whoever approves as one of
    /// them again makes them again.
    SimulatorPeople = simulator_people ("simulator_people") "delete from simulator_people"
        by "t.provider || ' ' || t.provider_user_id", "t.provider, t.provider_user_id"
        where "(t.provider, t.provider_user_id) > (split_part(i.after, ' ', 1), split_part(i.after, ' ', 2))"
        ended "t.created_at",
        if "(select true from simulator_tokens o where o.instance_id = t.instance_id and o.provider = t.provider
                and o.provider_user_id = t.provider_user_id limit 1) is null
            and (select true from external_accounts e where e.instance_id = t.instance_id and e.provider = t.provider
                and e.provider_user_id = t.provider_user_id and e.status = 'verified' limit 1) is null";
}
