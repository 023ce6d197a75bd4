//! A `WinRM` server for tests, on machines that have no Windows.
//!
//! ```text
//!   TCP (TLS) -> HTTP /wsman -> who is it? -> unseal -> envelope -> action -> shell -> process
//!               connection.rs  authentication/  encrypted.rs  envelope/  action/  shells.rs  process/
//! ```
//!
//! It speaks WS-Management with the shell extensions ([MS-WSMV]), NTLM ([MS-NLMP], also within `CredSSP`) and Kerberos as real
//! Windows does, not as a client would like it: authentication belongs to one TCP connection and its sequence numbers, plain
//! HTTP needs sealed messages, a `Receive` without output ends in a fault, quotas are Windows' own. It runs real processes.
//! Where what Windows does is not written down anywhere, the place in the code says what was assumed.
//!
//! - Happy path: [`Server::start`] listens on a free port of loopback; a client makes a shell, runs commands in it, and
//!   deletes it. [`Server::counters`] tells what happened so far, [`Server::until`] waits for it.
//! - Failures are asked for by tests: [`Server::faults`] cuts connections at a message, loses shells, slows and splits
//!   replies; [`Options`] sets limits and clock.
//! - A dropped server closes its connections and kills all processes that it has started.
//!
//! Two clients that people use, pypsrp and pywinrm, prove it (`tests/`) before anything of ours is held against it.
//!
//! [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv
//! [MS-NLMP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-nlmp

mod action;
mod authentication;
mod certificate;
mod connection;
mod counters;
mod encrypted;
mod envelope;
mod fault;
mod faults;
mod options;
mod process;
#[cfg(feature = "kerberos")]
pub mod realm;
mod reply;
mod server;
mod shell;
mod shells;

pub use action::Action;
pub use counters::Counters;
pub use faults::{Answered, Cut, Faults, Instead, Moment, Split};
pub use options::{Between, CredSsp, Limits, Options, Scheme};
pub use server::Server;
