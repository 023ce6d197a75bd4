//! The node as the RPCs see it: its pods, and through them everything that pods share.

use crate::pod::{Context, Pods};
use crate::streaming::Streaming;

/// What every RPC is given.
pub struct Node {
    /// The pods.
    pub pods: Pods,
    /// The sessions that wait to be opened.
    pub streaming: Streaming,
}

impl Node {
    /// What the pods share.
    pub fn context(&self) -> &Context {
        self.pods.context()
    }
}
