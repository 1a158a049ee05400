//! The texts of the messages. Plain: what the code or link is for, how long it works, and what to do if nobody asked.

use askama::Template;

use super::delivery::Mail;
use super::method::VerificationMethod;
use crate::context::Ctx;
use crate::model::email::EmailAddress;
use crate::model::problem::{Error, Result};

/// What the verification is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody signs in.
    SignIn,
    /// Somebody has forgotten their password.
    NewPassword,
    /// Somebody says that the address is theirs.
    Address,
    /// Somebody who is signed in does something important.
    Reverification,
}

impl Purpose {
    fn words(self) -> &'static str {
        match self {
            Self::SignIn => "sign in",
            Self::NewPassword => "choose a new password",
            Self::Address => "verify your e-mail address",
            Self::Reverification => "confirm that it is you",
        }
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ subject }}</title></head>
<body>
<p>{{ lead }}</p>
{% if let Some(code) = code %}<p><strong>{{ code }}</strong></p>
{% endif %}{% if let Some(link) = link %}<p><a href="{{ link }}">{{ link }}</a></p>
{% endif %}<p>{{ life }}</p>
<p>{{ ignore }}</p>
</body></html>
"#
)]
struct Html<'a> {
    subject: &'a str,
    lead: &'a str,
    code: Option<&'a str>,
    link: Option<&'a str>,
    life: &'a str,
    ignore: &'a str,
}

/// The mail that carries `secret`. The link's host is the configured origin, whatever host the request named.
pub(super) fn mail(
    ctx: &Ctx,
    to: &EmailAddress,
    method: VerificationMethod<'_>,
    purpose: Purpose,
    secret: &str,
) -> Result<Mail> {
    let name = ctx.instance.display_name();
    let mark = if ctx.instance.shows_development_banner() { "[Development] " } else { "" };
    let purpose = purpose.words();
    let (code, link) = match method {
        VerificationMethod::Code | VerificationMethod::ResetCode => (Some(secret.to_owned()), None),
        VerificationMethod::Link(_) => (None, Some(ctx.instance.url(&format!("/v1/verify?token={secret}")))),
    };
    let (subject, lead, life) = match &code {
        Some(code) => (
            format!("{mark}{code} is your {name} code"),
            format!("Type this code to {purpose} at {name}:"),
            "The code works for 10 minutes, once. Nobody from us will ever ask you for it.",
        ),
        None => (
            format!("{mark}Your {name} link"),
            format!("Open this link to {purpose} at {name}:"),
            "The link works for 10 minutes, once.",
        ),
    };
    let ignore = "If you did not ask for this, somebody typed your address by mistake: ignore this message.";
    let shown = code.as_deref().or(link.as_deref()).unwrap_or_default();
    let text = format!("{lead}\n\n    {shown}\n\n{life}\n{ignore}\n");
    let html = Html { subject: &subject, lead: &lead, code: code.as_deref(), link: link.as_deref(), life, ignore };
    let html = html.render().map_err(Error::internal)?;
    let until = (ctx.app.clock.now() + crate::model::verification::LIFE).unix_timestamp();
    Ok(Mail { to: to.as_str().to_owned(), subject, text, html, code, link, until })
}
