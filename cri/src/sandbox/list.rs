//! `ListPodSandbox`.

use proto::runtime::v1::{
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter, PodSandboxState, PodSandboxStateValue,
};

use crate::convert::{sandbox, selects};
use crate::error::Result;
use crate::node::Node;
use crate::pod::View;

/// Serves the call.
pub fn list(node: &Node, request: ListPodSandboxRequest) -> Result<ListPodSandboxResponse> {
    let filter = request.filter.unwrap_or_default();
    let views = node.pods.views();
    let items = views.iter().filter(|view| matches(&filter, view)).map(|view| sandbox::item(view)).collect();
    Ok(ListPodSandboxResponse { items })
}

fn matches(filter: &PodSandboxFilter, view: &View) -> bool {
    let PodSandboxFilter { id, state, label_selector } = filter;
    let pod = &view.pod;
    pod.id.starts_with(id.as_str())
        && state.as_ref().is_none_or(|PodSandboxStateValue { state }| {
            PodSandboxState::try_from(*state) == Ok(sandbox::state(pod.phase))
        })
        && selects(label_selector, &pod.labels)
}
