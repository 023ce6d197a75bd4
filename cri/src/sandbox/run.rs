//! `RunPodSandbox`: the pod's network exists when it answers; nothing boots yet.

use proto::runtime::v1::{RunPodSandboxRequest, RunPodSandboxResponse};

use crate::convert::{required, sandbox};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::store::Keys;

/// Serves the call.
pub async fn run(node: &Node, request: RunPodSandboxRequest) -> Result<RunPodSandboxResponse> {
    let RunPodSandboxRequest { config, runtime_handler } = request;
    let settings = &node.context().config;
    let handler = settings.handlers.get(&runtime_handler).ok_or_else(|| {
        let delegated = settings.delegate.iter().flat_map(|delegate| &delegate.handlers);
        let known: Vec<_> =
            settings.handlers.keys().chain(delegated).map(|name| format!("{name:?}")).collect();
        Error::invalid(format!(
            "runtime handler {runtime_handler:?} is not configured; known: {}; add [handlers.{runtime_handler}]",
            known.join(", ")
        ))
    })?;
    let given = sandbox::Given {
        id: new_id(),
        handler: runtime_handler,
        provider: handler.provider.clone(),
        keys: keys()?,
    };
    let pod = sandbox::record(required(config, "config")?, given, &settings.allowed_annotations)?;
    Ok(RunPodSandboxResponse { pod_sandbox_id: node.pods.run(pod).await? })
}

/// 32 random hexadecimal digits.
fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Keys that are made for this pod alone.
fn keys() -> Result<Keys> {
    let failed = |error| Error::failed("cannot make the pod's keys", error);
    let client = transports::generate_key("infranetes").map_err(failed)?;
    let host = transports::generate_key("infranetes-pod").map_err(failed)?;
    Ok(Keys {
        client_private: client.private_openssh.expose().to_owned(),
        client_public: client.public_openssh,
        host_private: host.private_openssh.expose().to_owned(),
        host_public: host.public_openssh,
    })
}
