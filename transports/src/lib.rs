//! How a guest is reached: sessions over a protocol that the guest already speaks.
//!
//! ```text
//!   Target --Transport::connect--> Session --exec--> Process {stdin, output, exit}
//! ```
//!
//! A [`Transport`] is a protocol (SSH; later WinRM, a cloud's run-command). A [`Target`] is one guest: address, user,
//! credential, and the identity that it must prove. A [`Session`] is one live connection to it. Nothing here knows what
//! a machine or a pod is, nor what the operating system at the other end understands.
//!
//! [`Link`] keeps one session warm: it connects when the guest first answers, connects again with bounded backoff when
//! the session is lost, and says what it saw last while there is none. It works over any transport.
//!
//! Abilities that a protocol may lack are optional in the type: `fn port_forward(&self) -> Option<&dyn ...>`.

mod command;
mod error;
mod target;

pub use command::{Bounds, Captured, Command, Exit, Output, Process, Stdin, Stream};
pub use error::{Error, Result};
pub use target::{Credential, Identity, Secret, Target};

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
    /// Starts a command. It is never run twice by itself.
    async fn exec(&self, command: Command) -> Result<Process>;

    /// Returns when the connection is gone, with the reason.
    async fn closed(&self) -> Error;
}
