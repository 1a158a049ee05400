//! What a provider file (`config/providers/<slug>.toml`) may say. Unknown members are refused, so that a misspelt rule
//! cannot be a rule that is silently off.

mod rules;

pub use rules::DescriptorError;

use super::path::Expression;
use crate::crypto::jwt::Algorithm;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that is particular to one provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The provider's name in strategies (`oauth_<slug>`), addresses and rows.
    pub slug: String,
    /// The name that people read.
    pub name: String,
    /// The protocol.
    pub kind: Kind,
    /// Older names of the same provider, accepted where a strategy is named.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Behaviour that data cannot express.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// Placeholders of the URLs below that the operator may fill in: `{tenant}`, `{host}`, `{version}`.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The authorization request.
    pub authorize: Authorize,
    /// The token call.
    pub token: Token,
    /// Refreshing.
    pub refresh: Refresh,
    /// Revoking a token; absent where the provider has no such call.
    pub revoke: Option<Revoke>,
    /// What the provider's id_tokens must satisfy; absent where it issues none.
    pub oidc: Option<Oidc>,
    /// Requests that fetch the profile, in order.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// Where the members of a profile lie.
    pub profile: ProfilePaths,
    /// What the provider's claim about an address is worth.
    pub email: Email,
    /// The provider's own error codes, by those of RFC 6749.
    #[serde(default)]
    pub errors: ErrorMapping,
}

/// The protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// OAuth 2.0 alone.
    Oauth2,
    /// OpenID Connect.
    Oidc,
}

/// Behaviour in code. A file that names a hook which this version lacks does not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// Addresses with `+`, `=` or `#` are refused unless the operator says otherwise: a Workspace user can make
    /// accounts for `user+x@domain` that the domain's administrators cannot see.
    GoogleEmailSubaddressBlock,
}

/// A text that the operator may set per instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What to call it on a page.
    pub label: String,
    /// Its value while the operator has set none.
    pub default: String,
    /// Whoever is at the other host decides what it asserts: with another value than the default, no address counts
    /// as verified until the operator trusts it.
    #[serde(default)]
    pub moves_authority: bool,
}

/// The authorization request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// The provider's authorization endpoint.
    pub url: String,
    /// Always requested; configured scopes follow.
    #[serde(default)]
    pub base_scopes: Vec<String>,
    /// Between scopes; absent where the request has no scope parameter at all.
    pub scope_separator: Option<String>,
    /// Fixed parameters.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// Parameters that a flow may add (`prompt`, `login_hint`); others are dropped.
    #[serde(default)]
    pub optional_params: Vec<String>,
    /// The name of the client id here and at the token endpoint.
    #[serde(default = "client_id")]
    pub client_id_param: String,
    /// How the answer comes back.
    #[serde(default)]
    pub response_mode: ResponseMode,
    /// Whether the provider supports PKCE.
    pub pkce: Pkce,
    /// Whether we send it (S256 always).
    pub send_pkce: bool,
    /// The `iss` that a callback may carry (RFC 9207), where the provider has no id_tokens that name one.
    pub issuer: Option<String>,
    /// The provider's metadata promises that every callback carries it.
    #[serde(default)]
    pub promises_iss: bool,
}

/// How the authorization response reaches us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a GET.
    #[default]
    Query,
    /// In the body of a cross-site POST.
    FormPost,
}

/// What the provider makes of PKCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// Refuses requests without.
    Required,
    /// Documented.
    Supported,
    /// Not documented for confidential clients, does no harm.
    Tolerated,
    /// Known to break.
    Rejected,
}

/// The token call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The provider's token endpoint.
    pub url: String,
    /// How the client authenticates itself.
    pub client_auth: ClientAuth,
    /// How the request's body is written.
    pub encoding: Encoding,
    /// Headers beside `Accept`, `Authorization` and `Content-Type`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What a 2xx answer (root `answer`) must satisfy to be a success.
    pub success: Option<Expression>,
    /// The member that holds the granted scopes.
    #[serde(default = "scope")]
    pub scope_member: String,
    /// Between scopes in that member, if it is text. A list is understood anyway.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// The provider's name for a scope, to the name by which it is requested; for comparisons only.
    #[serde(default)]
    pub scope_aliases: BTreeMap<String, String>,
}

/// How a client authenticates itself at the token endpoint (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// HTTP Basic.
    ClientSecretBasic,
    /// Members of the body.
    ClientSecretPost,
    /// A public client: the id alone (custom providers with PKCE).
    None,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// Refreshing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// Whether refresh tokens come.
    pub supported: RefreshSupport,
    /// Where to refresh, if not at the token endpoint.
    pub url: Option<String>,
    /// Whether a refresh replaces the refresh token.
    pub rotates: Rotates,
    /// A refresh token comes at the first consent only: a later sign-in without one keeps the stored one.
    #[serde(default)]
    pub first_consent_only: bool,
    /// Prolonging in place of refreshing, where no refresh tokens come.
    pub exchange: Option<Exchange>,
    /// Life of an access token in seconds, where the provider documents one. For the simulator; never for real tokens.
    pub access_ttl: Option<u32>,
}

/// A grant that trades an access token, while it lives, for one that lives longer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The value of `grant_type`.
    pub grant_type: String,
    /// The member of the request that holds the access token.
    pub token_param: String,
}

/// Whether refresh tokens come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshSupport {
    /// Always, given the fixed parameters.
    Always,
    /// Depends on the kind of application or its agreement with the provider.
    Sometimes,
    /// Never.
    Never,
}

/// Whether a refresh replaces the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotates {
    /// At every refresh: the old one is dead.
    Always,
    /// When the provider sees fit.
    Sometimes,
    /// The first one stays.
    Never,
}

/// Revoking a token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// Where; `{client_id}` is filled in.
    pub url: String,
    /// By which method.
    pub method: Method,
    /// How the body is written.
    pub encoding: Encoding,
    /// How the client authenticates itself.
    pub client_auth: ClientAuth,
    /// The body; `{token}` is filled in.
    pub params: BTreeMap<String, String>,
}

/// A method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

/// What the provider's id_tokens must satisfy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    /// The `iss` they carry.
    pub issuer: String,
    /// Further spellings of it.
    #[serde(default)]
    pub issuer_aliases: Vec<String>,
    /// The discovery document, for `doctor` and the simulator: endpoints are pinned here, not discovered.
    pub discovery_url: Option<String>,
    /// The issuer's keys.
    pub jwks_url: Option<String>,
    /// Accepted signature algorithms.
    #[serde(default = "rs256")]
    pub algorithms: Vec<Algorithm>,
    /// Whether a nonce comes back.
    pub nonce: Nonce,
    /// A `sub` in the answer of a call must be the id_token's (OpenID Connect Core section 5.3.2).
    #[serde(default = "yes")]
    pub compares_sub: bool,
}

/// Whether the provider returns a nonce in its id_tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonce {
    /// Yes: it is sent with scope `openid`, and demanded.
    Supported,
    /// No: it is neither sent nor demanded.
    Ignored,
}

/// A call that tells who somebody is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The root of its answer in paths.
    pub id: String,
    /// Where; `{root.path}` is filled in from earlier answers, percent-encoded.
    pub url: String,
    /// By which method.
    #[serde(default = "get")]
    pub method: Method,
    /// Headers beside `Authorization`; `{client_id}`, `{product}` and `{version}` are filled in.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How `body` is written.
    pub encoding: Option<Encoding>,
    /// Members of the body; `{client_id}`, `{client_secret}` and `{access_token}` are filled in.
    #[serde(default)]
    pub body: BTreeMap<String, String>,
    /// A failure of this call is no failure of the sign-in.
    #[serde(default)]
    pub optional: bool,
    /// Not called where this path already has a value.
    pub unless: Option<Expression>,
    /// What a 2xx answer (root `answer`) must satisfy to be a success.
    pub success: Option<Expression>,
}

/// Where the members of a profile lie.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilePaths {
    /// The stable id.
    pub provider_user_id: Option<Expression>,
    /// The address.
    pub email: Option<Expression>,
    /// All of these must be true for level `claim`.
    #[serde(default)]
    pub email_verified: Vec<Expression>,
    /// Name at the provider.
    pub username: Option<Expression>,
    /// Given name.
    pub first_name: Option<Expression>,
    /// Family name.
    pub last_name: Option<Expression>,
    /// The whole name; split where given and family name are absent.
    pub name: Option<Expression>,
    /// Picture.
    pub avatar_url: Option<Expression>,
    /// Telephone number.
    pub phone: Option<Expression>,
    /// Language.
    pub locale: Option<Expression>,
    /// Claims stored as public metadata.
    #[serde(default)]
    pub public_metadata: BTreeMap<String, Expression>,
    /// Values for targets (by their names here) that the provider left empty.
    #[serde(default)]
    pub defaults: BTreeMap<String, String>,
}

/// What the provider's claim about an address is worth.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The level.
    pub trust: EmailLevel,
}

/// What the provider's claim about an address is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailLevel {
    /// A flag decides.
    Claim,
    /// No flag, but confirmed addresses only.
    ProviderPolicy,
    /// Unverified.
    Never,
    /// No address.
    None,
}

/// The provider's own texts for errors, to those of RFC 6749 section 5.2 (or `redirect_uri_mismatch`).
/// A key is an error code, or the beginning of a message.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorMapping {
    /// At the token endpoint.
    #[serde(default)]
    pub token: BTreeMap<String, String>,
    /// At the callback.
    #[serde(default)]
    pub callback: BTreeMap<String, String>,
}

fn client_id() -> String {
    "client_id".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn space() -> String {
    " ".to_owned()
}

fn rs256() -> Vec<Algorithm> {
    vec![Algorithm::Rs256]
}

const fn yes() -> bool {
    true
}

const fn get() -> Method {
    Method::Get
}
