//! All routes, grouped by API. Nothing is reachable that does not stand here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::header::{ALLOW, ORIGIN};
use http::{HeaderValue, Method};

use super::guard::{self, RouteGuard};
use super::problem::Failure;
use super::route::{Caller, Cors, Route, Rules};
use super::{
    avatar, backend, cors, deadline, frontend, health, method_override, not_offered, oauth, pages, simulator, trace,
    version, well_known,
};
use crate::app::App;
use crate::model::problem::code;

/// The route table.
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(health::routes());
    routes.extend(well_known::routes());
    routes.extend(avatar::routes());
    routes.extend(frontend::routes());
    routes.extend(backend::routes());
    routes.extend(oauth::routes());
    routes.extend(pages::routes());
    routes.extend(simulator::routes());
    routes
}

/// The service behind the public listener.
pub fn service(app: Arc<App>) -> Router {
    build(app, routes())
}

/// The service behind the internal listener.
pub fn internal(app: Arc<App>) -> Router {
    build(app, health::internal_routes())
}

/// The methods of one path.
struct PathRoutes {
    handlers: MethodRouter<Arc<App>>,
    methods: Vec<Method>,
    rules: Rules,
}

fn build(app: Arc<App>, routes: Vec<Route>) -> Router {
    let mut paths: BTreeMap<&'static str, PathRoutes> = BTreeMap::new();
    for route in routes {
        let route_guard = RouteGuard { app: Arc::clone(&app), rules: route.rules };
        let guarded = route.handler.layer(from_fn_with_state(route_guard, guard::guard));
        let none = || PathRoutes { handlers: MethodRouter::new(), methods: Vec::new(), rules: route.rules };
        let path = paths.entry(route.path).or_insert_with(none);
        path.handlers = std::mem::take(&mut path.handlers).merge(guarded);
        path.methods.push(route.method);
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        router = router.route(path, complete(&app, routes));
    }
    // `_method` and the trace stand outside the router: they act before a route is chosen, also where none is found.
    let inner = router.layer(from_fn(trace::template)).fallback(unknown).with_state(Arc::clone(&app));
    Router::new()
        .fallback_service(inner)
        .layer(from_fn(method_override::resolve))
        .layer(from_fn(version::negotiate))
        .layer(from_fn_with_state(Arc::clone(&app), deadline::keep))
        .layer(from_fn_with_state(app, trace::request))
}

/// Adds the preflight and the refusal of other methods to a path.
fn complete(app: &Arc<App>, path: PathRoutes) -> MethodRouter<Arc<App>> {
    let PathRoutes { handlers: methods, methods: allowed, rules } = path;
    let mut names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    if rules.cors != Cors::Closed {
        names.push("OPTIONS");
    }
    let allow = names.join(", ");
    let refused = allow.clone();
    let methods = methods.fallback(move || {
        let allow = refused.clone();
        async move { method_not_allowed(&allow) }
    });
    if rules.cors == Cors::Closed {
        return methods;
    }
    let app = Arc::clone(app);
    methods.options(move |request: Request| {
        let (app, allow) = (Arc::clone(&app), allow.clone());
        async move { preflight(&app, rules, guard::host(&request), request.headers().get(ORIGIN).cloned(), &allow).await }
    })
}

async fn preflight(
    app: &App,
    rules: Rules,
    host: Option<url::Host<String>>,
    origin: Option<HeaderValue>,
    allow: &str,
) -> Response {
    let instance = match rules.caller {
        Caller::Operator | Caller::SecretKey => None,
        _ => guard::by_host(app, host).await.ok(),
    };
    cors::preflight(rules.cors, instance.as_deref(), origin.as_ref(), allow)
}

fn method_not_allowed(allow: &str) -> Response {
    let mut response = pages::error::refusal(None, code::METHOD_NOT_ALLOWED.into());
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// No such path here. A page of the instance may read that, too: the SDK parses every answer.
async fn unknown(State(app): State<Arc<App>>, request: Request) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let (host, is_published) = (guard::host(&request), not_offered::is_published(request.uri().path()));
    let mut response = match is_published {
        true => Failure::from(code::FEATURE_NOT_ENABLED).into_response(),
        false => pages::error::not_found(),
    };
    if origin.is_some() {
        let instance = guard::by_host(&app, host).await.ok();
        cors::allow(Cors::Instance, instance.as_deref(), origin.as_ref(), &mut response);
    }
    response
}
