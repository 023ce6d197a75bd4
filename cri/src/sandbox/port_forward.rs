//! `PortForward`: where connections to a pod's ports can be made.

use proto::runtime::v1::{PortForwardRequest, PortForwardResponse};

use crate::convert::named;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::store::PodPhase;
use crate::streaming::Request;

/// Serves the call. The ports are told again with each connection, so those of the request are only checked.
pub fn port_forward(node: &Node, request: PortForwardRequest) -> Result<PortForwardResponse> {
    let PortForwardRequest { pod_sandbox_id, port } = request;
    let view = node.pods.view(&named(pod_sandbox_id, "pod_sandbox_id")?)?;
    if let Some(port) = port.iter().find(|port| !(1..=i32::from(u16::MAX)).contains(*port)) {
        return Err(Error::invalid(format!("port {port} is not a port number (1 to 65535)")));
    }
    let pod = &view.pod;
    if pod.phase != PodPhase::Ready {
        return Err(Error::Conflict(format!(
            "pod {} is not ready ({:?}), so it has no ports",
            pod.id, pod.phase
        )));
    }
    Ok(PortForwardResponse { url: node.streaming.url(Request::PortForward { pod: pod.id.clone() })? })
}
