//! The queue and the thread behind it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::Output;

/// Lines that may wait.
const QUEUE: usize = 8_192;
/// Bytes written at once.
const BATCH: usize = 64 * 1024;
/// How long an ending process waits for its last lines.
const LAST: Duration = Duration::from_secs(2);

enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

/// Takes lines without waiting.
#[derive(Clone)]
pub(super) struct Sink {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// Writes what is queued when it is dropped.
#[must_use = "the last lines are written when this is dropped"]
pub struct Flush(SyncSender<Message>);

impl Sink {
    /// Starts the thread.
    pub(super) fn start(output: Output) -> (Self, Flush) {
        let (queue, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        // Without the thread there are no logs, but a server that answers.
        let _ = std::thread::Builder::new().name("logs".to_owned()).spawn(move || match output {
            Output::Stdout => drain(&receiver, &counted, std::io::stdout()),
            Output::Stderr => drain(&receiver, &counted, std::io::stderr()),
        });
        (Self { queue: queue.clone(), lost }, Flush(queue))
    }

    /// Queues a line; counts it as lost where there is no room.
    pub(super) fn write(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(LAST);
        }
    }
}

fn drain(receiver: &Receiver<Message>, lost: &AtomicU64, mut output: impl Write) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = receiver.recv() {
        let mut waiting = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => batch.extend_from_slice(line.as_bytes()),
                Message::Flush(done) => waiting = Some(done),
            }
            next = if batch.len() < BATCH { receiver.try_recv().ok() } else { None };
        }
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            let _ = writeln!(batch, "{{\"level\":\"warn\",\"msg\":\"log lines lost\",\"lost\":{lines}}}");
        }
        // A reader that went away must not end the server.
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        batch.clear();
        drop(waiting);
    }
}

#[cfg(test)]
pub(super) struct BufferedLines(Receiver<Message>);

#[cfg(test)]
impl Sink {
    /// A sink whose lines are stored for a test.
    pub(super) fn buffered() -> (Self, BufferedLines) {
        let (queue, receiver) = sync_channel(QUEUE);
        (Self { queue, lost: Arc::default() }, BufferedLines(receiver))
    }
}

#[cfg(test)]
impl BufferedLines {
    pub(super) fn lines(&self) -> Vec<String> {
        let texts = self.0.try_iter().filter_map(|message| match message {
            Message::Line(line) => Some(line),
            Message::Flush(_) => None,
        });
        texts.collect::<String>().lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_lines_and_says_how_many() {
        let (queue, receiver) = sync_channel(2);
        let sink = Sink { queue, lost: Arc::default() };
        for number in 0..5 {
            sink.write(format!("{number}\n"));
        }
        let lost = Arc::clone(&sink.lost);
        drop(sink);
        let mut written = Vec::new();
        drain(&receiver, &lost, &mut written);
        let text = String::from_utf8(written).unwrap();
        assert_eq!(text, "0\n1\n{\"level\":\"warn\",\"msg\":\"log lines lost\",\"lost\":3}\n");
    }
}
