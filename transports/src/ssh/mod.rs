//! SSH: the protocol that nearly every guest already speaks.
//!
//! ```text
//!   connect: dial -> host key checked (identity) -> authenticate -> SshSession
//!   exec:    a slot of a connection (pool) -> channel -> preamble -> Process (process)
//! ```
//!
//! - Happy path: one warm connection carries short commands. Each runs in a process group of its own, whose number the
//!   remote shell tells on a private line (`preamble`) before the program starts.
//! - The command line survives every login shell, by handing all of it to `/bin/sh`. Once a connection's login shell was
//!   seen to be a quiet POSIX one itself (`shell`), that shell runs the script, which saves the guest a process. In a
//!   burst of commands the next one's shell is started ahead (`spare`).
//! - A command that nobody reads: the library grants window without being asked, and hands all channels' output over in
//!   one order, so one unread channel would in the end stop its whole connection. Output beyond what the reader takes is
//!   therefore kept in a bounded queue. At the first sign of lag the connection takes no further commands, and new
//!   ones go to another connection. If others are already running beside it, its process group is stopped in the guest
//!   until the reader has caught up (by a command that lets it go on when the connection is lost); alone, it is slowed
//!   down by not reading the connection. Who knows that a reader may be slow asks for [`crate::Session::stream`], which
//!   gives the command a connection of its own from the start.
//! - A guest with Windows has no POSIX shell to be handed anything: its commands are lines for `cmd`, and all that is different there
//!   stands in `windows`. Which one it is, is said ([`SshOptions::interpreter`]) and never guessed.
//! - A command on a terminal, and every connection to a port of the guest (`forward`), has a connection of its own too.
//! - Failures: nothing answers ([`crate::Error::Unreachable`] with what was seen last), another host key
//!   ([`crate::Error::WrongIdentity`], before anything secret is sent), no credential accepted
//!   ([`crate::Error::Refused`]), a connection cut under a command ([`crate::Exit::Lost`]: it is never run again).

mod algorithms;
mod authenticate;
mod client;
mod dial;
mod forward;
mod identity;
mod options;
mod pool;
mod preamble;
mod process;
mod session;
mod shell;
mod spare;
mod stdin;
mod windows;

use async_trait::async_trait;

pub use algorithms::legacy_names;
pub use options::SshOptions;

use crate::{Interpreter, Result, Session, Target, Transport};

/// The SSH transport.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    options: SshOptions,
}

impl Ssh {
    /// A transport with other deadlines and bounds than the default ones.
    pub fn new(options: SshOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Transport for Ssh {
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>> {
        let dialled = dial::dial(&self.options, target).await?;
        let session = session::SshSession::new(self.options.clone(), target, dialled);
        match self.options.interpreter {
            Interpreter::Cmd => windows::check(&session, self.options.start_timeout).await?,
            Interpreter::None => {}
        }
        Ok(Box::new(session))
    }
}
