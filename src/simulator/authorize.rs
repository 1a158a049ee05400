//! The authorization endpoint: checks the request as the provider would, shows the page, and sends the browser back.

use super::answer::Answer;
use super::content::FOREIGN_ISSUER;
use super::faults::{Call, Fault, Mode, OFFERED};
use super::page::{self, ApprovalPage, ApprovalState};
use super::people::{AddressFlag, Known, SAVED};
use super::shapes::Grant;
use super::{Request, Simulated};
use crate::model::oauth::authorize::ResponseType;
use crate::model::oauth::pkce::ChallengeMethod;
use crate::model::problem::Error;
use crate::model::random;
use crate::store::simulator::{self as store, Issued, TokenKind};
use crate::upstream::descriptor::EmailLevel;
use crate::upstream::provider::Provider;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};

/// Life of a code in seconds.
const CODE_LIFE: u32 = 60;

/// What a code remembers of its request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Details {
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub nonce: Option<String>,
    pub prompt: Option<String>,
    /// The fault that goes with this approval, as it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A request that the provider would accept.
struct Asked {
    state: Option<String>,
    scopes: Vec<String>,
    details: Details,
}

/// Why a request is not accepted.
enum Refused {
    /// Shown on a page: nobody may be sent to an address that this client did not register.
    OnPage(&'static str),
    /// Shown at the callback (RFC 6749 section 4.1.2.1).
    AtCallback { error: String, description: String, state: Option<String> },
}

/// What the person did.
enum Choice {
    Approve {
        known: Known,
        scopes: Vec<String>,
    },
    Deny,
    /// A form that names nobody.
    Nobody,
}

/// What the callback of an approval says beside what it should.
struct Sent<'a> {
    method: &'a Method,
    issuer: Option<&'a str>,
}

impl Simulated<'_> {
    /// The provider's real authorization path: leads to the page, or with `auto=1` on at once.
    pub(super) async fn enter(&self, request: Request<'_>) -> Result<Answer, Error> {
        if parameter(request.query, "auto").as_deref() == Some("1") {
            return self.show(request).await;
        }
        Ok(Answer::redirect(StatusCode::FOUND, format!("{}/authorize?{}", self.base(), request.query)))
    }

    /// The page, or with `auto=1` the answer that its `login_hint` (or `fail`) asks for.
    pub(super) async fn show(&self, request: Request<'_>) -> Result<Answer, Error> {
        let asked = match self.check(request.query) {
            Ok(asked) => asked,
            Err(refused) => return Ok(self.refuse(request.method, refused)),
        };
        let hint = parameter(request.query, "login_hint").unwrap_or_default();
        if parameter(request.query, "auto").as_deref() != Some("1") {
            return self.offer(StatusCode::OK, &asked, &hint, ApprovalState::Ready);
        }
        let choice = Known::by_hint(&hint, AddressFlag::Verified)
            .map_or(Choice::Nobody, |known| Choice::Approve { known, scopes: asked.scopes.clone() });
        self.act(request, asked, choice, parameter(request.query, "fail")).await
    }

    /// The posted form. The request itself still stands in the query.
    pub(super) async fn decide(&self, request: Request<'_>) -> Result<Answer, Error> {
        let asked = match self.check(request.query) {
            Ok(asked) => asked,
            Err(refused) => return Ok(self.refuse(request.method, refused)),
        };
        let form: Vec<(String, String)> = form_urlencoded::parse(request.body).into_owned().collect();
        let choice = self.choice(&form, &asked);
        let field = form.into_iter().find(|(name, value)| name == "fail" && !value.is_empty());
        let fail = field.map(|(_, value)| value).or_else(|| parameter(request.query, "fail"));
        self.act(request, asked, choice, fail).await
    }

    async fn act(
        &self,
        request: Request<'_>,
        mut asked: Asked,
        choice: Choice,
        fail: Option<String>,
    ) -> Result<Answer, Error> {
        let fail = fail.filter(|text| !text.is_empty());
        let chosen = fail.as_deref().map(Fault::parse);
        if chosen == Some(None) {
            return self.offer(StatusCode::UNPROCESSABLE_ENTITY, &asked, "", ApprovalState::NoFault);
        }
        let seen = self.seen(Call::Authorize, None).await?;
        let chosen = chosen.flatten();
        let fault = chosen.as_ref().filter(|fault| fault.touches(Call::Authorize)).or(seen.fault());
        match fault.map(|fault| &fault.mode) {
            Some(Mode::Deny) => return Ok(self.denied(request.method, asked)),
            Some(Mode::Error(code)) => return Ok(self.failed(request.method, asked, code)),
            _ => {}
        }
        let issuer = fault.map(|fault| &fault.mode).filter(|mode| **mode == Mode::WrongIss).map(|_| FOREIGN_ISSUER);
        asked.details.fault = fail;
        match choice {
            Choice::Deny => Ok(self.denied(request.method, asked)),
            Choice::Nobody => self.offer(StatusCode::UNPROCESSABLE_ENTITY, &asked, "", ApprovalState::Nobody),
            Choice::Approve { known, scopes } => {
                // Nobody says for whom keys and metadata are fetched: the next fetch has the fault.
                if let Some(fault) = chosen.filter(|fault| matches!(fault.call, Call::Keys | Call::Discovery)) {
                    self.fail_next(asked.details.fault.take().unwrap_or_default(), &[fault.call], 1).await?;
                }
                self.approve(Sent { method: request.method, issuer }, asked, known, scopes).await
            }
        }
    }

    fn denied(&self, method: &Method, asked: Asked) -> Answer {
        let description = "The person pressed cancel.".to_owned();
        self.refuse(method, Refused::AtCallback { error: "access_denied".to_owned(), description, state: asked.state })
    }

    fn failed(&self, method: &Method, asked: Asked, code: &str) -> Answer {
        let description = "This error was asked for.".to_owned();
        self.refuse(method, Refused::AtCallback { error: code.to_owned(), description, state: asked.state })
    }

    /// Issues a code and sends the browser back with it.
    async fn approve(&self, sent: Sent<'_>, asked: Asked, known: Known, scopes: Vec<String>) -> Result<Answer, Error> {
        let provider_user_id = self.shapes.user_id(known.seed(self.slug()));
        let code = self.shapes.code(&self.random());
        let issued = Issued {
            family_id: random::token(self.simulator.rng),
            provider_user_id: provider_user_id.clone(),
            client_id: self.provider.client_id.clone(),
            scopes,
            details: serde_json::to_value(&asked.details).map_err(Error::internal)?,
            generation: 0,
        };
        let person = serde_json::to_value(&known.person).map_err(Error::internal)?;
        let mut transaction = self.simulator.db.begin().await?;
        store::remember_person(&mut transaction, self.place(), &provider_user_id, &known.hint, &person).await?;
        let hash = self.hash(&code);
        store::issue(&mut transaction, self.place(), TokenKind::Code, hash, &issued, Some(CODE_LIFE)).await?;
        transaction.commit().await?;

        let grant = Grant {
            client_id: &issued.client_id,
            person: &known.person,
            provider_user_id: &provider_user_id,
            scopes: &issued.scopes,
            scope_text: &self.scope_text(&issued.scopes),
            nonce: asked.details.nonce.as_deref(),
            prompt: asked.details.prompt.as_deref(),
            now: self.simulator.now.unix_timestamp(),
            access_ttl: self.descriptor().refresh.access_ttl,
            request_id: self.request_id(),
        };
        let mut parameters = vec![("code", code)];
        parameters.extend(asked.state.map(|state| ("state", state)));
        parameters.extend(self.shapes.callback(&grant));
        if let Some(issuer) = sent.issuer {
            parameters.retain(|(name, _)| *name != "iss");
            parameters.push(("iss", issuer.to_owned()));
        }
        Ok(redirect_back(sent.method, &asked.details.redirect_uri, &parameters))
    }

    /// What the form says. Cancel goes before everything, then the pressed button's person, then the address.
    fn choice(&self, form: &[(String, String)], asked: &Asked) -> Choice {
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if field("deny").is_some() {
            return Choice::Deny;
        }
        // Unchecked boxes are not sent at all: only a form that showed them can have them unchecked.
        let was_shown = field("shown").is_some();
        let is_verified = !was_shown || !self.has_email_flag() || field("verified").is_some();
        let flag = if is_verified { AddressFlag::Verified } else { AddressFlag::Unverified };
        let known = match (field("person"), field("noemail")) {
            (Some(person), _) => Known::by_hint(person, AddressFlag::Verified),
            (None, Some(_)) => Some(Known::without_address(&random::base62(self.simulator.rng, 12))),
            (None, None) => {
                Known::by_hint(field("email").unwrap_or_default(), flag).map(|known| with_flag(known, flag))
            }
        };
        let is_checked = |scope: &String| form.iter().any(|(key, value)| key == "scope" && value == scope);
        let scopes = asked.scopes.iter().filter(|scope| !was_shown || is_checked(scope)).cloned().collect();
        known.map_or(Choice::Nobody, |known| Choice::Approve { known, scopes })
    }

    fn has_email_flag(&self) -> bool {
        self.descriptor().email.trust == EmailLevel::Claim
    }

    fn offer(&self, status: StatusCode, asked: &Asked, hint: &str, state: ApprovalState) -> Result<Answer, Error> {
        let people: Vec<(String, String)> = SAVED
            .iter()
            .filter_map(|name| Some((*name, Known::by_hint(name, AddressFlag::Verified)?)))
            .map(|(name, known)| (Known::page_address(name), known.person.name()))
            .collect();
        let offer = ApprovalPage {
            provider: &self.descriptor().name,
            base: &self.base(),
            state,
            // Only a whole address: a half one would make the browser hold back every button.
            email: if hint.contains('@') { hint } else { "" },
            has_email_flag: self.has_email_flag(),
            scopes: &asked.scopes,
            people: &people,
            faults: OFFERED,
        };
        Ok(Answer::page(status, offer.html().map_err(Error::internal)?))
    }

    fn refuse(&self, method: &Method, refused: Refused) -> Answer {
        match refused {
            Refused::OnPage(words) => page::refusal(&self.descriptor().name, &self.base(), words),
            Refused::AtCallback { error, description, state } => {
                let mut parameters = vec![("error", error), ("error_description", description)];
                parameters.extend(state.map(|state| ("state", state)));
                redirect_back(method, &self.simulator.site().callback_url(), &parameters)
            }
        }
    }

    /// Checks a request in the provider's order: who asks and where to answer, then what is asked.
    fn check(&self, query: &str) -> Result<Asked, Refused> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if parameters.insert(name, value).is_some() {
                return Err(Refused::OnPage("A parameter was sent twice."));
            }
        }
        let get = |name: &str| parameters.get(name).cloned();
        let authorize = &self.descriptor().authorize;
        if get(&authorize.client_id_param).as_deref() != Some(self.provider.client_id.as_str()) {
            return Err(Refused::OnPage("The client id is unknown."));
        }
        let redirect_uri = get("redirect_uri").unwrap_or_default();
        if redirect_uri != self.simulator.site().callback_url() {
            return Err(Refused::OnPage("The redirect URI is not registered."));
        }
        let refuse = |error: &str, description: String| Refused::AtCallback {
            error: error.to_owned(),
            description,
            state: get("state"),
        };
        if get("response_type").and_then(|name| ResponseType::parse(&name)) != Some(ResponseType::Code) {
            return Err(refuse("unsupported_response_type", "response_type must be code.".to_owned()));
        }
        for (name, expected) in &authorize.params {
            let found = get(name);
            let is_callers = authorize.optional_params.contains(name) && found.is_some();
            if found.as_ref() != Some(expected) && !is_callers {
                return Err(refuse("invalid_request", format!("{name} must be {expected}.")));
            }
        }
        let scopes = scopes(&self.provider, get("scope")).map_err(|words| refuse("invalid_scope", words.to_owned()))?;
        let challenge = challenge(get("code_challenge"), get("code_challenge_method"))
            .map_err(|words| refuse("invalid_request", words.to_owned()))?;
        let details = Details { redirect_uri, challenge, nonce: get("nonce"), prompt: get("prompt"), fault: None };
        Ok(Asked { state: get("state"), scopes, details })
    }

    /// Scopes as the provider's answers spell them.
    pub(super) fn scope_text(&self, scopes: &[String]) -> String {
        let token = &self.descriptor().token;
        let spelled = scopes.iter().map(|scope| {
            let alias = token.scope_aliases.iter().find(|(_, requested)| *requested == scope);
            alias.map_or(scope.as_str(), |(spelled, _)| spelled.as_str())
        });
        spelled.collect::<Vec<_>>().join(&token.scope_separator)
    }
}

/// A known person with the flag that the form gave their address.
fn with_flag(mut known: Known, flag: AddressFlag) -> Known {
    known.person.email_verified &= flag == AddressFlag::Verified;
    known
}

/// The scopes of a request; a provider without scopes gets none at all.
fn scopes(provider: &Provider, asked: Option<String>) -> Result<Vec<String>, &'static str> {
    match (&provider.descriptor.authorize.scope_separator, asked) {
        (None, None) => Ok(Vec::new()),
        (None, Some(_)) => Err("This provider has no scopes."),
        (Some(_), None) => Err("The scopes are missing."),
        (Some(separator), Some(text)) => {
            let names: Vec<String> = text.split(separator.as_str()).map(str::to_owned).collect();
            let is_name = |name: &String| !name.is_empty() && !name.contains(char::is_whitespace);
            if names.iter().all(is_name) { Ok(names) } else { Err("The scopes are not separated as they must be.") }
        }
    }
}

/// The PKCE challenge of a request: S256 or none (RFC 7636 section 4.3).
fn challenge(challenge: Option<String>, method: Option<String>) -> Result<Option<String>, &'static str> {
    match (challenge, method.map(|name| ChallengeMethod::parse(&name))) {
        (None, None) => Ok(None),
        (Some(challenge), Some(Some(ChallengeMethod::S256))) if challenge.len() == 43 => Ok(Some(challenge)),
        _ => Err("The code challenge must be of method S256."),
    }
}

/// The first parameter of that name.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Sends the browser to the callback.
fn redirect_back(method: &Method, redirect_uri: &str, parameters: &[(&str, String)]) -> Answer {
    let status = if *method == Method::POST { StatusCode::SEE_OTHER } else { StatusCode::FOUND };
    let to = match Url::parse_with_params(redirect_uri, parameters) {
        Ok(url) => url.into(),
        // Not possible: the address was compared with the registered one.
        Err(_) => redirect_uri.to_owned(),
    };
    Answer::redirect(status, to)
}
