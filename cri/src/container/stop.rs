//! `StopContainer`: the guest's own shutdown, then the power button, then force, within the grace period.

use std::time::Duration;

use proto::runtime::v1::{StopContainerRequest, StopContainerResponse};

use crate::convert::named;
use crate::error::Result;
use crate::node::Node;

/// The longest grace period: whatever is longer means "as long as it takes".
const LONGEST_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Serves the call.
pub async fn stop(node: &Node, request: StopContainerRequest) -> Result<StopContainerResponse> {
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or_default()).min(LONGEST_GRACE);
    node.pods.stop_container(&named(request.container_id, "container_id")?, grace).await?;
    Ok(StopContainerResponse {})
}
