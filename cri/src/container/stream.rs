//! `StreamContainers`: as `ListContainers`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{ListContainersRequest, StreamContainersRequest, StreamContainersResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub fn stream(
    node: &Node,
    request: StreamContainersRequest,
) -> Result<impl Stream<Item = Result<StreamContainersResponse>> + Send + use<>> {
    let StreamContainersRequest { filter } = request;
    let containers = super::list::list(node, ListContainersRequest { filter })?.containers;
    Ok(stream::iter(parts(containers).map(|containers| Ok(StreamContainersResponse { containers }))))
}
