//! `vestibule flow replay`: a recorded flow, decided again under present settings and with what is known now.
//!
//! What a provider verified stands sealed with its flow ([`Inputs`]): the address as a keyed hash only, so its owner is
//! found by hashing the instance's addresses. A flow that failed before a decision cannot be decided; then the question
//! is whether its cause still stands.

mod cause;

use serde::{Deserialize, Serialize};

use super::flow_reader;
use super::linking_policy::policy;
use crate::actions::identity::ProviderIdentity;
use crate::context::Ctx;
use crate::crypto::{Lookup, LookupHash, SealedAt};
use crate::flow_log::FlowSubject;
use crate::model::connecting::{self, Aim, ConnectDecision, Rules};
use crate::model::email::EmailAddress;
use crate::model::flow::ObservedStatus;
use crate::model::id::{ClientId, ExternalAccountId, FlowId, SessionId, UserId};
use crate::model::linking::{self, AttemptKind, Decision, Known, UserStatus};
use crate::model::problem::{Error, Result};
use crate::model::profile::EmailTrust;
use crate::model::reason::{Reason, Why};
use crate::model::settings::EnumerationProtection;
use crate::model::sign_up::{self, AddressEvidence, SignUpFacts, SignUpRestriction};
use crate::model::strategy::{ProviderSlug, Strategy};
use crate::store::flows::{self, Flow};
use crate::store::{connections, external_accounts, provider_configs, users};
use cause::{Use, cause, unavailable};

/// Addresses that are hashed at once.
const BATCH: i64 = 10_000;

/// What a decision was made from.
#[derive(Debug, Serialize, Deserialize)]
struct Inputs {
    provider: ProviderSlug,
    provider_user_id: String,
    /// A keyed hash of the canonical address, in hexadecimal.
    address: Option<String>,
    trust: Option<EmailTrust>,
    /// The flow began as a sign-up.
    is_sign_up: bool,
    has_first_name: bool,
    has_last_name: bool,
    /// The person had verified the address before: it is no secret, and no verification is asked again.
    #[serde(default)]
    is_address_verified: bool,
    /// Who connects an account; nobody in a sign-in or sign-up.
    #[serde(default)]
    user: Option<UserId>,
    /// The account that is approved once more.
    #[serde(default)]
    account: Option<ExternalAccountId>,
}

impl Inputs {
    fn of(ctx: &Ctx, identity: &ProviderIdentity) -> Self {
        let email = identity.profile.email.as_deref().and_then(EmailAddress::parse);
        let hash = |email: &EmailAddress| hexadecimal(&ctx.app.ring.lookup_hash(Lookup::Address, email.as_str()));
        Self {
            provider: identity.provider.clone(),
            provider_user_id: identity.profile.provider_user_id.clone(),
            address: email.as_ref().map(hash),
            trust: email.map(|_| identity.profile.email_trust),
            is_sign_up: false,
            has_first_name: identity.profile.first_name.is_some(),
            has_last_name: identity.profile.last_name.is_some(),
            is_address_verified: identity.address_verified_by.is_some(),
            user: None,
            account: None,
        }
    }
}

/// Keeps what a decision is about to be made from with the flow of this request.
///
/// # Errors
/// A fault if it cannot be sealed.
pub fn keep(ctx: &Ctx, kind: AttemptKind, identity: &ProviderIdentity) -> Result<()> {
    seal(ctx, &Inputs { is_sign_up: kind == AttemptKind::SignUp, ..Inputs::of(ctx, identity) })
}

/// The same for a decision about an account that `user` connects.
///
/// # Errors
/// A fault if it cannot be sealed.
pub fn keep_connection(ctx: &Ctx, user: &UserId, aim: &Aim, identity: &ProviderIdentity) -> Result<()> {
    let account = match aim {
        Aim::Connect => None,
        Aim::Reauthorize(account) => Some(account.clone()),
    };
    seal(ctx, &Inputs { user: Some(user.clone()), account, ..Inputs::of(ctx, identity) })
}

fn seal(ctx: &Ctx, inputs: &Inputs) -> Result<()> {
    let Some(flow) = ctx.flow_log.flow() else { return Ok(()) };
    let plain = serde_json::to_vec(inputs).map_err(Error::internal)?;
    let sealed = ctx.app.ring.seal(ctx.rng(), &sealed_at(ctx, &flow), &plain).map_err(Error::internal)?;
    ctx.flow_log.set_subject(FlowSubject { decision_sealed: Some(sealed), ..FlowSubject::default() });
    Ok(())
}

fn sealed_at<'a>(ctx: &'a Ctx, flow: &'a FlowId) -> SealedAt<'a> {
    SealedAt { table: "flows", column: "decision_sealed", row: flow.as_str(), instance: ctx.instance_id().as_str() }
}

fn hexadecimal(hash: &LookupHash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether what stopped a flow before its decision still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A new attempt would fail the same way.
    Stands,
    /// Nothing here stands in the way any more.
    Gone,
    /// Only a new attempt can tell.
    Unknown,
}

impl Cause {
    /// In short.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// What a replay found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Decided again: it succeeds.
    Succeeds,
    /// Decided again: it does not, or more is to be done.
    Refused(Why),
    /// There is nothing to decide.
    Undecided(Cause),
}

/// The answer of a replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// How the flow stands on the record.
    pub recorded_status: ObservedStatus,
    /// Its reason there.
    pub recorded_reason: Option<Reason>,
    /// It had come so far that there is something to decide again.
    pub reached_decision: bool,
    verdict: Verdict,
}

impl Replay {
    /// Whether it would succeed now; `None` where only a new attempt can tell.
    pub fn would_succeed(&self) -> Option<bool> {
        match self.verdict {
            Verdict::Succeeds => Some(true),
            Verdict::Refused(_) => Some(false),
            Verdict::Undecided(_) => None,
        }
    }

    /// Why not.
    pub fn why(&self) -> Option<Why> {
        match self.verdict {
            Verdict::Refused(why) => Some(why),
            _ => None,
        }
    }

    /// Whether the cause still stands, where there is nothing to decide.
    pub fn cause(&self) -> Option<Cause> {
        match self.verdict {
            Verdict::Undecided(cause) => Some(cause),
            _ => None,
        }
    }

    /// The answer in a sentence.
    pub fn sentence(&self) -> String {
        let reason = self.recorded_reason.map_or("no reason", Reason::name);
        match self.verdict {
            Verdict::Succeeds => "It would succeed now.".to_owned(),
            Verdict::Refused(why) if why.leaves_open() => {
                format!("It would not be complete now: one more step is needed ({}).", describe(why))
            }
            Verdict::Refused(why) => format!("It would not succeed now: {}.", describe(why)),
            Verdict::Undecided(Cause::Stands) => {
                format!(
                    "It ended before anything was decided, so a new attempt is needed; its cause ({reason}) still stands."
                )
            }
            Verdict::Undecided(Cause::Gone) => {
                format!(
                    "It ended before anything was decided, so a new attempt is needed; its cause ({reason}) is gone."
                )
            }
            Verdict::Undecided(Cause::Unknown) => format!(
                "It ended before anything was decided, so a new attempt is needed; only that can tell whether its cause \
                 ({reason}) still stands."
            ),
        }
    }
}

fn describe(why: Why) -> String {
    match why.detail {
        "" => why.reason.name().to_owned(),
        detail => format!("{}, {detail}", why.reason.name()),
    }
}

/// Replays a flow; `None` if there is none of that id.
///
/// # Errors
/// Storage faults; a fault if the recorded inputs do not open.
pub async fn replay(ctx: &Ctx, id: &FlowId) -> Result<Option<Replay>> {
    let Some(shown) = flow_reader::show(ctx, id).await? else { return Ok(None) };
    let flow = &shown.flow;
    let verdict = match &flow.decision_sealed {
        Some(sealed) => {
            let opened = ctx.app.ring.open(&sealed_at(ctx, id), sealed).map_err(Error::internal)?;
            let inputs: Inputs = serde_json::from_slice(&opened).map_err(Error::internal)?;
            decide(ctx, flow, &inputs).await?
        }
        None => Verdict::Undecided(cause(ctx, flow, &shown.steps).await?),
    };
    Ok(Some(Replay {
        recorded_status: shown.status,
        recorded_reason: flow.reason,
        reached_decision: flow.decision_sealed.is_some(),
        verdict,
    }))
}

/// The real decision, with what is known now.
async fn decide(ctx: &Ctx, flow: &Flow, inputs: &Inputs) -> Result<Verdict> {
    let use_as = Use::of(flow);
    if let Some(why) = unavailable(ctx, &Strategy::OAuth(inputs.provider.clone()).into(), use_as).await? {
        return Ok(Verdict::Refused(why));
    }
    if let Some(user) = &inputs.user {
        return connect(ctx, user, inputs).await;
    }
    let known = find_known(ctx, flow, inputs).await?;
    let mut policy = policy(ctx);
    if inputs.is_address_verified {
        policy.enumeration = EnumerationProtection::Off;
    }
    let kind = if inputs.is_sign_up { AttemptKind::SignUp } else { AttemptKind::SignIn };
    let decision = match linking::decide(kind, inputs.trust, &known, &policy) {
        // The other kind of attempt takes over by itself.
        Decision::Transfer => {
            let other = if inputs.is_sign_up { AttemptKind::SignIn } else { AttemptKind::SignUp };
            linking::decide(other, inputs.trust, &known, &policy)
        }
        decision => decision,
    };
    Ok(match decision {
        Decision::SignIn { .. } | Decision::Link { .. } => Verdict::Succeeds,
        Decision::VerifyFirst { .. } if inputs.is_address_verified => Verdict::Succeeds,
        Decision::Create => create(ctx, flow, inputs).await?,
        Decision::Transfer => Verdict::Refused(Why::new(Reason::Transfer, "")),
        Decision::VerifyFirst { .. } => Verdict::Refused(Why::new(Reason::EmailUnverified, "proof")),
        Decision::Unprovable(_) => Verdict::Refused(Why::new(Reason::EmailUnverified, "unprovable")),
        Decision::AlreadySignedIn(_) => Verdict::Refused(Why::new(Reason::AlreadySignedIn, "callback")),
        Decision::Closed(UserStatus::Locked, _) => Verdict::Refused(Why::new(Reason::UserLocked, "operator")),
        Decision::Closed(..) => Verdict::Refused(Why::new(Reason::UserBanned, "banned")),
        Decision::LinkingOff(_) => Verdict::Refused(Why::new(Reason::LinkingOff, "")),
    })
}

/// The real decision about an account that a user connects.
async fn connect(ctx: &Ctx, user: &UserId, inputs: &Inputs) -> Result<Verdict> {
    // An address that is nobody's here is as free as any other.
    let address = match &inputs.address {
        None => None,
        Some(hash) => Some(find_address(ctx, hash).await?.unwrap_or_default()),
    };
    let (db, provider, id) = (&mut ctx.db(), &inputs.provider, &inputs.provider_user_id);
    let known = connections::known(db, user, provider, id, address.as_deref()).await?;
    let rules = provider_configs::connecting(db, provider).await?;
    let rules = Rules {
        multiple_accounts: rules.is_some_and(|rules| rules.multiple_accounts),
        addresses_changeable: ctx.instance.settings.addresses_changeable,
    };
    let aim = inputs.account.clone().map_or(Aim::Connect, Aim::Reauthorize);
    let trust = inputs.trust.unwrap_or(EmailTrust::Unverified);
    Ok(match connecting::decide(&aim, trust, &known, rules) {
        ConnectDecision::Connect(_) | ConnectDecision::Refresh(_) => Verdict::Succeeds,
        ConnectDecision::Refuse(failure) => Verdict::Refused(failure.why()),
    })
}

/// Who has the identity and the address now.
async fn find_known(ctx: &Ctx, flow: &Flow, inputs: &Inputs) -> Result<Known> {
    let address = match &inputs.address {
        None => None,
        Some(hash) => find_address(ctx, hash).await?,
    };
    // A flow always has its client; without one there is no session to be in the way.
    let nobody = ClientId::new(flow.started_at, ctx.rng());
    let client = flow.client_id.as_ref().unwrap_or(&nobody);
    let (provider, id) = (&inputs.provider, &inputs.provider_user_id);
    let mut known = external_accounts::known(&mut ctx.db(), provider, id, address.as_deref(), client).await?;
    // The session that the flow itself made is in nobody's way.
    let own = flow.session_id.as_deref();
    let is_own = |session: &mut SessionId| own == Some(session.as_str());
    if let Some(account) = &mut known.account {
        account.session.take_if(is_own);
    }
    if let Some(owner) = &mut known.owner {
        owner.session.take_if(is_own);
    }
    Ok(known)
}

/// The address of this instance with that hash.
async fn find_address(ctx: &Ctx, hash: &str) -> Result<Option<String>> {
    let mut after = String::new();
    loop {
        let batch = flows::addresses(&mut ctx.db(), &after, BATCH).await?;
        // The ring may have been rotated since.
        let is_it = |address: &&String| {
            ctx.app.ring.lookup_hashes(Lookup::Address, address).iter().any(|one| hexadecimal(one) == hash)
        };
        if let Some(found) = batch.iter().find(is_it) {
            return Ok(Some(found.clone()));
        }
        match batch.last() {
            Some(last) if i64::try_from(batch.len()).is_ok_and(|count| count == BATCH) => after.clone_from(last),
            _ => return Ok(None),
        }
    }
}

/// A new user: whether one may be made, and has everything that is required.
async fn create(ctx: &Ctx, flow: &Flow, inputs: &Inputs) -> Result<Verdict> {
    let settings = &ctx.instance.settings;
    let config = provider_configs::get(&mut ctx.db(), &inputs.provider).await?;
    // The address itself is not stored, only whether it was refused for what it is.
    let was_subaddress = flow.reason == Some(Reason::AddressRefused);
    let is_subaddress = was_subaddress && config.is_some_and(|config| config.blocks_email_subaddresses);
    let users = users::count(&mut ctx.db()).await?;
    if let Err(closed) = sign_up::may_sign_up(settings, is_subaddress, users) {
        let (reason, detail) = match closed {
            SignUpRestriction::Restricted => (Reason::SignupClosed, "restricted"),
            SignUpRestriction::Waitlist => (Reason::SignupClosed, "waitlist"),
            SignUpRestriction::Quota => (Reason::SignupClosed, "quota"),
            SignUpRestriction::Subaddress => (Reason::AddressRefused, "subaddress"),
        };
        return Ok(Verdict::Refused(Why::new(reason, detail)));
    }
    let policy = policy(ctx);
    let vouched =
        |trust| if linking::is_enough(trust, &policy) { AddressEvidence::Provider } else { AddressEvidence::No };
    let given = SignUpFacts {
        email: inputs.trust.map(vouched),
        username: false,
        password: false,
        first_name: inputs.has_first_name,
        last_name: inputs.has_last_name,
        legal_accepted: false,
        social: true,
    };
    let fields = sign_up::fields(settings, &given, policy.defences);
    let lacks_email = fields.missing.contains(&sign_up::Field::EmailAddress);
    Ok(match fields {
        fields if fields.is_ready() => Verdict::Succeeds,
        _ if lacks_email => Verdict::Refused(Why::new(Reason::EmailMissing, "")),
        fields if !fields.missing.is_empty() => Verdict::Refused(Why::new(Reason::RequirementsMissing, "")),
        _ if policy.can_verify => Verdict::Refused(Why::new(Reason::EmailUnverified, "proof")),
        _ => Verdict::Refused(Why::new(Reason::EmailUnverified, "unprovable")),
    })
}
