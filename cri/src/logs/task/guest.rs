//! The phase that copies the guest's own log.

use std::sync::Arc;
use std::time::Duration;

use guests::log::{Cursor, LogStream, follow};
use tokio::time::{Instant, sleep_until};
use transports::Session;

use super::{BACKOFF, CHECKPOINT_EVERY, Next, Position, Surplus, Task, at, backoff, session_changed};

/// A guest that is told to end and is silent for so long has no more to say: its files are looked at once a second.
const QUIET: Duration = Duration::from_secs(2);

impl Task {
    /// Copies its records, through every session, until there is no such log or it is asked to finish.
    pub(super) async fn copy_guest(&mut self, mut cursor: Option<Cursor>) -> Next {
        let mut backoff = backoff();
        loop {
            let session = self.session.borrow_and_update().clone();
            let Some(session) = session else {
                if self.deadline.is_some() {
                    return Next::End;
                }
                tokio::select! {
                    () = session_changed(&mut self.session) => {}
                    request = self.requests.recv() => match request {
                        Some(request) => self.serve(request),
                        None => return Next::End,
                    },
                    () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
                }
                continue;
            };
            let begun = Instant::now();
            let error = match self.open_stream(session, cursor.clone()).await {
                Some(Ok(mut stream)) => match self.drain(&mut stream, &mut cursor).await {
                    Some(error) => error,
                    None => return Next::End,
                },
                Some(Err(error)) => error,
                None => return Next::End,
            };
            if !error.retryable() && self.console_log.is_some() {
                self.notice(&format!("{error}; the serial console follows instead")).await;
                return Next::Console;
            }
            tracing::debug!(%error, "the guest's log is interrupted");
            if self.deadline.is_some() {
                return Next::End;
            }
            if begun.elapsed() > BACKOFF.1 {
                backoff.reset();
            }
            // The session may be gone without its owner knowing yet.
            let again = Instant::now() + backoff.next_wait();
            while Instant::now() < again && self.deadline.is_none() {
                tokio::select! {
                    () = sleep_until(again) => {}
                    request = self.requests.recv() => match request {
                        Some(request) => self.serve(request),
                        None => return Next::End,
                    },
                }
            }
        }
    }

    /// Begins to follow; `None` when the deadline passes first.
    async fn open_stream(
        &mut self,
        session: Arc<dyn Session>,
        cursor: Option<Cursor>,
    ) -> Option<guests::Result<LogStream>> {
        let opening = follow(session, self.family, self.source.clone(), cursor);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                stream = &mut opening => return Some(stream),
                request = self.requests.recv() => self.serve(request?),
                () = at(self.deadline) => return None,
            }
        }
    }

    /// Writes records until the stream ends with an error, or it was asked to finish (`None`).
    async fn drain(&mut self, stream: &mut LogStream, cursor: &mut Option<Cursor>) -> Option<guests::Error> {
        let mut heard = Instant::now();
        loop {
            let quiet = self.deadline.map(|deadline| deadline.min(heard + QUIET));
            tokio::select! {
                record = stream.next() => {
                    let record = match record? {
                        Ok(record) => record,
                        Err(error) => return Some(error),
                    };
                    heard = Instant::now();
                    if record.notice {
                        if record.text.starts_with(b"the place") {
                            self.surplus = Surplus(0);
                        }
                        self.notice(&String::from_utf8_lossy(&record.text)).await;
                        continue;
                    }
                    *cursor = Some(record.cursor.clone());
                    let position = Position::Guest(Some(record.cursor));
                    self.write(record.at, &record.text, record.partial, Some(position)).await;
                    if self.overdue() {
                        return None;
                    }
                }
                request = self.requests.recv() => {
                    self.serve(request?);
                    heard = Instant::now();
                }
                () = at(quiet) => return None,
                () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
            }
        }
    }
}
