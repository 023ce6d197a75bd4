//! What an operating system understands, in terms of a [`transports::Session`].
//!
//! So far: reading the guest's own log ([`log`]), running processes in it ([`process`]), volumes of files ([`volume`]), copying single files
//! in and out ([`copy`]), asking it for figures
//! ([`figures`]), setting sysctls of its kernel ([`sysctl`]), its host name and how it resolves names ([`names`]), which boot of it this is
//! ([`boot`]), asking it to shut down ([`shutdown`]), and lending a guest that is somebody's already, with all of that taken back ([`lending`]).
//! What differs between operating systems is a [`Family`] that the caller tells: each facility asks it once, and has a file for each.
//! Nothing here knows which protocol carries the session, nor what a machine or a pod is. Everything that comes
//! from the guest is bounded.

pub mod boot;
pub mod copy;
mod drive;
mod error;
mod family;
pub mod figures;
pub mod lending;
pub mod log;
pub mod missing;
pub mod names;
mod powershell;
pub mod process;
mod script;
pub mod shutdown;
pub mod sysctl;
pub mod volume;

pub use error::{Error, Result};
pub use family::Family;
