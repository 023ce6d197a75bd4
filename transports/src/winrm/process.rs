//! One command in the guest, from its request to its exit.
//!
//! ```text
//!   place in a shell -> Command -> Process given out -> Receive, again and again -> Done -> exit told -> forgotten
//!   `------------- start -------'                       (input goes by Send, on another connection)
//!                                   |  caller gone, guard dropped: Signal terminate
//!                                   |  connection or shell gone: Exit::Lost, and terminate as soon as possible
//! ```
//!
//! - Happy path: a question for output waits in the guest until there is some, and brings both streams apart. When it
//!   brings the end, the exit is told after the last output; that the guest may forget the command is told it aside.
//! - Nothing to tell within the time of a question: it is asked anew. Only what has waited counts: a guest that answers
//!   so at once is asked with growing waits.
//! - The reader is slower than the guest: no question is asked, the guest's own buffer fills, and the command waits. No
//!   connection is held meanwhile. Where that takes long a small question is asked now and then, for the guest deletes a
//!   shell that nobody asks for anything.
//! - A connection that is lost while no question waits on it costs nothing: the next one goes over another. Where none is
//!   to be had that moment, it is tried on until the session is over.
//! - A lost connection, a lost shell, an answer that makes no sense: [`Exit::Lost`]. Output may have been lost with it, so
//!   nothing goes on, and nothing is run again.
//! - No such program: as a shell says it, by a line on standard error and the exit code 127.

mod carry;
mod command;
mod start;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::shells::Shells;
use super::stdin::{Feeding, Source};
use crate::{Error, Exit, Output, Process, Result, Stdin, Stream};
use carry::Running;
pub(super) use command::Command;
use start::{Start, start};

/// Messages in the caller's queue.
const OUTPUT_MESSAGES: usize = 16;

/// The code by which a shell says that there is no such program.
const NO_PROGRAM: i32 = 127;

/// A command that is to be started.
pub(super) struct Job {
    pub(super) shells: Arc<Shells>,
    /// What people call it.
    pub(super) program: String,
    /// The two parts of what is sent; the second may be empty.
    pub(super) line: (String, String),
    /// Whether it writes its errors as CLIXML.
    pub(super) clixml: bool,
    pub(super) closed: watch::Receiver<bool>,
    /// How long it may take to be started.
    pub(super) limit: Duration,
}

/// Runs a command to its end. The answer about its start goes to `started`; when nobody waits for that any more, the
/// command is terminated.
pub(super) async fn run(job: Job, stdin: Stdin, started: oneshot::Sender<Result<Process>>) {
    let limit = job.limit;
    let start = timeout(limit, start(&job)).await.unwrap_or_else(|_| {
        let address = job.shells.connections.address();
        Err(Error::Unreachable(format!("{address}: the command was not started within {limit:?}")))
    });
    let start = match start {
        Ok(start) => start,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let (stdin_sender, source) = match stdin {
        Stdin::Closed => (None, Source::Bytes(Bytes::new())),
        Stdin::Bytes(bytes) => (None, Source::Bytes(bytes)),
        Stdin::Piped => {
            let (sender, receiver) = mpsc::channel(OUTPUT_MESSAGES);
            (Some(sender), Source::Piped(receiver))
        }
    };
    let (output_sender, output) = mpsc::channel(OUTPUT_MESSAGES);
    let (exit_sender, exit) = oneshot::channel();
    let (guard, guarded) = oneshot::channel();
    let process = Process { stdin: stdin_sender, output, exit, guard: Some(guard) };
    // Dropped, a command that was started is terminated.
    if started.send(Ok(process)).is_err() {
        return;
    }
    let (exit, command) = match start {
        Start::Running(command) => {
            let mut running = Running::new(command, &job);
            let feeding = Feeding::begin(&running.command, source);
            let exit = running.carry(feeding, &output_sender, guarded).await;
            (exit, Some(running.command))
        }
        Start::NoProgram(why) => {
            let data = Bytes::from(format!("{}: {why}\n", job.program));
            let _ = output_sender.send(Output { stream: Stream::Stderr, data }).await;
            (Exit::Code(NO_PROGRAM), None)
        }
    };
    drop(output_sender);
    let _ = exit_sender.send(exit);
    // The guest may forget it; what fails now is tried on, aside.
    if let Some(mut command) = command {
        let _ = command.terminate().await;
    }
}
