//! The way to one pod's owner: its inbox and its view.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::request::{Reply, Request};
use super::view::View;
use crate::error::{Error, Result};

/// The way to one pod's owner.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) view: watch::Receiver<Arc<View>>,
}

impl Handle {
    /// Whether the owner still serves: it ends when its pod is gone.
    pub(super) fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Asks the owner and waits for its answer.
    pub(super) async fn ask<T>(&self, id: &str, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::not_found("pod", id);
        self.requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
