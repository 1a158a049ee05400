//! Answers that never come, come late, come spoiled, or are something else altogether.

use super::answer::{Answer, Body};
use super::faults::{Call, Fault, Mode, TransportFault};
use super::shapes::Shapes;
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// How many bytes a huge answer has, packed or not.
const HUGE: usize = 1 << 30;
/// The piece of which a huge answer is made.
const PIECE: usize = 1 << 16;
/// How often the block below holds 258 bytes.
const REPETITIONS: usize = 2_520;
/// What a gzip file begins with (RFC 1952 section 2.3): DEFLATE, nothing else said.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

impl Fault {
    /// What is answered instead, without looking at the request; `None` if the request is answered first.
    pub(super) fn instead(&self, call: Call, shapes: &dyn Shapes, request_id: Uuid) -> Option<Answer> {
        let wire = match &self.mode {
            Mode::Error(code) => return Some(Answer::json(shapes.error(call, code, request_id))),
            Mode::TransportFault(wire) => *wire,
            _ => return None,
        };
        let status = |status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some(match wire {
            TransportFault::Status(code) => typed(status(code), "text/html", text(format!("<h1>{code}</h1>"))),
            TransportFault::RateLimited => {
                let (_, answer) = shapes.error(call, "rate_limit_exceeded", request_id);
                Answer::json((429, answer)).with(header::RETRY_AFTER, "30")
            }
            TransportFault::Redirect => Answer::redirect(StatusCode::FOUND, "/elsewhere".to_owned()),
            TransportFault::NotJson => typed(
                StatusCode::OK,
                "text/html; charset=utf-8",
                text("<!doctype html><title>Sign in</title>".to_owned()),
            ),
            TransportFault::Huge => typed(StatusCode::OK, "application/json", huge()),
            TransportFault::GzipBomb => {
                typed(StatusCode::OK, "application/json", bomb()).with(header::CONTENT_ENCODING, "gzip")
            }
            _ => return None,
        })
    }

    /// A good answer, spoiled.
    pub(super) fn spoil(&self, mut answer: Answer) -> Answer {
        let Mode::TransportFault(wire) = self.mode else { return answer };
        let Body::Whole(whole) = answer.body else { return answer };
        answer.body = match wire {
            TransportFault::Drip => Body::Dripping(whole),
            TransportFault::Cut => Body::Cut(whole),
            TransportFault::TruncatedBody => Body::Whole(whole.slice(..whole.len() / 2)),
            TransportFault::WrongTypes => match serde_json::from_slice(&whole) {
                Ok(value) => text(wrong(value).to_string()),
                Err(_) => Body::Whole(whole),
            },
            _ => Body::Whole(whole),
        };
        match wire {
            TransportFault::Slow(delay) => answer.delay = delay,
            TransportFault::NoContentType => answer.headers.retain(|(name, _)| *name != header::CONTENT_TYPE),
            _ => {}
        }
        answer
    }
}

impl Answer {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

fn typed(status: StatusCode, content_type: &str, body: Body) -> Answer {
    Answer { status, headers: vec![(header::CONTENT_TYPE, content_type.to_owned())], body, delay: Duration::ZERO }
}

fn text(text: String) -> Body {
    Body::Whole(Bytes::from(text))
}

/// Every value of another type than it was.
fn wrong(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, wrong(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => json!({ "items": items.len() }),
        Value::String(_) => json!([7]),
        Value::Number(_) | Value::Bool(_) => json!({ "value": "wrong" }),
        Value::Null => json!([]),
    }
}

fn huge() -> Body {
    let piece = Bytes::from(vec![b'a'; PIECE]);
    Body::Repeated { head: Bytes::from_static(b"{\"padding\":\""), piece, times: HUGE / PIECE }
}

fn bomb() -> Body {
    let piece = Bytes::from(deflated());
    Body::Repeated { head: Bytes::from_static(&GZIP), piece, times: HUGE / (REPETITIONS * 258) }
}

/// A DEFLATE block (RFC 1951, fixed codes) of a literal and many repetitions of 258 bytes, a whole number of bytes long:
/// 4 KiB that unpack to 650 KiB. It is not the last one, and may be sent again and again.
fn deflated() -> Vec<u8> {
    let mut bits = String::from("010");
    bits.push_str("00110000");
    // Length 258 (symbol 285), distance 1.
    bits.push_str(&"1100010100000".repeat(REPETITIONS));
    // End of block, then padding with empty fixed blocks (10 bits each) up to a whole byte.
    bits.push_str("0000000");
    while !bits.len().is_multiple_of(8) {
        bits.push_str("0100000000");
    }
    let byte = |bits: &[u8]| bits.iter().enumerate().fold(0u8, |byte, (at, bit)| byte | ((bit - b'0') << at));
    bits.as_bytes().chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_keeps_its_type() {
        let before = json!({"a": "x", "b": 1, "c": true, "d": null, "e": [1], "f": {"g": "y"}});
        let after = wrong(before);
        let after = after.as_object().unwrap();
        assert!(after["a"].is_array() && after["b"].is_object() && after["c"].is_object());
        assert!(after["d"].is_array() && after["e"].is_object() && after["f"]["g"].is_array());
    }
}
