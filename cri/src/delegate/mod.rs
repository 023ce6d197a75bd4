//! A runtime beside ours, containerd or CRI-O, which runs the node's ordinary containers. The kubelet knows one socket, ours.
//!
//! ```text
//!               +-- ours:   a handler of [handlers], an id of our store ----> service
//!   kubelet --> router
//!               +-- theirs: a handler of [delegate], any other id, any ----> the delegate's socket, byte for byte
//!               |           call that we do not know
//!               +-- both:   lists, figures, events, images, Status --------> merged, ours first
//!
//!   the delegate:  unheard --answers--> well --silent, or gone--> unwell --answers--> well
//! ```
//!
//! Whose a call is, is told by as little of its message as it takes: the runtime handler of a new pod, the id of anything else.
//! Our store knows our ids, so all others are the delegate's to know, also to say that nobody does; nothing has to be
//! remembered of them, and a restart of either side changes nothing. What is theirs travels as it came, in both directions:
//! fields and calls that this daemon has never heard of pass.
//!
//! Happy path: a list is asked of both sides at once, and is ours in our order, then theirs in the order of their ids. Both
//! sides' Status become one, which is ready while either of them is: a kubelet that sees a runtime that is not ready touches
//! no pod at all, the other side's neither.
//!
//! Before it was ever heard it may run what nobody here knows of, and the kubelet would take that for gone: the node is not ready
//! until it has answered. Where the node has booted since it was heard last, nothing of it runs, and nothing waits for it (`boot`).
//!
//! Failure paths: a list waits two seconds for the delegate, and for none while an earlier one is still unanswered; then its
//! pods, containers and images are told as they were last known (`heard`), also after a restart of ours, for that is kept
//! until the node boots anew. A list that the delegate has changed for us since is known to be wrong: it is waited for up to
//! ten seconds, and fails then, unless the delegate is away. Figures are waited for as long, and are none then: an old figure
//! looks like a new one. A call about what is theirs fails with `Unavailable` while they are away, and one about what is ours
//! never notices; once ours is gone it is not in our store, so a second removal of it, or a question about it, is asked of
//! the delegate, and fails as well while they are away. The connection comes back by the next call.
//! A listener to events whose delegate was away is let go once it is back, for it has to list again.
//!
//! What is not done: the addresses that the delegate answers to `Exec`, `Attach` and `PortForward` are handed on as they are, so
//! its streaming server has to be reachable from the kubelet as it was before: on loopback of the node's own network.

mod boot;
mod descriptors;
mod events;
mod filesystems;
mod frame;
mod heard;
mod images;
mod list;
mod method;
mod owner;
mod peer;
mod question;
mod router;
mod select;
mod status;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::runtime::v1::{VersionRequest, VersionResponse};
use tokio::time::Instant;
use tonic::Code;
use transports::Backoff;

use crate::config::{Config, DelegateSection};
use crate::error::Result;
use heard::Heard;
use peer::Peer;

pub use router::{Router, RouterLayer};

/// How long the daemon's start waits for a delegate of which nothing is known yet: without it, what it runs would seem to be
/// gone.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// The version of the CRI that both sides speak.
const API: &str = "v1";

/// The runtime beside ours.
#[derive(Debug)]
pub struct Delegate {
    handlers: BTreeSet<String>,
    peer: Peer,
    heard: Heard,
}

impl Delegate {
    /// The delegate of the configuration; what was last known of it is in the run directory.
    pub fn open(section: &DelegateSection, config: &Config) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            handlers: section.handlers.clone(),
            peer: Peer::open(&section.endpoint)?,
            heard: Heard::open(&config.run_dir.join("delegate"), &config.state_dir)?,
        }))
    }

    /// Finds out what it runs, before the first list is asked for. Waits for it where nothing of that is known from before.
    pub async fn first_look(self: &Arc<Self>) {
        let deadline = Instant::now() + FIRST_ANSWER;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match self.look().await {
                Ok(version) => return self.greet(&version),
                Err(why) if !self.heard.may_miss_some() || Instant::now() >= deadline => {
                    let endpoint = self.peer.endpoint();
                    tracing::warn!(
                        endpoint,
                        why,
                        "the delegate cannot be asked what it runs; starting without it"
                    );
                    return;
                }
                Err(_) => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
    }

    /// Asks who it is, and for all of which the last state is kept.
    async fn look(self: &Arc<Self>) -> Result<VersionResponse, String> {
        let version = self.version().await?;
        for path in heard::KEPT {
            match self.ask(path, Bytes::new()).await {
                Err(status) if status.code() != Code::Unimplemented => {
                    return Err(status.message().to_owned());
                }
                _ => {}
            }
        }
        Ok(version)
    }

    /// Its name and versions.
    async fn version(self: &Arc<Self>) -> Result<VersionResponse, String> {
        let request = VersionRequest { version: API.to_owned() }.encode_to_vec();
        let answer = self.ask("/runtime.v1.RuntimeService/Version", request.into()).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        VersionResponse::decode(answer).map_err(|error| format!("its Version cannot be read: {error}"))
    }

    fn greet(&self, version: &VersionResponse) {
        let VersionResponse { version: _, runtime_name, runtime_version, runtime_api_version } = version;
        let endpoint = self.peer.endpoint();
        tracing::info!(endpoint, runtime_name, runtime_version, runtime_api_version, "the delegate answers");
        if runtime_api_version != API {
            tracing::warn!(
                runtime_api_version,
                "the delegate tells another version of the CRI than {API}; pods of its handlers may fail"
            );
        }
    }
}
