//! Pods.

use proto::runtime::v1::{
    DnsConfig, LinuxPodSandboxConfig, LinuxPodSandboxStatus, LinuxSandboxSecurityContext, Namespace,
    NamespaceOption, PodIp, PodSandbox, PodSandboxConfig, PodSandboxMetadata, PodSandboxNetworkStatus,
    PodSandboxState, PodSandboxStatus, PortMapping as PortMappingMessage, Protocol,
};

use super::{named, port, required, resources};
use crate::error::{Error, Result};
use crate::pod::{View, now};
use crate::sandbox::policy;
use crate::store::{Dns, Keys, PodPhase, PodRecord, PortMapping};

/// What the daemon itself adds to a request for a pod.
pub struct Given {
    /// The pod's id.
    pub id: String,
    /// The runtime handler asked for.
    pub handler: String,
    /// The provider that it means.
    pub provider: String,
    /// The pod's keys.
    pub keys: Keys,
}

/// The record of a pod that is asked for; refused where its policy says no.
pub fn record(config: PodSandboxConfig, given: Given, allowed_annotations: &[String]) -> Result<PodRecord> {
    let PodSandboxConfig {
        metadata,
        hostname,
        log_directory,
        dns_config,
        port_mappings,
        labels,
        annotations,
        linux,
        windows: _, // a Linux kubelet sets it for no pod that it admits
    } = config;
    let PodSandboxMetadata { name, uid, namespace, attempt } = required(metadata, "config.metadata")?;
    let LinuxPodSandboxConfig {
        cgroup_parent,
        security_context,
        sysctls,
        overhead: _, // pays for QEMU itself, and is in the cgroup's limits already
        resources: asked,
    } = linux.unwrap_or_default();
    policy::sysctls(&sysctls)?;
    security(security_context.unwrap_or_default())?;
    policy::cgroup_parent(&cgroup_parent)?;
    crate::pod::annotations::check(&annotations, allowed_annotations)?;
    let name = named(name, "config.metadata.name")?;
    let DnsConfig { servers, searches, options } = dns_config.unwrap_or_default();
    Ok(PodRecord {
        id: given.id,
        hostname: policy::hostname(hostname, &name)?,
        name,
        namespace: named(namespace, "config.metadata.namespace")?,
        uid,
        attempt,
        created_at: now(),
        handler: given.handler,
        provider: given.provider,
        labels,
        annotations,
        log_directory,
        dns: Dns { servers, searches, options },
        sysctls,
        ports: port_mappings
            .into_iter()
            .map(port_mapping)
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?,
        cgroup_parent,
        resources: asked.as_ref().map(resources::size).unwrap_or_default(),
        phase: PodPhase::Creating,
        attachment: None,
        keys: given.keys,
    })
}

fn security(context: LinuxSandboxSecurityContext) -> Result<()> {
    #[allow(deprecated, reason = "an old kubelet's field has to be named to be ignored knowingly")]
    let LinuxSandboxSecurityContext {
        namespace_options,
        // The rest is about processes on the node; a guest is a machine of its own.
        selinux_options: _,
        run_as_user: _,
        run_as_group: _,
        readonly_rootfs: _,
        supplemental_groups: _,
        supplemental_groups_policy: _,
        privileged: _,
        seccomp: _,
        apparmor: _,
        seccomp_profile_path: _,
    } = context;
    policy::namespaces(&namespace_options.unwrap_or_default())
}

/// A port that the node forwards; none where the pod only names it.
fn port_mapping(message: PortMappingMessage) -> Result<Option<PortMapping>> {
    let PortMappingMessage { protocol, container_port, host_port, host_ip } = message;
    if host_port == 0 {
        return Ok(None);
    }
    let protocol = match Protocol::try_from(protocol) {
        Ok(Protocol::Tcp) => "tcp",
        Ok(Protocol::Udp) => "udp",
        Ok(Protocol::Sctp) => "sctp",
        Err(_) => return Err(Error::invalid(format!("port mapping has the unknown protocol {protocol}"))),
    };
    Ok(Some(PortMapping {
        protocol: protocol.to_owned(),
        container_port: port(container_port, "container_port")?,
        host_port: port(host_port, "host_port")?,
        host_ip,
    }))
}

/// A pod as lists show it.
pub fn item(view: &View) -> PodSandbox {
    let pod = &view.pod;
    PodSandbox {
        id: pod.id.clone(),
        metadata: Some(metadata(pod)),
        state: state(pod.phase).into(),
        created_at: pod.created_at,
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        runtime_handler: pod.handler.clone(),
    }
}

/// A pod's status.
pub fn status(view: &View) -> PodSandboxStatus {
    let pod = &view.pod;
    let ready = pod.phase == PodPhase::Ready;
    let mut addresses = pod
        .attachment
        .iter()
        .filter(|_| ready)
        .flat_map(crate::network::Attachment::all_addresses)
        .map(|address| address.to_string());
    PodSandboxStatus {
        id: pod.id.clone(),
        metadata: Some(metadata(pod)),
        state: state(pod.phase).into(),
        created_at: pod.created_at,
        network: Some(PodSandboxNetworkStatus {
            ip: addresses.next().unwrap_or_default(),
            additional_ips: addresses.map(|ip| PodIp { ip }).collect(),
        }),
        linux: Some(LinuxPodSandboxStatus {
            namespaces: Some(Namespace { options: Some(NamespaceOption::default()) }),
        }),
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        runtime_handler: pod.handler.clone(),
    }
}

/// Its name, as Kubernetes knows it.
pub fn metadata(pod: &PodRecord) -> PodSandboxMetadata {
    PodSandboxMetadata {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        namespace: pod.namespace.clone(),
        attempt: pod.attempt,
    }
}

/// The CRI knows two states of a pod.
pub fn state(phase: PodPhase) -> PodSandboxState {
    match phase {
        PodPhase::Ready => PodSandboxState::SandboxReady,
        PodPhase::Creating | PodPhase::Stopping | PodPhase::Stopped | PodPhase::Removing => {
            PodSandboxState::SandboxNotready
        }
    }
}
