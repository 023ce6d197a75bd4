//! `StreamPodSandboxMetrics`: as `ListPodSandboxMetrics`, in parts.

use futures_util::{Stream, stream};
use proto::runtime::v1::{StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse};

use crate::convert::parts;
use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn stream(
    node: &Node,
    request: StreamPodSandboxMetricsRequest,
) -> Result<impl Stream<Item = Result<StreamPodSandboxMetricsResponse>> + Send + use<>> {
    let StreamPodSandboxMetricsRequest {} = request;
    let metrics = super::list_metrics::all(node).await;
    Ok(stream::iter(
        parts(metrics).map(|part| Ok(StreamPodSandboxMetricsResponse { pod_sandbox_metrics: part })),
    ))
}
