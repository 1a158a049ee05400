//! Answers that are well written and say the wrong thing.

use super::faults::Content;
use super::people::Person;
use serde_json::Value;

/// Who an answer speaks of that should speak of somebody else, or an issuer that is none of ours.
const STRANGER: &str = "100000000000000000007";
/// An issuer that is nobody's.
pub(super) const FOREIGN_ISSUER: &str = "https://issuer.invalid";

impl Content {
    /// The person as this provider now tells them.
    pub(super) fn retell(self, person: &mut Person) {
        match self {
            Self::MissingEmail => person.email = None,
            Self::UnverifiedEmail => person.email_verified = false,
            Self::ChangedEmail => {
                let old = person.email.take().unwrap_or_else(|| "nobody@example.com".to_owned());
                person.email = Some(format!("changed.{old}"));
            }
            Self::NoName => {
                person.first_name.clear();
                person.last_name.clear();
            }
            _ => {}
        }
    }

    /// An answer about the person with this id.
    pub(super) fn retell_id(self, answer: &mut Value, provider_user_id: &str) {
        match self {
            Self::NoId => replace(answer, provider_user_id, None),
            Self::TokenForOtherUser => replace(answer, provider_user_id, Some(STRANGER)),
            _ => {}
        }
    }

    /// The claims of an id_token, before it is signed.
    pub(super) fn retell_claims(self, claims: &mut Value) {
        let Some(claims) = claims.as_object_mut() else { return };
        let mut set = |name: &str, value: Value| {
            if let Some(claim) = claims.get_mut(name) {
                *claim = value;
            }
        };
        match self {
            Self::WrongNonce => set("nonce", "another-nonce".into()),
            Self::WrongAudience => {
                set("aud", "another-client".into());
                set("azp", "another-client".into());
            }
            Self::IssuerMismatch => set("iss", FOREIGN_ISSUER.into()),
            Self::Clock(seconds) => {
                for name in ["iat", "nbf", "exp"] {
                    if let Some(moved) = claims.get(name).and_then(Value::as_i64).map(|time| time + seconds) {
                        claims.insert(name.to_owned(), moved.into());
                    }
                }
            }
            _ => {}
        }
    }

    /// The id_token, once it is signed.
    pub(super) fn respell(self, id_token: String) -> String {
        match (self, id_token.rsplit_once('.')) {
            // Whole bytes of the signature change: the last character alone may hold bits that nobody reads.
            (Self::BadSignature, Some((signed, signature))) => {
                let other = if signature.starts_with('A') { 'B' } else { 'A' };
                let rest: String = signature.chars().skip(4).collect();
                format!("{signed}.{}{rest}", other.to_string().repeat(4))
            }
            _ => id_token,
        }
    }
}

/// Puts another id, or none, wherever `id` stands as a value of its own, as text or as a number.
fn replace(value: &mut Value, id: &str, other: Option<&str>) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| other.is_some() || !is(value, id));
            for value in members.values_mut() {
                replace(value, id, other);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, id, other)),
        scalar if is(scalar, id) => {
            let other = other.unwrap_or_default();
            let number = other.parse::<u64>().ok().filter(|_| scalar.is_number());
            *scalar = number.map_or_else(|| other.into(), Value::from);
        }
        _ => {}
    }
}

fn is(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => text == id,
        Value::Number(number) => number.to_string() == id,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let before = json!({"id": 7, "user": {"id": "7", "name": "7up"}, "list": [{"sub": "7"}]});
        let mut none = before.clone();
        Content::NoId.retell_id(&mut none, "7");
        assert_eq!(none, json!({"user": {"name": "7up"}, "list": [{}]}));
        let mut other = before;
        Content::TokenForOtherUser.retell_id(&mut other, "7");
        assert_eq!(other["user"], json!({"id": STRANGER, "name": "7up"}));
        assert!(other["list"][0]["sub"] == STRANGER && other["id"] != 7);
    }

    #[test]
    fn only_what_is_there_is_said_wrongly() {
        let mut claims = json!({"iss": "a", "iat": 100, "exp": 200});
        Content::WrongNonce.retell_claims(&mut claims);
        Content::Clock(-50).retell_claims(&mut claims);
        assert_eq!(claims, json!({"iss": "a", "iat": 50, "exp": 150}));
        assert_eq!(Content::BadSignature.respell("h.c.AAAAxyz".to_owned()), "h.c.BBBBxyz");
    }
}
