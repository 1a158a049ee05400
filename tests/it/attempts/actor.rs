//! Mallory at a browser. She has people of her own at the providers, and knows what everybody can know of Vera, who has
//! an account with a verified address.

use serde_json::Value;
use url::Url;

use super::dice::Dice;
use super::settings::{is_enabled, lacking, settings};
use super::watch::{self, Reached};
use crate::support::person::{APP, approve, approve_failing, client};
use crate::support::{Answer, Browser, TestApp};
use crate::verification::messages;

const PROVIDERS: [&str; 3] = ["oauth_google", "oauth_notion", "oauth_github"];
const PASSWORDS: [&str; 2] = ["blauwale fliegen nie", "drei ziegen im regen"];

/// A browser between two calls.
pub struct Actor<'a> {
    app: &'a TestApp,
    browser: Browser,
    dice: Dice,
    settings: Value,
    vera: String,
    /// Vera's address.
    hers: String,
    /// Addresses that Mallory reads, and by which her own people are known.
    mine: Vec<String>,
    /// Callbacks not opened yet, and opened ones.
    callbacks: Vec<Url>,
    opened: Vec<Url>,
    /// The sessions after the last call.
    sessions: Vec<String>,
    /// Everybody who was ever signed in here: nobody else has Mallory's addresses and people.
    users: Vec<String>,
    pub reached: Reached,
}

/// A call that was made.
struct Call {
    answer: Answer,
    /// Something in it verifies who somebody is, or may complete what was verified before.
    may_sign_in: bool,
    /// A sign-up that has all it needs is complete with it.
    settles: bool,
}

impl Call {
    /// One that verifies nothing.
    fn plain(answer: Answer) -> Self {
        Self { answer, may_sign_in: false, settles: false }
    }

    fn verifying(answer: Answer, may_sign_in: bool) -> Self {
        Self { answer, may_sign_in, settles: false }
    }

    fn settling(answer: Answer, may_sign_in: bool) -> Self {
        Self { answer, may_sign_in, settles: true }
    }
}

impl<'a> Actor<'a> {
    pub async fn enter(app: &'a TestApp, mut dice: Dice, round: u64) -> Self {
        let vera = app.person(&format!("vera{round}")).await;
        let settings = settings(&mut dice);
        let mine = (0..2).map(|at| format!("mallory{round}-{at}@evil.example")).collect();
        let browser = app.browser();
        let (callbacks, opened, sessions, users) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let actor = Self {
            app,
            browser,
            dice,
            settings,
            vera: vera.user_id,
            hers: vera.email,
            mine,
            callbacks,
            opened,
            sessions,
            users,
            reached: Reached::default(),
        };
        actor.apply_settings().await;
        actor
    }

    async fn apply_settings(&self) {
        let change = "update instances set settings = $2::jsonb where id = $1";
        self.app.execute(change, &self.settings.to_string()).await;
        self.app.app().forget_directory();
        println!("  settings {}", self.settings);
    }

    /// One call, and what must hold after it.
    pub async fn act(&mut self) {
        let before = client(self.app, &self.browser).await;
        if self.dice.percent(4) {
            self.settings = settings(&mut self.dice);
            return self.apply_settings().await;
        }
        let is_open = |name: &str| before[name].is_object() && before[name]["status"] != "complete";
        let call = if !self.sessions.is_empty() && self.dice.percent(40) {
            self.sign_out().await
        } else if !self.callbacks.is_empty() && self.dice.percent(60) {
            self.open(false).await
        } else if !self.opened.is_empty() && self.dice.percent(3) {
            self.open(true).await
        } else if let Some(url) = authorization(&before).filter(|_| self.dice.percent(60)) {
            return self.travel(url).await;
        } else if is_transferable(&before) && self.dice.percent(60) || self.dice.percent(4) {
            self.transfer(&before).await
        } else if is_open("sign_up") && self.dice.percent(75) {
            self.go_on_signing_up(&before["sign_up"]).await
        } else if is_open("sign_in") && before["sign_in"]["status"] != "needs_identifier" && self.dice.percent(80) {
            self.go_on_signing_in(&before["sign_in"]).await
        } else if self.dice.percent(50) {
            self.begin_sign_in().await
        } else {
            self.begin_sign_up().await
        };
        self.check(&call).await;
    }

    async fn sign_out(&mut self) -> Call {
        let path = "/v1/client/sessions?_method=DELETE";
        let answer = self.browser.post_form(self.app.url(path), APP, &[]).await;
        println!("  signs out -> {}", answer.status);
        Call::plain(answer)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.browser.post_form(self.app.url(&format!("/v1/client/{path}")), APP, fields).await;
        let said = answer.json();
        let (reported, shown) = (&said["errors"][0]["code"], &said["response"]["status"]);
        println!("  {path} {fields:?} -> {} {reported} {shown}", answer.status.as_u16());
        answer
    }

    fn address(&mut self) -> String {
        if self.dice.percent(15) { self.hers.clone() } else { self.dice.one_of(&self.mine).clone() }
    }

    fn social(&mut self) -> Vec<(&'static str, String)> {
        let strategy = if self.dice.percent(95) { *self.dice.one_of(&PROVIDERS) } else { "oauth_nope" };
        let mut fields = vec![("strategy", strategy.to_owned())];
        if self.dice.percent(95) {
            fields.push(("redirect_url", "/sso-callback".to_owned()));
        }
        fields
    }

    /// Some of what somebody can type into a sign-up.
    fn typed(&mut self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        let values = [
            ("email_address", self.address()),
            ("username", format!("mal_{}", self.dice.below(1_000_000))),
            ("password", (*self.dice.one_of(&PASSWORDS)).to_owned()),
            ("first_name", "Mal".to_owned()),
            ("last_name", "Lory".to_owned()),
            ("legal_accepted", "true".to_owned()),
        ];
        for (name, value) in values {
            // What users cannot have is tried now and then.
            let is_had =
                is_enabled(&self.settings, name) || matches!(name, "first_name" | "last_name" | "legal_accepted");
            if self.dice.percent(if is_had { 60 } else { 2 }) {
                fields.push((name, value));
            }
        }
        fields
    }

    async fn begin_sign_in(&mut self) -> Call {
        let mut fields = match self.dice.below(8) {
            0..=2 => self.social(),
            3..=4 => vec![("identifier", self.address())],
            5..=6 => vec![("identifier", self.address()), ("strategy", "email_code".to_owned())],
            _ => Vec::new(),
        };
        if self.dice.percent(10) {
            fields.push(("sign_up_if_missing", "true".to_owned()));
        }
        let has_password = self.dice.percent(20) && fields.first().is_some_and(|(name, _)| *name == "identifier");
        if has_password {
            fields.push(("password", (*self.dice.one_of(&PASSWORDS)).to_owned()));
        }
        Call::verifying(self.post("sign_ins", &borrowed(&fields)).await, has_password)
    }

    async fn begin_sign_up(&mut self) -> Call {
        let mut fields = self.typed();
        let is_social = self.dice.percent(55);
        if is_social {
            fields.extend(self.social());
        }
        let answer = self.post("sign_ups", &borrowed(&fields)).await;
        // With an identifier a sign-up may need nothing but what is typed.
        if is_social { Call::plain(answer) } else { Call::settling(answer, true) }
    }

    async fn transfer(&mut self, before: &Value) -> Call {
        let mut fields = vec![("transfer", "true".to_owned())];
        let right = if before["sign_in"].is_object() { "sign_ups" } else { "sign_ins" };
        let kind = if self.dice.percent(90) { right } else { *self.dice.one_of(&["sign_ins", "sign_ups"]) };
        if kind == "sign_ups" {
            fields.extend(self.typed().into_iter().filter(|(name, _)| !matches!(*name, "email_address" | "password")));
        }
        let answer = self.post(kind, &borrowed(&fields)).await;
        self.reached.transfers += u32::from(answer.status == 200);
        Call::verifying(answer, true)
    }

    async fn go_on_signing_up(&mut self, attempt: &Value) -> Call {
        let path = format!("sign_ups/{}", attempt["id"].as_str().unwrap());
        let waits = attempt["verifications"]["email_address"]["next_action"] == "needs_attempt";
        match self.dice.below(if waits { 12 } else { 7 }) {
            0..=1 => {
                let fields = self.typed();
                Call::settling(self.post(&format!("{path}?_method=PATCH"), &borrowed(&fields)).await, true)
            }
            2 => {
                let fields: Vec<_> = self.typed().into_iter().chain(self.social()).collect();
                Call::plain(self.post(&format!("{path}?_method=PATCH"), &borrowed(&fields)).await)
            }
            3..=5 => {
                let strategies =
                    ["email_code", "email_code", "email_code", "email_code", "oauth_google", "password", "x"];
                let strategy = *self.dice.one_of(&strategies);
                let fields = [("strategy", strategy), ("redirect_url", "/x")];
                Call::plain(self.post(&format!("{path}/prepare_verification"), &fields).await)
            }
            _ => {
                let (code, is_right) = self.code(attempt["email_address"].as_str()).await;
                let fields = [("strategy", "email_code"), ("code", code.as_str())];
                Call::settling(self.post(&format!("{path}/attempt_verification"), &fields).await, is_right)
            }
        }
    }

    async fn go_on_signing_in(&mut self, attempt: &Value) -> Call {
        let path = format!("sign_ins/{}", attempt["id"].as_str().unwrap());
        let verification = &attempt["first_factor_verification"];
        let waits = verification["strategy"] == "email_code" && verification["status"] == "unverified";
        let (answer, may_sign_in) = match self.dice.below(if waits { 12 } else { 7 }) {
            0..=1 => {
                let strategies =
                    ["email_code", "email_code", "email_code", "email_code", "email_link", "password", "x"];
                let strategy = *self.dice.one_of(&strategies);
                let fields = [("strategy", strategy), ("redirect_url", "/x")];
                (self.post(&format!("{path}/prepare_first_factor"), &fields).await, false)
            }
            2 => {
                let fields = self.social();
                (self.post(&format!("{path}/prepare_first_factor"), &borrowed(&fields)).await, false)
            }
            3 => {
                let fields = [("strategy", "password"), ("password", *self.dice.one_of(&PASSWORDS))];
                (self.post(&format!("{path}/attempt_first_factor"), &fields).await, true)
            }
            4 => {
                let fields = [("password", *self.dice.one_of(&PASSWORDS))];
                (self.post(&format!("{path}/reset_password"), &fields).await, attempt["status"] == "needs_new_password")
            }
            _ => {
                let (code, is_right) = self.code(attempt["identifier"].as_str()).await;
                let fields = [("strategy", "email_code"), ("code", code.as_str())];
                (self.post(&format!("{path}/attempt_first_factor"), &fields).await, is_right)
            }
        };
        Call::verifying(answer, may_sign_in)
    }

    /// A code to try, and whether it came by mail. Mallory reads her own mail alone.
    async fn code(&mut self, address: Option<&str>) -> (String, bool) {
        let wrong = ("000000".to_owned(), false);
        let Some(address) = address.filter(|address| self.mine.iter().any(|own| own == address)) else { return wrong };
        if self.dice.percent(15) {
            return wrong;
        }
        let sent = messages(self.app, address).await;
        match sent.first().and_then(|message| message["code"].as_str()) {
            Some(code) => (code.to_owned(), true),
            None => wrong,
        }
    }

    /// Goes to the provider and stops before the way back is opened.
    async fn travel(&mut self, url: Url) {
        let is_google = url.path().contains("google");
        // Notion believes whatever address somebody gives, Google does not.
        let person = if !is_google && url.path().contains("notion") { self.address() } else { self.mine[0].clone() };
        println!("  goes to {} as {person}", url.path());
        let callback = if self.dice.percent(10) {
            approve_failing(&self.browser, url, &person, "deny").await
        } else {
            approve(&self.browser, url, &person).await
        };
        self.callbacks.push(callback);
    }

    /// Opens the newest callback that was not opened yet, or one once more.
    async fn open(&mut self, again: bool) -> Call {
        let newest = if again { None } else { self.callbacks.pop() };
        let url = match newest {
            Some(url) => {
                self.opened.push(url.clone());
                url
            }
            None => self.dice.one_of(&self.opened).clone(),
        };
        let answer = self.browser.get(url).await;
        println!("  callback (again: {again}) -> {}", answer.status);
        Call::verifying(answer, !again)
    }

    async fn check(&mut self, call: &Call) {
        watch::is_documented(&call.answer);
        self.reached.refusals += u32::from(call.answer.status.as_u16() >= 400);
        let after = client(self.app, &self.browser).await;
        let shown = if call.answer.status == 200 { call.answer.json()["response"].clone() } else { Value::Null };
        for attempt in [&shown, &after["sign_in"], &after["sign_up"]] {
            if attempt["id"].as_str().is_some_and(|id| id.starts_with("sia_") || id.starts_with("sua_")) {
                watch::is_coherent(attempt, &after);
                self.reached.waits += u32::from(attempt["status"] == "missing_requirements");
            }
        }
        let sessions: Vec<&Value> = after["sessions"].as_array().into_iter().flatten().collect();
        let new: Vec<&Value> = sessions.iter().copied().filter(|one| !self.knows(&one["id"])).collect();
        assert!(new.is_empty() || call.may_sign_in, "signed in by nothing: {}", call.answer.text);
        assert!(new.len() < 2, "two sessions by one call");
        if call.settles && call.answer.status == 200 {
            watch::waits_for_something(&shown);
        }
        for session in new {
            self.check_user(&session["user"]).await;
        }
        self.sessions = sessions.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    }

    fn knows(&self, session: &Value) -> bool {
        self.sessions.iter().any(|known| session == known.as_str())
    }

    /// Nobody gets into Vera's account, and who is new has what the settings demand.
    async fn check_user(&mut self, user: &Value) {
        let id = user["id"].as_str().unwrap();
        assert_ne!(id, self.vera, "in the account of somebody else");
        let user = self.app.backend_get(&format!("/v1/users/{id}")).await.expect(200).json();
        let is_new = !self.users.iter().any(|known| known == id);
        if is_new {
            self.users.push(id.to_owned());
            self.reached.sign_ups += 1;
            assert_eq!(lacking(&self.settings, &user), None, "{user}");
        } else {
            self.reached.sign_ins += 1;
        }
    }
}

/// A verification waits to be transferred.
fn is_transferable(client: &Value) -> bool {
    let verifications =
        [&client["sign_in"]["first_factor_verification"], &client["sign_up"]["verifications"]["external_account"]];
    verifications.into_iter().any(|verification| verification["status"] == "transferable")
}

/// The way to the provider that an attempt of the client waits for.
fn authorization(client: &Value) -> Option<Url> {
    let verifications =
        [&client["sign_in"]["first_factor_verification"], &client["sign_up"]["verifications"]["external_account"]];
    let urls = verifications.into_iter().map(|verification| &verification["external_verification_redirect_url"]);
    urls.filter_map(Value::as_str).next().map(|url| url.parse().unwrap())
}

fn borrowed<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
