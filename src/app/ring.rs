//! Whether the key ring is the one that this database was used with. A wrong secret would find no key, no session and
//! no code, and seal values that nobody opens again: better not to start.

use crate::crypto::KeyRing;
use crate::store::pool::PgPool;
use crate::store::ring_keys::{self, KnownKey};

/// Why a ring does not fit a database. Names keys by id only.
#[derive(Debug, thiserror::Error)]
pub enum RingMismatch {
    /// A key id that the database knows came with another secret.
    #[error(
        "the key ring's entry \"{id}\" has another secret than the one this database was used with. Put the right secret back, or give the new one an id of its own"
    )]
    OtherSecret {
        /// The key's id.
        id: String,
    },
    /// No entry of the ring was ever used with this database.
    #[error(
        "this database was used with the key ring entries {}, none of which is configured. Configure them (VESTIBULE_KEYS, or the keys.toml that belongs to the database), or use another database",
        quoted(.known)
    )]
    Foreign {
        /// The ids that the database knows.
        known: Vec<String>,
    },
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

fn quoted(ids: &[String]) -> String {
    ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ")
}

/// Compares the ring with what the database remembers, and remembers its new entries.
pub async fn check(db: &PgPool, ring: &KeyRing) -> Result<(), RingMismatch> {
    let mut transaction = db.begin().await?;
    ring_keys::lock(&mut transaction).await?;
    let known = ring_keys::known(&mut transaction).await?;
    let checks: Vec<_> = ring.ids().filter_map(|id| Some((id.to_owned(), ring.check_hash(id)?))).collect();
    for id in compare(&known, &checks)? {
        let check = ring.check_hash(&id).unwrap_or_default();
        ring_keys::remember(&mut transaction, &id, &check).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The ids that are new to the database.
fn compare(known: &[KnownKey], ring: &[(String, [u8; 32])]) -> Result<Vec<String>, RingMismatch> {
    let mut new = Vec::new();
    for (id, check) in ring {
        match known.iter().find(|key| key.id == *id) {
            None => new.push(id.clone()),
            Some(key) if key.check == check => {}
            Some(_) => return Err(RingMismatch::OtherSecret { id: id.clone() }),
        }
    }
    // Rotation keeps an old entry beside the new one, so some entry is always known.
    if !known.is_empty() && new.len() == ring.len() {
        return Err(RingMismatch::Foreign { known: known.iter().map(|key| key.id.clone()).collect() });
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, byte: u8) -> KnownKey {
        KnownKey { id: id.to_owned(), check: vec![byte; 32] }
    }

    fn entry(id: &str, byte: u8) -> (String, [u8; 32]) {
        (id.to_owned(), [byte; 32])
    }

    #[test]
    fn a_new_database_takes_any_ring() {
        assert_eq!(compare(&[], &[entry("a", 1), entry("b", 2)]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn rotation_adds_beside_a_known_entry() {
        assert_eq!(compare(&[known("a", 1)], &[entry("b", 2), entry("a", 1)]).unwrap(), ["b"]);
        assert!(compare(&[known("a", 1), known("b", 2)], &[entry("b", 2)]).unwrap().is_empty());
    }

    #[test]
    fn a_wrong_secret_or_a_foreign_ring_is_refused() {
        let wrong = compare(&[known("a", 1)], &[entry("b", 2), entry("a", 9)]).unwrap_err();
        assert!(matches!(wrong, RingMismatch::OtherSecret { ref id } if id == "a"), "{wrong}");
        let foreign = compare(&[known("a", 1)], &[entry("b", 2)]).unwrap_err();
        assert!(foreign.to_string().contains("\"a\""), "{foreign}");
    }
}
