//! Somebody with a browser without script, who presses buttons on our pages.

use crate::support::{Answer, Browser};
use http::Method;

/// Opens an address as a browser that navigates.
pub async fn open(browser: &Browser, url: impl AsRef<str>) -> Answer {
    browser.send(browser.request(Method::GET, url.as_ref()).header("accept", "text/html")).await
}

/// A form as it stands on a page.
#[derive(Clone, Debug)]
pub struct Form {
    /// Absolute address that it is posted to.
    pub action: String,
    fields: Vec<(String, String)>,
    origin: String,
}

impl Form {
    /// The page's first form, with its hidden fields and ticked boxes.
    #[track_caller]
    pub fn on(page: &Answer) -> Self {
        Self::with_a(page, "")
    }

    /// The page's first form that holds `part`.
    #[track_caller]
    pub fn with_a(page: &Answer, part: &str) -> Self {
        let forms = page.text.split("<form").skip(1).map(|rest| rest.split("</form>").next().unwrap());
        let form = forms.into_iter().find(|form| form.contains(part));
        let form = form.unwrap_or_else(|| panic!("no form with {part}: {} {}", page.status, page.text));
        let attribute = |tag: &str, name: &str| {
            let value = tag.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next());
            value.map(unescaped).unwrap_or_default()
        };
        let action = page.url.join(&attribute(form.split('>').next().unwrap(), "action")).unwrap();
        let tags = form.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap());
        let sent = tags.filter(|tag| tag.contains("type=\"hidden\"") || tag.contains(" checked"));
        let fields = sent.map(|tag| (attribute(tag, " name"), attribute(tag, " value"))).collect();
        Self { action: action.to_string(), fields, origin: page.url.origin().ascii_serialization() }
    }

    /// The value of a field.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        &self.fields.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// The same form with another value in a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Posts it as the browser would from its page, with a pressed button.
    pub async fn press(&self, browser: &Browser, name: &str, value: &str) -> Answer {
        let headers = [("origin", self.origin.as_str()), ("sec-fetch-site", "same-origin")];
        self.post(browser, &headers, &[(name, value)]).await
    }

    /// Posts it with these headers.
    pub async fn post(&self, browser: &Browser, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = fields.chain(more.iter().copied()).collect();
        let request = browser.request(Method::POST, &self.action).header("accept", "text/html").form(&fields);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        browser.send(request).await
    }
}

/// `data-page` and `data-state`.
#[track_caller]
pub fn state(page: &Answer) -> (String, String) {
    let attribute = |name: &str| between(&page.text, &format!("{name}=\""), "\"").to_owned();
    (attribute("data-page"), attribute("data-state"))
}

/// The first text between two others.
#[track_caller]
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let Some((_, rest)) = text.split_once(before) else { panic!("no {before} in {text}") };
    rest.split(after).next().unwrap()
}

/// Our templates escape five characters by number.
fn unescaped(text: &str) -> String {
    let pairs = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}
