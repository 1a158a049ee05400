//! `limit`, `offset`, `paginated`: the conventions of lists.

use serde_json::{Value, json};

use super::super::extract::Params;
use crate::model::problem::{Problem, code};

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many, 1 to 500.
    pub limit: i64,
    /// After so many, 0 to 100 000.
    pub offset: i64,
}

impl Page {
    /// Reads the part that is asked for.
    ///
    /// # Errors
    /// `form_param_value_invalid`, `form_param_value_too_large`, `form_param_format_invalid`.
    pub fn read(params: &Params) -> Result<Self, Problem> {
        Ok(Self { limit: bounded(params, "limit", 10, 1, 500)?, offset: bounded(params, "offset", 0, 0, 100_000)? })
    }
}

fn bounded(params: &Params, name: &str, default: i64, least: i64, most: i64) -> Result<i64, Problem> {
    match params.number(name)? {
        None => Ok(default),
        Some(number) if number > most => Err(Problem::new(code::FORM_PARAM_VALUE_TOO_LARGE).param(name)),
        Some(number) if number < least => Err(Problem::new(code::FORM_PARAM_VALUE_INVALID).param(name)),
        Some(number) => Ok(number),
    }
}

/// A list that is an array, or an envelope when `paginated=true`.
///
/// # Errors
/// `form_param_format_invalid` for a `paginated` that is no boolean.
pub fn list(params: &Params, items: Vec<Value>, total: usize) -> Result<Value, Problem> {
    if params.flag("paginated")? == Some(true) {
        return Ok(json!({ "data": items, "total_count": total }));
    }
    Ok(Value::Array(items))
}
