//! Refusals and faults. A [`Problem`] is somebody's refusal, shown to the caller in full; a [`Fault`] is ours, reported
//! as "not now" and logged with its chain.

use serde_json::{Map, Value};

use super::reason::{Reason, Why};

/// What every fallible act of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A published error code with the text it goes with; `http` knows the status it is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable name that SDKs act on.
    pub name: &'static str,
    /// A short text.
    pub message: &'static str,
    /// A sentence.
    pub long_message: &'static str,
}

impl Code {
    /// The refusal of this code inside a flow, for `reason`.
    pub fn because(self, reason: Reason, detail: &'static str) -> Problem {
        Problem::new(self).because(reason, detail)
    }
}

macro_rules! codes {
    ($($constant:ident = $name:literal $message:literal $long:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $long)]
            pub const $constant: Code =
                Code { name: $name, message: $message, long_message: $long };
        )*
        /// Every code this server can answer; a test compares the names with the published list.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

/// The codes in use.
pub mod code {
    use super::Code;

    codes! {
        ACCOUNT_LOCKOUT_WARNING = "account_lockout_warning" "is incorrect" "That is not right. This account will be locked soon.";
        ACCOUNT_TRANSFER_INVALID = "account_transfer_invalid" "Invalid transfer" "There is nothing to transfer on this client.";
        API_VERSION_INVALID = "api_version_invalid" "Invalid API version" "The API version is not known to this server.";
        AUTHENTICATION_INVALID = "authentication_invalid" "Invalid authentication" "Unable to authenticate the request.";
        AUTHORIZATION_HEADER_FORMAT_INVALID = "authorization_header_format_invalid" "Invalid Authorization header format" "The Authorization header must be of the form \"Bearer <secret key>\".";
        CLERK_KEY_INVALID = "clerk_key_invalid" "The provided secret key is invalid" "The secret key belongs to no instance of this server, or was revoked.";
        CLIENT_STATE_INVALID = "client_state_invalid" "Invalid action" "The attempt is over; begin a new one.";
        CUSTOM_OAUTH_PROVIDER_CANNOT_DELETE_ACTIVE = "custom_oauth_provider_cannot_delete_active" "Provider is enabled" "An enabled custom provider cannot be deleted; disable it first.";
        CUSTOM_OAUTH_PROVIDER_CANNOT_USE_DISCOVERY_URL = "custom_oauth_provider_cannot_use_discovery_url" "Discovery URL not usable" "The discovery document lacks an endpoint that is needed, or names one that may not be used.";
        CUSTOM_OAUTH_PROVIDER_DISCOVERY_ISSUER_MISMATCH = "custom_oauth_provider_discovery_issuer_mismatch" "Issuer mismatch" "The discovery document names another issuer.";
        CUSTOM_OAUTH_PROVIDER_DISCOVERY_SERVER_RETRIEVAL_ERROR = "custom_oauth_provider_discovery_server_retrieval_error" "Discovery failed" "The discovery document could not be read.";
        EXTERNAL_ACCOUNT_NOT_FOUND = "external_account_not_found" "External account not found" "You have no such connected account.";
        FEATURE_NOT_ENABLED = "feature_not_enabled" "Not enabled" "This server does not offer this feature.";
        FEATURE_REQUIRES_OAUTH2_CONSENT_SCREEN_ENABLED = "feature_requires_oauth2_consent_screen_enabled" "Consent screen not enabled" "This application does not ask for consent.";
        FORM_CODE_INCORRECT = "form_code_incorrect" "is incorrect" "Incorrect code.";
        FORM_IDENTIFIER_EXISTS = "form_identifier_exists" "is taken" "That identifier is taken. Try another.";
        FORM_IDENTIFIER_NOT_FOUND = "form_identifier_not_found" "Couldn't find your account" "No account was found with this identifier.";
        FORM_NEW_PASSWORD_MATCHES_CURRENT = "form_new_password_matches_current" "is the current one" "The new password is the current one; choose another.";
        FORM_PASSWORD_INCORRECT = "form_password_incorrect" "is incorrect" "The password is incorrect. Try again, or use another method.";
        FORM_PASSWORD_LENGTH_TOO_LONG = "form_password_length_too_long" "is too long" "The password is too long.";
        FORM_PASSWORD_LENGTH_TOO_SHORT = "form_password_length_too_short" "is too short" "The password is too short.";
        FORM_PASSWORD_MATCHES_IDENTIFIER = "form_password_matches_identifier" "is your own name" "The password is your address or name; choose another.";
        FORM_PASSWORD_PWNED = "form_password_pwned" "is known to many" "Many people have this password, and it is tried first; choose another.";
        FORM_PARAM_EXCEEDS_ALLOWED_SIZE = "form_param_exceeds_allowed_size" "is too large" "The value is larger than allowed.";
        FORM_PARAM_FORMAT_INVALID = "form_param_format_invalid" "is invalid" "The value has the wrong format.";
        FORM_PARAM_MISSING = "form_param_missing" "is missing" "The parameter must be given.";
        FORM_PARAM_UNKNOWN = "form_param_unknown" "is unknown" "The parameter is not known here.";
        FORM_PARAM_VALUE_INVALID = "form_param_value_invalid" "is invalid" "The value is not one of those allowed.";
        FORM_PARAM_VALUE_TOO_LARGE = "form_param_value_too_large" "is too large" "The value is above the largest allowed.";
        FORM_PARAM_VALUE_DISABLED = "form_param_value_disabled" "is disabled" "The value is known but switched off on this instance.";
        FORM_PARAM_DUPLICATE = "form_param_duplicate" "is included too often" "The parameter is included more than 100 times.";
        FORM_ALREADY_EXISTS = "form_already_exists" "already exists" "There is one already.";
        FORM_INVALID = "vestibule_form_invalid" "Invalid form" "The form was open for too long or did not come from a page of this server.";
        FORM_USERNAME_CANNOT_BE_PHONE_NUMBER = "form_username_cannot_be_phone_number" "is invalid" "A username cannot look like a phone number.";
        FORM_USERNAME_INVALID_CHARACTER = "form_username_invalid_character" "is invalid" "A username may hold Latin letters, digits, _ and - only.";
        FORM_USERNAME_INVALID_LENGTH = "form_username_invalid_length" "is invalid" "A username has 4 to 64 characters.";
        FORM_USERNAME_NEEDS_NON_NUMBER_CHAR = "form_username_needs_non_number_char" "is invalid" "A username needs a character that is no digit.";
        HOST_INVALID = "host_invalid" "Invalid host" "No instance answers under this host name.";
        IDENTIFICATION_CLAIMED = "identification_claimed" "Identification claimed" "The address or account was taken by another user meanwhile.";
        IDENTIFICATION_DELETION_FAILED = "identification_deletion_failed" "Deletion failed" "This is the only way to sign in; add another one first.";
        INSECURE_URL = "insecure_url" "is insecure" "The URL must use https.";
        INTERNAL_CLERK_ERROR = "internal_clerk_error" "Internal error" "Something went wrong on our side. Try again in a moment.";
        INVALID_ACTION_FOR_SESSION = "invalid_action_for_session" "Invalid action for session" "The session is not active.";
        INVALID_REDIRECT_URL = "invalid_redirect_url" "is invalid" "The redirect URL cannot be parsed.";
        INVALID_URL_SCHEME = "invalid_url_scheme" "is invalid" "The scheme of the URL is not allowed.";
        LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED = "last_required_identification_deletion_failed" "Deletion failed" "This instance requires an account of this provider, and this is the last one.";
        METHOD_NOT_ALLOWED = "vestibule_method_not_allowed" "Method not allowed" "This path does not answer this method.";
        MISCONFIGURED_OAUTH_PROVIDER = "misconfigured_oauth_provider" "Misconfigured OAuth provider" "The credentials of this provider are not usable.";
        MISSING_QUERY_PARAMETER = "missing_query_parameter" "Missing query parameter" "A query parameter is missing.";
        MULTIPLE_ORIGIN_HEADER_VALUES_FORBIDDEN = "multiple_origin_header_values_forbidden" "Multiple Origin headers" "A request may carry one Origin header only.";
        NATIVE_API_DISABLED = "native_api_disabled" "Native API disabled" "Native applications may not use this instance.";
        NOT_ALLOWED_ACCESS = "not_allowed_access" "Access not allowed" "You cannot sign up with this address.";
        OAUTH_ACCOUNT_ALREADY_CONNECTED = "oauth_account_already_connected" "Already connected" "An account of this provider is already connected.";
        OAUTH_AUTHORIZE_REQUEST_ERROR = "oauth_authorize_request_error" "Invalid authorization request" "The authorization request is not valid.";
        OAUTH_CALLBACK_INVALID = "oauth_callback_invalid" "Invalid OAuth callback" "The sign-in took too long or began in another browser.";
        OAUTH_CONFIG_MISSING = "oauth_config_missing" "Missing OAuth configuration" "This provider needs its own credentials on this instance.";
        OAUTH_MISSING_ACCESS_TOKEN = "oauth_missing_access_token" "Missing OAuth access token" "The account's tokens were withdrawn or never stored; connect it again.";
        OAUTH_MISSING_REFRESH_TOKEN = "oauth_missing_refresh_token" "Cannot refresh OAuth access token" "The token has expired and the provider gave no refresh token; connect the account again.";
        OAUTH_NON_AUTHENTICATABLE_PROVIDER = "oauth_non_authenticatable_provider" "Not for sign-in" "This provider can be connected by signed-in users, but not used to sign in or up.";
        OAUTH_PROVIDER_NOT_ENABLED = "oauth_provider_not_enabled" "Provider not enabled" "This provider is not enabled on this instance.";
        OAUTH_TOKEN_PROVIDER_NOT_ENABLED = "oauth_token_provider_not_enabled" "Provider not enabled" "This provider is not enabled on this instance.";
        OAUTH_TOKEN_RETRIEVAL_ERROR = "oauth_token_retrieval_error" "Token retrieval failed" "The provider did not give a fresh token.";
        OAUTH_UNSUPPORTED_PROVIDER = "oauth_unsupported_provider" "Unsupported provider" "This provider is not known to this server.";
        ORIGIN_AUTHORIZATION_HEADERS_CONFLICT = "origin_authorization_headers_conflict" "Origin and Authorization together" "A request may carry Origin or Authorization, not both.";
        ORIGIN_INVALID = "origin_invalid" "Invalid Origin" "The request's Origin is not one of this instance's origins.";
        ORIGIN_MISSING = "origin_missing" "Missing Origin" "A request that changes something needs an Origin header.";
        PROHIBITED_REDIRECT_URL = "prohibited_redirect_url" "is prohibited" "The scheme of the redirect URL is not allowed.";
        REDIRECT_URL_DOMAIN_MISMATCH = "redirect_url_domain_mismatch" "is not allowed" "The redirect URL's origin is not one of this instance's origins.";
        REDIRECT_URL_TOO_LONG = "redirect_url_too_long" "is too long" "The redirect URL is longer than 2048 characters.";
        REQUEST_BODY_INVALID = "request_body_invalid" "Invalid request body" "The request body cannot be read.";
        REQUEST_BODY_TOO_LARGE = "request_body_too_large" "Request body too large" "The request body is larger than allowed.";
        REQUEST_BODY_TOO_SLOW = "vestibule_request_body_too_slow" "Request body too slow" "The request body came too slowly; send it again.";
        RESOURCE_FORBIDDEN = "resource_forbidden" "Forbidden" "This resource may not be changed by this request.";
        RESOURCE_MISSMATCH = "resource_missmatch" "Redirect URL mismatch" "The redirect URL is not on the instance's list for native applications.";
        RESOURCE_NOT_FOUND = "resource_not_found" "not found" "No such resource was found.";
        RESOURCE_LOCKED = "resource_locked" "Locked" "Another request is changing the same thing; try again.";
        SERVICE_UNAVAILABLE = "service_unavailable" "Service unavailable" "The server cannot answer right now. Try again in a moment.";
        SESSION_EXISTS = "session_exists" "Session already exists" "You are already signed in.";
        SESSION_REVERIFICATION_MISSING = "session_reverification_missing" "Reverification missing" "No reverification was begun for this session.";
        SESSION_REVERIFICATION_REQUIRED = "session_reverification_required" "Reverification required" "Prove once more who you are to do this.";
        SIGNED_OUT = "signed_out" "Signed out" "You are signed out.";
        SIGN_UP_MODE_RESTRICTED = "sign_up_mode_restricted" "Sign-up restricted" "You cannot sign up here without an invitation.";
        SIGN_UP_RESTRICTED_WAITLIST = "sign_up_restricted_waitlist" "Sign-up by waitlist" "You cannot sign up here before you are let off the waitlist.";
        SIGN_IN_IDENTIFICATION_OR_USER_DELETED = "sign_in_identification_or_user_deleted" "Account gone" "The account was deleted meanwhile.";
        STRATEGY_FOR_USER_INVALID = "strategy_for_user_invalid" "Invalid strategy" "This way to sign in is not open to this account.";
        SIGN_IN_EMAIL_LINK_NOT_SAME_CLIENT = "sign_in_email_link_not_same_client" "Opened in another browser" "Open the link in the browser in which you began to sign in.";
        SIGN_UP_EMAIL_LINK_NOT_SAME_CLIENT = "sign_up_email_link_not_same_client" "Opened in another browser" "Open the link in the browser in which you began to sign up.";
        SIGN_UP_IF_MISSING_NOT_ALLOWED = "sign_up_if_missing_not_allowed" "is not allowed" "Signing up on the way is not possible here.";
        SIGN_UP_IF_MISSING_STRATEGY_NOT_SUPPORTED = "sign_up_if_missing_strategy_not_supported" "is not supported" "Signing up on the way needs a code or a link.";
        SIGN_UP_IF_MISSING_TRANSFER = "sign_up_if_missing_transfer" "No account yet" "The address is proven and has no account: go on with a sign-up.";
        TOO_MANY_REQUESTS = "too_many_requests" "Too many requests" "Too many requests; retry later.";
        UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type" "Unsupported content type" "The body's Content-Type is not supported here.";
        USER_BANNED = "user_banned" "User banned" "This account is closed.";
        VERIFICATION_CODE_TOO_MANY_REQUESTS = "verification_code_too_many_requests" "Too many requests" "A code was sent a moment ago; wait before you ask for another.";
        USER_LOCKED = "user_locked" "User locked" "This account is locked.";
        USER_QUOTA_EXCEEDED = "user_quota_exceeded" "User quota exceeded" "This instance takes no more users.";
        VERIFICATION_ALREADY_VERIFIED = "verification_already_verified" "Already verified" "This was verified already.";
        VERIFICATION_EXPIRED = "verification_expired" "Expired" "The code or link has expired; ask for a new one.";
        VERIFICATION_FAILED = "verification_failed" "Failed" "Too many wrong codes; ask for a new one.";
        VERIFICATION_LINK_TOKEN_EXPIRED = "verification_link_token_expired" "Expired link" "The link has expired; ask for a new one.";
        VERIFICATION_LINK_TOKEN_INVALID = "verification_link_token_invalid" "Invalid link" "The link is not valid.";
        VERIFICATION_LINK_TOKEN_STALE = "verification_link_token_stale" "Stale link" "A newer link was sent; open that one.";
        VERIFICATION_MISSING = "verification_missing" "Missing" "No code or link was sent yet.";
        VERIFICATION_STRATEGY_INVALID = "verification_strategy_invalid" "Invalid strategy" "This is not what was asked for.";
    }
}

/// One refusal inside a [`Problem`].
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorItem {
    /// What was refused.
    pub code: Code,
    /// A sentence for people; the code's own unless replaced.
    pub long_message: String,
    /// `param_name` and the like.
    pub meta: Map<String, Value>,
}

/// A refusal that a caller can meet: one or several errors. The first one says how it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The errors, in field order; never empty.
    pub errors: Vec<ErrorItem>,
    /// Seconds after which a repetition makes sense.
    pub retry_after: Option<u32>,
    /// Why a flow was refused: for its flow's steps, its page, the audit and the metrics; never in the answer of an
    /// API.
    pub why: Option<Why>,
}

impl Problem {
    /// The refusal `code` with its own text.
    pub fn new(code: Code) -> Self {
        let item = ErrorItem { code, long_message: code.long_message.to_owned(), meta: Map::new() };
        Self { errors: vec![item], retry_after: None, why: None }
    }

    /// Names the parameter at fault (`meta.param_name`), under which components show the message.
    #[must_use]
    pub fn param(self, name: &str) -> Self {
        self.meta("param_name", name)
    }

    /// Adds a member to `meta`.
    #[must_use]
    pub fn meta(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(item) = self.errors.last_mut() {
            item.meta.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Replaces the sentence.
    #[must_use]
    pub fn explain(mut self, sentence: impl Into<String>) -> Self {
        if let Some(item) = self.errors.last_mut() {
            item.long_message = sentence.into();
        }
        self
    }

    /// Asks the caller to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Says why, in the words that the flow's steps and page use; `detail` is which of the reason's conditions it was.
    #[must_use]
    pub fn because(mut self, reason: Reason, detail: &'static str) -> Self {
        self.why = Some(Why::new(reason, detail));
        self
    }

    /// Adds the errors of `other`, so that all faults of one body are reported at once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.errors.extend(other.errors);
        self
    }

    /// The first error's code.
    pub fn code(&self) -> Code {
        self.errors.first().map_or(code::INTERNAL_CLERK_ERROR, |item| item.code)
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

/// How a fault of ours is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A bug or a broken invariant.
    Internal,
    /// Storage is away or busy: trying again may help.
    Unavailable,
}

/// A failure of ours; the caller learns only its kind and the request id.
#[derive(Debug)]
pub struct Fault {
    /// How it is shown.
    pub kind: FaultKind,
    /// The cause, for the log.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A refusal or a fault.
#[derive(Debug)]
pub enum Error {
    /// Somebody's refusal.
    Problem(Box<Problem>),
    /// Our failure.
    Fault(Fault),
}

impl Error {
    /// A fault that should not be possible.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Fault(Fault { kind: FaultKind::Internal, source: source.into() })
    }

    /// A fault that passes by itself.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Fault(Fault { kind: FaultKind::Unavailable, source: source.into() })
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Problem(problem) => f.write_str(problem.code().name),
            Self::Fault(fault) => write!(f, "{:?}: {}", fault.kind, fault.source),
        }
    }
}

impl std::error::Error for Error {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Problem::new(code).into()
    }
}
