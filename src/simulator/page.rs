//! The pages of a simulated provider. They work without script, and their buttons are a contract for tests
//! (pages.md section 8).

use super::answer::Answer;
use askama::Template;
use http::{StatusCode, header};

/// What the authorization page offers.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simulated {{ provider }}</title>
<link rel="stylesheet" href="{{ base }}/page.css">
</head>
<body>
<main id="main" data-page="simulator.authorize" data-state="{{ state }}">
<h1>Simulated {{ provider }}</h1>
<p>This is not {{ provider }}. A development instance without credentials of its own signs in made-up people here.</p>
{% if state == "nobody" %}<p role="alert">Enter an address, or choose a person.</p>{% endif %}
<form method="post">
<p><label for="email">E-mail address of a new person, or of any other</label>
<input type="email" id="email" name="email" value="{{ email }}" autocomplete="off">
<button type="submit">Continue</button></p>
<input type="hidden" name="shown" value="1">
{% if has_email_flag %}<p><label><input type="checkbox" name="verified" value="1" checked> The address is verified</label></p>{% endif %}
{% if !scopes.is_empty() %}<fieldset><legend>Scopes to grant</legend>
{% for scope in scopes %}<label><input type="checkbox" name="scope" value="{{ scope }}" checked> {{ scope }}</label>
{% endfor %}</fieldset>{% endif %}
<h2>Saved people</h2>
<p>{% for (address, name) in people %}<button name="person" value="{{ address }}" formnovalidate>{{ name }} ({{ address }})</button>
{% endfor %}<button id="noemail" name="noemail" value="1" formnovalidate>A new person without an address</button></p>
<h2>Failures</h2>
<p><label for="fail">Fail with</label>
<select id="fail" name="fail"><option value="">nothing</option><option value="deny">deny</option></select>
<button id="denied" name="deny" value="1" formnovalidate>Cancel</button></p>
</form>
</main>
</body>
</html>
"#
)]
pub(super) struct Offer<'a> {
    pub provider: &'a str,
    pub base: &'a str,
    pub state: &'a str,
    pub email: &'a str,
    pub has_email_flag: bool,
    pub scopes: &'a [String],
    pub people: &'a [(String, String)],
}

impl Offer<'_> {
    /// The page.
    pub(super) fn html(&self) -> askama::Result<String> {
        self.render()
    }
}

/// A request that is answered to the person, not to the client.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simulated {{ provider }}: error</title>
<link rel="stylesheet" href="{{ base }}/page.css">
</head>
<body>
<main id="main" data-page="simulator.authorize" data-state="refused">
<h1>Simulated {{ provider }}</h1>
<p role="alert">{{ words }}</p>
<p>The real {{ provider }} shows a page of its own here too, and tells the application nothing.</p>
</main>
</body>
</html>
"#
)]
struct Refusal<'a> {
    provider: &'a str,
    base: &'a str,
    words: &'a str,
}

/// The page for a request whose sender or address cannot be trusted.
pub(super) fn refusal(provider: &str, base: &str, words: &str) -> Answer {
    let html = Refusal { provider, base, words }.render();
    Answer::page(StatusCode::BAD_REQUEST, html.unwrap_or_else(|_| words.to_owned()))
}

/// The pages' style.
pub(super) fn stylesheet() -> Answer {
    let headers = vec![(header::CONTENT_TYPE, "text/css; charset=utf-8".to_owned())];
    Answer { status: StatusCode::OK, headers, body: STYLE.to_owned() }
}

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 36rem; margin: 2rem auto; padding: 0 1rem }
button, input, select { font: inherit; min-height: 2.5rem; padding: 0 .75rem; margin: .25rem .25rem .25rem 0 }
input[type=checkbox] { min-height: 1.25rem; width: 1.25rem }
label { display: block }
fieldset { margin: 1rem 0 }
";
