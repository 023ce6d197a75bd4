//! `GetContainerEvents`: what happens to pods and containers from now on.
//!
//! A listener that falls behind by more than is kept is told so and let go; a new call begins anew, and whoever makes it
//! lists first. The end of the daemon ends every stream at once, so that none holds it up.

use futures_util::{Stream, StreamExt, stream};
use proto::runtime::v1::{ContainerEventResponse, ContainerEventType, GetEventsRequest};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::convert::{container, sandbox};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::{Change, ChangeKind};

/// Serves the call.
pub fn events(
    node: &Node,
    request: GetEventsRequest,
) -> impl Stream<Item = Result<ContainerEventResponse>> + Send + use<> {
    let GetEventsRequest {} = request;
    let changes = node.context().changes.listen();
    stream::unfold(Some(changes), next).take_until(node.stopping.clone().cancelled_owned())
}

async fn next(
    changes: Option<Receiver<Change>>,
) -> Option<(Result<ContainerEventResponse>, Option<Receiver<Change>>)> {
    let mut changes = changes?;
    match changes.recv().await {
        Ok(change) => Some((Ok(message(&change)), Some(changes))),
        Err(RecvError::Lagged(missed)) => {
            let why = format!(
                "{missed} events were lost because they were read too slowly; list, and ask for events again"
            );
            Some((Err(Error::Unavailable(why)), None))
        }
        Err(RecvError::Closed) => None,
    }
}

fn message(change: &Change) -> ContainerEventResponse {
    let Change { id, kind, at, view } = change;
    let kind = match kind {
        ChangeKind::Created => ContainerEventType::ContainerCreatedEvent,
        ChangeKind::Started => ContainerEventType::ContainerStartedEvent,
        ChangeKind::Stopped => ContainerEventType::ContainerStoppedEvent,
        ChangeKind::Deleted => ContainerEventType::ContainerDeletedEvent,
    };
    let containers = view.containers.values();
    ContainerEventResponse {
        container_id: id.clone(),
        container_event_type: kind.into(),
        created_at: *at,
        pod_sandbox_status: Some(sandbox::status(view)),
        containers_statuses: containers.map(|each| container::status(&each.record, &view.pod)).collect(),
    }
}
