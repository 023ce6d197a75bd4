//! `CreateContainer`: the machine is defined when it answers; nothing boots yet.

use proto::runtime::v1::{CreateContainerRequest, CreateContainerResponse};

use crate::convert::{container, named, required};
use crate::error::{Error, Result};
use crate::node::Node;

/// Serves the call.
pub async fn create(node: &Node, request: CreateContainerRequest) -> Result<CreateContainerResponse> {
    let CreateContainerRequest {
        pod_sandbox_id,
        config,
        sandbox_config: _, // the pod's own record has it
    } = request;
    let pod = named(pod_sandbox_id, "pod_sandbox_id")?;
    let config = required(config, "config")?;
    let image = container::image(&config)?;
    let found = node.context().find_image(&image).await?.ok_or_else(|| Error::not_found("image", image))?;
    let new = container::new(config, found, &node.context().config.kubelet_root_dir)?;
    Ok(CreateContainerResponse { container_id: node.pods.create_container(&pod, new).await? })
}
