//! The node as the RPCs see it: its pods, and through them everything that pods share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::pod::{Context, Pods};
use crate::stats::Collector;
use crate::streaming::Streaming;

/// What every RPC is given.
pub struct Node {
    /// The pods.
    pub pods: Arc<Pods>,
    /// The sessions that wait to be opened.
    pub streaming: Streaming,
    /// Their figures.
    pub stats: Arc<Collector>,
    /// Cancelled when the daemon is asked to stop: what has no end of its own ends with it.
    pub stopping: CancellationToken,
}

impl Node {
    /// What the pods share.
    pub fn context(&self) -> &Context {
        self.pods.context()
    }
}
