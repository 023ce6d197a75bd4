//! `Attach`: where a container's own terminal can be spoken with. That of a machine is its serial console, that of a process
//! its input and output.

use proto::runtime::v1::{AttachRequest, AttachResponse};

use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::streaming::{Request, Wanted};

/// Serves the call.
pub fn attach(node: &Node, request: AttachRequest) -> Result<AttachResponse> {
    let AttachRequest { container_id, stdin, tty, stdout, stderr } = request;
    let wanted = Wanted { stdin, stdout, stderr, tty };
    wanted.check()?;
    let (_, container) = node.pods.container(&named(container_id, "container_id")?)?;
    let record = &container.record;
    if !container.is_live() {
        return Err(Error::Conflict(format!(
            "container {} does not run ({:?}), so nothing can be attached to it",
            record.id, record.phase
        )));
    }
    if record.is_machine() && container.console.is_none() {
        return Err(Error::invalid(format!(
            "container {} has no serial console: its machine is not on this node",
            record.id
        )));
    }
    Ok(AttachResponse { url: node.streaming.url(Request::Attach { container: record.id.clone(), wanted })? })
}
