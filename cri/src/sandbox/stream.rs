//! `StreamPodSandboxes`: as `ListPodSandbox`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{ListPodSandboxRequest, StreamPodSandboxesRequest, StreamPodSandboxesResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub fn stream(
    node: &Node,
    request: StreamPodSandboxesRequest,
) -> Result<impl Stream<Item = Result<StreamPodSandboxesResponse>> + Send + use<>> {
    let StreamPodSandboxesRequest { filter } = request;
    let items = super::list::list(node, ListPodSandboxRequest { filter })?.items;
    Ok(stream::iter(parts(items).map(|pod_sandboxes| Ok(StreamPodSandboxesResponse { pod_sandboxes }))))
}
