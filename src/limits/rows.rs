//! Which rows somebody without an account, or an OAuth application, can make: by which request, under which budget,
//! what removes them, and how large they are. A table of the schema without a line here fails
//! `tests/it/row_budgets.rs`, which also fills what can be filled, moves the clock and looks what is left.
//! `docs/row-budgets.md` shows the same table.

/// Who makes rows of a table without any more than a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// Somebody without an account.
    Visitor,
    /// An OAuth application, with its credentials and a grant of a user.
    Application,
}

/// How rows are made.
#[derive(Clone, Copy, Debug)]
pub struct RowSource {
    /// Who.
    pub maker: Maker,
    /// By which requests.
    pub request: &'static str,
    /// The budget: a setting of `config/vestibule.toml`, or [`STRAY_FLOWS`].
    pub budget: &'static [&'static str],
}

/// The budget of the flow log that is no setting: ten a minute and address.
pub const STRAY_FLOWS: &str = "10 per minute and address";

/// What becomes of rows that strangers made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// They are removed so many hours after they are over, by default of the setting that is named; always, where none is.
    Removed(u32, &'static str),
    /// They stay, because there are only so many.
    Stays(&'static str),
    /// They belong to an account, or to what the operator made, and go with it.
    WithOwner,
    /// The same; those that never came into being are removed after so many hours, by the setting that is named.
    WithOwnerOrUnfinished(u32, &'static str),
}

/// A table of the schema.
#[derive(Clone, Copy, Debug)]
pub struct TableRows {
    /// Its name.
    pub table: &'static str,
    /// How strangers make rows of it; none where they cannot.
    pub sources: &'static [RowSource],
    /// Who makes them where strangers cannot; shown in the place of the sources.
    pub otherwise: &'static str,
    /// What becomes of them.
    pub end: End,
    /// What a stranger's row takes in the table, in bytes; 0 where there is none.
    pub bytes: u32,
}

const fn visitor(request: &'static str, budget: &'static [&'static str]) -> RowSource {
    RowSource { maker: Maker::Visitor, request, budget }
}

const fn application(request: &'static str, budget: &'static [&'static str]) -> RowSource {
    RowSource { maker: Maker::Application, request, budget }
}

/// A table that no stranger reaches.
const fn closed(table: &'static str, otherwise: &'static str, end: End) -> TableRows {
    TableRows { table, sources: &[], otherwise, end, bytes: 0 }
}

/// A table that strangers reach.
const fn open(table: &'static str, sources: &'static [RowSource], end: End, bytes: u32) -> TableRows {
    TableRows { table, sources, otherwise: "accounts, by signing in", end, bytes }
}

const CREATE: &[&str] = &["limits.create_attempt"];
const MAIL: &[&str] = &["limits.send_from_address", "limits.send_to_recipient", "limits.send_again"];
const CLIENT: &[&str] = &["limits.oauth_client"];
const OPERATOR: &str = "the operator: command line and backend API";
const ACCOUNT: &str = "accounts; a new one costs `limits.create_attempt`, and an address its mails";

const CONSENT: &str = "accounts, by allowing an application something";

const BEGIN: RowSource = visitor("beginning a sign-in or sign-up: API, forms of the pages, `/_dev`", CREATE);
const GO_AWAY: RowSource = visitor("being sent to a provider, also within an attempt", CREATE);
const ASK: RowSource = visitor("asking for a code or link", MAIL);
const APPROVE: RowSource = visitor("approving at a simulated provider (development instances)", &["limits.authorize"]);
const GUESS: RowSource =
    visitor("guessing a code, password or nonce", &["limits.attempt_proof", "limits.failed_proofs"]);
const TOKEN: RowSource = application("`/oauth/token`", CLIENT);

/// Every table of the schema.
pub const LINES: &[TableRows] = &[
    closed("instances", OPERATOR, End::WithOwner),
    closed("instance_hosts", OPERATOR, End::WithOwner),
    closed("instance_origins", OPERATOR, End::WithOwner),
    closed("secret_keys", OPERATOR, End::WithOwner),
    closed(
        "signing_keys",
        "the program: one of each purpose for an instance, and what an operator adds",
        End::WithOwner,
    ),
    closed(
        "ring_keys",
        "the operator: one for each key of the ring",
        End::Stays("one for each key that was ever in the ring"),
    ),
    closed("provider_configs", OPERATOR, End::WithOwner),
    closed("redirect_urls", OPERATOR, End::WithOwner),
    closed("oauth_applications", OPERATOR, End::WithOwner),
    closed("jobs", "the program", End::Stays("one for each periodic task")),
    closed("counters", "the program", End::Stays("a fixed number for each instance")),
    closed("users", ACCOUNT, End::WithOwner),
    closed("identifications", ACCOUNT, End::WithOwner),
    closed("external_accounts", ACCOUNT, End::WithOwnerOrUnfinished(24, "retention.attempts")),
    closed("provider_tokens", ACCOUNT, End::WithOwner),
    closed("user_passwords", ACCOUNT, End::WithOwner),
    closed("user_listings", ACCOUNT, End::WithOwner),
    closed("known_clients", ACCOUNT, End::WithOwner),
    closed("sessions", ACCOUNT, End::Removed(720, "retention.sessions")),
    closed("session_activities", ACCOUNT, End::WithOwner),
    closed(
        "handshakes",
        "accounts with a session, on the way to an app's server: one for each request",
        End::Removed(1, ""),
    ),
    closed("oauth_consents", CONSENT, End::WithOwner),
    closed("oauth_codes", CONSENT, End::Removed(24, "retention.attempts")),
    closed("oauth_grants", CONSENT, End::Removed(720, "retention.grants")),
    open("clients", &[BEGIN], End::Removed(24, "retention.visitors"), 120),
    open("client_tokens", &[BEGIN], End::Removed(24, "retention.visitors"), 180),
    open("sign_ins", &[BEGIN], End::Removed(24, "retention.attempts"), 250),
    open("sign_ups", &[BEGIN], End::Removed(24, "retention.attempts"), 400),
    open("verifications", &[GO_AWAY, ASK], End::Removed(24, "retention.attempts"), 900),
    open("provider_authorizations", &[GO_AWAY], End::Removed(24, "retention.attempts"), 900),
    open("rate_limits", &[ASK, GUESS], End::Removed(1, ""), 200),
    open("outbox", &[ASK], End::Removed(720, "retention.outbox"), 900),
    open("inbox_messages", &[ASK], End::Removed(168, "retention.inbox"), 1_500),
    open(
        "flows",
        &[
            BEGIN,
            visitor("authorization requests, callbacks and refusals that belong to no attempt", &[STRAY_FLOWS]),
            TOKEN,
        ],
        End::Removed(168, "retention.flows"),
        250,
    ),
    open(
        "flow_steps",
        &[BEGIN, visitor("steps of these", &[STRAY_FLOWS, "limits.attempt_proof"]), TOKEN],
        End::Removed(168, "retention.flows"),
        400,
    ),
    open(
        "audit_events",
        &[GUESS, visitor("sign-ins and sign-ups that are refused", CREATE), TOKEN],
        End::Removed(2160, "retention.audit"),
        400,
    ),
    open("oauth_access_tokens", &[TOKEN], End::Removed(168, "retention.access_tokens"), 400),
    open("oauth_refresh_tokens", &[TOKEN], End::Removed(720, "retention.grants"), 200),
    open("simulator_providers", &[APPROVE], End::Stays("one per simulated provider of a development instance"), 200),
    open("simulator_people", &[APPROVE], End::Removed(720, "retention.grants"), 300),
    open("simulator_tokens", &[APPROVE], End::Removed(720, "retention.grants"), 600),
];
