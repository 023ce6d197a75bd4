//! What a handler may ask of a pod's owner.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::Result;
use crate::store::{Mount, ProcessRecord, Resources};

/// Where an answer goes.
pub(super) type Reply<T = ()> = oneshot::Sender<Result<T>>;

/// A request to an owner. Each is answered once; what takes longer shows in the view.
#[derive(Debug)]
pub(super) enum Request {
    /// Makes a container and its machine; answers its id.
    Create(Box<NewContainer>, Reply<String>),
    /// Starts a container's machine; answers when the machine runs, not when the guest does.
    Start(String, Reply),
    /// Begins to stop a container.
    Stop(String, Duration, Reply),
    /// Stops and removes a container; answers when it is gone.
    Remove(String, Reply),
    /// Opens a container's log anew.
    ReopenLog(String, Reply),
    /// Changes what a container may use; answers when it is in force.
    Update(String, Update, Reply),
    /// Changes what the pod may use; answers when it is in force.
    UpdatePod(Update, Reply),
    /// Stops everything; answers when nothing runs and no address is held.
    StopPod(Reply),
    /// Removes everything; answers when it is gone. The owner ends.
    RemovePod(Reply),
}

/// A request, and the span of who asks. Boxed, for each owner holds room for many.
pub(super) type Asked = Box<(Request, tracing::Span)>;

/// What becomes of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limit {
    /// It stays as it is.
    #[default]
    Kept,
    /// There is none any more.
    Lifted,
    /// It is this.
    Set(u64),
}

/// What becomes of a size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Update {
    /// Processors in thousandths.
    pub milli_cpus: Limit,
    /// Memory in bytes.
    pub memory_bytes: Limit,
}

impl Update {
    /// The size after it.
    pub fn over(self, before: Resources) -> Resources {
        let after = |limit, before| match limit {
            Limit::Kept => before,
            Limit::Lifted => None,
            Limit::Set(value) => Some(value),
        };
        Resources {
            milli_cpus: after(self.milli_cpus, before.milli_cpus),
            memory_bytes: after(self.memory_bytes, before.memory_bytes),
        }
    }
}

/// A container that shall be made. Already admitted, but for what only the pod's owner knows.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// Its name in the pod.
    pub name: String,
    /// How often the kubelet has made it before.
    pub attempt: u32,
    /// The reference that the pod says.
    pub image: String,
    /// The image.
    pub found: images::Image,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// The log's path below the pod's log directory.
    pub log_path: String,
    /// The size that it asks for.
    pub resources: Resources,
    /// What it runs; none where it is the machine itself.
    pub process: Option<ProcessRecord>,
}
