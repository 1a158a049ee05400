//! `/v1/oauth_applications`: the backend API's view of OAuth applications.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;

use super::pagination::Page;
use crate::actions::applications;
use crate::context::Ctx;
use crate::crypto::ExposeSecret;
use crate::http::extract::{Backend, Body, Params, Query};
use crate::http::problem::Answer;
use crate::model::instance::Instance;
use crate::model::oauth::application::{Application, Kind, NewApplication};
use crate::model::problem::{Problem, code};
use crate::model::time::millis;
use crate::store::audit::Actor;
use crate::store::oauth_applications::{Direction, Listing, OrderBy};

/// An OAuth application as the published API shows it.
#[derive(Serialize)]
pub struct OAuthApplication {
    object: &'static str,
    id: String,
    instance_id: String,
    name: String,
    client_id: String,
    client_uri: Option<String>,
    client_image_url: Option<String>,
    dynamically_registered: bool,
    consent_screen_enabled: bool,
    pkce_required: bool,
    public: bool,
    scopes: String,
    redirect_uris: Vec<String>,
    callback_url: String,
    authorize_url: String,
    token_fetch_url: String,
    user_info_url: String,
    discovery_url: String,
    token_introspection_url: String,
    created_at: i64,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

impl OAuthApplication {
    fn new(instance: &Instance, application: Application) -> Self {
        Self {
            object: "oauth_application",
            id: application.id.to_string(),
            instance_id: instance.id.to_string(),
            pkce_required: application.needs_pkce(),
            name: application.name,
            client_id: application.client_id,
            client_uri: application.client_uri,
            client_image_url: None,
            dynamically_registered: application.kind != Kind::Managed,
            consent_screen_enabled: application.consent_screen_enabled,
            public: application.is_public,
            scopes: application.scopes.to_string(),
            callback_url: application.redirect_uris.first().cloned().unwrap_or_default(),
            redirect_uris: application.redirect_uris,
            authorize_url: instance.url("/oauth/authorize"),
            token_fetch_url: instance.url("/oauth/token"),
            user_info_url: instance.url("/oauth/userinfo"),
            discovery_url: instance.url("/.well-known/openid-configuration"),
            token_introspection_url: instance.url("/oauth/token_info"),
            created_at: millis(application.created_at),
            updated_at: millis(application.updated_at),
            client_secret: None,
        }
    }
}

/// A page of applications.
#[derive(Serialize)]
pub struct OAuthApplications {
    data: Vec<OAuthApplication>,
    total_count: i64,
}

const MEMBERS: [&str; 7] =
    ["name", "redirect_uris", "callback_url", "scopes", "consent_screen_enabled", "pkce_required", "public"];

/// `POST /v1/oauth_applications`: makes an application; the only answer that ever holds its secret.
pub async fn create(ctx: Ctx, Backend(caller): Backend, Body(body): Body) -> Answer<Json<OAuthApplication>> {
    body.refuse_unknown(&MEMBERS)?;
    let owned = |name| body.text(name).map(str::to_owned);
    let new = NewApplication {
        name: owned("name"),
        redirect_uris: body.list("redirect_uris").into_iter().map(str::to_owned).collect(),
        callback_url: owned("callback_url"),
        scopes: owned("scopes"),
        consent_screen_enabled: body.flag("consent_screen_enabled")?,
        pkce_required: body.flag("pkce_required")?,
        public: body.flag("public")?,
    };
    let created = applications::create(&ctx, Actor::SecretKey(caller.key.to_string()), new).await?;
    let mut view = OAuthApplication::new(&ctx.instance, created.application);
    view.client_secret = created.client_secret.map(|secret| secret.expose_secret().to_owned());
    Ok(Json(view))
}

/// `GET /v1/oauth_applications/{id}`.
pub async fn show(ctx: Ctx, Path(id): Path<String>) -> Answer<Json<OAuthApplication>> {
    let application = applications::get(&ctx, &id).await?;
    Ok(Json(OAuthApplication::new(&ctx.instance, application)))
}

/// `GET /v1/oauth_applications`: newest first unless `order_by` says otherwise.
pub async fn list(ctx: Ctx, Query(query): Query) -> Answer<Json<OAuthApplications>> {
    let page = Page::read(&query)?;
    let listing =
        Listing { query: query.text("name_query"), order: order(&query)?, limit: page.limit, offset: page.offset };
    let (applications, total_count) = applications::list(&ctx, &listing).await?;
    let data = applications.into_iter().map(|one| OAuthApplication::new(&ctx.instance, one)).collect();
    Ok(Json(OAuthApplications { data, total_count }))
}

/// `+` or nothing is ascending, `-` descending.
fn order(query: &Params) -> Result<(OrderBy, Direction), Problem> {
    let Some(text) = query.text("order_by") else { return Ok((OrderBy::CreatedAt, Direction::Descending)) };
    // A `+` that was not encoded arrives as a space.
    let (direction, column) = match text.strip_prefix('-') {
        Some(column) => (Direction::Descending, column),
        None => (Direction::Ascending, text.trim_start_matches(['+', ' '])),
    };
    match column {
        "created_at" => Ok((OrderBy::CreatedAt, direction)),
        "name" => Ok((OrderBy::Name, direction)),
        _ => Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param("order_by")),
    }
}
