//! `ReopenContainerLog`: the kubelet has renamed the log; lines from now on go to a new file.

use proto::runtime::v1::{ReopenContainerLogRequest, ReopenContainerLogResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn reopen_log(
    node: &Node,
    request: ReopenContainerLogRequest,
) -> Result<ReopenContainerLogResponse> {
    node.pods.reopen_log(&named(request.container_id, "container_id")?).await?;
    Ok(ReopenContainerLogResponse {})
}
