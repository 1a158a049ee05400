//! `_method`: the browser SDK sends `PATCH`, `PUT` and `DELETE` as `POST` with the true method in the query.
//! Resolved before routing, limits and checks.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::Method;

/// Replaces the method of a `POST` that names one of the three others.
pub async fn resolve(mut request: Request, next: Next) -> Response {
    if *request.method() == Method::POST
        && let Some(method) = request.uri().query().and_then(overriding)
    {
        *request.method_mut() = method;
    }
    next.run(request).await
}

/// The method that `query` asks for.
fn overriding(query: &str) -> Option<Method> {
    let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "_method")?;
    [Method::PATCH, Method::PUT, Method::DELETE].into_iter().find(|method| method.as_str() == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_methods_count() {
        assert_eq!(overriding("a=b&_method=PATCH"), Some(Method::PATCH));
        assert_eq!(overriding("_method=DELETE"), Some(Method::DELETE));
        for query in ["", "_method=", "_method=GET", "_method=patch", "_method=TRACE", "method=PUT"] {
            assert_eq!(overriding(query), None, "{query}");
        }
    }
}
