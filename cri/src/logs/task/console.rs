//! The phase that copies the serial console.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::{CHECKPOINT_EVERY, LogSource, Next, Position, Surplus, Task, at, session_changed};
use crate::logs::console::{Console, Piece};
use crate::logs::sanitize::{Line, Sanitizer};

/// How long an unfinished line of the console waits for its rest before it is written as a part.
const UNFINISHED: Duration = Duration::from_secs(3);

impl Task {
    /// Copies what comes, until the guest answers or it is asked to finish.
    pub(super) async fn copy_console(&mut self, offset: u64) -> Next {
        let mut sanitizer = Sanitizer::new(offset);
        let mut console = match self.console_log.clone().map(Console::new).transpose() {
            Ok(console) => console,
            Err(error) => {
                self.notice(&format!("cannot watch the serial console: {error}")).await;
                None
            }
        };
        let mut lines = Vec::new();
        let mut since = None;
        loop {
            while let Ok(request) = self.requests.try_recv() {
                self.serve(request);
            }
            let piece = match console.as_mut().map(|console| console.read(sanitizer.offset())) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    self.notice(&format!("cannot read the serial console: {error}")).await;
                    console = None;
                    continue;
                }
                None => Piece::End,
            };
            match piece {
                Piece::Bytes(bytes) => {
                    sanitizer.feed(&bytes, &mut lines);
                    self.write_lines(&mut lines).await;
                    since = Some(Instant::now() + UNFINISHED);
                    if !self.overdue() {
                        // A long backlog of one pod does not hold up the others.
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
                Piece::Released(count) => {
                    sanitizer.skip(count);
                    self.surplus = Surplus(0);
                    self.notice(&format!("{count} bytes of the serial console were released unread")).await;
                    continue;
                }
                Piece::End => {}
            }
            let guest = self.source != LogSource::Console && self.session.borrow_and_update().is_some();
            if self.deadline.is_some() || guest {
                sanitizer.finish(&mut lines);
                self.write_lines(&mut lines).await;
                self.console = sanitizer.offset();
                if self.deadline.is_some() {
                    // A line that has no end got one: there is nothing to resume.
                    self.position = Position::Console(self.console);
                    self.ahead = 0;
                    return Next::End;
                }
                self.notice("the guest answers: its own log follows").await;
                return Next::Guest;
            }
            tokio::select! {
                changed = changed(console.as_ref()) => if let Err(error) = changed {
                    self.notice(&format!("cannot watch the serial console: {error}")).await;
                    console = None;
                },
                () = at(since) => {
                    since = None;
                    lines.extend(sanitizer.unfinished());
                    self.write_lines(&mut lines).await;
                }
                () = session_changed(&mut self.session), if self.source != LogSource::Console => {}
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request),
                    None => return Next::End,
                },
                () = sleep_until(self.saved + CHECKPOINT_EVERY), if self.unsaved => self.save(),
            }
        }
    }

    async fn write_lines(&mut self, lines: &mut Vec<Line>) {
        for line in lines.drain(..) {
            let position = line.resume.map(Position::Console);
            self.write(SystemTime::now(), line.text.as_bytes(), line.partial, position).await;
            self.console = line.resume.unwrap_or(self.console);
        }
    }
}

/// Returns when the console may have more; never where there is none.
async fn changed(console: Option<&Console>) -> std::io::Result<()> {
    match console {
        Some(console) => console.changed().await,
        None => std::future::pending().await,
    }
}
