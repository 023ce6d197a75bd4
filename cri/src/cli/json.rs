//! Messages of the protocol as JSON for people: names of states instead of numbers, instants as RFC 3339.
//!
//! Each message is taken apart whole, so that a new field of the protocol cannot be forgotten here.

use std::collections::BTreeMap;

use proto::runtime::v1::{
    ContainerMetadata, ContainerResources, ContainerStatus, Image, ImageSpec, LinuxContainerResources, Mount,
    PodSandboxMetadata, PodSandboxStatus, Signal,
};
use serde_json::{Value, json};

use super::view::{container_state, instant, pod_state};

/// What a daemon tells beyond the protocol: JSON where it is JSON, otherwise text.
pub(super) fn info(info: &BTreeMap<String, String>) -> Value {
    info.iter()
        .map(|(key, value)| {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
            (key.clone(), value)
        })
        .collect()
}

/// A pod's state.
pub(super) fn pod(status: &PodSandboxStatus) -> Value {
    let PodSandboxStatus {
        id,
        metadata,
        state,
        created_at,
        network,
        // A machine has namespaces of its own; what the pod asked for says nothing of them.
        linux: _,
        labels,
        annotations,
        runtime_handler,
    } = status;
    let ips: Vec<&str> = network
        .iter()
        .flat_map(|network| {
            std::iter::once(&network.ip)
                .chain(network.additional_ips.iter().map(|more| &more.ip))
                .map(String::as_str)
        })
        .filter(|ip| !ip.is_empty())
        .collect();
    json!({
        "id": id,
        "metadata": metadata.as_ref().map(|PodSandboxMetadata { name, uid, namespace, attempt }| json!({
            "name": name, "uid": uid, "namespace": namespace, "attempt": attempt,
        })),
        "state": pod_state(*state),
        "createdAt": instant(*created_at),
        "ips": ips,
        "labels": labels,
        "annotations": annotations,
        "handler": runtime_handler,
    })
}

/// A container's state.
pub(super) fn container(status: &ContainerStatus) -> Value {
    let ContainerStatus {
        id,
        metadata,
        state,
        created_at,
        started_at,
        finished_at,
        exit_code,
        image,
        image_ref,
        reason,
        message,
        labels,
        annotations,
        mounts,
        log_path,
        resources,
        image_id,
        // Whom a process started as; the container is a machine.
        user: _,
        stop_signal,
    } = status;
    json!({
        "id": id,
        "metadata": metadata.as_ref().map(|ContainerMetadata { name, attempt }| json!({
            "name": name, "attempt": attempt,
        })),
        "state": container_state(*state),
        "createdAt": instant(*created_at),
        "startedAt": instant(*started_at),
        "finishedAt": instant(*finished_at),
        "exitCode": (*finished_at != 0).then_some(exit_code),
        "image": image.as_ref().map(spec),
        "imageRef": image_ref,
        "imageId": image_id,
        "reason": reason,
        "message": message,
        "labels": labels,
        "annotations": annotations,
        "mounts": mounts.iter().map(mount).collect::<Vec<_>>(),
        "logPath": log_path,
        "resources": resources.as_ref().and_then(|ContainerResources { linux, windows: _ }| {
            linux.as_ref().map(limits)
        }),
        "stopSignal": Signal::try_from(*stop_signal).map(|signal| signal.as_str_name()).ok(),
    })
}

/// An image.
pub(super) fn image(image: &Image) -> Value {
    let Image { id, repo_tags, repo_digests, size, uid, username, spec: named, pinned } = image;
    json!({
        "id": id,
        "tags": repo_tags,
        "digests": repo_digests,
        "sizeBytes": size,
        "uid": uid.as_ref().map(|uid| uid.value),
        "username": username,
        "spec": named.as_ref().map(spec),
        "pinned": pinned,
    })
}

fn spec(spec: &ImageSpec) -> Value {
    let ImageSpec { image, annotations, user_specified_image, runtime_handler, image_ref } = spec;
    json!({
        "image": image,
        "userSpecifiedImage": user_specified_image,
        "annotations": annotations,
        "handler": runtime_handler,
        "imageRef": image_ref,
    })
}

fn mount(mount: &Mount) -> Value {
    let Mount {
        container_path,
        host_path,
        readonly,
        selinux_relabel: _,
        propagation: _,
        uid_mappings: _,
        gid_mappings: _,
        recursive_read_only,
        image,
        image_sub_path,
    } = mount;
    json!({
        "containerPath": container_path,
        "hostPath": host_path,
        "readonly": readonly,
        "recursiveReadOnly": recursive_read_only,
        "image": image.as_ref().map(spec),
        "imageSubPath": image_sub_path,
    })
}

fn limits(resources: &LinuxContainerResources) -> Value {
    let LinuxContainerResources {
        cpu_period,
        cpu_quota,
        cpu_shares,
        memory_limit_in_bytes,
        oom_score_adj,
        cpuset_cpus,
        cpuset_mems,
        hugepage_limits,
        unified,
        memory_swap_limit_in_bytes,
    } = resources;
    let hugepages: BTreeMap<_, _> =
        hugepage_limits.iter().map(|each| (&each.page_size, each.limit)).collect();
    json!({
        "cpuPeriodMicroseconds": cpu_period,
        "cpuQuotaMicroseconds": cpu_quota,
        "cpuShares": cpu_shares,
        "memoryBytes": memory_limit_in_bytes,
        "memoryAndSwapBytes": memory_swap_limit_in_bytes,
        "oomScoreAdj": oom_score_adj,
        "cpus": cpuset_cpus,
        "memoryNodes": cpuset_mems,
        "hugepageBytes": hugepages,
        "unified": unified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::ContainerState;

    #[test]
    fn info_keeps_json_and_text() {
        let told = BTreeMap::from([
            ("info".to_owned(), r#"{"pid":1}"#.to_owned()),
            ("console.socket".to_owned(), "/run/c.sock".to_owned()),
        ]);
        assert_eq!(info(&told), json!({ "info": { "pid": 1 }, "console.socket": "/run/c.sock" }));
    }

    #[test]
    fn what_has_not_happened_is_null() {
        let running = ContainerState::ContainerRunning.into();
        let told = container(&ContainerStatus { created_at: 1, state: running, ..Default::default() });
        assert_eq!(
            (&told["state"], &told["finishedAt"], &told["exitCode"]),
            (&json!("running"), &json!(null), &json!(null))
        );
        let ended = ContainerStatus { finished_at: 2, exit_code: 0, ..Default::default() };
        assert_eq!(container(&ended)["exitCode"], json!(0));
    }

    #[test]
    fn a_pod_tells_all_its_addresses() {
        let network = proto::runtime::v1::PodSandboxNetworkStatus {
            ip: "10.0.0.2".into(),
            additional_ips: vec![proto::runtime::v1::PodIp { ip: "fd00::2".into() }],
        };
        let told = pod(&PodSandboxStatus { network: Some(network), ..Default::default() });
        assert_eq!(told["ips"], json!(["10.0.0.2", "fd00::2"]));
    }
}
