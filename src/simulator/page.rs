//! The pages of a simulated provider. They work without script, and their buttons are a contract for tests.

use super::answer::Answer;
use crate::model::text_enum::text_enum;
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
{% if state.is_without_person() %}<p role="alert">Enter an address, or choose a person.</p>{% endif %}
{% if state.is_without_fault() %}<p role="alert">There is no such fault.</p>{% endif %}
<form method="post">
<label for="email">E-mail address of a new person, or of any other</label>
<div class="row"><input type="email" id="email" name="email" value="{{ email }}" autocomplete="off">
<button type="submit">Continue</button></div>
<input type="hidden" name="shown" value="1">
{% if has_email_flag %}<label><input type="checkbox" name="verified" value="1" checked> The address is verified</label>{% endif %}
{% if !scopes.is_empty() %}<fieldset><legend>Scopes to grant</legend>
{% for scope in scopes %}<label><input type="checkbox" name="scope" value="{{ scope }}" checked> {{ scope }}</label>
{% endfor %}</fieldset>{% endif %}
<h2>Saved people</h2>
<div class="people">{% for (address, name) in people %}<button name="person" value="{{ address }}" formnovalidate>{{ name }} ({{ address }})</button>
{% endfor %}<button id="noemail" name="noemail" value="1" formnovalidate>A new person without an address</button></div>
<h2>Failures</h2>
<label for="fail">Fail with</label>
<div class="row"><select id="fail" name="fail"><option value="">nothing</option>{% for fault in faults %}<option>{{ fault }}</option>{% endfor %}</select>
<button id="denied" name="deny" value="1" formnovalidate>Cancel</button></div>
</form>
</main>
</body>
</html>
"#
)]
pub(super) struct ApprovalPage<'a> {
    pub provider: &'a str,
    pub base: &'a str,
    pub state: ApprovalState,
    pub email: &'a str,
    pub has_email_flag: bool,
    pub scopes: &'a [String],
    pub people: &'a [(String, String)],
    pub faults: &'a [&'a str],
}

text_enum! {
    /// What the page says: its `data-state`.
    pub enum ApprovalState {
        /// Who shall sign in?
        Ready = "ready",
        /// The form named nobody.
        Nobody = "nobody",
        /// There is no such fault.
        NoFault = "no-fault",
    }
}

impl ApprovalState {
    fn is_without_person(self) -> bool {
        self == Self::Nobody
    }

    fn is_without_fault(self) -> bool {
        self == Self::NoFault
    }
}

impl ApprovalPage<'_> {
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
    Answer::new(StatusCode::OK, headers, STYLE.to_owned())
}

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; --line: #888 }
* { box-sizing: border-box }
body { margin: 0; border-top: .5rem solid; border-image: repeating-linear-gradient(-45deg, #e5a50a 0 1rem, #333 1rem 2rem) 8 }
main { max-width: 32rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem }
h1 { margin: 0; font-size: 1.5rem }
h2 { margin: 2rem 0 .75rem; font-size: 1.125rem }
button, input, select { font: inherit; max-width: 100%; min-height: 2.75rem; padding: .25rem .75rem; border: 1px solid var(--line); border-radius: .5rem }
button { cursor: pointer }
:focus-visible { outline: 2px solid; outline-offset: 2px }
input[type=checkbox] { min-height: 0; width: 1.25rem; height: 1.25rem; margin: 0; flex: none }
label { display: block; margin-block-end: .25rem }
label:has(input) { display: flex; align-items: center; gap: .6rem; min-height: 2.75rem; margin: 0 }
fieldset { margin: 1rem 0; padding: .25rem 1rem; border: 1px solid var(--line); border-radius: .5rem }
.row { display: flex; flex-wrap: wrap; gap: .5rem }
.row input { flex: 1 1 14rem; min-width: 0 }
.people { display: grid; gap: .5rem }
.people button { text-align: start }
[role=alert] { padding: .75rem 1rem; border-inline-start: .25rem solid #c01c28 }
";
