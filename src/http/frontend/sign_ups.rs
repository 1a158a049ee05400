//! `/v1/client/sign_ups`: sign-up attempts.

use axum::extract::Path;

use super::super::answer::{self, Resource};
use super::super::extract::{Body, Browser, Params};
use super::super::problem::Answer;
use super::super::views;
use super::sign_ins::{is_blank, request};
use crate::context::Ctx;
use crate::flows;
use crate::flows::client::Acted;
use crate::flows::social::start;
use crate::flows::social::transfer;
use crate::model::linking::Started;
use crate::model::problem::{Problem, code};
use crate::store::attempts::SignUpFields;

/// The largest metadata object, in bytes.
const METADATA_SIZE: usize = 8 * 1024;
/// The longest name, in characters.
const NAME_LENGTH: usize = 256;

/// `POST /v1/client/sign_ups`: begins a sign-up with a provider, or takes one over from a sign-in (`transfer=true`).
pub async fn create(ctx: Ctx, browser: Browser, Body(params): Body) -> Answer {
    let token = browser.hash(&ctx);
    let fields = fields(&params)?;
    if params.flag("transfer")? == Some(true) {
        let moved = transfer::transfer(&ctx, token.as_ref(), Started::SignUp, &fields).await?;
        let attempt = flows::attempt::sign_up(&ctx, &moved.acted.client, &moved.attempt).await?;
        let shown = views::sign_up::sign_up(&attempt, &ctx.instance.settings, ctx.now);
        return answer::acted(&ctx, &browser, &moved.acted, Resource::Shown(shown)).await;
    }
    if is_blank(&params) {
        let acted = start::blank(&ctx, token.as_ref(), Started::SignUp, &fields).await?;
        return answer::acted(&ctx, &browser, &acted, Resource::SignUp).await;
    }
    let mut request = request(&params)?;
    request.fields = fields;
    let acted = start::start(&ctx, token.as_ref(), Started::SignUp, request).await?;
    answer::acted(&ctx, &browser, &acted, Resource::SignUp).await
}

/// What an app may send along.
fn fields(params: &Params) -> Result<SignUpFields, Problem> {
    let name = |param: &str| match params.text(param) {
        Some(name) if name.chars().count() > NAME_LENGTH => {
            Err(Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(param))
        }
        name => Ok(name.map(str::to_owned)),
    };
    let unsafe_metadata = params.object("unsafe_metadata")?;
    if unsafe_metadata.as_ref().is_some_and(|metadata| metadata.to_string().len() > METADATA_SIZE) {
        return Err(Problem::new(code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE).param("unsafe_metadata"));
    }
    Ok(SignUpFields {
        unsafe_metadata,
        first_name: name("first_name")?,
        last_name: name("last_name")?,
        locale: params.text("locale").filter(|locale| locale.len() <= 35).map(str::to_owned),
        legal_accepted: params.flag("legal_accepted")? == Some(true),
    })
}

/// `GET /v1/client/sign_ups/{id}`: the client's current sign-up.
pub async fn show(ctx: Ctx, browser: Browser, Path(id): Path<String>) -> Answer {
    let client = flows::client::read(&ctx, browser.hash(&ctx).as_ref()).await?.ok_or(code::RESOURCE_NOT_FOUND)?;
    let attempt = client.sign_up.as_ref().filter(|attempt| attempt.id.as_str() == id);
    let shown = attempt.map(|attempt| views::sign_up::sign_up(attempt, &ctx.instance.settings, ctx.now));
    let shown = Resource::Shown(shown.ok_or(code::RESOURCE_NOT_FOUND)?);
    answer::acted(&ctx, &browser, &Acted { client, issued: None }, shown).await
}
