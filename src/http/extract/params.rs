//! Parameters of a request: query, form body or JSON body, read by name with the conventions of both APIs:
//! an empty text is absent, lists are repeated keys with or without brackets,
//! booleans are `true`, `false`, `1`, `0`.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value};

use super::super::body;
use super::super::problem::Failure;
use super::json;
use crate::model::problem::{Problem, code};

/// The most fields of a form.
const MAX_FIELDS: usize = 100;

/// Named parameters.
#[derive(Clone, Debug, Default)]
pub struct Params(Map<String, Value>);

/// Parameters from the query.
pub struct Query(pub Params);

/// Parameters from the body.
pub struct Body(pub Params);

impl Params {
    /// Reads `key=value` pairs; repeated keys become lists.
    ///
    /// # Errors
    /// `request_body_invalid` above 100 fields or with a NUL character.
    pub fn from_form(encoded: &[u8]) -> Result<Self, Problem> {
        let mut map = Map::new();
        for (count, (key, value)) in url::form_urlencoded::parse(encoded).enumerate() {
            if count >= MAX_FIELDS || key.contains('\0') || value.contains('\0') {
                return Err(code::REQUEST_BODY_INVALID.into());
            }
            let key = key.strip_suffix("[]").unwrap_or(&key).to_owned();
            let value = Value::String(value.into_owned());
            match map.get_mut(&key) {
                None => {
                    map.insert(key, value);
                }
                Some(Value::Array(list)) => list.push(value),
                Some(single) => *single = Value::Array(vec![single.take(), value]),
            }
        }
        Ok(Self(map))
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// `request_body_invalid` if it is none, or names a member twice at any depth.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match json::parse(bytes) {
            Ok(Value::Object(map)) if !names_nul(bytes) => Ok(Self(map)),
            _ => Err(code::REQUEST_BODY_INVALID.into()),
        }
    }

    /// Refuses members that are not in `known`, up to a hundred of them at once (backend API): an answer must not be many
    /// times longer than its request.
    ///
    /// # Errors
    /// `form_param_unknown` for each.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.0.keys().filter(|key| !known.contains(&key.as_str()));
        let refused = unknown.take(MAX_FIELDS).map(|key| Problem::new(code::FORM_PARAM_UNKNOWN).param(key));
        refused.reduce(Problem::and).map_or(Ok(()), Err)
    }

    /// The member `name` as it was sent, null included.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text under `name`; empty, null and absent are one. Of a repeated key the last counts.
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        let value = value.as_array().map_or(Some(value), |list| list.last())?;
        value.as_str().filter(|text| !text.is_empty())
    }

    /// The text under `name`.
    ///
    /// # Errors
    /// `form_param_missing`.
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| Problem::new(code::FORM_PARAM_MISSING).param(name))
    }

    /// The boolean under `name`.
    ///
    /// # Errors
    /// `form_param_format_invalid`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => match self.text(name) {
                None => Ok(None),
                Some("true" | "1") => Ok(Some(true)),
                Some("false" | "0") => Ok(Some(false)),
                Some(_) => Err(Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(name)),
            },
        }
    }

    /// The texts under `name`, in order.
    pub fn list(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).collect(),
            _ => self.text(name).into_iter().collect(),
        }
    }

    /// The number under `name`.
    ///
    /// # Errors
    /// `form_param_format_invalid`.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let wrong = || Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(name);
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => number.as_i64().ok_or_else(wrong).map(Some),
            Some(_) => self.text(name).map(|text| text.parse().map_err(|_| wrong())).transpose(),
        }
    }

    /// The JSON object under `name`: a member of a JSON body, or JSON text in a form.
    ///
    /// # Errors
    /// `form_param_format_invalid`.
    pub fn object(&self, name: &str) -> Result<Option<Value>, Problem> {
        let wrong = || Problem::new(code::FORM_PARAM_FORMAT_INVALID).param(name);
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Value::Object(map.clone()))),
            Some(_) => match self.text(name) {
                None => Ok(None),
                Some(text) => match json::parse(text.as_bytes()) {
                    Ok(Value::Object(map)) if !names_nul(text.as_bytes()) => Ok(Some(Value::Object(map))),
                    _ => Err(wrong()),
                },
            },
        }
    }
}

/// True if JSON text spells a NUL character, which Postgres stores neither as text nor inside `jsonb`.
fn names_nul(json: &[u8]) -> bool {
    json.windows(6).any(|window| window == b"\\u0000")
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(Params::from_form(parts.uri.query().unwrap_or_default().as_bytes())?))
    }
}

/// How a body is written.
enum BodyFormat {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`
    Json,
}

impl BodyFormat {
    /// What the headers say; `None` for nothing and for what is not read here.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let named = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        let known = [("application/x-www-form-urlencoded", Self::Form), ("application/json", Self::Json)];
        known.into_iter().find(|(name, _)| *name == named).map(|(_, format)| format)
    }
}

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let format = BodyFormat::of(request.headers());
        let bytes = body::read(request.into_body()).await.map_err(body::Unreadable::code)?;
        match format {
            Some(BodyFormat::Form) => Ok(Self(Params::from_form(&bytes)?)),
            Some(BodyFormat::Json) => Ok(Self(Params::from_json(&bytes)?)),
            None if bytes.is_empty() => Ok(Self(Params::default())),
            None => Err(code::UNSUPPORTED_CONTENT_TYPE.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms_by_the_conventions_of_both_apis() {
        let params = Params::from_form(b"a=1&list=x&list=y&ids[]=p&empty=&flag=true&meta=%7B%22k%22%3A1%7D").unwrap();
        assert_eq!(params.text("a"), Some("1"));
        assert_eq!(params.text("empty"), None);
        assert_eq!(params.list("list"), ["x", "y"]);
        assert_eq!(params.list("ids"), ["p"]);
        assert_eq!(params.flag("flag"), Ok(Some(true)));
        assert_eq!(params.flag("a"), Ok(Some(true)));
        assert!(params.flag("list").is_err());
        assert_eq!(params.object("meta").unwrap().unwrap()["k"], 1);
        assert!(params.required("empty").is_err());
    }

    #[test]
    fn refuses_what_storage_cannot_hold_and_names_what_it_does_not_know() {
        assert!(Params::from_form(b"a=%00").is_err());
        assert!(Params::from_json(br#"{"a":"\u0000"}"#).is_err());
        assert!(Params::from_json(b"[]").is_err());
        let nested = Params::from_form(br#"meta={"a":"\u0000"}"#).unwrap();
        assert!(nested.object("meta").is_err(), "a NUL inside the JSON text of a form field");
        let doubled = Params::from_form(br#"meta={"a":{"b":1,"b":2}}"#).unwrap();
        assert!(doubled.object("meta").is_err(), "a member named twice inside it");
        let refused =
            Params::from_json(br#"{"name":1,"nmae":2,"x":3}"#).unwrap().refuse_unknown(&["name"]).unwrap_err();
        assert_eq!(refused.errors.len(), 2);
        assert_eq!(refused.errors[0].meta["param_name"], "nmae");
        let many: Map<String, Value> = (0..5_000).map(|number| (number.to_string(), Value::Null)).collect();
        assert_eq!(
            Params(many).refuse_unknown(&[]).unwrap_err().errors.len(),
            MAX_FIELDS,
            "the answer has its bounds too"
        );
    }
}
