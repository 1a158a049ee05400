//! Why a flow, a provider token or an authorization failed: one list for the flow log, the pages, the API answers,
//! the audit, the events and the metrics. Names are stable: added to, never renamed.

use super::text_enum::{text_column, text_enum};

/// Whether trying again may help, and who must act before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A new start may work as things are.
    Yes,
    /// After a wait.
    Later,
    /// Not before somebody changes something.
    No(Actor),
}

/// Who must change something first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The application's developer.
    App,
    /// The operator of this installation.
    Operator,
    /// The person who signs in.
    Person,
}

/// What failed, for whoever has to show or store it.
///
/// A flow keeps it as the `error` of a verification: `code` is the member the SDK reads, `reason` and `detail` are
/// ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The row of the list.
    pub reason: Reason,
    /// Which of the row's conditions it was; empty where the row has one only.
    pub detail: &'static str,
    /// The code that the application or SDK sees.
    pub code: &'static str,
}

/// A reason, and which of its conditions it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// The row of the list.
    pub reason: Reason,
    /// Which of the row's conditions it was; empty where the row has one only.
    pub detail: &'static str,
}

impl Why {
    /// `detail` of `reason`.
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }

    /// Whether a flow may still go on after it: more is to be done or tried, by the same person in the same flow.
    pub fn leaves_open(self) -> bool {
        let may = match self.reason.label() {
            Label::Unfinished | Label::Transfer | Label::Credentials | Label::Limited => true,
            Label::Account | Label::App | Label::Cancelled | Label::Client | Label::Conflict | Label::Grant => false,
            Label::Internal | Label::ProviderAnswer | Label::ProviderConfig | Label::ProviderDown => false,
            Label::Reconnect | Label::Restricted | Label::State => false,
        };
        // A client that asked for silence begins anew when it may ask.
        may && self.detail != "unprovable" && self.reason != Reason::InteractionNeeded
    }
}

impl Failure {
    /// Without the code that the application sees.
    pub const fn why(&self) -> Why {
        Why::new(self.reason, self.detail)
    }

    /// A failure of `reason` that the application sees as `code`.
    pub const fn new(reason: Reason, detail: &'static str, code: &'static str) -> Self {
        Self { reason, detail, code }
    }
}

text_enum! {
    /// What kind of reason: the value of `reason` in metrics, a small closed set, so that no counter explodes.
    pub enum Label {
        /// The account is locked, banned or gone.
        Account = "account",
        /// The application asks for what it may not have.
        App = "app",
        /// The person said no.
        Cancelled = "cancelled",
        /// The OAuth client is unknown, or its request wrong.
        Client = "client",
        /// Something belongs to somebody else, or is there already.
        Conflict = "conflict",
        /// What was typed is wrong or too old.
        Credentials = "credentials",
        /// A code or token is over, or not the caller's.
        Grant = "grant",
        /// Our own fault.
        Internal = "internal",
        /// A limit was reached.
        Limited = "limited",
        /// The provider's answer cannot be used.
        ProviderAnswer = "provider_answer",
        /// The provider is not configured as it has to be.
        ProviderConfig = "provider_config",
        /// The provider does not answer.
        ProviderDown = "provider_down",
        /// The account has to be connected again.
        Reconnect = "reconnect",
        /// The instance does not admit the person.
        Restricted = "restricted",
        /// The callback or attempt is not one under way.
        State = "state",
        /// The other kind of attempt goes on.
        Transfer = "transfer",
        /// Something is still missing.
        Unfinished = "unfinished",
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $label:ident, $again:expr, [$($detail:literal),*];)*) => {
        /// The rows of the list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {$(
            $(#[$doc])*
            $name,
        )*}

        impl Reason {
            /// Every reason, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name: `token_invalid_grant`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What kind of reason it is.
            pub const fn label(self) -> Label {
                match self { $(Self::$name => Label::$label),* }
            }

            /// Whether trying again may help.
            pub const fn again(self) -> Again {
                match self { $(Self::$name => $again),* }
            }

            /// Its conditions, of which a detail is one; empty where it has one only, and for `provider_wrong_type`,
            /// whose detail is the path of the member.
            pub const fn details(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($detail),*]),* }
            }

            /// The reason of that name; `None` for any other.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.name() == name)
            }
        }
    };
}

const APP: Again = Again::No(Actor::App);
const OPERATOR: Again = Again::No(Actor::Operator);
const PERSON: Again = Again::No(Actor::Person);

reasons! {
    /// The provider is unknown, disabled, or may only be connected (`unknown`, `disabled`, `connect_only`).
    ProviderUnavailable = "provider_unavailable", App, APP, ["unknown", "disabled", "connect_only"];
    /// The redirect URL is missing or malformed (`missing`, `unparseable`, `relative`, `scheme`, `long`).
    RedirectInvalid = "redirect_invalid", App, APP, ["missing", "unparseable", "relative", "scheme", "long"];
    /// The redirect URL is outside the instance's origins (`api`, `portal`).
    RedirectUnlisted = "redirect_unlisted", App, OPERATOR, ["api", "portal"];
    /// A native target is not listed, or the native API is off (`unlisted`, `off`).
    NativeRefused = "native_refused", App, OPERATOR, ["unlisted", "off"];
    /// The callback came without a `state` that this instance knows.
    StateMissing = "state_missing", State, Again::Yes, [];
    /// The callback was opened again after its answer.
    StateUsed = "state_used", State, Again::Yes, [];
    /// The callback came later than ten minutes after the start.
    StateExpired = "state_expired", State, Again::Yes, [];
    /// The callback came to another browser or session than the one that began (`client`, `session`).
    StateOtherBrowser = "state_other_browser", State, Again::Yes, ["client", "session"];
    /// A good `state`, but no client cookie at all.
    CookieMissing = "cookie_missing", State, Again::Yes, [];
    /// A newer start on the same client replaced this attempt.
    AttemptReplaced = "attempt_replaced", State, Again::Yes, [];
    /// The attempt is too old or finished (`abandoned`, `done`, `transfer`).
    AttemptExpired = "attempt_expired", State, Again::Yes, ["abandoned", "done", "transfer"];
    /// The attempt belongs to another client (`read`, `transfer`, `nonce`).
    AttemptOtherClient = "attempt_other_client", State, Again::Yes, ["read", "transfer", "nonce"];
    /// The provider refuses the authorization code.
    TokenInvalidGrant = "token_invalid_grant", ProviderAnswer, Again::Yes, [];
    /// The person pressed cancel at the provider.
    ProviderDenied = "provider_denied", Cancelled, Again::Yes, [];
    /// The provider did not answer in time.
    ProviderTimeout = "provider_timeout", ProviderDown, Again::Later, [];
    /// The provider cannot be reached (`dns`, `refused`, `cut`, `tls`, `breaker`).
    ProviderUnreachable = "provider_unreachable", ProviderDown, Again::Later, ["dns", "refused", "cut", "tls", "breaker"];
    /// The provider answers 5xx, or says so at the callback.
    Provider5xx = "provider_5xx", ProviderDown, Again::Later, [];
    /// The provider answers 429.
    ProviderRateLimited = "provider_rate_limited", ProviderDown, Again::Later, [];
    /// Our credentials for the provider are missing or malformed (`missing`, `malformed`).
    CredentialsUnusable = "credentials_unusable", ProviderConfig, OPERATOR, ["missing", "malformed"];
    /// The provider refuses our client id or secret.
    TokenInvalidClient = "token_invalid_client", ProviderConfig, OPERATOR, [];
    /// The provider does not know our callback address.
    CallbackUnregistered = "callback_unregistered", ProviderConfig, OPERATOR, [];
    /// The provider refuses a scope.
    ScopeRefused = "scope_refused", ProviderConfig, OPERATOR, [];
    /// The guard of outgoing requests, or a rule of discovery, forbids the endpoint
    /// (`blocked`, `offline`, `redirected`, `discovery`).
    EndpointRefused = "endpoint_refused", ProviderConfig, OPERATOR, ["blocked", "offline", "redirected", "discovery"];
    /// Any other refusal by the provider.
    ProviderRefused = "provider_refused", ProviderConfig, OPERATOR, [];
    /// The provider's answer cannot be read (`html`, `json`, `type`, `size`).
    ProviderUnreadable = "provider_unreadable", ProviderAnswer, Again::Later, ["html", "json", "type", "size"];
    /// A needed member of the answer is absent or of a wrong type; the detail is its path.
    ProviderWrongType = "provider_wrong_type", ProviderAnswer, OPERATOR, [];
    /// No stable user id, or two that differ (`absent`, `differs`).
    IdentityUnusable = "identity_unusable", ProviderAnswer, OPERATOR, ["absent", "differs"];
    /// The id_token fails a check (`signature`, `key`, `algorithm`, `nonce`, `audience`, `at_hash`).
    IdtokenRefused = "idtoken_refused", ProviderAnswer, OPERATOR, ["signature", "key", "algorithm", "nonce", "audience", "at_hash"];
    /// `iss` is another than expected (`callback`, `token`).
    IssuerMismatch = "issuer_mismatch", ProviderAnswer, OPERATOR, ["callback", "token"];
    /// `exp` or `iat` of an id_token is off by more than the leeway.
    ClockSkew = "clock_skew", ProviderAnswer, Again::Later, [];
    /// The provider gave no address and the instance requires one.
    EmailMissing = "email_missing", Unfinished, Again::Yes, [];
    /// The address must be verified first, or cannot be (`proof`, `unprovable`).
    EmailUnverified = "email_unverified", Unfinished, Again::Yes, ["proof", "unprovable"];
    /// Other members of `missing_fields`.
    RequirementsMissing = "requirements_missing", Unfinished, Again::Yes, [];
    /// The identity belongs in the other flow (`sign_up`, `sign_in`).
    Transfer = "transfer", Transfer, Again::Yes, ["sign_up", "sign_in"];
    /// The account or its address belongs to a different user (`claimed`, `meanwhile`).
    AccountInUse = "account_in_use", Conflict, PERSON, ["claimed", "meanwhile"];
    /// The address has a user and the instance never links.
    LinkingOff = "linking_off", Conflict, PERSON, [];
    /// Another account of this provider is connected already (`second`, `other`).
    AccountConnectedAlready = "account_connected_already", Conflict, PERSON, ["second", "other"];
    /// Connecting would add an address and the instance forbids that.
    EmailImmutable = "email_immutable", Conflict, OPERATOR, [];
    /// There is an active session already (`start`, `callback`).
    AlreadySignedIn = "already_signed_in", Conflict, PERSON, ["start", "callback"];
    /// Signing up is closed (`restricted`, `waitlist`, `quota`).
    SignupClosed = "signup_closed", Restricted, OPERATOR, ["restricted", "waitlist", "quota"];
    /// The address may not sign up (`subaddress`).
    AddressRefused = "address_refused", Restricted, OPERATOR, ["subaddress"];
    /// The user is locked (`failures`, `operator`).
    UserLocked = "user_locked", Account, Again::Later, ["failures", "operator"];
    /// The user is banned or gone (`banned`, `deleted`).
    UserBanned = "user_banned", Account, OPERATOR, ["banned", "deleted"];
    /// A limit was reached (`requests`, `codes`).
    RateLimited = "rate_limited", Limited, Again::Later, ["requests", "codes"];
    /// A code, password or identifier is wrong (`code`, `password`, `identifier`).
    CredentialsWrong = "credentials_wrong", Credentials, Again::Yes, ["code", "password", "identifier"];
    /// A code or link is no longer valid (`tries`, `expired`, `none`, `stale`, `other_browser`).
    ProofDead = "proof_dead", Credentials, Again::Yes, ["tries", "expired", "none", "stale", "other_browser"];
    /// A stored provider token is missing (`refresh`, `access`).
    TokenMissing = "token_missing", Reconnect, PERSON, ["refresh", "access"];
    /// The provider refuses the refresh token (`invalid_grant`, `other`, `lost`).
    RefreshRefused = "refresh_refused", Reconnect, PERSON, ["invalid_grant", "other", "lost"];
    /// No such OAuth client.
    ClientUnknown = "client_unknown", Client, APP, [];
    /// The redirect URI is not registered for the OAuth client.
    ClientRedirectMismatch = "client_redirect_mismatch", Client, APP, [];
    /// The OAuth client's request is malformed; the detail is the OAuth `error`.
    ClientRequestInvalid = "client_request_invalid", Client, APP, ["invalid_request", "unsupported_grant_type", "unsupported_response_type", "invalid_scope", "invalid_target", "request_not_supported", "request_uri_not_supported"];
    /// `prompt=none`, but a page would be needed.
    InteractionNeeded = "interaction_needed", Unfinished, Again::Yes, [];
    /// The person denied consent, or may no longer give it.
    ConsentDenied = "consent_denied", Cancelled, Again::Yes, [];
    /// The OAuth client's credentials are wrong.
    ClientAuthFailed = "client_auth_failed", Client, APP, [];
    /// The grant is unknown or has ended (`code`, `refresh`, `user`).
    GrantEnded = "grant_ended", Grant, Again::Yes, ["code", "refresh", "user"];
    /// A code or refresh token was used twice (`code`, `refresh`).
    GrantReused = "grant_reused", Grant, Again::Yes, ["code", "refresh"];
    /// The grant is another client's, or of another redirect URI (`client`, `redirect_uri`).
    GrantMismatch = "grant_mismatch", Grant, APP, ["client", "redirect_uri"];
    /// The PKCE verifier does not fit (`wrong`, `absent`, `unexpected`).
    PkceFailed = "pkce_failed", Grant, APP, ["wrong", "absent", "unexpected"];
    /// Our own fault (`storage`, `panic`).
    Internal = "internal", Internal, Again::Later, ["storage", "panic"];
}

text_column!(Reason, |reason: &Reason| reason.name(), Reason::parse);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_parse_back() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.name()), Some(*reason));
        }
        assert_eq!(Reason::parse("tomorrow"), None);
    }

    #[test]
    fn every_label_is_a_reasons() {
        let labels: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.label().as_str()).collect();
        assert_eq!(labels, Label::ALL.iter().map(|label| label.as_str()).collect());
    }
}
