//! What happens to pods and containers, told to whoever listens.
//!
//! ```text
//!   owner --publish: before, after--> differences (pure) --> a bounded ring --> a listener, each at its own pace
//! ```
//!
//! Happy path: each change of a view becomes its events, in order, after the view shows it.
//!
//! Failure paths: a listener that is slower than the ring is long misses events, and is told so instead of going on as if
//! nothing were missing. No owner ever waits for one. While nobody listens nothing is worked out.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::now;
use super::view::View;
use crate::store::{ContainerPhase, PodPhase};

/// How many events a listener may be behind.
const BEHIND: usize = 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was made.
    Created,
    /// It runs.
    Started,
    /// It no longer runs.
    Stopped,
    /// It is gone.
    Deleted,
}

/// Something that happened to a pod or to one of its containers.
#[derive(Debug, Clone)]
pub struct Change {
    /// The container's id, or the pod's.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// The pod after it.
    pub view: Arc<View>,
}

/// Where changes go.
#[derive(Debug)]
pub struct Changes(broadcast::Sender<Change>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Changes {
    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Change> {
        self.0.subscribe()
    }

    /// Tells what has changed from one view of a pod to the next.
    pub(super) fn tell(&self, before: &View, after: &Arc<View>) {
        if self.0.receiver_count() > 0 {
            for (id, kind) in differences(before, after) {
                self.send(id, kind, after);
            }
        }
    }

    /// Tells that a pod is gone.
    pub(super) fn tell_gone(&self, last: &Arc<View>) {
        self.send(last.pod.id.clone(), Kind::Deleted, last);
    }

    fn send(&self, id: String, kind: Kind, view: &Arc<View>) {
        // Nobody listens: nobody misses it.
        let _ = self.0.send(Change { id, kind, at: now(), view: Arc::clone(view) });
    }
}

fn differences(before: &View, after: &View) -> Vec<(String, Kind)> {
    let pod = |kinds: &[Kind]| kinds.iter().map(|kind| (after.pod.id.clone(), *kind)).collect::<Vec<_>>();
    let phase = |view: &View, id: &str| view.containers.get(id).map(|container| container.record.phase);
    let ids: BTreeSet<&String> = before.containers.keys().chain(after.containers.keys()).collect();
    let of_containers = ids.into_iter().flat_map(|id| {
        let kinds = of_container(phase(before, id), phase(after, id));
        kinds.iter().map(|kind| (id.clone(), *kind))
    });
    match of_pod(before.pod.phase, after.pod.phase) {
        // What ends with the pod ends before it.
        kinds @ [Kind::Stopped] => of_containers.chain(pod(kinds)).collect(),
        kinds => pod(kinds).into_iter().chain(of_containers).collect(),
    }
}

fn of_pod(was: PodPhase, is: PodPhase) -> &'static [Kind] {
    let over = |phase| matches!(phase, PodPhase::Stopped | PodPhase::Removing);
    match (was, is) {
        (PodPhase::Creating, PodPhase::Ready) => &[Kind::Created, Kind::Started],
        (was, is) if !over(was) && over(is) => &[Kind::Stopped],
        _ => &[],
    }
}

fn of_container(was: Option<ContainerPhase>, is: Option<ContainerPhase>) -> &'static [Kind] {
    use ContainerPhase::{Created, Exited, Removing, Running, Starting, Stopping};
    match (was, is) {
        (None, Some(Created)) => &[Kind::Created],
        (None, Some(Starting)) => &[Kind::Created, Kind::Started],
        (Some(Created), Some(Starting | Running | Stopping)) => &[Kind::Started],
        (Some(Created | Starting | Running | Stopping), Some(Exited))
        | (Some(Starting | Running | Stopping), Some(Removing)) => &[Kind::Stopped],
        (Some(_), None) => &[Kind::Deleted],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContainerPhase::{Created, Exited, Removing, Running, Starting, Stopping};

    /// What is told of a life that goes through these phases and is gone then.
    fn life(phases: &[ContainerPhase]) -> Vec<Kind> {
        let before = [None].into_iter().chain(phases.iter().copied().map(Some));
        let after = phases.iter().copied().map(Some).chain([None]);
        before.zip(after).flat_map(|(was, is)| of_container(was, is).iter().copied()).collect()
    }

    #[test]
    fn each_stage_of_a_container_is_told_once() {
        let all = [Kind::Created, Kind::Started, Kind::Stopped, Kind::Deleted];
        assert_eq!(life(&[Created, Starting, Running, Stopping, Exited, Removing]), all);
        assert_eq!(life(&[Created, Starting, Stopping, Exited, Removing]), all);
        assert_eq!(life(&[Created, Starting, Exited, Removing]), all);
        assert_eq!(life(&[Created, Removing]), [Kind::Created, Kind::Deleted], "it never ran");
        assert_eq!(of_container(Some(Running), Some(Running)), []);
    }

    #[test]
    fn a_pod_starts_as_it_is_made_and_stops_once() {
        assert_eq!(of_pod(PodPhase::Creating, PodPhase::Ready), [Kind::Created, Kind::Started]);
        assert_eq!(of_pod(PodPhase::Ready, PodPhase::Stopping), []);
        assert_eq!(of_pod(PodPhase::Stopping, PodPhase::Stopped), [Kind::Stopped]);
        assert_eq!(of_pod(PodPhase::Stopped, PodPhase::Removing), []);
        assert_eq!(of_pod(PodPhase::Ready, PodPhase::Removing), [Kind::Stopped]);
        assert_eq!(of_pod(PodPhase::Creating, PodPhase::Stopping), [], "it was never told");
    }
}
