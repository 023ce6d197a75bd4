//! What is known, as the CRI's messages. Pure: a figure that nobody has told is absent, never zero.

use std::path::Path;
use std::time::{Duration, SystemTime};

use guests::figures::NetworkLink;
use proto::runtime::v1::{
    ContainerAttributes, ContainerStats, CpuUsage, FilesystemIdentifier, FilesystemUsage,
    LinuxPodSandboxStats, MemoryUsage, NetworkInterfaceUsage, NetworkUsage, PodSandboxAttributes,
    PodSandboxStats, ProcessUsage, SwapUsage, UInt64Value,
};

use super::{Known, is_counted, measured};
use crate::convert::{container, sandbox};
use crate::pod::{View, nanos};
use crate::store::ContainerRecord;

/// A container's figures. `known` is of its machine, where its machine's figures are its own.
pub fn container(record: &ContainerRecord, known: Option<&Known>, place: &Path) -> ContainerStats {
    let attributes = ContainerAttributes {
        id: record.id.clone(),
        metadata: Some(container::metadata(record)),
        labels: record.labels.clone(),
        annotations: record.annotations.clone(),
    };
    let writable_layer = known.and_then(|known| known.machine.as_ref()).map(|machine| FilesystemUsage {
        timestamp: nanos(machine.at),
        fs_id: Some(FilesystemIdentifier { mountpoint: place.display().to_string() }),
        used_bytes: value(machine.disk_bytes),
        inodes_used: None,
    });
    ContainerStats {
        attributes: Some(attributes),
        cpu: known.and_then(cpu),
        memory: known.and_then(memory),
        writable_layer,
        swap: known.and_then(swap),
        io: None,
    }
}

/// The figures of those containers of a pod that run.
pub fn containers(view: &View, known: &Known, place: &Path) -> Vec<ContainerStats> {
    let owner = measured(view).map(|container| container.record.id.as_str());
    let live = view.containers.values().filter(|each| each.is_live());
    let of = |record: &ContainerRecord| {
        container(record, Some(known).filter(|_| owner == Some(record.id.as_str())), place)
    };
    live.map(|each| of(&each.record)).collect()
}

/// A pod's figures: those of its machine.
pub fn pod(view: &View, known: &Known, place: &Path) -> PodSandboxStats {
    let pod = &view.pod;
    let linux = is_counted(view).then(|| LinuxPodSandboxStats {
        cpu: cpu(known),
        memory: memory(known),
        network: network(view, known),
        process: processes(known),
        containers: containers(view, known, place),
        io: None,
    });
    PodSandboxStats {
        attributes: Some(PodSandboxAttributes {
            id: pod.id.clone(),
            metadata: Some(sandbox::metadata(pod)),
            labels: pod.labels.clone(),
            annotations: pod.annotations.clone(),
        }),
        linux,
        windows: None,
    }
}

fn cpu(known: &Known) -> Option<CpuUsage> {
    let machine = known.machine.as_ref()?;
    Some(CpuUsage {
        timestamp: nanos(machine.at),
        usage_core_nano_seconds: value(nanoseconds(machine.vcpu_time)),
        usage_nano_cores: known.nano_cores.and_then(value),
        psi: None,
    })
}

fn memory(known: &Known) -> Option<MemoryUsage> {
    let memory = known.memory()?;
    Some(MemoryUsage {
        timestamp: nanos(memory.at),
        working_set_bytes: memory.working_set.and_then(value),
        available_bytes: memory.available.and_then(value),
        usage_bytes: memory.usage.and_then(value),
        rss_bytes: memory.anonymous.and_then(value),
        page_faults: memory.minor_faults.and_then(value),
        major_page_faults: memory.major_faults.and_then(value),
        psi: None,
    })
}

fn swap(known: &Known) -> Option<SwapUsage> {
    let guest = known.guest.as_ref()?;
    let (total, free) = (guest.memory.swap_total?, guest.memory.swap_free?);
    Some(SwapUsage {
        timestamp: nanos(guest.at),
        swap_available_bytes: value(free),
        swap_usage_bytes: value(total.saturating_sub(free)),
    })
}

fn processes(known: &Known) -> Option<ProcessUsage> {
    let guest = known.guest.as_ref()?;
    Some(ProcessUsage {
        timestamp: nanos(guest.at),
        process_count: Some(UInt64Value { value: guest.processes? }),
    })
}

/// The pod's own interface is the one with the address that the machine has taken over; any other is the guest's.
fn network(view: &View, known: &Known) -> Option<NetworkUsage> {
    let guest = known.guest.as_ref()?;
    let (own, others): (Vec<_>, Vec<_>) = guest.links.iter().partition(|link| is_pods(view, link));
    let mut own = own.into_iter().map(interface);
    let default_interface = own.next();
    Some(NetworkUsage {
        timestamp: nanos(guest.at),
        default_interface,
        interfaces: own.chain(others.into_iter().map(interface)).collect(),
    })
}

/// Whether an interface of the guest is the pod's.
pub(super) fn is_pods(view: &View, link: &NetworkLink) -> bool {
    let mac = view.pod.attachment.as_ref().map(|attachment| attachment.mac.to_ascii_lowercase());
    mac.is_some() && mac == link.mac
}

fn interface(link: &NetworkLink) -> NetworkInterfaceUsage {
    NetworkInterfaceUsage {
        name: link.name.clone(),
        rx_bytes: value(link.received.bytes),
        rx_errors: value(link.received.errors),
        tx_bytes: value(link.sent.bytes),
        tx_errors: value(link.sent.errors),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "every field of the messages is optional")]
fn value(value: u64) -> Option<UInt64Value> {
    Some(UInt64Value { value })
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
