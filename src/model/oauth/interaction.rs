//! What has to happen between a valid authorization request and its code, as one table.

use super::application::Application;
use super::authorize::AuthorizationRequest;
use super::consent::{self, RememberedConsent};
use super::error::{ErrorCode, OAuthError};
use crate::model::id::UserId;
use crate::model::time::Timestamp;

/// The session that may answer the request: active, of a user who may sign in.
#[derive(Clone, Debug)]
pub struct SignedIn<'a> {
    /// Who it is.
    pub user_id: &'a UserId,
    /// When they last signed in (`auth_time`).
    pub authenticated_at: Timestamp,
    /// They have signed in since an earlier pass of the request demanded it.
    pub has_signed_in_again: bool,
}

impl<'a> SignedIn<'a> {
    /// `demanded_at` is the moment an earlier pass demanded a new sign-in (stored where the browser cannot change it).
    pub fn new(user_id: &'a UserId, authenticated_at: Timestamp, demanded_at: Option<Timestamp>) -> Self {
        let has_signed_in_again = demanded_at.is_some_and(|moment| authenticated_at > moment);
        Self { user_id, authenticated_at, has_signed_in_again }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The person signs in and comes back to the same request.
    SignIn,
    /// The person is signed in, but has to sign in again; only a sign-in after this moment counts.
    SignInAgain,
    /// The person is asked for consent.
    AskConsent,
    /// The code is issued.
    IssueCode,
    /// The client receives an error.
    Refuse(OAuthError),
}

/// Decides what happens to `request`. A session verified since a new sign-in was demanded satisfies `prompt=login` and
/// any `max_age`.
pub fn next_step(
    application: &Application,
    request: &AuthorizationRequest,
    signed_in: Option<&SignedIn<'_>>,
    remembered: Option<&RememberedConsent>,
    now: Timestamp,
) -> Next {
    let refuse_or = |code, description, next| match request.prompt.none {
        true => Next::Refuse(OAuthError::new(code, description)),
        false => next,
    };
    let Some(session) = signed_in else {
        return refuse_or(ErrorCode::LoginRequired, "nobody is signed in", Next::SignIn);
    };
    if request.expected_user.as_ref().is_some_and(|expected| expected != session.user_id) {
        return refuse_or(ErrorCode::LoginRequired, "somebody else is signed in", Next::SignInAgain);
    }
    let is_too_old = request.max_age.is_some_and(|limit| (now - session.authenticated_at).whole_seconds() > limit);
    // `max_age=0` is another way to write `prompt=login` (OpenID Connect Core section 3.1.2.1).
    let needs_sign_in = request.prompt.login || is_too_old || request.max_age == Some(0);
    if needs_sign_in && !session.has_signed_in_again {
        return refuse_or(ErrorCode::LoginRequired, "the sign-in is too old", Next::SignInAgain);
    }
    if consent::is_needed(application, request, remembered) {
        return refuse_or(ErrorCode::ConsentRequired, "the person has to be asked", Next::AskConsent);
    }
    Next::IssueCode
}

/// The answer when the person says no.
pub const DENIED: OAuthError = OAuthError::new(ErrorCode::AccessDenied, "the person denied the request");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oauth::authorize::{IdTokenHint, check};
    use crate::model::oauth::fixtures;
    use crate::model::oauth::parameters::Parameters;
    use time::Duration;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-11-21 10:00 UTC);

    fn user(letter: char) -> UserId {
        UserId::parse(&format!("user_{}", letter.to_string().repeat(27))).unwrap()
    }

    /// Decides for a user who signed in `age` seconds ago and has allowed everything before.
    fn decide(change: &str, age: Option<i64>, again: Option<i64>) -> Next {
        let app = fixtures::application();
        let text = format!("response_type=code&state=12345678{change}");
        let hint = |_: &str| Some(IdTokenHint { user_id: user('b'), audience: vec![app.client_id.clone()] });
        let request = check(&Parameters::parse(text.as_bytes()).unwrap(), &app, &fixtures::production(), hint).unwrap();
        let id = user('a');
        let remembered = RememberedConsent::widened(None, &app, &request);
        let again = again.map(|age| NOW - Duration::seconds(age));
        let session = age.map(|age| SignedIn::new(&id, NOW - Duration::seconds(age), again));
        next_step(&app, &request, session.as_ref(), Some(&remembered), NOW)
    }

    fn refused(next: Next) -> ErrorCode {
        match next {
            Next::Refuse(error) => error.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(decide("", None, None), Next::SignIn);
        assert_eq!(refused(decide("&prompt=none", None, None)), ErrorCode::LoginRequired);
        assert_eq!(decide("", Some(60), None), Next::IssueCode);
        assert_eq!(decide("&prompt=none", Some(60), None), Next::IssueCode);
        assert_eq!(decide("&prompt=login", Some(1), None), Next::SignInAgain);
        assert_eq!(decide("&max_age=60", Some(60), None), Next::IssueCode);
        assert_eq!(decide("&max_age=60", Some(61), None), Next::SignInAgain);
        assert_eq!(decide("&max_age=0", Some(0), None), Next::SignInAgain);
        assert_eq!(refused(decide("&prompt=none&max_age=60", Some(61), None)), ErrorCode::LoginRequired);
        assert_eq!(decide("&prompt=consent", Some(60), None), Next::AskConsent);
        assert_eq!(decide("&prompt=select_account", Some(60), None), Next::IssueCode);
        assert_eq!(decide("&id_token_hint=x", Some(60), None), Next::SignInAgain);
        assert_eq!(refused(decide("&prompt=none&id_token_hint=x", Some(60), None)), ErrorCode::LoginRequired);
    }

    #[test]
    fn a_new_sign_in_ends_the_loop() {
        for change in ["&prompt=login", "&max_age=0"] {
            assert_eq!(decide(change, Some(5), Some(10)), Next::IssueCode, "{change}");
            assert_eq!(decide(change, Some(10), Some(10)), Next::SignInAgain, "{change}: before it was demanded");
            assert_eq!(decide(change, Some(20), Some(10)), Next::SignInAgain, "{change}: the old session");
        }
    }

    #[test]
    fn consent_is_needed_last() {
        let app = fixtures::application();
        let request = |prompt: &str| {
            let text = format!("response_type=code&state=12345678&prompt={prompt}");
            check(&Parameters::parse(text.as_bytes()).unwrap(), &app, &fixtures::production(), |_| None).unwrap()
        };
        let id = user('a');
        let session = SignedIn::new(&id, NOW, None);
        assert_eq!(next_step(&app, &request(""), Some(&session), None, NOW), Next::AskConsent);
        let none = next_step(&app, &request("none"), Some(&session), None, NOW);
        assert_eq!(refused(none), ErrorCode::ConsentRequired);
    }
}
