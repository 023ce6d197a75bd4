//! `ContainerStatus`.

use std::collections::BTreeMap;

use proto::runtime::v1::{ContainerStatusRequest, ContainerStatusResponse};
use serde_json::json;

use crate::convert::{container, named};
use crate::error::Result;
use crate::node::Node;
use crate::pod::ContainerView;

/// Serves the call.
pub fn status(node: &Node, request: ContainerStatusRequest) -> Result<ContainerStatusResponse> {
    let (pod, found) = node.pods.container(&named(request.container_id, "container_id")?)?;
    Ok(ContainerStatusResponse {
        status: Some(container::status(&found.record, &pod.pod)),
        info: if request.verbose { info(&found) } else { BTreeMap::new() },
    })
}

/// What a person wants to know beyond the protocol.
fn info(found: &ContainerView) -> BTreeMap<String, String> {
    let record = &found.record;
    let guest = match &found.link {
        None => "not running".to_owned(),
        Some(link) => link.session().map_or_else(|error| error.to_string(), |_| "answers".to_owned()),
    };
    let info = json!({
        "sandboxID": record.pod_id,
        "machine": record.machine,
        "phase": format!("{:?}", record.phase),
        "answered": found.answered,
        "process": record.process().map(|process| &process.argv),
        "guest": guest,
        "facts": record.facts.shown(),
        "exit": record.exit,
    });
    let mut told = BTreeMap::from([("info".to_owned(), info.to_string())]);
    if let Some(console) = &found.console {
        told.insert("console.socket".to_owned(), console.socket.display().to_string());
        told.insert("console.log".to_owned(), console.log.display().to_string());
    }
    told
}
