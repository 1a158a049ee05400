//! What a developer or operator should look at when a flow failed: likely causes in order, and the setting. Shown by
//! the Flow inspector, the command line and development pages; never in a production page or an answer of an API.

use crate::model::reason::Reason;

/// The hint for `detail` of `reason`. `{provider}` and `{callback_url}` stand for what [`fill`] knows.
///
/// Every reason has its texts here: a new one without does not compile.
pub fn hint(reason: Reason, detail: &str) -> &'static str {
    use Reason as R;
    match reason {
        R::ProviderUnavailable | R::RedirectInvalid | R::RedirectUnlisted | R::NativeRefused => of_app(reason, detail),
        R::StateMissing
        | R::StateUsed
        | R::StateExpired
        | R::StateOtherBrowser
        | R::CookieMissing
        | R::AttemptReplaced
        | R::AttemptExpired
        | R::AttemptOtherClient => of_state(reason, detail),
        R::ProviderTimeout | R::ProviderUnreachable | R::Provider5xx | R::ProviderRateLimited => {
            of_connection(reason, detail)
        }
        R::ProviderDenied
        | R::CredentialsUnusable
        | R::TokenInvalidClient
        | R::TokenInvalidGrant
        | R::CallbackUnregistered
        | R::ScopeRefused
        | R::EndpointRefused
        | R::ProviderRefused => of_provider(reason, detail),
        R::ProviderUnreadable
        | R::ProviderWrongType
        | R::IdentityUnusable
        | R::IdtokenRefused
        | R::IssuerMismatch
        | R::ClockSkew => of_answer(reason, detail),
        R::EmailMissing
        | R::EmailUnverified
        | R::RequirementsMissing
        | R::Transfer
        | R::AccountInUse
        | R::LinkingOff
        | R::AccountConnectedAlready
        | R::EmailImmutable
        | R::AlreadySignedIn => of_decision(reason, detail),
        R::SignupClosed
        | R::AddressRefused
        | R::UserLocked
        | R::UserBanned
        | R::RateLimited
        | R::CredentialsWrong
        | R::ProofDead => of_rules(reason, detail),
        R::TokenMissing | R::RefreshRefused => of_tokens(reason, detail),
        R::ClientUnknown
        | R::ClientRedirectMismatch
        | R::ClientRequestInvalid
        | R::InteractionNeeded
        | R::ConsentDenied
        | R::ClientAuthFailed
        | R::GrantEnded
        | R::GrantReused
        | R::GrantMismatch
        | R::PkceFailed => of_client(reason, detail),
        R::Internal => of_us(detail),
    }
}

/// The hint with what is known of the flow in it.
pub fn fill(hint: &str, provider: Option<&str>, callback_url: &str) -> String {
    hint.replace("{provider}", provider.unwrap_or("<provider>")).replace("{callback_url}", callback_url)
}

fn of_us(detail: &str) -> &'static str {
    match detail {
        "storage" => {
            "The database was away or busy. Look at the log lines of this flow's requests and at the database."
        }
        _ => "A fault of the server. Find the log lines of this flow by its reference, and report them.",
    }
}

fn of_app(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::ProviderUnavailable, "unknown") => {
            "The strategy names no provider of this server. `vestibule provider list` shows those that are enabled."
        }
        (Reason::ProviderUnavailable, "connect_only") => {
            "The provider may only be connected by signed-in users: its \"enable for sign-up and sign-in\" is off. \
             `vestibule provider set {provider}` changes that."
        }
        (Reason::ProviderUnavailable, _) => {
            "The provider is not enabled on this instance. `vestibule provider list` shows those that are; \
             `vestibule provider add {provider}` adds it, `vestibule provider set {provider} --enable` switches it on."
        }
        (Reason::RedirectInvalid, "missing") => "The app sent no redirect_url.",
        (Reason::RedirectInvalid, "relative") => {
            "A relative redirect_url is resolved against the request's Origin, and the request had none. Send an \
             absolute address."
        }
        (Reason::RedirectInvalid, "scheme") => "The scheme of redirect_url is never allowed.",
        (Reason::RedirectInvalid, "long") => "The redirect_url is longer than 2048 characters.",
        (Reason::RedirectUnlisted, "portal") => {
            "A target in the page's query is outside the instance's origins; it was dropped and the fallback used. \
             `vestibule instance origins add` lists an origin."
        }
        (Reason::RedirectUnlisted, _) => {
            "The redirect_url is outside the instance's origins. List its origin: `vestibule instance origins add \
             <origin>`."
        }
        (Reason::NativeRefused, "off") => "The native API is switched off: setting `native_api`.",
        (Reason::NativeRefused, _) => {
            "The native target is not on the instance's list. Add it: `POST /v1/redirect_urls`, character by character \
             as the app sends it."
        }
        _ => "The redirect_url cannot be parsed as an address.",
    }
}

fn of_state(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::StateMissing, _) => {
            "The callback was opened directly or from a bookmark, or a provider or proxy dropped `state`."
        }
        (Reason::StateUsed, _) => {
            "The same callback was opened again: back, reload, or a scanner. What the first call did stands in this \
             same flow."
        }
        (Reason::StateExpired, _) => "More than ten minutes passed between the start and the callback.",
        (Reason::StateOtherBrowser, "session") => {
            "The session that began connecting is no longer the active one: somebody signed out or in meanwhile."
        }
        (Reason::StateOtherBrowser, _) => {
            "Another browser came back than the one that began: a link passed on, an in-app browser, or an attack."
        }
        (Reason::CookieMissing, _) => {
            "In order: the callback's host differs from the start's (127.0.0.1, localhost, a proxy path), cookies are \
             blocked, or the cookie was lost after a form_post."
        }
        (Reason::AttemptReplaced, _) => "The same browser began again; the newer flow goes on.",
        (Reason::AttemptExpired, "done") => "The attempt was complete already; begin a new one.",
        (Reason::AttemptExpired, "transfer") => "A transfer waits ten minutes after the callback, and happens once.",
        (Reason::AttemptExpired, _) => "The attempt is older than a day.",
        (Reason::AttemptOtherClient, "nonce") => {
            "The rotating_token_nonce was wrong, used, or older than five minutes."
        }
        _ => "The cookie or Authorization of another client, or a host that shares no cookie with the start's.",
    }
}

fn of_connection(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::ProviderTimeout, _) => {
            "The provider took longer than 3 s to connect or 10 s to answer. The step names host and call."
        }
        (Reason::ProviderUnreachable, "dns") => "The provider's host name was not found: DNS, or a mistyped endpoint.",
        (Reason::ProviderUnreachable, "refused") => "Nothing listens at the provider's address and port.",
        (Reason::ProviderUnreachable, "cut") => "The connection was cut before the answer was complete.",
        (Reason::ProviderUnreachable, "tls") => {
            "The provider's certificate was not accepted: name, issuer or dates. Look at `outbound.ca_file` and \
             `outbound.proxy`."
        }
        (Reason::ProviderUnreachable, _) => {
            "Five calls in a row failed, so the next are not tried for a while. The flows before this one have the \
             reason that opened the breaker."
        }
        (Reason::ProviderRateLimited, _) => "The quota of your application at the provider is used up. Wait.",
        _ => "The provider failed. The step has its status and words; look at the provider's status page.",
    }
}

fn of_provider(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::ProviderDenied, _) => {
            "Expected. If it is frequent: scopes that frighten, or an organization's administrator must approve first."
        }
        (Reason::CredentialsUnusable, "malformed") => {
            "The stored credentials do not parse. Set them again: `vestibule provider set {provider} …`."
        }
        (Reason::CredentialsUnusable, _) => {
            "This instance needs its own client id and secret for the provider: `vestibule provider set {provider} \
             --client-id … --client-secret-file …`. Register {callback_url} there."
        }
        (Reason::TokenInvalidClient, _) => {
            "In order: the secret is wrong, expired, or has blanks around it; id and secret are swapped; the provider \
             wants another kind of client authentication."
        }
        (Reason::TokenInvalidGrant, _) => {
            "The code was late, used, or for another callback address or verifier. A changed callback host or PKCE \
             switch, or a proxy that repeats requests, does that."
        }
        (Reason::CallbackUnregistered, _) => {
            "Register exactly {callback_url} at the provider. Most providers show a page of their own instead of \
             sending the browser back."
        }
        (Reason::ScopeRefused, _) => {
            "The provider refuses a scope. Look at the additional scopes of `vestibule provider show {provider}`, and \
             at which of them need approval in the provider's console."
        }
        (Reason::EndpointRefused, "offline") => "`outbound.offline` is on: nothing outside `outbound.allow` is asked.",
        (Reason::EndpointRefused, "redirected") => {
            "The endpoint redirects, which is never followed. Configure the target."
        }
        (Reason::EndpointRefused, "discovery") => {
            "The discovery document names another issuer, lacks an endpoint, or has one that is not https."
        }
        (Reason::EndpointRefused, _) => {
            "The address, scheme or port of the endpoint is forbidden. If it is meant: `outbound.allow`."
        }
        _ => {
            "The step has the provider's code and words. 401 or 403 for the profile: a permission is missing in its \
             console. After `oidc_prompt=none`: start without it."
        }
    }
}

fn of_answer(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::ProviderUnreadable, "html") => "A page came instead of JSON: a wrong endpoint, or a proxy in between.",
        (Reason::ProviderUnreadable, "type") => "The answer had no or another Content-Type than the provider's.",
        (Reason::ProviderUnreadable, "size") => "The answer was larger than allowed, counted after decompression.",
        (Reason::ProviderUnreadable, _) => "The answer was broken or cut off. The step has host and status.",
        (Reason::ProviderWrongType, _) => {
            "A member that is needed is absent or of a wrong type; the detail is its path."
        }
        (Reason::IdentityUnusable, "differs") => "The profile is another person's than the id_token's.",
        (Reason::IdentityUnusable, _) => {
            "The answer holds no stable user id. Notion: a workspace was approved, not a person."
        }
        (Reason::IdtokenRefused, "audience") => "The id_token was made for another client id.",
        (Reason::IdtokenRefused, "nonce") => "The id_token belongs to another start than this one.",
        (Reason::IdtokenRefused, "algorithm") => "The id_token is signed in a way that this provider does not use.",
        (Reason::IdtokenRefused, _) => "No key of the provider's key set has signed the id_token.",
        (Reason::IssuerMismatch, _) => {
            "Another issuer answered than the one expected: look at the provider's tenant or host setting."
        }
        _ => {
            "The id_token's times are off by more than 60 s. Compare this machine's clock with the database's (`select \
             now()`); if they agree, it is the provider's."
        }
    }
}

fn of_decision(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::EmailMissing, _) => {
            "The provider gave no address and this instance requires one. Some providers never do; with others a scope \
             or permission is missing."
        }
        (Reason::EmailUnverified, "unprovable") => {
            "The provider does not verify the address and this instance cannot send codes: set `email.url`."
        }
        (Reason::EmailUnverified, _) => "The provider does not verify the address; the person is asked for a code.",
        (Reason::RequirementsMissing, _) => "The instance requires more of a new user than the provider gives.",
        (Reason::Transfer, _) => {
            "Goes on by itself. It ends here when the app passes `transferable=false` or its callback page does not run \
             handleRedirectCallback()."
        }
        (Reason::AccountInUse, _) => "The account or its address belongs to another user of this instance.",
        (Reason::LinkingOff, _) => "The address has a user, and setting `linking` is `never`.",
        (Reason::AccountConnectedAlready, "other") => {
            "Another account was chosen at the provider than the connected one."
        }
        (Reason::AccountConnectedAlready, _) => {
            "One account of this provider per user: the provider's setting `multiple_accounts` is off."
        }
        (Reason::EmailImmutable, _) => "Connecting would add an address: setting `addresses_changeable` is off.",
        _ => "Nothing to do: the SDK goes on with the session that exists.",
    }
}

fn of_rules(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::SignupClosed, "quota") => "The instance has as many users as setting `sign_up.user_quota` allows.",
        (Reason::SignupClosed, _) => "Setting `sign_up.mode` closes signing up.",
        (Reason::AddressRefused, _) => {
            "The provider's rule against subaddresses refuses the address: `vestibule provider show {provider}`."
        }
        (Reason::UserLocked, "operator") => "An operator locked the user: `POST /v1/users/<id>/unlock`.",
        (Reason::UserLocked, _) => "Too many wrong codes or passwords. Wait, or `POST /v1/users/<id>/unlock`.",
        (Reason::UserBanned, _) => "The audit log says who closed the account, and when.",
        (Reason::RateLimited, _) => {
            "A limit was reached (settings `limits.*`). Behind a proxy all people share one address unless \
             `server.trusted_proxies` names it."
        }
        (Reason::CredentialsWrong, _) => "Expected: somebody mistyped.",
        (Reason::ProofDead, "other_browser") => {
            "The link was opened in another browser than the one that asked for it."
        }
        _ => "The code or link was used up, too old, replaced by a newer one, or never sent.",
    }
}

fn of_tokens(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::TokenMissing, "refresh") => {
            "The token has expired and the provider gave no refresh token: ask for offline access."
        }
        (Reason::TokenMissing, _) => "The tokens were withdrawn or never stored.",
        (Reason::RefreshRefused, "lost") => "This server stopped during a refresh, and the new token was lost with it.",
        _ => {
            "The person withdrew access or changed the password, the token was unused for too long, or another program \
             uses the same refresh token."
        }
    }
}

fn of_client(reason: Reason, detail: &str) -> &'static str {
    match (reason, detail) {
        (Reason::ClientUnknown, _) => "Client ids are per instance; this one has none like it.",
        (Reason::ClientRedirectMismatch, _) => {
            "Compare host, port, case and trailing slash with `vestibule app list`; `PATCH /v1/oauth_applications/<id>` \
             changes them."
        }
        (Reason::ClientRequestInvalid, "invalid_scope") => "The client asks for scopes that it may not have.",
        (Reason::ClientRequestInvalid, _) => "The step names the parameter.",
        (Reason::InteractionNeeded, _) => "Expected: the client starts again without `prompt=none`.",
        (Reason::ConsentDenied, _) => "Expected: the person said no.",
        (Reason::ClientAuthFailed, _) => "The secret was rotated, or Basic credentials are not form-encoded.",
        (Reason::GrantReused, _) => "Two workers use one token, an effect ran twice, or somebody stole it.",
        (Reason::GrantMismatch, _) => "The code or token is another client's, or of another redirect URI.",
        (Reason::PkceFailed, _) => "The verifier is of another tab, or was lost over a reload.",
        _ => "The code or token is over: redeemed late, revoked, or its user is gone.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_detail_has_complete_text() {
        for reason in Reason::ALL {
            for detail in reason.details().iter().copied().chain([""]) {
                let words = fill(hint(*reason, detail), Some("google"), "https://x.example/v1/oauth_callback");
                assert!(words.len() > 15 && !words.contains(['{', '}']) && !words.contains("  "), "{reason}: {words}");
            }
        }
        let address = fill(hint(Reason::CallbackUnregistered, ""), None, "https://x.example/v1/oauth_callback");
        assert!(address.contains("exactly https://x.example/v1/oauth_callback"));
    }
}
