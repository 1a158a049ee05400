//! The world of the exploration: a few users in memory, moved by the rules themselves.

use std::sync::LazyLock;

use time::macros::datetime;

use crate::model::connecting::{self, Aim, ConnectDecision, Verify};
use crate::model::defences::Defences;
use crate::model::id::{ExternalAccountId, IdentificationId, SessionId, UserId};
use crate::model::linking::{self, AddressOwner, AttemptKind, Decision, KnownAccount, Policy, UserStatus};
use crate::model::profile::EmailTrust;
use crate::model::random::Rng;
use crate::model::settings::{EnumerationProtection, Settings};
use crate::model::sign_in::{self, AttemptLife, Factor, Reassignment, State, Status, UserFactors};
use crate::model::sign_up::{self, AddressEvidence, SignUpFacts};
use crate::model::user::IdentificationStatus;

/// A person; also the mailbox that only this person can read, and the accounts at providers that only this person has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Attacker,
    Owner,
}

/// A provider by what its claims about addresses is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Provider {
    Trusted,
    Untrusted,
}

/// What a provider says of a person: this address, which may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub provider: Provider,
    pub mail: Who,
}

impl Claim {
    /// A trusted provider does not vouch for what it did not check; an untrusted one vouches for anything, in vain.
    fn trust(self, of: Who) -> EmailTrust {
        match self.provider {
            Provider::Trusted if self.mail == of => EmailTrust::Verified,
            Provider::Trusted | Provider::Untrusted => EmailTrust::Unverified,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Mail {
    #[default]
    Absent,
    Claimed,
    Verified,
}

/// A user. Arrays count by [`Provider`] and [`Who`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct User {
    mail: [Mail; 2],
    linked: [[bool; 2]; 2],
    password: Option<Who>,
    session: [bool; 2],
    grant: [bool; 2],
}

/// The present attempt of a person's browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum AttemptState {
    #[default]
    None,
    SignIn {
        user: usize,
        status: Status,
        waits: Option<Claim>,
    },
    Transferable(EntryPage, Claim),
    SignUp {
        social: Option<Claim>,
        mail: Who,
        is_verified: bool,
        password: bool,
    },
}

/// [`AttemptKind`], as something that a set can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EntryPage {
    SignIn,
    SignUp,
}

impl From<EntryPage> for AttemptKind {
    fn from(entry: EntryPage) -> Self {
        match entry {
            EntryPage::SignIn => Self::SignIn,
            EntryPage::SignUp => Self::SignUp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Move {
    /// Comes back from a provider that says this.
    Social(EntryPage, Claim),
    /// Transfers the verification to the other kind of attempt.
    Transfer,
    /// Signs up with an address, with or without a password.
    SignUp { mail: Who, password: bool },
    /// Signs in with an address and the password that the person knows.
    Password(Who),
    /// Signs in with a code that went to the person's own mailbox.
    Code,
    /// Brings the code that the present attempt sent to the person's own mailbox.
    Verify,
    /// Chooses the new password that the present attempt asks for.
    NewPassword,
    /// Connects an account at a provider that says this.
    Connect(Claim),
    /// Disconnects whatever is connected there.
    Disconnect(Provider),
    /// Grants an OAuth application of the person's access.
    Grant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    users: Vec<User>,
    attempts: [AttemptState; 2],
}

/// What an instance is set to, and which defences stand.
pub(super) struct Rules {
    pub settings: Settings,
    pub policy: Policy,
}

impl Rules {
    fn new(verify_at_sign_up: bool, enumeration: EnumerationProtection, defences: Defences) -> Self {
        let mut settings = Settings::default();
        settings.attributes.email_address.verify_at_sign_up = verify_at_sign_up;
        let policy = Policy { linking: settings.linking, enumeration, can_verify: true, defences };
        Self { settings, policy }
    }

    /// What instances can be set to.
    pub fn all(defences: Defences) -> Vec<Self> {
        let modes = [EnumerationProtection::Off, EnumerationProtection::Strict];
        modes.iter().flat_map(|mode| [false, true].map(|verify| Self::new(verify, *mode, defences))).collect()
    }
}

struct Fixed(u8);
impl Rng for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

/// The ids that the rules speak in.
struct Ids {
    users: Vec<UserId>,
    sessions: Vec<SessionId>,
    accounts: Vec<ExternalAccountId>,
    mails: [IdentificationId; 2],
}

static IDS: LazyLock<Ids> = LazyLock::new(|| {
    let now = datetime!(2026-11-21 12:00 UTC);
    Ids {
        users: (0..8).map(|n| UserId::new(now, &Fixed(n))).collect(),
        sessions: (0..8).map(|n| SessionId::new(now, &Fixed(n))).collect(),
        accounts: (0..8).map(|n| ExternalAccountId::new(now, &Fixed(n))).collect(),
        mails: [0, 1].map(|n| IdentificationId::new(now, &Fixed(n))),
    }
});

fn user_of(id: &UserId) -> usize {
    IDS.users.iter().position(|known| known == id).unwrap()
}

fn status(mail: Mail) -> Option<IdentificationStatus> {
    match mail {
        Mail::Absent => None,
        Mail::Claimed => Some(IdentificationStatus::Unverified),
        Mail::Verified => Some(IdentificationStatus::Verified),
    }
}

impl User {
    fn is_somebody_else(&self, than: Who) -> bool {
        let other = if than == Who::Owner { Who::Attacker } else { Who::Owner };
        self.mail[other as usize] == Mail::Verified
    }

    /// Something in it is the owner's beyond doubt.
    fn is_owners(&self) -> bool {
        let owner = Who::Owner as usize;
        self.mail[owner] == Mail::Verified || self.linked.iter().any(|linked| linked[owner])
    }

    fn lets_in_attacker(&self) -> bool {
        let attacker = Who::Attacker as usize;
        self.session[attacker]
            || self.grant[attacker]
            || self.password == Some(Who::Attacker)
            || self.linked.iter().any(|linked| linked[attacker])
    }
}

impl World {
    pub fn is_lost(&self) -> bool {
        self.users.iter().any(|user| user.is_owners() && user.lets_in_attacker())
    }

    fn facts(&self, who: Who, said: Claim) -> linking::Known {
        let session = |user: usize| self.users[user].session[who as usize].then(|| IDS.sessions[user].clone());
        let linked = self.users.iter().position(|user| user.linked[said.provider as usize][who as usize]);
        let account = linked.map(|user| KnownAccount {
            account: IDS.accounts[0].clone(),
            user: IDS.users[user].clone(),
            user_status: UserStatus::Active,
            session: session(user),
        });
        let owner = self.addressee(said.mail).map(|user| AddressOwner {
            user: IDS.users[user].clone(),
            identification: IDS.mails[said.mail as usize].clone(),
            status: status(self.users[user].mail[said.mail as usize]).unwrap(),
            is_somebody_else: self.users[user].is_somebody_else(said.mail),
            user_status: UserStatus::Active,
            session: session(user),
        });
        linking::Known { account, owner }
    }

    /// Whom the address leads to: who has verified it, else the first who claims it and is not somebody else.
    fn addressee(&self, mail: Who) -> Option<usize> {
        let with = |wanted: Mail| {
            let users = self.users.iter().enumerate();
            users.filter(move |(_, user)| user.mail[mail as usize] == wanted).map(|(number, _)| number)
        };
        let verified = with(Mail::Verified).next();
        verified.or_else(|| with(Mail::Claimed).min_by_key(|user| (self.users[*user].is_somebody_else(mail), *user)))
    }

    /// The address is this user's, and nobody else's any more.
    fn own(&mut self, owner: usize, mail: Who) {
        for (number, user) in self.users.iter_mut().enumerate() {
            user.mail[mail as usize] = if number == owner { Mail::Verified } else { Mail::Absent };
        }
    }

    fn apply(&mut self, rules: &Rules, who: Who, entry: EntryPage, said: Claim) {
        self.attempts[who as usize] = AttemptState::None;
        let known = self.facts(who, said);
        match linking::decide(entry.into(), Some(said.trust(who)), &known, &rules.policy) {
            Decision::SignIn { user, .. } => self.sign_in_by_provider(rules, who, user_of(&user)),
            Decision::Create => {
                let attempt =
                    AttemptState::SignUp { social: Some(said), mail: said.mail, is_verified: false, password: false };
                self.attempts[who as usize] = attempt;
                self.sign_up(rules, who);
            }
            Decision::Transfer => {
                let to = if entry == EntryPage::SignIn { EntryPage::SignUp } else { EntryPage::SignIn };
                self.attempts[who as usize] = AttemptState::Transferable(to, said);
            }
            Decision::Link { user, .. } => {
                let user = user_of(&user);
                self.users[user].linked[said.provider as usize][who as usize] = true;
                self.own(user, said.mail);
                self.sign_in_by_provider(rules, who, user);
            }
            Decision::VerifyFirst { user, .. } => {
                let (user, status) = (user_of(&user), Status::NeedsFirstFactor);
                self.attempts[who as usize] = AttemptState::SignIn { user, status, waits: Some(said) };
            }
            Decision::AlreadySignedIn(_) | Decision::Closed(..) | Decision::LinkingOff(_) | Decision::Unprovable(_) => {
            }
        }
    }

    fn sign_in_by_provider(&mut self, rules: &Rules, who: Who, user: usize) {
        self.attempts[who as usize] = AttemptState::SignIn { user, status: Status::NeedsIdentifier, waits: None };
        self.apply_factor(rules, who, Factor::Provider);
    }

    /// A factor is verified in the person's present sign-in.
    fn apply_factor(&mut self, rules: &Rules, who: Who, factor: Factor<'_>) {
        let AttemptState::SignIn { user, status, waits } = self.attempts[who as usize] else { return };
        let waits_for = waits.map(|said| IDS.mails[said.mail as usize].clone());
        let state = State { status, life: AttemptLife::Current, waits_for };
        let user_factors = UserFactors { has_password: self.users[user].password.is_some(), second_factor: false };
        let Ok(step) = sign_in::apply_factor(&state, factor, user_factors, rules.policy.defences) else { return };
        if step.takes_over {
            self.reassign_address(user, who, Reassignment::with(rules.policy.defences));
        }
        if step.verifies_address {
            self.own(user, who);
        }
        if let (Some(said), Factor::Address(_)) = (waits, factor) {
            if self.users.iter().any(|user| user.linked[said.provider as usize][who as usize]) {
                self.attempts[who as usize] = AttemptState::None;
                return;
            }
            self.users[user].linked[said.provider as usize][who as usize] = true;
        }
        self.attempts[who as usize] = AttemptState::SignIn { user, status: step.status, waits: None };
        if step.status == Status::Complete {
            self.users[user].session[who as usize] = true;
            self.attempts[who as usize] = AttemptState::None;
        }
    }

    fn reassign_address(&mut self, user: usize, verifier: Who, goes: Reassignment) {
        let user = &mut self.users[user];
        if goes.sessions {
            user.session = [false; 2];
        }
        if goes.accounts {
            user.linked = [[false; 2]; 2];
        }
        if goes.password {
            user.password = None;
        }
        if goes.grants {
            user.grant = [false; 2];
        }
        for (mail, state) in user.mail.iter_mut().enumerate() {
            if mail != verifier as usize && *state == Mail::Claimed {
                *state = Mail::Absent;
            }
        }
    }

    /// Completes the person's present sign-up if it has all it needs.
    fn sign_up(&mut self, rules: &Rules, who: Who) {
        let AttemptState::SignUp { social, mail, is_verified, password } = self.attempts[who as usize] else { return };
        let said = social.filter(|said| linking::is_enough(said.trust(who), &rules.policy));
        let given = SignUpFacts {
            email: Some(match (is_verified, said) {
                (true, _) => AddressEvidence::Verification,
                (false, Some(_)) => AddressEvidence::Provider,
                (false, None) => AddressEvidence::No,
            }),
            username: false,
            password,
            first_name: true,
            last_name: true,
            legal_accepted: true,
            social: social.is_some(),
        };
        let defences = rules.policy.defences;
        if !sign_up::fields(&rules.settings, &given, defences).is_ready() {
            return;
        }
        self.attempts[who as usize] = AttemptState::None;
        let is_linked = |user: &User| social.is_some_and(|said| user.linked[said.provider as usize][who as usize]);
        if self.users.iter().any(is_linked) {
            return;
        }
        let is_owned = given.is_email_verified(defences);
        if is_owned && self.users.iter().any(|user| user.mail[mail as usize] == Mail::Verified) {
            if let Some(said) = social.filter(|_| is_verified) {
                self.attempts[who as usize] = AttemptState::Transferable(EntryPage::SignIn, said);
            }
            return;
        }
        let mut user = User { password: password.then_some(who), ..User::default() };
        user.mail[mail as usize] = Mail::Claimed;
        user.session[who as usize] = true;
        if let Some(said) = social {
            user.linked[said.provider as usize][who as usize] = true;
        }
        self.users.push(user);
        if is_owned {
            self.own(self.users.len() - 1, mail);
        }
    }

    fn connect(&mut self, who: Who, said: Claim) {
        let Some(user) = self.users.iter().position(|user| user.session[who as usize]) else { return };
        let linked = self.users.iter().position(|user| user.linked[said.provider as usize][who as usize]);
        let identity = match linked {
            None => connecting::Identity::Unknown,
            Some(owner) if owner == user => connecting::Identity::Own(IDS.accounts[0].clone()),
            Some(_) => connecting::Identity::Others,
        };
        let others = self
            .users
            .iter()
            .enumerate()
            .any(|(number, other)| number != user && other.mail[said.mail as usize] == Mail::Verified);
        let address = match self.users[user].mail[said.mail as usize] {
            Mail::Claimed | Mail::Verified => connecting::Address::Own(IDS.mails[said.mail as usize].clone()),
            Mail::Absent if others => connecting::Address::Others,
            Mail::Absent => connecting::Address::Free,
        };
        let has_another = self.users[user].linked[said.provider as usize] != [false; 2];
        let known = connecting::Known { identity, address, has_another };
        let rules = connecting::Rules { multiple_accounts: true, addresses_changeable: true };
        let decision = connecting::decide(&Aim::Connect, said.trust(who), &known, rules);
        let ConnectDecision::Connect(claim) = decision else { return };
        self.users[user].linked[said.provider as usize][who as usize] = true;
        match claim {
            connecting::Claim::Nothing | connecting::Claim::Link(_, Verify::No) => {}
            connecting::Claim::Add(Verify::No) => self.users[user].mail[said.mail as usize] = Mail::Claimed,
            connecting::Claim::Link(_, Verify::Yes) if others => {}
            connecting::Claim::Link(_, Verify::Yes) | connecting::Claim::Add(Verify::Yes) => self.own(user, said.mail),
        }
    }

    /// Takes an account off; never the last sign-in method.
    fn disconnect(&mut self, who: Who, provider: Provider) {
        let Some(user) = self.users.iter_mut().find(|user| user.session[who as usize]) else { return };
        let mut without = user.clone();
        without.linked[provider as usize] = [false; 2];
        let is_open = without.password.is_some()
            || without.mail.contains(&Mail::Verified)
            || without.linked.iter().flatten().any(|linked| *linked);
        if is_open {
            *user = without;
        }
    }

    pub fn after(&self, rules: &Rules, who: Who, act: Move) -> Self {
        let mut world = self.clone();
        let place = who as usize;
        match act {
            Move::Social(entry, said) => world.apply(rules, who, entry, said),
            Move::Transfer => {
                if let AttemptState::Transferable(to, said) = world.attempts[place] {
                    world.apply(rules, who, to, said);
                }
            }
            Move::SignUp { mail, password } => {
                let is_taken = world.users.iter().any(|user| user.mail[mail as usize] == Mail::Verified);
                if !is_taken || rules.policy.enumeration == EnumerationProtection::Strict {
                    world.attempts[place] = AttemptState::SignUp { social: None, mail, is_verified: false, password };
                    world.sign_up(rules, who);
                }
            }
            Move::Password(mail) => {
                let user = world.identified(rules, mail).filter(|user| world.users[*user].password == Some(who));
                if let Some(user) = user {
                    world.attempts[place] =
                        AttemptState::SignIn { user, status: Status::NeedsFirstFactor, waits: None };
                    world.apply_factor(rules, who, Factor::Password);
                }
            }
            Move::Code => {
                if let Some(user) = world.identified(rules, who) {
                    world.attempts[place] =
                        AttemptState::SignIn { user, status: Status::NeedsFirstFactor, waits: None };
                    world.submit_code(rules, who);
                }
            }
            Move::Verify => match &mut world.attempts[place] {
                AttemptState::SignIn { .. } => world.submit_code(rules, who),
                AttemptState::SignUp { mail, is_verified, .. } if *mail == who => {
                    *is_verified = true;
                    world.sign_up(rules, who);
                }
                _ => {}
            },
            Move::NewPassword => {
                if let AttemptState::SignIn { user, status: Status::NeedsNewPassword, .. } = world.attempts[place] {
                    world.users[user].password = Some(who);
                    world.apply_factor(rules, who, Factor::NewPassword);
                }
            }
            Move::Connect(said) => world.connect(who, said),
            Move::Disconnect(provider) => world.disconnect(who, provider),
            Move::Grant => {
                if let Some(user) = world.users.iter_mut().find(|user| user.session[place]) {
                    user.grant[place] = true;
                }
            }
        }
        world
    }

    /// Whom an identifier names: an unverified address only where sign-ups are not asked for verification.
    fn identified(&self, rules: &Rules, mail: Who) -> Option<usize> {
        let verifies = rules.settings.attributes.email_address.verify_at_sign_up;
        self.addressee(mail).filter(|user| !verifies || self.users[*user].mail[mail as usize] == Mail::Verified)
    }

    /// The person brings a code that went to their own mailbox, whatever the attempt is about.
    fn submit_code(&mut self, rules: &Rules, who: Who) {
        let AttemptState::SignIn { user, .. } = self.attempts[who as usize] else { return };
        let address = sign_in::Address {
            id: &IDS.mails[who as usize],
            status: status(self.users[user].mail[who as usize]),
            is_somebody_else: self.users[user].is_somebody_else(who),
        };
        self.apply_factor(rules, who, Factor::Address(address));
    }
}
