//! The third journey: a third-party client signs the user in by authorization code with PKCE.

use reqwest::Method;
use serde_json::json;
use url::Url;

use super::browser::{Answer, Browser};
use super::{Failed, Walk, want};
use crate::crypto::ExposeSecret;

/// The client's redirect URI; nobody listens there, the walk only looks at the address.
const CALLBACK: &str = "http://127.0.0.1:9/callback";
/// The example pair of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A registered client.
struct Client {
    id: String,
    secret: String,
}

/// Registers a client, gets tokens, reads userinfo, refreshes, and is denied once.
pub(super) async fn journey(walk: &mut Walk<'_>, browser: &Browser) -> Result<(), Failed> {
    let client = register(walk, browser).await?;
    let step = "consent";
    let allowed = authorize(walk, browser, step, &client, "true").await?;
    let code = want(step, allowed.parameter("code"), "a code", &allowed)?;
    walk.done("the user allows it on the consent page");
    let step = "token";
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = token(walk, browser, step, &client, &form).await?;
    let access = want(step, tokens.at("/access_token"), "an access token", &tokens)?;
    let refresh = want(step, tokens.at("/refresh_token"), "a refresh token", &tokens)?;
    want(step, tokens.at("/id_token"), "an ID token", &tokens)?;
    walk.done("the client trades the code for tokens");
    let step = "userinfo";
    let request = browser.raw(Method::GET, &walk.url("/oauth/userinfo")).bearer_auth(access);
    let answer = browser.send(step, request).await?;
    want(step, answer.has_text("/email", "ada@example.com"), "the user's address", &answer)?;
    walk.done("and reads userinfo");
    let step = "refresh";
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
    let rotated = token(walk, browser, step, &client, &form).await?;
    let next = rotated.at("/refresh_token").filter(|next| *next != refresh);
    want(step, next, "another refresh token", &rotated)?;
    walk.done("and rotates the refresh token");
    let step = "denial";
    let denied = authorize(walk, browser, step, &client, "false").await?;
    let is_denied = denied.parameter("error").is_some_and(|error| error == "access_denied");
    want(step, is_denied.then_some(()), "access_denied", &denied)?;
    walk.done("a denial is reported to the client");
    Ok(())
}

async fn register(walk: &mut Walk<'_>, browser: &Browser) -> Result<Client, Failed> {
    let step = "register an OAuth application";
    let body = json!({ "name": "Selftest", "callback_url": CALLBACK, "scopes": "profile email" });
    let request = browser.raw(Method::POST, &walk.url("/v1/oauth_applications")).json(&body);
    let answer = browser.send(step, request.bearer_auth(walk.target.secret_key.expose_secret())).await?;
    let id = want(step, answer.at("/client_id"), "a client id", &answer)?;
    let secret = want(step, answer.at("/client_secret"), "a client secret", &answer)?;
    walk.done("a third-party client is registered");
    Ok(Client { id, secret })
}

/// Opens the authorization endpoint and answers the consent page.
async fn authorize(
    walk: &Walk<'_>,
    browser: &Browser,
    step: &'static str,
    client: &Client,
    consented: &str,
) -> Result<Answer, Failed> {
    let parameters = [
        ("response_type", "code"),
        ("client_id", client.id.as_str()),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email"),
        ("state", "selftest-state"),
        ("prompt", "consent"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let failed = |_| Failed { step, what: "the origin is no address".to_owned() };
    let url = Url::parse_with_params(&walk.url("/oauth/authorize"), parameters).map_err(failed)?;
    let asked = browser.get(step, url.as_str()).await?;
    let page = asked.location.as_deref().and_then(|location| url.join(location).ok());
    let page = want(step, page.filter(|page| page.path() == "/oauth-consent"), "the consent page", &asked)?;
    let shown = browser.get(step, page.as_str()).await?;
    want(step, shown.body.contains("Selftest").then_some(()), "a page that names the application", &shown)?;
    let mut fields = hidden_fields(&shown.body);
    fields.push(("consented".to_owned(), consented.to_owned()));
    let form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(step, &walk.url("/oauth-consent"), &form).await
}

/// The hidden inputs of a page of ours.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let attribute = |tag: &str, name: &str| {
        let rest = tag.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let unescape = |text: String| {
        let text = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&")
            .replace("&amp;", "&")
    };
    let tags = page.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
    let hidden = tags.filter(|tag| tag.contains("type=\"hidden\""));
    hidden.filter_map(|tag| Some((attribute(tag, "name")?, unescape(attribute(tag, "value")?)))).collect()
}

async fn token(
    walk: &Walk<'_>,
    browser: &Browser,
    step: &'static str,
    client: &Client,
    form: &[(&str, &str)],
) -> Result<Answer, Failed> {
    let request = browser.raw(Method::POST, &walk.url("/oauth/token")).basic_auth(&client.id, Some(&client.secret));
    let answer = browser.send(step, request.form(form)).await?;
    want(step, (answer.status == 200).then_some(()), "tokens", &answer)?;
    Ok(answer)
}
