//! A login shell that waits for its command line, so that a burst of commands need not wait for shells to start.
//!
//! ```text
//!   none --a command starts soon after the one before--> waiting --the next command--> that command's shell
//!                                                           `---- nobody came for a while ----> ended
//! ```
//!
//! - Happy path: [`prepare`] opens a channel beside a command and starts a shell there that reads one line. The next
//!   command takes it ([`Pool::spare`]) and only writes its line: the start of a shell went on while the command
//!   before was running. Commands that come seldom, such as probes, never cause one.
//! - The shell is gone when its line comes: it ended without the command's markers, so nothing was run, and the command
//!   is started as any other.
//! - No place, a refused channel, a lost connection, a closed session: there is no spare. Never more than one a session.
//! - Only short lines of printable ASCII go this way, since shells read them byte by byte and split them at newlines.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::ChannelMsg;
use russh::client::Msg;
use tokio::time::{sleep, timeout};

use super::pool::{Pool, Slot};

/// Two commands that start within this time of each other are a burst.
const BURST: Duration = Duration::from_secs(1);

/// How long a shell waits for its line.
const LIFE: Duration = Duration::from_secs(5);

/// How long a shell may take to end with its input.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest line that is worth reading byte by byte.
const LINE_MAX_BYTES: usize = 1024;

/// What the shell does: the line is the script that any other command's shell is given. It ends with its input.
const SCRIPT: &str = "IFS= read -r _i1 && eval \"$_i1\"";

/// A shell that waits, on a channel of its own.
pub(super) struct Spare {
    pub(super) slot: Slot,
    pub(super) channel: russh::Channel<Msg>,
}

/// The spare shell of a session.
#[derive(Default)]
pub(super) struct Spares(Mutex<State>);

#[derive(Default)]
struct State {
    last_start: Option<Instant>,
    place: Place,
    /// Counts the shells, so that one is not ended for another's age.
    number: u64,
}

#[derive(Default)]
enum Place {
    #[default]
    Empty,
    Starting,
    Waiting(Box<Spare>),
}

impl Spares {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shell that waits, if there is one.
    pub(super) fn take(&self) -> Option<Spare> {
        let mut state = self.state();
        match std::mem::take(&mut state.place) {
            Place::Waiting(spare) => Some(*spare),
            other => {
                state.place = other;
                None
            }
        }
    }

    /// Ends the shell that waits, for its place is needed.
    pub(super) fn end(&self) {
        if let Some(spare) = self.take() {
            spare.end_aside();
        }
    }

    /// Notes that a command starts. Whether a shell is to be prepared for the next one; its number.
    fn begin(&self) -> Option<u64> {
        let mut state = self.state();
        let now = Instant::now();
        let burst = state.last_start.replace(now).is_some_and(|last| now.duration_since(last) < BURST);
        if !burst || !matches!(state.place, Place::Empty) {
            return None;
        }
        state.place = Place::Starting;
        state.number += 1;
        Some(state.number)
    }

    fn settle(&self, place: Place) {
        self.state().place = place;
    }

    /// Takes the shell of this number, if it still waits.
    fn expire(&self, number: u64) -> Option<Spare> {
        let current = self.state().number == number;
        if current { self.take() } else { None }
    }
}

impl Spare {
    /// Ends the shell without waiting for it.
    pub(super) fn end_aside(self) {
        // Without a runtime the whole process is ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.end());
        }
    }

    /// Ends the shell, and gives its place back once it is gone.
    async fn end(mut self) {
        let ended = async {
            if self.channel.eof().await.is_ok() {
                while let Some(message) = self.channel.wait().await {
                    if matches!(message, ChannelMsg::Close) {
                        break;
                    }
                }
            }
        };
        if timeout(END_TIMEOUT, ended).await.is_err() {
            let _ = self.channel.close().await;
        }
    }
}

/// Whether a command line may go to a spare shell.
pub(super) fn fits(line: &str) -> bool {
    line.len() < LINE_MAX_BYTES && line.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Starts a shell beside a command whose login shell takes scripts, if commands come in a burst and a place is free.
pub(super) fn prepare(pool: &Arc<Pool>, slot: &Slot) {
    let Some(number) = pool.spares.begin() else { return };
    let Some(place) = slot.beside() else {
        pool.spares.settle(Place::Empty);
        return;
    };
    let pool = Arc::downgrade(pool);
    tokio::spawn(async move {
        let opened = open(place).await;
        let Some(holder) = pool.upgrade() else { return };
        let Some(spare) = opened else {
            holder.spares.settle(Place::Empty);
            return;
        };
        holder.spares.settle(Place::Waiting(Box::new(spare)));
        // The session may have been closed meanwhile; whichever comes second sees the other.
        if holder.gone().borrow().is_some() {
            drop(holder.spares.take());
        }
        drop(holder);
        sleep(LIFE).await;
        if let Some(spare) = pool.upgrade().and_then(|pool| pool.spares.expire(number)) {
            spare.end().await;
        }
    });
}

async fn open(slot: Slot) -> Option<Spare> {
    let channel = match slot.connection.handle.channel_open_session().await {
        Ok(channel) => channel,
        Err(russh::Error::ChannelOpenFailure(_)) => {
            slot.refused();
            return None;
        }
        Err(_) => return None,
    };
    channel.exec(true, SCRIPT).await.ok()?;
    Some(Spare { slot, channel })
}
