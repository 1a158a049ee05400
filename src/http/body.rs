//! Reading a request's body whole, within its limits of size and time.

use std::error::Error as StdError;

use axum::body::{Body, Bytes, to_bytes};
use http_body_util::LengthLimitError;

use super::deadline::TooSlow;
use crate::model::problem::{Code, code};

/// The largest body of a form or JSON endpoint, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is larger than [`MAX_BODY`].
    TooLarge,
    /// It came too slowly.
    TooSlow,
    /// It ended early, or its chunks make no sense.
    Broken,
}

impl Unreadable {
    /// What the APIs and the pages answer.
    pub const fn code(self) -> Code {
        match self {
            Self::TooLarge => code::REQUEST_BODY_TOO_LARGE,
            Self::TooSlow => code::REQUEST_BODY_TOO_SLOW,
            Self::Broken => code::REQUEST_BODY_INVALID,
        }
    }
}

/// The whole body.
///
/// # Errors
/// Why there is none.
pub async fn read(body: Body) -> Result<Bytes, Unreadable> {
    to_bytes(body, MAX_BODY).await.map_err(|error| {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<LengthLimitError>() {
                return Unreadable::TooLarge;
            }
            if error.is::<TooSlow>() {
                return Unreadable::TooSlow;
            }
            cause = error.source();
        }
        Unreadable::Broken
    })
}
