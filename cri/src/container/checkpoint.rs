//! `CheckpointContainer`, which says why not.

use proto::runtime::v1::{CheckpointContainerRequest, CheckpointContainerResponse};

use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;

/// Serves the call.
pub fn checkpoint(node: &Node, request: CheckpointContainerRequest) -> Result<CheckpointContainerResponse> {
    let CheckpointContainerRequest { container_id, location: _, timeout: _ } = request;
    let (_, found) = node.pods.container(&named(container_id, "container_id")?)?;
    Err(Error::Conflict(format!(
        "container {} runs in a virtual machine, and a checkpoint is an archive of the node's own processes; back it up \
         from inside the guest, or take a snapshot of the volumes that hold its data",
        found.record.id
    )))
}
