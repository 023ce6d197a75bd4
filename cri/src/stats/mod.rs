//! The figures of pods and containers: measured in the background, answered from memory.
//!
//! ```text
//!   a list --ask--> Collector: the machines' rounds --Provider::usage----------> known: machine --+
//!      ^                       the guests' rounds ---guests::figures, a session-> known: guest ----+
//!      |                       (each only while somebody has asked lately, few at once)            |
//!      +---------------- message, metrics (pure) <-------------------------------------------------+
//! ```
//!
//! CPU has one source: the time of the virtual processors' threads on this node, which only grows, whatever the guest
//! and the daemon do. Memory, processes, network and file systems are the guest's own words; where it has no session,
//! its balloon's word for memory. Each figure goes with the time at which it was true.
//!
//! Happy path: the kubelet asks every ten seconds, is answered at once, and each question starts the next round.
//!
//! Failure paths: a guest that is silent or gone keeps its last figures with their old time, and costs a place in the
//! guests' rounds for [`guests::figures::DEADLINE`] at most; no list waits for it. One that answers too late for a question
//! about it alone is heard out, and told by the next. A machine that was never measured is told without figures. Nobody is
//! measured while nobody asks.

mod collector;
mod disk;
mod known;
pub mod message;
pub mod metrics;

pub use collector::Collector;
pub use disk::{containers_place, containers_usage};
pub use known::{Known, MemoryFigures};

use crate::pod::{ContainerView, View};
use crate::store::PodPhase;

/// The container whose figures a pod's machine are: the one that is the machine, else the first of those that run in
/// it, so that nothing is counted twice.
pub fn measured(view: &View) -> Option<&ContainerView> {
    let live = || view.containers.values().map(AsRef::as_ref).filter(|each| each.is_live());
    live().find(|each| each.record.is_machine()).or_else(|| live().min_by_key(|each| each.record.created_at))
}

/// Whether a pod has figures at all.
pub fn is_counted(view: &View) -> bool {
    view.pod.phase == PodPhase::Ready
}
