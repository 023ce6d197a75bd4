//! One byte stream of a client, whichever protocol carries it.
//!
//! ```text
//!   socket -> reader task --bounded queue--> Input::next
//!   socket <- writer task <--bounded queue-- Output::send <- window (SPDY)
//! ```
//!
//! - Back-pressure goes both ways: who does not take its input stops the reading of that client's socket, and a client
//!   that does not read stops [`Output::send`]. Nothing is shared with another client.
//! - Half-close: [`Input::next`] ends, [`Output::finish`] ends the other direction.
//! - The connection is gone: the input ends, [`Output::send`] fails, and [`Output::gone`] returns. While nobody takes the
//!   input its socket is not read, so the client's end is seen by what is written ([`hand_on`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::window::Window;

/// Messages in a queue.
pub(super) const QUEUE_MESSAGES: usize = 16;
/// The largest piece of output that is sent at once.
const PIECE_MAX_BYTES: usize = 32 * 1024;
/// How much is taken before the client hears of it.
const TELL_BYTES: u32 = 16 * 1024;
/// How often a client is written to while nobody takes its input. The second write to a peer that is gone fails.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// What is to be written to a client.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The channel is accepted.
    Accept(u32),
    /// The channel is refused, or cut off.
    Refuse(u32),
    /// Bytes of a channel.
    Data(u32, Bytes),
    /// A channel has no more.
    Finish(u32),
    /// So many bytes of a channel were taken, so the client may send as many more.
    Taken(u32, u32),
    /// A sign of life is answered.
    Pong(u32),
    /// A sign of life that the client neither asked for nor answers.
    Alive,
}

/// The connection of a client is gone.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub(super) struct Gone;

/// Hands bytes of a client to their taker, and waits where that is slow. Whether they were taken.
///
/// A client's end may wait in the socket behind bytes that nobody takes, or in a proxy that cannot write on, so reading
/// would not tell of it. Writing does: it fails, and ends the connection.
pub(super) async fn hand_on(bytes: Bytes, to: &mpsc::Sender<Bytes>, queue: &mpsc::Sender<Outgoing>) -> bool {
    let handing = to.send(bytes);
    tokio::pin!(handing);
    loop {
        match timeout(SIGN_OF_LIFE, &mut handing).await {
            Ok(handed) => return handed.is_ok(),
            // Where the queue is full there is enough to write.
            Err(_) => drop(queue.try_send(Outgoing::Alive)),
        }
    }
}

/// What a client sends on one channel.
#[derive(Debug)]
pub(super) struct Input {
    channel: u32,
    queue: mpsc::Receiver<Bytes>,
    /// Where it is told what was taken; a protocol without flow control does not ask for it.
    tell: Option<mpsc::Sender<Outgoing>>,
    untold: u32,
}

impl Input {
    pub(super) fn new(
        channel: u32,
        queue: mpsc::Receiver<Bytes>,
        tell: Option<mpsc::Sender<Outgoing>>,
    ) -> Self {
        Self { channel, queue, tell, untold: 0 }
    }

    /// The next bytes; none after its end. Cancellation loses nothing.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        if let Some(tell) = &self.tell {
            self.untold = self.untold.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            // Where the queue is full the next bytes tell of these too.
            if self.untold >= TELL_BYTES && tell.try_send(Outgoing::Taken(self.channel, self.untold)).is_ok()
            {
                self.untold = 0;
            }
        }
        Some(bytes)
    }
}

/// What a client is sent on one channel.
#[derive(Debug)]
pub(super) struct Output {
    channel: u32,
    queue: mpsc::Sender<Outgoing>,
    windows: Vec<Arc<Window>>,
    finished: Arc<AtomicBool>,
}

impl Output {
    /// `windows` are all to be kept to; `finished` is set when nothing more comes.
    pub(super) fn new(
        channel: u32,
        queue: mpsc::Sender<Outgoing>,
        windows: Vec<Arc<Window>>,
        finished: Arc<AtomicBool>,
    ) -> Self {
        Self { channel, queue, windows, finished }
    }

    /// Sends bytes, as fast as the client takes them.
    pub(super) async fn send(&self, mut bytes: Bytes) -> Result<(), Gone> {
        while !bytes.is_empty() {
            let length = self.may_send(bytes.len().min(PIECE_MAX_BYTES)).await?;
            let piece = bytes.split_to(length);
            self.queue.send(Outgoing::Data(self.channel, piece)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// How many bytes, of at most so many, every window lets through now.
    async fn may_send(&self, most: usize) -> Result<usize, Gone> {
        let mut length = most;
        for (index, window) in self.windows.iter().enumerate() {
            let granted = tokio::select! {
                granted = window.take(length) => granted,
                () = self.queue.closed() => return Err(Gone),
            };
            for earlier in &self.windows[..index] {
                earlier.grant(length - granted);
            }
            if granted == 0 {
                return Err(Gone);
            }
            length = granted;
        }
        Ok(length)
    }

    /// Says that nothing more comes.
    pub(super) async fn finish(&self) -> Result<(), Gone> {
        let finished = self.queue.send(Outgoing::Finish(self.channel)).await.map_err(|_| Gone);
        self.finished.store(true, Ordering::Relaxed);
        finished
    }

    /// Cuts the channel off, both ways.
    pub(super) async fn cut(&self) {
        let _ = self.queue.send(Outgoing::Refuse(self.channel)).await;
        self.finished.store(true, Ordering::Relaxed);
    }

    /// Whether the client has cut this channel off, both ways.
    pub(super) fn is_cut(&self) -> bool {
        self.windows.iter().any(|window| window.is_closed())
    }

    /// Returns when the client is gone.
    pub(super) async fn gone(&self) {
        self.queue.closed().await;
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}
