//! What a route declares about itself. A handler can be reached in no other way than through a [`Route`], and a
//! [`Route`] cannot be written without its [`Rules`].

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::MethodRouter;
use http::Method;

use crate::app::App;
pub use crate::limits::Limit;

/// How the caller authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody; the host names the instance.
    Anyone,
    /// A backend with `Authorization: Bearer sk_…`; the key names the instance.
    SecretKey,
    /// A browser with its client cookie; what changes something needs an origin of the instance.
    Browser,
    /// A browser on one of our own pages; forms carry a forgery check.
    Page,
    /// An OAuth client, authenticated by the token endpoint's rules.
    OAuthClient,
    /// The bearer of an access token that we issued.
    AccessToken,
    /// The operator's machinery: no instance at all.
    Operator,
}

/// Who may read the answer from a page of another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Nobody.
    Closed,
    /// The instance's own origins, with credentials.
    Instance,
    /// Everybody, without credentials.
    Anyone,
}

/// How long an answer may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Not at all.
    NoStore,
    /// By everybody, for so many seconds.
    Public(u32),
    /// For ever: the address holds the content's hash.
    Immutable,
}

/// What happens while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// 503: what decides about access is never taken from memory.
    Refuse,
    /// The public document is served as it was last.
    LastKnown,
}

/// What a route declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How the caller authenticates.
    pub caller: Caller,
    /// Which budget a request spends from.
    pub limit: Limit,
    /// Who may read the answer.
    pub cors: Cors,
    /// How long the answer may be cached.
    pub cache: Cache,
    /// What happens while the database is away.
    pub outage: Outage,
}

impl Rules {
    /// Backend API: secret key, its budget, no CORS, never cached.
    pub const BACKEND: Self = Self {
        caller: Caller::SecretKey,
        limit: Limit::Backend,
        cors: Cors::Closed,
        cache: Cache::NoStore,
        outage: Outage::Refuse,
    };
    /// Frontend API: client cookie, credentialed CORS, never cached.
    pub const FRONTEND: Self = Self {
        caller: Caller::Browser,
        limit: Limit::Unlimited,
        cors: Cors::Instance,
        cache: Cache::NoStore,
        outage: Outage::Refuse,
    };
    /// A page of ours.
    pub const PAGE: Self = Self {
        caller: Caller::Page,
        limit: Limit::Unlimited,
        cors: Cors::Closed,
        cache: Cache::NoStore,
        outage: Outage::Refuse,
    };
    /// A public document.
    pub const DOCUMENT: Self = Self {
        caller: Caller::Anyone,
        limit: Limit::Unlimited,
        cors: Cors::Anyone,
        cache: Cache::Public(300),
        outage: Outage::LastKnown,
    };

    /// The same rules for what may be served as it was last.
    #[must_use]
    pub const fn last_known(self) -> Self {
        Self { outage: Outage::LastKnown, ..self }
    }

    /// The same rules with another budget.
    #[must_use]
    pub const fn limited(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }
}

/// A path, a method, the rules, and the handler behind them.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, in axum's form.
    pub path: &'static str,
    /// What the route declares.
    pub rules: Rules,
    /// The handler.
    pub handler: MethodRouter<Arc<App>>,
}

macro_rules! verbs {
    ($($verb:ident $method:ident)*) => {$(
        #[doc = concat!("A route for `", stringify!($method), "`.")]
        pub fn $verb<H, T>(path: &'static str, rules: Rules, handler: H) -> Route
        where
            H: Handler<T, Arc<App>>,
            T: 'static,
        {
            Route { method: Method::$method, path, rules, handler: axum::routing::$verb(handler) }
        }
    )*};
}

verbs! { get GET post POST put PUT patch PATCH delete DELETE }
