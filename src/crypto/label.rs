//! Purposes: what a keyed hash or a signed value is for. Its name is part of what is hashed, so that a value of one
//! kind never passes for another kind.

/// What a keyed hash is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// An authorization code (RFC 6749 section 4.1.2).
    AuthorizationCode,
    /// An opaque access token, or the `jti` of a JWT access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
    /// What the browser presents as `__client` or `__clerk_db_jwt`.
    ClientToken,
    /// The `state` of an authorization at a provider.
    State,
    /// The OpenID Connect `nonce` of an authorization at a provider.
    Nonce,
    /// The `rotating_token_nonce` that hands a native app its session.
    RotatingTokenNonce,
    /// A backend secret key (`sk_…`).
    SecretKey,
    /// An OAuth client's secret.
    ClientSecret,
    /// A registration access token (RFC 7592).
    RegistrationToken,
    /// The cookie that binds an authorization at a provider to its browser.
    FlowBinding,
    /// The one-time id that transfers a `form_post` callback to our own GET.
    Continuation,
    /// The nonce of a handshake.
    Handshake,
    /// A ticket: sign-in token, invitation, testing token.
    Ticket,
    /// The token of an e-mail link.
    EmailLink,
    /// A six-digit code of this verification. The id is part of the label: equal codes of two attempts differ.
    OneTimeCode(&'a str),
    /// A pushed or waiting authorization request.
    AuthorizationRequest,
    /// The `jti` of a client's assertion, under its issuer.
    AssertionId,
    /// What a rate limit counts: an address, a network, an identifier.
    RateLimit,
    /// An e-mail address in its canonical form, in the inputs of a recorded decision.
    Address,
    /// A code or token that the simulator issued.
    Simulator,
}

impl Lookup<'_> {
    /// The label; changing one makes every stored hash of that kind unfindable.
    pub(super) fn label(&self) -> (&'static str, &str) {
        let name = match self {
            Self::AuthorizationCode => "authorization_code",
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::ClientToken => "client_token",
            Self::State => "state",
            Self::Nonce => "nonce",
            Self::RotatingTokenNonce => "rotating_token_nonce",
            Self::SecretKey => "secret_key",
            Self::ClientSecret => "client_secret",
            Self::RegistrationToken => "registration_token",
            Self::FlowBinding => "flow_binding",
            Self::Continuation => "continuation",
            Self::Handshake => "handshake",
            Self::Ticket => "ticket",
            Self::EmailLink => "email_link",
            Self::OneTimeCode(verification) => return ("one_time_code:", verification),
            Self::AuthorizationRequest => "authorization_request",
            Self::AssertionId => "assertion_id",
            Self::RateLimit => "rate_limit",
            Self::Address => "address",
            Self::Simulator => "simulator",
        };
        (name, "")
    }
}

/// What a value sent to the browser and believed when it comes back is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieUse {
    /// The hidden `csrf` field of our pages' forms.
    Csrf,
    /// The one-minute cookie that carries a notice to the next page.
    Notice,
    /// The moment after which a person has to sign in again, in an authorization request on its way back.
    Reauthentication,
    /// The flow that an authorization request on its way back belongs to.
    Flow,
    /// The client token of a browser that no row stands for yet.
    UnsavedClient,
}

impl CookieUse {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Csrf => "csrf",
            Self::Notice => "notice",
            Self::Reauthentication => "reauthentication",
            Self::Flow => "flow",
            Self::UnsavedClient => "unsaved_client",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_label() {
        use Lookup::*;
        let all = [
            AuthorizationCode,
            AccessToken,
            RefreshToken,
            ClientToken,
            State,
            Nonce,
            RotatingTokenNonce,
            SecretKey,
            ClientSecret,
            RegistrationToken,
            FlowBinding,
            Continuation,
            Handshake,
            Ticket,
            EmailLink,
            OneTimeCode("ver_1"),
            OneTimeCode("ver_2"),
            AuthorizationRequest,
            AssertionId,
            RateLimit,
            Simulator,
        ];
        let labels: std::collections::HashSet<String> =
            all.iter().map(|lookup| format!("{}{}", lookup.label().0, lookup.label().1)).collect();
        assert_eq!(labels.len(), all.len());
    }
}
