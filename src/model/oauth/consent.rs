//! When a person has to be asked, and how an earlier answer is remembered.

use aws_lc_rs::digest::{SHA256, digest};

use super::application::{Application, Kind};
use super::authorize::AuthorizationRequest;
use super::redirect_uri;
use super::scope::{Scopes, built_in};

/// What a user allowed an application before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedConsent {
    /// The scopes that were allowed.
    pub scopes: Scopes,
    /// The resources that were allowed.
    pub resources: Vec<String>,
    /// [`fingerprint`] of the application at that time.
    pub fingerprint: Vec<u8>,
}

impl RememberedConsent {
    /// What is remembered once `request` has been allowed too: earlier answers stay.
    pub fn widened(earlier: Option<Self>, application: &Application, request: &AuthorizationRequest) -> Self {
        let (mut scopes, mut resources) =
            earlier.map_or_else(Default::default, |earlier| (earlier.scopes.as_slice().to_vec(), earlier.resources));
        scopes.extend(
            request
                .scopes
                .iter()
                .filter(|scope| !scopes.iter().any(|s| s == scope))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
        resources.extend(request.resources.iter().filter(|r| !resources.contains(r)).cloned().collect::<Vec<_>>());
        Self { scopes: Scopes::stored(scopes), resources, fingerprint: fingerprint(application) }
    }

    /// True if the earlier answer covers `request`.
    fn covers(&self, application: &Application, request: &AuthorizationRequest) -> bool {
        let known = |scope: &str| !requires_consent(scope) || self.scopes.has(scope);
        // An administrator's change of the name is known to the administrator; a client that describes itself could
        // borrow trust by changing its name after it was allowed.
        let unchanged = application.kind == Kind::Managed || self.fingerprint == fingerprint(application);
        unchanged
            && request.scopes.iter().all(known)
            && request.resources.iter().all(|resource| self.resources.contains(resource))
    }
}

/// True if `scope` has to be allowed by the person; unknown scopes do.
pub fn requires_consent(scope: &str) -> bool {
    built_in(scope).is_none_or(|scope| scope.requires_consent)
}

/// True if the person has to be asked before `request` is granted.
pub fn is_needed(
    application: &Application,
    request: &AuthorizationRequest,
    remembered: Option<&RememberedConsent>,
) -> bool {
    if !application.consent_screen_enabled {
        return false;
    }
    // Another app on the machine can take the place of a public one there: ask every time (RFC 8252 section 8.6).
    let can_be_imitated =
        application.is_public && redirect_uri::destination(&request.target.redirect_uri).can_be_imitated();
    request.prompt.consent
        || can_be_imitated
        || !remembered.is_some_and(|remembered| remembered.covers(application, request))
}

/// What a person saw of the application when they allowed it: SHA-256 of its name and the hosts it redirects to.
pub fn fingerprint(application: &Application) -> Vec<u8> {
    let mut hosts: Vec<_> =
        application.redirect_uris.iter().map(|uri| redirect_uri::host(uri).unwrap_or(uri.as_str())).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let seen = std::iter::once(application.name.as_str()).chain(hosts).collect::<Vec<_>>().join("\n");
    digest(&SHA256, seen.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oauth::authorize::check;
    use crate::model::oauth::fixtures;
    use crate::model::oauth::parameters::Parameters;

    fn request(application: &Application, change: &str) -> AuthorizationRequest {
        let text = format!("response_type=code&state=12345678{change}");
        let parameters = Parameters::parse(text.as_bytes()).unwrap();
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let parameters = parameters.with("code_challenge", challenge).with("code_challenge_method", "S256");
        check(&parameters, application, &fixtures::production(), |_| None).unwrap()
    }

    fn remembered(application: &Application, change: &str) -> RememberedConsent {
        RememberedConsent::widened(None, application, &request(application, change))
    }

    #[test]
    fn asks_the_first_time_and_not_again() {
        let app = fixtures::application();
        assert!(is_needed(&app, &request(&app, ""), None));
        let earlier = remembered(&app, "");
        assert!(!is_needed(&app, &request(&app, ""), Some(&earlier)));
        assert!(is_needed(&app, &request(&app, "&prompt=consent"), Some(&earlier)));
    }

    #[test]
    fn asks_for_more_scopes_and_new_resources() {
        let app = fixtures::application();
        let earlier = remembered(&app, "&scope=email");
        assert!(is_needed(&app, &request(&app, "&scope=email+profile"), Some(&earlier)));
        assert!(is_needed(&app, &request(&app, "&scope=email&resource=https://a.example"), Some(&earlier)));
        let wider = RememberedConsent::widened(
            Some(earlier),
            &app,
            &request(&app, "&scope=profile&resource=https://a.example"),
        );
        assert!(!is_needed(&app, &request(&app, "&scope=email+profile&resource=https://a.example"), Some(&wider)));
    }

    #[test]
    fn openid_alone_is_not_asked_for() {
        let app = Application { redirect_uris: vec!["https://a.example".into()], ..fixtures::application() };
        let earlier = remembered(&app, "&scope=email");
        assert!(!is_needed(&app, &request(&app, "&scope=email+openid&redirect_uri=https://a.example"), Some(&earlier)));
    }

    #[test]
    fn never_asks_where_the_administrator_switched_it_off() {
        let app = Application { consent_screen_enabled: false, ..fixtures::application() };
        assert!(!is_needed(&app, &request(&app, "&prompt=consent"), None));
    }

    #[test]
    fn asks_every_time_for_public_apps_on_the_machine() {
        for (uri, is_public, again) in [
            ("http://localhost:3000/cb", true, true),
            ("myapp://cb", true, true),
            ("https://a.example/cb", true, false),
            ("http://localhost:3000/cb", false, false),
        ] {
            let app = Application { redirect_uris: vec![uri.into()], is_public, ..fixtures::application() };
            let earlier = remembered(&app, "");
            assert_eq!(is_needed(&app, &request(&app, ""), Some(&earlier)), again, "{uri}");
        }
    }

    #[test]
    fn a_client_that_describes_itself_is_asked_for_again_when_it_changes() {
        let app = Application { kind: Kind::Registered, ..fixtures::application() };
        let earlier = remembered(&app, "");
        let renamed = Application { name: "Your bank".to_owned(), ..app.clone() };
        assert!(is_needed(&renamed, &request(&renamed, ""), Some(&earlier)));
        let managed = Application { kind: Kind::Managed, ..renamed };
        assert!(!is_needed(&managed, &request(&managed, ""), Some(&earlier)));
    }
}
