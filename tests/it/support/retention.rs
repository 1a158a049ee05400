//! Removal without its schedule.

use vestibule::store::retention::{Batch, Mode, Remover, Walk};

use super::TestApp;

/// One page of so many rows at most, from the beginning.
pub async fn page(app: &TestApp, remover: Remover, rows: i64) -> Batch {
    let (db, retention) = (&app.app().db, &app.app().config.retention);
    Walk::begin(db, remover, retention, None).await.unwrap().in_pages_of(rows).next(db, Mode::Remove).await.unwrap()
}

/// Removes all that is over; how many rows there were.
pub async fn remove(app: &TestApp, remover: Remover) -> i64 {
    let (db, retention) = (&app.app().db, &app.app().config.retention);
    let mut walk = Walk::begin(db, remover, retention, None).await.unwrap();
    let mut removed = 0;
    loop {
        removed += walk.next(db, Mode::Remove).await.unwrap().removed;
        if walk.is_finished() {
            return removed;
        }
    }
}
