//! The way to one pod's owner: its inbox and its view.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::request::{Asked, Reply, Request};
use super::view::View;
use crate::error::{Error, Result};
use crate::store::PodPhase;

/// The way to one pod's owner.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) requests: mpsc::Sender<Asked>,
    pub(super) view: watch::Receiver<Arc<View>>,
}

impl Handle {
    /// Whether there is a pod behind it: an owner ends when its pod is gone.
    pub(super) fn is_alive(&self) -> bool {
        let gone = matches!(self.view.borrow().pod.phase, PodPhase::Creating | PodPhase::Removing);
        !(gone && self.requests.is_closed())
    }

    /// Asks the owner and waits for its answer.
    pub(super) async fn ask<T>(&self, id: &str, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let gone = || {
            if self.is_alive() {
                Error::Failed {
                    what: format!("the owner of {id} has failed; restart the daemon"),
                    source: None,
                }
            } else {
                Error::not_found("pod", id)
            }
        };
        self.requests.send(Box::new((request(reply), tracing::Span::current()))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
