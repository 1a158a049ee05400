//! Pages that send the browser on where a redirect cannot: the form_post response of the authorization endpoint, and
//! a link with a refresh for places that a policy cannot spell.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};

use super::assets;
use super::content_security_policy::FormTarget;
use super::layout::{Layout, Reply, form_post_page, page};
use crate::actions::configured::EnabledProvider;
use crate::context::Ctx;
use crate::model::instance::Instance;
use crate::model::oauth::redirect_uri;

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    shell: Layout,
    auto: &'a str,
    action: &'a str,
    place: &'a str,
    fields: &'a [(&'a str, &'a str)],
}

#[derive(Template)]
#[template(path = "go.html")]
struct GoPage<'a> {
    shell: Layout,
    target: &'a str,
    place: &'a str,
}

/// On to the provider: by a redirect to a simulated one, which is our own origin, and by a page to a real one. A browser
/// stops the redirects after a form at the first origin that the form's page does not name, and real providers send on
/// between hosts of theirs that nobody can list.
pub fn send_to(ctx: &Ctx, provider: Option<&EnabledProvider>, url: &str) -> Response {
    match provider.is_some_and(|provider| provider.is_simulated) {
        true => Redirect::to(url).into_response(),
        false => go(&ctx.instance, url),
    }
}

/// The provider's origin, for the policy of the page that starts it; the simulation is our own.
pub fn leads_to(provider: &EnabledProvider) -> Option<FormTarget> {
    let real = provider.authorization_url.as_deref().filter(|_| !provider.is_simulated);
    real.and_then(FormTarget::of_url)
}

/// Posts an authorization response to a client (OAuth 2.0 Form Post Response Mode).
/// `matched` is a redirect URI that matched a registered one; `fields` are sent as they are.
pub fn form_post(instance: &Instance, matched: &str, fields: &[(&str, &str)]) -> Response {
    let shell = Layout::new(instance, "oauth.form-post", "sent", "form_post.step");
    let view = FormPostPage {
        shell,
        auto: &assets::FORM_POST.path,
        action: matched,
        place: redirect_uri::host(matched).unwrap_or(matched),
        fields,
    };
    form_post_page(&view, FormTarget::of_redirect_uri(matched).as_ref())
}

/// Sends the browser on by a refresh and a link: for the answer to a form whose page could not name the place in its
/// policy. `matched` is a redirect URI that matched a registered one, response parameters added, or another validated
/// target.
pub fn go(instance: &Instance, matched: &str) -> Response {
    let shell = Layout::new(instance, "go", "sent", "go.step");
    let place = redirect_uri::host(matched).or_else(|| matched.split(':').next()).unwrap_or(matched);
    page(&GoPage { shell, target: matched, place }, Reply::default())
}
