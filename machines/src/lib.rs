//! Where a pod runs: creating, finding and destroying machines.
//!
//! A [`Provider`] turns a [`MachineSpec`] into a running virtual machine, and tells what becomes of it. It knows
//! nothing of sessions or of Kubernetes. Every name, directory and token that a provider leaves on the node is derived
//! from the [`MachineId`], so a restarted daemon finds all of it again and a retried call never makes a second one.
//!
//! ```text
//!            define              start                guest powers off, resets, panics;
//!  Absent ----------> Defined ----------> Running --------------------------------------> Ended(why)
//!    ^                   |                   |              stop, crash of the process        |
//!    +-------------------+---- destroy ------+------------------------------------------------+
//! ```
//!
//! Happy path: `define` (disk, seed, directory), `start`, [`Provider::watch`] says `Running`, the guest powers off,
//! the watch says `Ended`, `destroy`.
//!
//! Failure paths: each call is idempotent, so whoever was interrupted calls again. `destroy` of something absent
//! succeeds, and destroys what runs. `list` finds every machine that has left any trace, running or not.
//!
//! A provider whose machines were there before ([`fleet`]) has them adopted instead of defined, and gives them back where
//! others end them: that is an ability of its own, [`Adopting`].

mod error;
pub mod fleet;
mod null;
pub mod qemu;
mod resize;
mod spec;
mod usage;

pub use fleet::{Adopted, Adopting, Fleet, Owed};
pub use null::NullProvider;
pub use qemu::{Accel, Qemu, QemuConfig};

pub use error::{Error, Result};
pub use resize::{Resize, Share};
pub use spec::{
    Clock, DiskBus, DiskFormat, Firmware, MachineId, MachineSpec, Nic, NicModel, OnReset, RootDisk, Seed,
    SeedForm, Tpm,
};
pub use usage::{GuestMemory, Usage};

use std::path::PathBuf;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a machine is doing, as its provider last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineState {
    /// Nothing of it is on the node.
    Absent,
    /// Its disk, seed and directory exist; it does not run.
    Defined,
    /// It runs.
    Running {
        /// How often the guest has reset itself since the provider began to watch (see [`OnReset::Continue`]).
        resets: u32,
    },
    /// It ran and no longer does. Its disk is still there.
    Ended(Ended),
}

/// The end of a machine's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why it ended.
    pub cause: Cause,
    /// When it ended, or when that was found out.
    pub at: SystemTime,
    /// What a person should read about it: one line.
    pub message: String,
}

/// Why a machine no longer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The guest powered itself off, or answered the power button.
    PoweredOff,
    /// The guest reset itself, and its specification says that this ends it.
    Reset,
    /// The guest's kernel reported a panic.
    Panicked,
    /// It was forced off through [`Provider::stop`].
    Forced,
    /// It was there before, and is its owner's again.
    Released,
    /// The node's kernel killed its process, for its cgroup, or one above it, had no memory left.
    OutOfMemory,
    /// Its process ended without a word from the guest (killed, crashed, or the node restarted).
    Lost,
}

/// How [`Provider::stop`] ends a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Press the power button and return at once; the watch tells when the guest has obeyed.
    PowerButton,
    /// End it now; when the call returns the machine no longer runs.
    Force,
}

/// The paths of a machine's serial console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Everything that the guest wrote, appended to by the provider. The file's offsets never shift: its oldest part
    /// is released (it reads as NUL bytes) when the file passes its bound.
    pub log: PathBuf,
    /// A Unix socket that carries the console both ways, for one client at a time.
    pub socket: PathBuf,
}

/// A way to run machines: QEMU on this node, machines that run already, or nothing at all (for measurements).
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Whether machines can be started now; the error says what is missing and what to do.
    async fn check(&self) -> Result<()>;

    /// Makes everything that the machine needs, short of running it. Idempotent.
    async fn define(&self, spec: &MachineSpec) -> Result<()>;

    /// Runs a defined machine. Idempotent: a running machine is left alone, an ended one is started again.
    async fn start(&self, id: &MachineId) -> Result<()>;

    /// What the machine is doing, now and from now on. Finds it again after a restart of the daemon.
    async fn watch(&self, id: &MachineId) -> Result<watch::Receiver<MachineState>>;

    /// Ends a machine's run. Something absent or already ended is a success.
    async fn stop(&self, id: &MachineId, mode: StopMode) -> Result<()>;

    /// Ends the machine and removes everything of it. Something absent is a success.
    async fn destroy(&self, id: &MachineId) -> Result<()>;

    /// Every machine of which anything exists.
    async fn list(&self) -> Result<Vec<MachineId>>;

    /// What a running machine uses now; `None` where it does not run, is being started or ended just now, or its
    /// provider cannot tell. It takes seconds at most, whatever the machine does.
    async fn usage(&self, _id: &MachineId) -> Result<Option<Usage>> {
        Ok(None)
    }

    /// How a running machine is given less than it was booted with, where the provider can.
    fn resizing(&self) -> Option<&dyn Resize> {
        None
    }

    /// How machines that run already are taken, where the provider has such and makes none.
    fn adopting(&self) -> Option<&dyn Adopting> {
        None
    }

    /// The serial console, where the provider has one.
    fn console(&self, _id: &MachineId) -> Option<Console> {
        None
    }
}
