//! Pods: their records, their machines, and the one task that owns each.
//!
//! ```text
//!   handler --Request--> Owner (one task a pod) --> store, network, images, machines, logs
//!   handler <--View----- watch                 <-- machine ended, guest answered, a deadline passed
//! ```
//!
//! A pod goes `Creating -> Ready -> Stopping -> Stopped -> Removing`, a container
//! `Creating -> Created -> Starting -> Running -> Stopping -> Exited -> Removing` (see [`crate::store::PodPhase`] and
//! [`crate::store::ContainerPhase`]). Handlers never change anything themselves: they ask the owner, and wait on its
//! view for what they promised their caller.
//!
//! Happy path: [`Pods::run`] spawns the owner, which attaches the network; `CreateContainer` leases the image and
//! defines the machine; `StartContainer` starts it and the view says `Running` when the guest first answers;
//! `StopContainer` lets the guest shut itself down; the machine ends, the log is finished, the view says `Exited`.
//!
//! Failure paths: what an owner does is recorded before it is done, so a daemon that dies anywhere finds in
//! [`recover`] what to finish and what to undo. A call whose client goes away is carried to its end all the same. A
//! guest that does not answer costs its own container only: no owner waits for a guest.

pub mod annotations;
mod changes;
mod debts;
pub mod facts;
mod handle;
mod live;
mod loan;
pub(crate) mod login;
mod machine;
mod owner;
mod process;
pub(crate) mod protocol;
mod recover;
mod registry;
mod request;
pub mod secret;
mod seed;
mod settings;
mod size;
mod stop;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use changes::{Change, Changes, Kind as ChangeKind};
pub use debts::pay_debts;
pub use owner::process_id;
pub use recover::recover;
pub use registry::Pods;
pub use request::{Limit, NewContainer, Update};
pub use view::{ContainerView, View};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::network::{GuestIdentity, Network};
use crate::store::{PodRecord, Store};
use crate::volume::Watcher;

/// Everything that a pod needs of its node.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The records.
    pub store: Store,
    /// The images.
    pub images: images::Store,
    /// The pod network.
    pub network: Network,
    /// The providers by name.
    pub providers: BTreeMap<String, Arc<dyn machines::Provider>>,
    /// The providers whose machines have guests that answer.
    pub answering: BTreeSet<String>,
    /// Where changes of volumes on the node are noticed.
    pub watcher: Arc<Watcher>,
    /// Where what happens to pods is told.
    pub changes: Changes,
}

impl Context {
    /// When a caller that begins to wait now for a guest's first answer is told that it still boots.
    fn start_wait(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + std::time::Duration::from_secs(self.config.timeouts.start_wait_seconds)
    }

    /// The provider of a pod.
    pub fn provider(&self, name: &str) -> Result<&Arc<dyn machines::Provider>> {
        self.providers.get(name).ok_or_else(|| {
            Error::invalid(format!(
                "the provider {name:?} is no longer configured; add [providers.{name}] again until its pods are removed"
            ))
        })
    }
}

/// What the network tells a pod's guest of itself.
fn guest_identity(pod: &PodRecord) -> GuestIdentity {
    GuestIdentity {
        hostname: pod.hostname.clone(),
        search: pod.dns.searches.clone(),
        servers: pod.dns.servers.iter().filter_map(|server| server.parse().ok()).collect(),
    }
}

/// Nanoseconds since 1970, as the CRI counts time.
pub fn now() -> i64 {
    nanos(std::time::SystemTime::now())
}

/// A time as nanoseconds since 1970.
pub fn nanos(time: std::time::SystemTime) -> i64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
