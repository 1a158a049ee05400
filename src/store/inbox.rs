//! The development inbox: messages that were stored here instead of being delivered.

use super::InstanceConnection;

use super::outbox::Effort;
use crate::crypto::SealedAt;
use crate::model::id::{InboxMessageId, InstanceId};
use crate::model::time::Timestamp;

/// Where a message's content is sealed to.
pub fn content_at<'a>(instance: &'a InstanceId, id: &'a InboxMessageId) -> SealedAt<'a> {
    SealedAt { table: "inbox_messages", column: "content_sealed", row: id.as_str(), instance: instance.as_str() }
}

/// Keeps a mail, or pretends to.
///
/// # Errors
/// Storage faults.
pub async fn keep(
    db: &mut InstanceConnection<'_>,
    id: &InboxMessageId,
    recipient: &str,
    content: &[u8],
    effort: Effort,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into inbox_messages (instance_id, id, kind, recipient, content_sealed, created_at)
           select $1, $2, 'mail', $3, $4, now() + $5 where $6"#,
        db.instance().as_str(),
        id.as_str(),
        recipient,
        content,
        db.offset(),
        effort == Effort::Real,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A message as it lies there.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Names it.
    pub id: InboxMessageId,
    /// Text, HTML, code and link, sealed.
    pub content_sealed: Vec<u8>,
    /// When.
    pub created_at: Timestamp,
}

/// The newest messages, newest first; ids sort by time.
///
/// # Errors
/// Storage faults.
pub async fn newest(db: &mut InstanceConnection<'_>, count: i64) -> sqlx::Result<Vec<StoredMessage>> {
    sqlx::query_as!(
        StoredMessage,
        r#"select id as "id: InboxMessageId", content_sealed, created_at
           from inbox_messages where instance_id = $1 order by created_at desc, id desc limit $2"#,
        db.instance().as_str(),
        count,
    )
    .fetch_all(db)
    .await
}
