//! `CreateContainer`: the machine is defined when it answers; nothing boots yet.

use proto::runtime::v1::{ContainerConfig, CreateContainerRequest, CreateContainerResponse};

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
    let found = node.context().find_image(&image).await?;
    let found = found.ok_or_else(|| absent(node, &pod, &config, image))?;
    let new = container::new(config, found, &node.context().config.kubelet_root_dir)?;
    Ok(CreateContainerResponse { container_id: node.pods.create_container(&pod, new).await? })
}

/// Why there is no image. A kubelet that was told of the delegate's image of this name does not pull it for us, however often it
/// tries again.
fn absent(node: &Node, pod: &str, config: &ContainerConfig, image: String) -> Error {
    let (Some(delegate), Ok(view)) = (&node.context().config.delegate, node.pods.view(pod)) else {
        return Error::not_found("image", image);
    };
    let name = config.image.as_ref().map(|asked| asked.user_specified_image.as_str()).unwrap_or_default();
    let (name, endpoint) = (if name.is_empty() { &image } else { name }, &delegate.endpoint);
    let handler = if view.pod.handler.is_empty() { "\"\"" } else { &view.pod.handler };
    Error::Conflict(format!(
        "image {image} does not exist for machines; the runtime at {endpoint} may have one of this name, so that nobody pulled \
         it: call `infranetes image pull --handler {handler} {name}` on this node, or remove it there"
    ))
}
