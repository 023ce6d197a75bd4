//! Machines that already run: an inventory of them becomes capacity of the node.
//!
//! ```text
//!   inventory entry: free --adopt--> adopted (Defined) --start--> in use (Running) --stop--> released (Ended) = free
//!                     ^                  |                             |
//!                     +---- destroy -----+-----------------------------+
//! ```
//!
//! Nothing here touches a machine: it is never created, destroyed or powered off by this provider. What it owns is the
//! knowledge of who has which machine, a file for each adoption below its directory, written durably before anything is
//! done to the machine. How a machine is reached stands in the [`Inventory`]; who talks to it, gives it what its pod asks
//! for and takes that back again is the caller. An entry that allows `power-off` is shut down by the caller, from inside.
//!
//! Happy path: [`Adopting::adopt`] finds the entry, resolves its address and records the adoption; `start` and `stop` mark
//! the time between which it is in use; `stop`, whatever its mode, releases it ([`Cause::Released`](crate::Cause)), and so
//! another container may adopt it, also where it was never started. `destroy` forgets the adoption. What a machine may hold of its
//! pod is a *debt*, recorded by [`Adopting::owe`] before anything is put into it, and gone with [`Adopting::paid`].
//!
//! Failure paths:
//! - Adopted twice, by its name, its address, or another protocol of its host: the second `adopt` is refused, and names the
//!   holder. Calls for the same id find their own adoption.
//! - An address that leads to this node itself, or that the pod cannot be forwarded to: refused when it is adopted.
//! - Released without being given back (it was silent, or the daemon died): the debt is *due* until it is paid, whatever has become
//!   of the adoption, and [`Adopting::owed`] tells of it.
//! - Gone from the inventory, or changed there: an adoption keeps what it was made with until it ends; a new one is refused by
//!   name.
//! - A daemon that dies anywhere finds its adoptions by their files, and `list` names them all.
//! - An inventory that can no longer be read: the last one that could be stays in force, and the log says why.

mod address;
mod debt;
mod inventory;
mod parse;
mod provider;
mod reach;
mod record;
mod resolve;

pub use debt::{Owed, owed};
pub use inventory::{Credential, Entry, Inventory, InventoryFile};
pub use provider::Fleet;
pub use reach::{Authentication, Os, Protocol, Scheme};
pub use record::{Adoption, adoptions};
pub use resolve::resolve;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{MachineId, Result};

/// How machines that run already are taken, where a provider has such. They are adopted instead of defined.
#[async_trait]
pub trait Adopting: Send + Sync {
    /// Takes the machine of this name for one holder alone, whose pod has these addresses. Idempotent for the same holder.
    async fn adopt(&self, id: &MachineId, name: &str, pod: &[IpAddr]) -> Result<()>;

    /// What was adopted under this id, also after its entry has changed or gone.
    fn adopted(&self, id: &MachineId) -> Option<Adopted>;

    /// Whether a machine is this holder's: adopted, and not released.
    fn holds(&self, id: &MachineId) -> bool;

    /// Records that a machine, which has proven these keys, may hold something of its holder from now on.
    async fn owe(&self, id: &MachineId, keys: Vec<String>) -> Result<()>;

    /// Whether it may.
    fn owes(&self, id: &MachineId) -> bool;

    /// Records that the machine has nothing of this holder any more, nor of those before. None is a success.
    async fn paid(&self, id: &MachineId) -> Result<()>;

    /// The machines that are to be given back and are in nobody's use, to be watched.
    fn owed(&self) -> watch::Receiver<Vec<Owed>>;

    /// What tells this provider's adoptions from those of another node's: made up once, and kept.
    fn node(&self) -> &str;

    /// What may be adopted, as it is now.
    fn inventory(&self) -> Arc<Inventory>;
}

/// A machine that was adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its name in the inventory.
    pub name: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Whether its holder may shut it down.
    pub power_off: bool,
}
