//! `StreamPodSandboxStats`: as `ListPodSandboxStats`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn stream(
    node: &Node,
    request: StreamPodSandboxStatsRequest,
) -> Result<impl Stream<Item = Result<StreamPodSandboxStatsResponse>> + Send + use<>> {
    let StreamPodSandboxStatsRequest { filter } = request;
    let stats = super::list_stats::select(node, filter).await;
    Ok(stream::iter(parts(stats).map(|part| Ok(StreamPodSandboxStatsResponse { pod_sandbox_stats: part }))))
}
