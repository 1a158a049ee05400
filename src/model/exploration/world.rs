//! The world of the exploration: a few users in memory, moved by the rules themselves.

use std::sync::LazyLock;

use time::macros::datetime;

use crate::model::connecting::{self, Aim, Meaning, Proves};
use crate::model::defences::Defences;
use crate::model::id::{ExternalAccountId, IdentificationId, SessionId, UserId};
use crate::model::linking::{self, AddressOwner, Decision, KnownAccount, Policy, Standing, Started};
use crate::model::profile::EmailTrust;
use crate::model::random::Rng;
use crate::model::settings::{EnumerationProtection, Settings};
use crate::model::sign_in::{self, Factor, Life, Owes, State, Status, TakeOver};
use crate::model::sign_up::{self, Given, Vouched};
use crate::model::user::IdentificationStatus;

/// A person; also the mailbox that only this person can read, and the accounts at providers that only this person has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Attacker,
    Owner,
}

/// A provider by what its word about addresses is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Provider {
    Trusted,
    Untrusted,
}

/// What a provider says of a person: this address, which may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word {
    pub provider: Provider,
    pub mail: Who,
}

impl Word {
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
    Proven,
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
enum Attempt {
    #[default]
    None,
    SignIn {
        user: usize,
        status: Status,
        waits: Option<Word>,
    },
    Transferable(Door, Word),
    SignUp {
        social: Option<Word>,
        mail: Who,
        is_proven: bool,
        password: bool,
    },
}

/// [`Started`], as something that a set can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Door {
    SignIn,
    SignUp,
}

impl From<Door> for Started {
    fn from(started: Door) -> Self {
        match started {
            Door::SignIn => Self::SignIn,
            Door::SignUp => Self::SignUp,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Move {
    /// Comes back from a provider that says this.
    Social(Door, Word),
    /// Carries the proof over to the other kind of attempt.
    Transfer,
    /// Signs up with an address, with or without a password.
    SignUp { mail: Who, password: bool },
    /// Signs in with an address and the password that the person knows.
    Password(Who),
    /// Signs in with a code that went to the person's own mailbox.
    Code,
    /// Brings the code that the present attempt sent to the person's own mailbox.
    Prove,
    /// Chooses the new password that the present attempt asks for.
    NewPassword,
    /// Connects an account at a provider that says this.
    Connect(Word),
    /// Disconnects whatever is connected there.
    Disconnect(Provider),
    /// Grants an OAuth application of the person's access.
    Grant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct World {
    users: Vec<User>,
    attempts: [Attempt; 2],
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
        let policy = Policy { linking: settings.linking, enumeration, can_prove: true, defences };
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
        Mail::Proven => Some(IdentificationStatus::Verified),
    }
}

impl User {
    fn is_somebody_else(&self, than: Who) -> bool {
        let other = if than == Who::Owner { Who::Attacker } else { Who::Owner };
        self.mail[other as usize] == Mail::Proven
    }

    /// Something in it is the owner's beyond doubt.
    fn is_owners(&self) -> bool {
        let owner = Who::Owner as usize;
        self.mail[owner] == Mail::Proven || self.linked.iter().any(|linked| linked[owner])
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

    fn known(&self, who: Who, word: Word) -> linking::Known {
        let session = |user: usize| self.users[user].session[who as usize].then(|| IDS.sessions[user].clone());
        let linked = self.users.iter().position(|user| user.linked[word.provider as usize][who as usize]);
        let account = linked.map(|user| KnownAccount {
            account: IDS.accounts[0].clone(),
            user: IDS.users[user].clone(),
            standing: Standing::Good,
            session: session(user),
        });
        let owner = self.addressee(word.mail).map(|user| AddressOwner {
            user: IDS.users[user].clone(),
            identification: IDS.mails[word.mail as usize].clone(),
            status: status(self.users[user].mail[word.mail as usize]).unwrap(),
            is_somebody_else: self.users[user].is_somebody_else(word.mail),
            standing: Standing::Good,
            session: session(user),
        });
        linking::Known { account, owner }
    }

    /// Whom the address leads to: who has proven it, else the first who claims it and is not somebody else.
    fn addressee(&self, mail: Who) -> Option<usize> {
        let with = |wanted: Mail| {
            let users = self.users.iter().enumerate();
            users.filter(move |(_, user)| user.mail[mail as usize] == wanted).map(|(number, _)| number)
        };
        let proven = with(Mail::Proven).next();
        proven.or_else(|| with(Mail::Claimed).min_by_key(|user| (self.users[*user].is_somebody_else(mail), *user)))
    }

    /// The address is this user's, and nobody else's any more.
    fn own(&mut self, owner: usize, mail: Who) {
        for (number, user) in self.users.iter_mut().enumerate() {
            user.mail[mail as usize] = if number == owner { Mail::Proven } else { Mail::Absent };
        }
    }

    fn settle(&mut self, rules: &Rules, who: Who, started: Door, word: Word) {
        self.attempts[who as usize] = Attempt::None;
        let known = self.known(who, word);
        match linking::decide(started.into(), Some(word.trust(who)), &known, &rules.policy) {
            Decision::SignIn { user, .. } => self.sign_in_by_provider(rules, who, user_of(&user)),
            Decision::Create => {
                let attempt =
                    Attempt::SignUp { social: Some(word), mail: word.mail, is_proven: false, password: false };
                self.attempts[who as usize] = attempt;
                self.sign_up(rules, who);
            }
            Decision::Transfer => {
                let to = if started == Door::SignIn { Door::SignUp } else { Door::SignIn };
                self.attempts[who as usize] = Attempt::Transferable(to, word);
            }
            Decision::Link { user, .. } => {
                let user = user_of(&user);
                self.users[user].linked[word.provider as usize][who as usize] = true;
                self.own(user, word.mail);
                self.sign_in_by_provider(rules, who, user);
            }
            Decision::Prove { user, .. } => {
                let (user, status) = (user_of(&user), Status::NeedsFirstFactor);
                self.attempts[who as usize] = Attempt::SignIn { user, status, waits: Some(word) };
            }
            Decision::AlreadySignedIn(_) | Decision::Closed(..) | Decision::LinkingOff(_) | Decision::Unprovable(_) => {
            }
        }
    }

    fn sign_in_by_provider(&mut self, rules: &Rules, who: Who, user: usize) {
        self.attempts[who as usize] = Attempt::SignIn { user, status: Status::NeedsIdentifier, waits: None };
        self.proven(rules, who, Factor::Provider);
    }

    /// A factor is proven in the person's present sign-in.
    fn proven(&mut self, rules: &Rules, who: Who, factor: Factor<'_>) {
        let Attempt::SignIn { user, status, waits } = self.attempts[who as usize] else { return };
        let waits_for = waits.map(|word| IDS.mails[word.mail as usize].clone());
        let state = State { status, life: Life::Current, waits_for };
        let owes = Owes { has_password: self.users[user].password.is_some(), second_factor: false };
        let Ok(step) = sign_in::proven(&state, factor, owes, rules.policy.defences) else { return };
        if step.takes_over {
            self.take_over(user, who, TakeOver::with(rules.policy.defences));
        }
        if step.proves_address {
            self.own(user, who);
        }
        if let (Some(word), Factor::Address(_)) = (waits, factor) {
            if self.users.iter().any(|user| user.linked[word.provider as usize][who as usize]) {
                self.attempts[who as usize] = Attempt::None;
                return;
            }
            self.users[user].linked[word.provider as usize][who as usize] = true;
        }
        self.attempts[who as usize] = Attempt::SignIn { user, status: step.status, waits: None };
        if step.status == Status::Complete {
            self.users[user].session[who as usize] = true;
            self.attempts[who as usize] = Attempt::None;
        }
    }

    fn take_over(&mut self, user: usize, kept: Who, goes: TakeOver) {
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
            if mail != kept as usize && *state == Mail::Claimed {
                *state = Mail::Absent;
            }
        }
    }

    /// Completes the person's present sign-up if it has all it needs.
    fn sign_up(&mut self, rules: &Rules, who: Who) {
        let Attempt::SignUp { social, mail, is_proven, password } = self.attempts[who as usize] else { return };
        let word = social.filter(|word| linking::is_enough(word.trust(who), &rules.policy));
        let given = Given {
            email: Some(match (is_proven, word) {
                (true, _) => Vouched::Proof,
                (false, Some(_)) => Vouched::Provider,
                (false, None) => Vouched::No,
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
        self.attempts[who as usize] = Attempt::None;
        let is_linked = |user: &User| social.is_some_and(|word| user.linked[word.provider as usize][who as usize]);
        if self.users.iter().any(is_linked) {
            return;
        }
        let is_owned = given.is_email_proven(defences);
        if is_owned && self.users.iter().any(|user| user.mail[mail as usize] == Mail::Proven) {
            if let Some(word) = social.filter(|_| is_proven) {
                self.attempts[who as usize] = Attempt::Transferable(Door::SignIn, word);
            }
            return;
        }
        let mut user = User { password: password.then_some(who), ..User::default() };
        user.mail[mail as usize] = Mail::Claimed;
        user.session[who as usize] = true;
        if let Some(word) = social {
            user.linked[word.provider as usize][who as usize] = true;
        }
        self.users.push(user);
        if is_owned {
            self.own(self.users.len() - 1, mail);
        }
    }

    fn connect(&mut self, who: Who, word: Word) {
        let Some(user) = self.users.iter().position(|user| user.session[who as usize]) else { return };
        let linked = self.users.iter().position(|user| user.linked[word.provider as usize][who as usize]);
        let identity = match linked {
            None => connecting::Identity::Unknown,
            Some(owner) if owner == user => connecting::Identity::Own(IDS.accounts[0].clone()),
            Some(_) => connecting::Identity::Others,
        };
        let others = self
            .users
            .iter()
            .enumerate()
            .any(|(number, other)| number != user && other.mail[word.mail as usize] == Mail::Proven);
        let address = match self.users[user].mail[word.mail as usize] {
            Mail::Claimed | Mail::Proven => connecting::Address::Own(IDS.mails[word.mail as usize].clone()),
            Mail::Absent if others => connecting::Address::Others,
            Mail::Absent => connecting::Address::Free,
        };
        let has_another = self.users[user].linked[word.provider as usize] != [false; 2];
        let known = connecting::Known { identity, address, has_another };
        let rules = connecting::Rules { multiple_accounts: true, addresses_changeable: true };
        let Meaning::Connect(claim) = connecting::decide(&Aim::Connect, word.trust(who), &known, rules) else { return };
        self.users[user].linked[word.provider as usize][who as usize] = true;
        match claim {
            connecting::Claim::Nothing | connecting::Claim::Link(_, Proves::No) => {}
            connecting::Claim::Add(Proves::No) => self.users[user].mail[word.mail as usize] = Mail::Claimed,
            connecting::Claim::Link(_, Proves::Yes) if others => {}
            connecting::Claim::Link(_, Proves::Yes) | connecting::Claim::Add(Proves::Yes) => self.own(user, word.mail),
        }
    }

    /// Takes an account off; never the last way in.
    fn disconnect(&mut self, who: Who, provider: Provider) {
        let Some(user) = self.users.iter_mut().find(|user| user.session[who as usize]) else { return };
        let mut without = user.clone();
        without.linked[provider as usize] = [false; 2];
        let is_open = without.password.is_some()
            || without.mail.contains(&Mail::Proven)
            || without.linked.iter().flatten().any(|linked| *linked);
        if is_open {
            *user = without;
        }
    }

    pub fn after(&self, rules: &Rules, who: Who, act: Move) -> Self {
        let mut world = self.clone();
        let seat = who as usize;
        match act {
            Move::Social(started, word) => world.settle(rules, who, started, word),
            Move::Transfer => {
                if let Attempt::Transferable(to, word) = world.attempts[seat] {
                    world.settle(rules, who, to, word);
                }
            }
            Move::SignUp { mail, password } => {
                let is_taken = world.users.iter().any(|user| user.mail[mail as usize] == Mail::Proven);
                if !is_taken || rules.policy.enumeration == EnumerationProtection::Strict {
                    world.attempts[seat] = Attempt::SignUp { social: None, mail, is_proven: false, password };
                    world.sign_up(rules, who);
                }
            }
            Move::Password(mail) => {
                let user = world.identified(rules, mail).filter(|user| world.users[*user].password == Some(who));
                if let Some(user) = user {
                    world.attempts[seat] = Attempt::SignIn { user, status: Status::NeedsFirstFactor, waits: None };
                    world.proven(rules, who, Factor::Password);
                }
            }
            Move::Code => {
                if let Some(user) = world.identified(rules, who) {
                    world.attempts[seat] = Attempt::SignIn { user, status: Status::NeedsFirstFactor, waits: None };
                    world.bring_code(rules, who);
                }
            }
            Move::Prove => match &mut world.attempts[seat] {
                Attempt::SignIn { .. } => world.bring_code(rules, who),
                Attempt::SignUp { mail, is_proven, .. } if *mail == who => {
                    *is_proven = true;
                    world.sign_up(rules, who);
                }
                _ => {}
            },
            Move::NewPassword => {
                if let Attempt::SignIn { user, status: Status::NeedsNewPassword, .. } = world.attempts[seat] {
                    world.users[user].password = Some(who);
                    world.proven(rules, who, Factor::NewPassword);
                }
            }
            Move::Connect(word) => world.connect(who, word),
            Move::Disconnect(provider) => world.disconnect(who, provider),
            Move::Grant => {
                if let Some(user) = world.users.iter_mut().find(|user| user.session[seat]) {
                    user.grant[seat] = true;
                }
            }
        }
        world
    }

    /// Whom an identifier names: an unproven address only where sign-ups are not asked for proof.
    fn identified(&self, rules: &Rules, mail: Who) -> Option<usize> {
        let verifies = rules.settings.attributes.email_address.verify_at_sign_up;
        self.addressee(mail).filter(|user| !verifies || self.users[*user].mail[mail as usize] == Mail::Proven)
    }

    /// The person brings a code that went to his own mailbox, whatever the attempt is about.
    fn bring_code(&mut self, rules: &Rules, who: Who) {
        let Attempt::SignIn { user, .. } = self.attempts[who as usize] else { return };
        let address = sign_in::Address {
            id: &IDS.mails[who as usize],
            status: status(self.users[user].mail[who as usize]),
            is_somebody_else: self.users[user].is_somebody_else(who),
        };
        self.proven(rules, who, Factor::Address(address));
    }
}
