//! `ListContainers`.

use proto::runtime::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest, ListContainersResponse,
};

use crate::convert::{container, selects};
use crate::error::Result;
use crate::node::Node;
use crate::store::ContainerRecord;

/// Serves the call.
pub fn list(node: &Node, request: ListContainersRequest) -> Result<ListContainersResponse> {
    let filter = request.filter.unwrap_or_default();
    let views = node.pods.views();
    let records = views.iter().flat_map(|view| view.containers.values()).map(|each| each.record.as_ref());
    let containers = records.filter(|record| matches(&filter, record)).map(container::item).collect();
    Ok(ListContainersResponse { containers })
}

fn matches(filter: &ContainerFilter, record: &ContainerRecord) -> bool {
    let ContainerFilter { id, state, pod_sandbox_id, label_selector } = filter;
    record.id.starts_with(id.as_str())
        && record.pod_id.starts_with(pod_sandbox_id.as_str())
        && state.as_ref().is_none_or(|ContainerStateValue { state }| {
            ContainerState::try_from(*state) == Ok(container::state(record.phase))
        })
        && selects(label_selector, &record.labels)
}
