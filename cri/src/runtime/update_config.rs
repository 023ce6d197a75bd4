//! `UpdateRuntimeConfig`: the kubelet hands over the node's pod CIDR.
//!
//! It is accepted and changes nothing: a CNI plugin has its addresses from its own configuration, and the built-in
//! bridge from `[network] subnets`. Where these two differ the log says so.

use proto::runtime::v1::{
    NetworkConfig, RuntimeConfig, UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse,
};

use crate::config::NetworkMode;
use crate::node::Node;

/// Serves the call.
pub fn update_config(node: &Node, request: UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse {
    let UpdateRuntimeConfigRequest { runtime_config } = request;
    let RuntimeConfig { network_config } = runtime_config.unwrap_or_default();
    let NetworkConfig { pod_cidr } = network_config.unwrap_or_default();
    let network = &node.context().config.network;
    let told: Vec<&str> = pod_cidr.split(',').map(str::trim).filter(|cidr| !cidr.is_empty()).collect();
    let differs = told.iter().any(|cidr| !network.subnets.iter().any(|subnet| subnet == cidr));
    if network.mode == NetworkMode::Builtin && differs {
        tracing::warn!(
            pod_cidr,
            subnets = network.subnets.join(","),
            "the cluster has another range for this node's pods than the built-in bridge; set [network] subnets to it"
        );
    }
    UpdateRuntimeConfigResponse {}
}
