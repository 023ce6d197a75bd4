//! How a guest is reached: sessions over a protocol that the guest already speaks.
//!
//! ```text
//!   Target --Transport::connect--> Session --exec--> Process {stdin, output, exit}
//! ```
//!
//! A [`Transport`] is a protocol (SSH, `WinRM`; later a cloud's run-command). A [`Target`] is one guest: address, user,
//! credential, and the identity that it must prove. A [`Session`] is one live connection to it. Nothing here knows what
//! a machine or a pod is, nor what the operating system at the other end understands.
//!
//! [`Link`] keeps one session warm: it connects when the guest first answers, connects again with bounded backoff when
//! the session is lost, and says what it saw last while there is none. It works over any transport.
//!
//! Abilities that a protocol may lack are optional in the type: `fn port_forward(&self) -> Option<&dyn ...>`.

mod backoff;
mod capture;
mod command;
mod error;
mod forward;
mod interpreter;
mod key;
mod link;
mod lockout;
pub mod quote;
pub mod ssh;
mod target;
mod terminal;
pub mod winrm;

pub use backoff::Backoff;
pub use capture::capture;
pub use command::{Bounds, Captured, Command, Exit, Output, Process, Stdin, Stream};
pub use error::{Error, Result};
pub use forward::{ByteStream, PortForward};
pub use interpreter::Interpreter;
pub use key::{KeyPair, generate_key};
pub use link::{Link, LinkState};
pub use lockout::Sparing;
pub use ssh::{Ssh, SshOptions};
pub use target::{Credential, Identity, Login, Logins, Secret, Target};
pub use terminal::{Size, Terminal, Terminals};
pub use winrm::{Winrm, WinrmOptions, powershell};

use async_trait::async_trait;

/// A protocol.
#[async_trait]
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Connects to a guest, checks its identity, then authenticates. It has a deadline of its own.
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>>;
}

/// One live connection to one guest.
#[async_trait]
pub trait Session: Send + Sync + std::fmt::Debug {
    /// Starts a command. It is never run twice by itself. Its output is to be read promptly: what is not read is kept
    /// in a bounded queue, then slows the command down.
    async fn exec(&self, command: Command) -> Result<Process>;

    /// Starts a command whose reader may be slow (a person's terminal, a log that is followed). It never slows down
    /// another command, at the price of a connection of its own where the protocol needs that.
    async fn stream(&self, command: Command) -> Result<Process> {
        self.exec(command).await
    }

    /// Returns when the connection is gone, with the reason: [`Error::Unreachable`] where the guest fell silent,
    /// [`Error::Lost`] where it, or we, ended the connection.
    async fn closed(&self) -> Error;

    /// Commands on a terminal, where the protocol has any.
    fn terminals(&self) -> Option<&dyn Terminals> {
        None
    }

    /// Connections to the guest's own ports, where the protocol carries them.
    fn port_forward(&self) -> Option<&dyn PortForward> {
        None
    }

    /// What the guest proved to be, in the form by which a further connection is pinned to it; `None` where the
    /// protocol has no such thing.
    fn identity(&self) -> Option<Identity> {
        None
    }
}
