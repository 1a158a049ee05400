//! A client (browser or device) with its current attempts and open sessions: what every answer of the frontend API
//! carries.

use serde::{Deserialize, Serialize};
use time::serde::rfc3339;

use super::factor::Factor;
use super::id::{ClientId, FlowId, IdentificationId, SessionId, SignInId, SignUpId, UserId};
use super::profile::Profile;
use super::sign_in;
use super::sign_up::{self, Fields};
use super::strategy::{MailStrategy, ProviderSlug, Strategy};
use super::time::Timestamp;
use super::user::User;
use super::verification::Verification;

/// The whole client.
#[derive(Clone, Debug, Deserialize)]
pub struct Client {
    /// Names it.
    pub id: ClientId,
    /// The session that pages use when several are open.
    pub last_active_session_id: Option<SessionId>,
    /// How somebody signed in here last.
    pub last_authentication_strategy: Option<Strategy>,
    /// When a session began or ended here, or another became the active one.
    #[serde(with = "rfc3339::option")]
    pub client_uat_at: Option<Timestamp>,
    /// Creation.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Last change of its sessions.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    /// The current sign-in attempt.
    pub sign_in: Option<SignIn>,
    /// The current sign-up attempt.
    pub sign_up: Option<SignUp>,
    /// Sessions that are pending or active, oldest first.
    pub sessions: Vec<Session>,
}

impl Client {
    /// A client that has done nothing yet.
    pub fn unsaved(id: &ClientId) -> Self {
        Self {
            id: id.clone(),
            last_active_session_id: None,
            last_authentication_strategy: None,
            client_uat_at: None,
            created_at: id.made_at(),
            updated_at: id.made_at(),
            sign_in: None,
            sign_up: None,
            sessions: Vec::new(),
        }
    }

    /// `__client_uat`: 0 when nobody is signed in, else seconds.
    pub fn uat(&self) -> i64 {
        if self.sessions.is_empty() {
            return 0;
        }
        self.client_uat_at.unwrap_or(self.updated_at).unix_timestamp()
    }

    /// The session that pages act for: the last active one, else the first.
    pub fn active_session(&self) -> Option<&Session> {
        let active = |session: &&Session| session.status == SessionStatus::Active;
        let last = self
            .sessions
            .iter()
            .filter(active)
            .find(|session| Some(&session.id) == self.last_active_session_id.as_ref());
        last.or_else(|| self.sessions.iter().find(active))
    }
}

/// A sign-in attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct SignIn {
    /// Names it.
    pub id: SignInId,
    /// Where it stands.
    pub status: sign_in::Status,
    /// What the person typed, or the user's address once known.
    pub identifier: Option<String>,
    /// The recorded flow.
    pub flow_id: Option<FlowId>,
    /// Who it is for, once known.
    pub user_id: Option<UserId>,
    /// The address by which the user was identified.
    pub identification_id: Option<IdentificationId>,
    /// An account at a provider waits for the verification of that address.
    pub has_pending_account: bool,
    /// A stranger may go on, and sign up after the verification.
    pub sign_up_if_missing: bool,
    /// Who it is for, until it is over.
    pub user: Option<User>,
    /// That user has a password.
    pub has_password: bool,
    /// The providers that people may sign in with here, while a first factor is wanted.
    pub providers: Vec<ProviderSlug>,
    /// The factors, while a first factor is wanted; filled in by whoever shows the attempt.
    #[serde(skip)]
    pub first_factors: Option<Vec<Factor>>,
    /// The session it made.
    pub created_session_id: Option<SessionId>,
    /// End of the attempt.
    #[serde(with = "rfc3339")]
    pub abandon_at: Timestamp,
    /// The first factor's verification.
    pub first_factor: Option<Verification>,
    /// The second factor's verification.
    pub second_factor: Option<Verification>,
}

impl SignIn {
    /// It waits though its link was believed: that was opened in another browser.
    pub fn waits_for_opened_link(&self) -> bool {
        let is_opened = self.first_factor.as_ref().is_some_and(Verification::is_opened_link);
        self.status == sign_in::Status::NeedsFirstFactor && is_opened
    }
}

/// A sign-up attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct SignUp {
    /// The recorded flow.
    pub flow_id: Option<FlowId>,
    /// Names it.
    pub id: SignUpId,
    /// Where it stands.
    pub status: sign_up::Status,
    /// The address of the user to be.
    pub email_address: Option<String>,
    /// Username of the user to be.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The user's own metadata.
    pub unsafe_metadata: serde_json::Value,
    /// The operator's metadata.
    pub public_metadata: serde_json::Value,
    /// The operator's id.
    pub external_id: Option<String>,
    /// A mark the app may set.
    pub custom_action: bool,
    /// BCP 47.
    pub locale: Option<String>,
    /// When terms were accepted.
    #[serde(with = "rfc3339::option")]
    pub legal_accepted_at: Option<Timestamp>,
    /// The user it made.
    pub created_user_id: Option<UserId>,
    /// The session it made.
    pub created_session_id: Option<SessionId>,
    /// End of the attempt.
    #[serde(with = "rfc3339")]
    pub abandon_at: Timestamp,
    /// The provider's verification.
    pub external_account: Option<Verification>,
    /// The address's verification.
    pub email_verification: Option<Verification>,
    /// A password was chosen.
    pub has_password: bool,
    /// What the provider reported, while that waits with the attempt.
    pub provider_profile: Option<Profile>,
    /// The providers that it can bring an account of.
    pub providers: Vec<ProviderSlug>,
    /// What it has to bring; filled in by whoever shows the attempt.
    #[serde(skip)]
    pub fields: Option<Fields>,
    /// The strategies that verify its address; filled in likewise.
    #[serde(skip)]
    pub verification_strategies: Vec<MailStrategy>,
}

impl SignUp {
    /// It waits though its link was believed: that was opened in another browser.
    pub fn waits_for_opened_link(&self) -> bool {
        let is_opened = self.email_verification.as_ref().is_some_and(Verification::is_opened_link);
        self.status == sign_up::Status::MissingRequirements && is_opened
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// The person still has something to do before it can be used.
    Pending,
    /// In use.
    Active,
    /// Signed out.
    Ended,
    /// Signed out and taken off the client.
    Removed,
    /// Ended by the backend.
    Revoked,
    /// It lived as long as it may.
    Expired,
    /// Nobody used it for too long.
    Abandoned,
    /// Another one took its place.
    Replaced,
}

/// A session and its user.
#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    /// Names it.
    pub id: SessionId,
    /// `pending` or `active` in a client; any state elsewhere.
    pub status: SessionStatus,
    /// Absolute end.
    #[serde(with = "rfc3339")]
    pub expire_at: Timestamp,
    /// Last touch, to the minute.
    #[serde(with = "rfc3339")]
    pub last_active_at: Timestamp,
    /// Impersonation.
    pub actor: Option<serde_json::Value>,
    /// When the person verified who they are (`auth_time`).
    #[serde(with = "rfc3339")]
    pub authenticated_at: Timestamp,
    /// Last verification of a first factor.
    #[serde(with = "rfc3339::option")]
    pub first_factor_verified_at: Option<Timestamp>,
    /// Last verification of a second factor.
    #[serde(with = "rfc3339::option")]
    pub second_factor_verified_at: Option<Timestamp>,
    /// Creation.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
    /// Last change.
    #[serde(with = "rfc3339")]
    pub updated_at: Timestamp,
    /// The signed-in user.
    pub user: User,
}

impl Session {
    /// `fva`: minutes since the last verification of each factor, -1 for never.
    pub fn factor_ages(&self, now: Timestamp) -> [i64; 2] {
        [self.first_factor_verified_at, self.second_factor_verified_at]
            .map(|moment| moment.map_or(-1, |moment| (now - moment).whole_minutes().max(0)))
    }
}
