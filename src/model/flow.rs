//! A flow of the flow log: what it began as, how it stands, and what its steps are called. The texts are shown to
//! developers and stored: added to, never renamed.

use super::text_enum::text_enum;

text_enum! {
    /// What a flow began as.
    pub enum Kind {
        /// Signing in.
        SignIn = "sign_in",
        /// Signing up.
        SignUp = "sign_up",
        /// A signed-in user connects an account.
        Connect = "connect",
        /// A signed-in user renews the consent of a connected account.
        Reauthorize = "reauthorize",
        /// An OAuth client asks for authorization.
        Authorize = "authorize",
        /// A callback that belongs to no start we know.
        Callback = "callback",
        /// A token request that belongs to no authorization we know.
        Token = "token",
        /// Another request of a browser or native application that belongs to no flow we know.
        Request = "request",
        /// A later request went on with it and does not know what it began as: the row of its beginning says so.
        Unknown = "unknown",
    }
}

text_enum! {
    /// How a flow stands on the record.
    pub enum Status {
        /// It goes on, or nobody has told that it ended.
        Open = "open",
        /// It reached its end. Never taken back, but for an authorization: its grant can end.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
    }
}

text_enum! {
    /// How a flow stands for whoever reads it.
    pub enum ObservedStatus {
        /// It failed.
        Failed = "failed",
        /// It goes on.
        Open = "open",
        /// It is open on the record, and nothing came for an hour.
        Silent = "silent",
        /// It reached its end.
        Succeeded = "succeeded",
    }
}

impl ObservedStatus {
    /// As stored: nobody tells that nothing comes any more.
    pub fn stored(self) -> Status {
        match self {
            Self::Failed => Status::Failed,
            Self::Open | Self::Silent => Status::Open,
            Self::Succeeded => Status::Succeeded,
        }
    }
}

text_enum! {
    /// What happened in a step.
    pub enum StepName {
        /// Somebody asked for something.
        Started = "started",
        /// A page dropped targets of its query.
        TargetDropped = "target_dropped",
        /// The request was refused.
        Refused = "refused",
        /// A newer flow took its place.
        Replaced = "replaced",
        /// A native application presented its nonce.
        NoncePresented = "nonce_presented",
        /// The browser was sent to the provider.
        SentToProvider = "sent_to_provider",
        /// The browser came back.
        Callback = "callback",
        /// The state of the callback was looked at.
        StateChecked = "state_checked",
        /// The code was traded for tokens.
        TokenExchange = "token_exchange",
        /// The provider said who it is.
        IdentityFetched = "identity_fetched",
        /// What a verified identity means.
        Decision = "decision",
        /// A sign-up needs more.
        Requirements = "requirements",
        /// A code or link went out.
        VerificationSent = "proof_sent",
        /// A code, link or password came back and was right.
        VerificationChecked = "proof_checked",
        /// A session began.
        Session = "session",
        /// The browser was sent on.
        HandedOver = "handed_over",
        /// An authorization request passed every check.
        Validated = "validated",
        /// The person has to sign in first.
        SignInNeeded = "sign_in_needed",
        /// The person was asked for consent.
        ConsentShown = "consent_shown",
        /// The person consented.
        Consented = "consented",
        /// The person said no.
        Denied = "denied",
        /// The client received a code.
        CodeIssued = "code_issued",
        /// The code became tokens.
        CodeRedeemed = "code_redeemed",
        /// The code was refused.
        CodeFailed = "code_failed",
        /// The client received tokens.
        TokensIssued = "tokens_issued",
        /// The refresh token became the next one.
        Refreshed = "refreshed",
        /// The refresh token was refused.
        RefreshFailed = "refresh_failed",
        /// A refresh token came a second time.
        ReuseDetected = "reuse_detected",
    }
}

text_enum! {
    /// How a step went.
    pub enum StepOutcome {
        /// Well.
        Ok = "ok",
        /// It did not, and the flow ends with it.
        Failed = "failed",
        /// It did not, or left something to be done; the flow goes on.
        Open = "open",
    }
}
