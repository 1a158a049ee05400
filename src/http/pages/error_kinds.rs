//! The kinds of error pages and which refusal is shown as which.

use http::StatusCode;

use crate::model::problem::{Problem, code};

/// What the one main action of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Main {
    /// Load the page again.
    Reload,
    /// To the application's home.
    Home,
    /// To the sign-in page.
    SignIn,
}

/// How a refusal is shown.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `data-state`.
    pub state: &'static str,
    /// The page's status; for some refusals another than the JSON answer's.
    pub status: StatusCode,
    /// What went wrong: a key of the message file.
    pub heading: &'static str,
    /// What to do next: a key of the message file.
    pub next: &'static str,
    /// The main action.
    pub action: Main,
}

macro_rules! kinds {
    ($($constant:ident = $state:literal $status:ident $heading:literal $next:literal $action:ident;)*) => {
        $(const $constant: Kind = Kind {
            state: $state,
            status: StatusCode::$status,
            heading: $heading,
            next: $next,
            action: Main::$action,
        };)*
        #[cfg(test)]
        pub(super) const ALL: &[Kind] = &[$($constant),*];
    };
}

kinds! {
    NOT_FOUND = "not-found" NOT_FOUND "error_page.not_found" "error_page.not_found_next" Home;
    BAD_REQUEST = "bad-request" BAD_REQUEST "error_page.bad_request" "error_page.bad_request_next" Home;
    UNAUTHENTICATED = "signed-out" UNAUTHORIZED "error_page.forbidden" "error_page.forbidden_next" SignIn;
    FORBIDDEN = "forbidden" FORBIDDEN "error_page.forbidden" "error_page.forbidden_next" Home;
    FORM_INVALID = "form-invalid" FORBIDDEN "error_page.form_invalid" "error_page.form_invalid_next" Reload;
    METHOD = "method" METHOD_NOT_ALLOWED "error_page.method" "error_page.method_next" Home;
    TOO_SLOW = "too-slow" REQUEST_TIMEOUT "error_page.too_slow" "error_page.too_slow_next" Reload;
    TOO_LARGE = "too-large" PAYLOAD_TOO_LARGE "error_page.too_large" "error_page.too_large_next" Reload;
    MEDIA_TYPE = "media-type" UNSUPPORTED_MEDIA_TYPE "error_page.media_type" "error_page.media_type_next" Reload;
    GONE = "gone" GONE "error_page.gone" "error_page.gone_next" Home;
    RATE_LIMITED = "rate-limited" TOO_MANY_REQUESTS "error_page.rate_limited" "error_page.rate_limited_next" Reload;
    SERVER_ERROR = "server-error" INTERNAL_SERVER_ERROR "error_page.server_error" "error_page.server_error_next" Reload;
    UNAVAILABLE = "unavailable" SERVICE_UNAVAILABLE "error_page.unavailable" "error_page.unavailable_next" Reload;
}

/// The kind of `problem`, which is answered with `status`. A refusal without a kind of its own is a request that cannot be understood.
pub fn of(problem: &Problem, status: StatusCode) -> Kind {
    let name = problem.code().name;
    if name == code::FORM_INVALID.name {
        return FORM_INVALID;
    }
    // An unknown host has no pages at all, so each of them is missing.
    if name == code::HOST_INVALID.name {
        return NOT_FOUND;
    }
    match status.as_u16() {
        401 => UNAUTHENTICATED,
        403 => FORBIDDEN,
        404 => NOT_FOUND,
        405 => METHOD,
        408 => TOO_SLOW,
        410 => GONE,
        413 => TOO_LARGE,
        415 => MEDIA_TYPE,
        429 => RATE_LIMITED,
        503 => UNAVAILABLE,
        500.. => SERVER_ERROR,
        _ => BAD_REQUEST,
    }
}

/// What a developer should know of `problem`: code, parameter, sentence.
pub fn details(problem: &Problem) -> Vec<String> {
    let item = |item: &crate::model::problem::ErrorItem| {
        let parameter = item.meta.get("param_name").and_then(|name| name.as_str());
        let parameter = parameter.map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{}{parameter}: {}", item.code.name, item.long_message)
    };
    problem.errors.iter().map(item).collect()
}
