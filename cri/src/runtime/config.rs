//! `RuntimeConfig`. Absent means that the kubelet keeps its own cgroup driver; the zero value would mean systemd.

use proto::runtime::v1::{CgroupDriver as Driver, LinuxRuntimeConfiguration, RuntimeConfigResponse};

use crate::config::CgroupDriver;
use crate::node::Node;

/// Serves the call.
pub fn config(node: &Node) -> RuntimeConfigResponse {
    let driver = node.context().config.cgroup_driver.map(|driver| match driver {
        CgroupDriver::Systemd => Driver::Systemd,
        CgroupDriver::Cgroupfs => Driver::Cgroupfs,
    });
    let linux = driver.map(|driver| LinuxRuntimeConfiguration { cgroup_driver: driver.into() });
    RuntimeConfigResponse { linux }
}
