//! `PodSandboxStatus`.

use std::collections::BTreeMap;

use proto::runtime::v1::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use serde_json::json;

use crate::convert::{container, named, sandbox};
use crate::error::Result;
use crate::node::Node;
use crate::pod::{View, now};

/// Serves the call.
pub fn status(node: &Node, request: PodSandboxStatusRequest) -> Result<PodSandboxStatusResponse> {
    let view = node.pods.view(&named(request.pod_sandbox_id, "pod_sandbox_id")?)?;
    Ok(PodSandboxStatusResponse {
        status: Some(sandbox::status(&view)),
        info: if request.verbose { info(&view) } else { BTreeMap::new() },
        containers_statuses: view
            .containers
            .values()
            .map(|each| container::status(&each.record, &view.pod))
            .collect(),
        timestamp: now(),
    })
}

/// What a person wants to know beyond the protocol.
fn info(view: &View) -> BTreeMap<String, String> {
    let pod = &view.pod;
    let info = json!({
        "provider": pod.provider,
        "phase": format!("{:?}", pod.phase),
        "hostname": pod.hostname,
        "cgroupParent": pod.cgroup_parent,
        "resources": pod.resources,
        "logDirectory": pod.log_directory,
        "network": pod.attachment,
        "dns": pod.dns,
        "ports": pod.ports,
        "hostKey": pod.keys.host_public,
    });
    BTreeMap::from([("info".to_owned(), info.to_string())])
}
