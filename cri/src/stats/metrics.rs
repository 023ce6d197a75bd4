//! What is known, as named metrics: by cAdvisor's names where the meaning is the same, under `infranetes_` elsewhere.
//!
//! One table says what there is; each metric is made from its line of it, so that no metric is without a descriptor. The
//! protocol carries whole numbers only, so cAdvisor's seconds are whole ones; the exact time stands beside them in
//! nanoseconds under a name of ours.

use std::sync::Arc;

use guests::figures::{Figures, FileSystem, NetworkLink};
use machines::Usage;
use proto::runtime::v1::{
    ContainerMetrics, Metric, MetricDescriptor, MetricType, PodSandboxMetrics, UInt64Value,
};

use super::message::{nanoseconds, seconds};
use super::{Known, measured};
use crate::pod::{View, nanos};
use crate::store::ContainerRecord;

/// The labels that every metric has. They are containerd's, in its order: beside it a kubelet keeps one descriptor of each name, and
/// leaves out what does not fit.
const LABELS: [&str; 5] = ["pod", "namespace", "container", "id", "image"];

/// A line of the table.
struct Line {
    name: &'static str,
    kind: MetricType,
    help: &'static str,
    /// Labels beyond [`LABELS`].
    extra: &'static [&'static str],
}

const fn counter(name: &'static str, extra: &'static [&'static str], help: &'static str) -> Line {
    Line { name, kind: MetricType::Counter, help, extra }
}

const fn gauge(name: &'static str, extra: &'static [&'static str], help: &'static str) -> Line {
    Line { name, kind: MetricType::Gauge, help, extra }
}

macro_rules! table {
    ($($line:ident = $kind:ident($name:literal, $extra:expr, $help:literal);)+) => {
        $(const $line: Line = $kind($name, $extra, $help);)+
        /// Everything that there is.
        const ALL: &[&Line] = &[$(&$line),+];
    };
}

table! {
    CPU = counter("container_cpu_usage_seconds_total", &[], "Time that the machine's virtual processors ran, in whole seconds.");
    WORKING_SET = gauge("container_memory_working_set_bytes", &[], "Memory that the guest cannot give back without swapping.");
    USAGE = gauge("container_memory_usage_bytes", &[], "Memory in use in the guest, caches included.");
    RSS = gauge("container_memory_rss", &[], "Memory of the guest that no file backs.");
    CACHE = gauge("container_memory_cache", &[], "Caches of files in the guest.");
    MAPPED = gauge("container_memory_mapped_file", &[], "Mapped files in the guest.");
    SWAP = gauge("container_memory_swap", &[], "Swap in use in the guest.");
    FAULTS = counter("container_memory_failures_total", &["failure_type", "scope"], "Page faults in the guest, all (pgfault) and those that read from a disk (pgmajfault).");
    LIMIT = gauge("container_spec_memory_limit_bytes", &[], "Memory that the machine was given.");
    STARTED = gauge("container_start_time_seconds", &[], "When the container was started, in seconds since 1970.");
    SEEN = gauge("container_last_seen", &[], "When the machine was last measured, in seconds since 1970.");
    PROCESSES = gauge("container_processes", &[], "Processes in the guest, its kernel's included.");
    THREADS = gauge("container_threads", &[], "Threads in the guest, its kernel's included.");
    FS_USAGE = gauge("container_fs_usage_bytes", &["device"], "What is used of a file system in the guest.");
    FS_LIMIT = gauge("container_fs_limit_bytes", &["device"], "The size of a file system in the guest.");
    FS_INODES = gauge("container_fs_inodes_total", &["device"], "Inodes of a file system in the guest.");
    FS_INODES_FREE = gauge("container_fs_inodes_free", &["device"], "Free inodes of a file system in the guest.");
    RECEIVED = counter("container_network_receive_bytes_total", &["interface"], "Bytes that the guest received.");
    RECEIVED_PACKETS = counter("container_network_receive_packets_total", &["interface"], "Packets that the guest received.");
    RECEIVED_DROPPED = counter("container_network_receive_packets_dropped_total", &["interface"], "Packets that the guest dropped while receiving.");
    RECEIVED_ERRORS = counter("container_network_receive_errors_total", &["interface"], "Packets that arrived broken in the guest.");
    SENT = counter("container_network_transmit_bytes_total", &["interface"], "Bytes that the guest sent.");
    SENT_PACKETS = counter("container_network_transmit_packets_total", &["interface"], "Packets that the guest sent.");
    SENT_DROPPED = counter("container_network_transmit_packets_dropped_total", &["interface"], "Packets that the guest dropped while sending.");
    SENT_ERRORS = counter("container_network_transmit_errors_total", &["interface"], "Packets that the guest failed to send.");
    VCPU = counter("infranetes_machine_vcpu_nanoseconds_total", &[], "Time that the machine's virtual processors ran, exactly.");
    PROCESS = counter("infranetes_machine_process_nanoseconds_total", &[], "Time that the machine's process ran on the node: the virtual processors and the emulation around them.");
    RESIDENT = gauge("infranetes_machine_resident_bytes", &[], "Memory of the node that the machine's process holds.");
    DISK = gauge("infranetes_machine_disk_bytes", &[], "Room on the node that what the guest wrote takes.");
    GUEST_USER = counter("infranetes_guest_cpu_user_nanoseconds_total", &[], "Time that the guest spent on programs, by its own count.");
    GUEST_SYSTEM = counter("infranetes_guest_cpu_system_nanoseconds_total", &[], "Time that the guest spent in its kernel, by its own count.");
    GUEST_UPTIME = gauge("infranetes_guest_uptime_seconds", &[], "How long the guest's kernel has run.");
}

/// What every metric means.
pub fn descriptors() -> Vec<MetricDescriptor> {
    let keys = |line: &Line| LABELS.iter().chain(line.extra).map(ToString::to_string).collect();
    let of = |line: &&Line| MetricDescriptor {
        name: line.name.to_owned(),
        help: line.help.to_owned(),
        label_keys: keys(line),
    };
    ALL.iter().map(of).collect()
}

/// The metrics of a pod: the network's are its own, all others its containers'.
pub fn pod(view: &View, known: &Known) -> PodSandboxMetrics {
    let pod = &view.pod;
    let labels = [&pod.name, &pod.namespace, "", &pod.id, ""].map(str::to_owned);
    let mut own = Sheet { labels, at: 0, metrics: Vec::new() };
    if let Some(guest) = &known.guest {
        own.at = nanos(guest.at);
        guest.links.iter().for_each(|link| own.link(link));
    }
    let owner = measured(view);
    let of_container = |record: &ContainerRecord| {
        let id = &record.id;
        let labels = [&pod.name, &pod.namespace, &record.name, id, &record.image].map(ToOwned::to_owned);
        let mut sheet = Sheet { labels, at: 0, metrics: Vec::new() };
        if let Some(started) = record.started_at {
            sheet.add(&STARTED, u64::try_from(started).unwrap_or_default() / 1_000_000_000);
        }
        if owner.is_some_and(|owner| owner.record.id == *id) {
            sheet.machine(known);
        }
        ContainerMetrics { container_id: id.clone(), metrics: sheet.metrics }
    };
    let live = view.containers.values().filter(|each| each.is_live());
    PodSandboxMetrics {
        pod_sandbox_id: pod.id.clone(),
        metrics: own.metrics,
        container_metrics: live.map(|each| of_container(&each.record)).collect(),
    }
}

/// Metrics of one thing.
struct Sheet {
    labels: [String; LABELS.len()],
    /// When the next ones were measured.
    at: i64,
    metrics: Vec<Metric>,
}

impl Sheet {
    fn add(&mut self, line: &Line, value: u64) {
        self.add_with(line, &[], value);
    }

    fn add_some(&mut self, line: &Line, value: Option<u64>) {
        if let Some(value) = value {
            self.add(line, value);
        }
    }

    fn add_with(&mut self, line: &Line, extra: &[&str], value: u64) {
        debug_assert_eq!(line.extra.len(), extra.len(), "{}", line.name);
        let label_values = self.labels.iter().cloned().chain(extra.iter().map(ToString::to_string)).collect();
        self.metrics.push(Metric {
            name: line.name.to_owned(),
            timestamp: self.at,
            metric_type: line.kind.into(),
            label_values,
            value: Some(UInt64Value { value }),
        });
    }

    fn machine(&mut self, known: &Known) {
        if let Some(machine) = &known.machine {
            self.usage(machine);
        }
        if let Some(memory) = known.memory() {
            self.at = nanos(memory.at);
            self.add_some(&WORKING_SET, memory.working_set);
            self.add_some(&USAGE, memory.usage);
            self.add_some(&RSS, memory.anonymous);
            for (kind, count) in [("pgfault", memory.minor_faults), ("pgmajfault", memory.major_faults)] {
                if let Some(count) = count {
                    self.add_with(&FAULTS, &[kind, "container"], count);
                }
            }
        }
        if let Some(guest) = &known.guest {
            self.guest(guest);
        }
    }

    fn usage(&mut self, machine: &Arc<Usage>) {
        self.at = nanos(machine.at);
        self.add(&CPU, machine.vcpu_time.as_secs());
        self.add(&VCPU, nanoseconds(machine.vcpu_time));
        self.add(&PROCESS, nanoseconds(machine.process_time));
        self.add(&RESIDENT, machine.resident_bytes);
        self.add(&DISK, machine.disk_bytes);
        self.add(&LIMIT, machine.memory_bytes);
        self.add(&SEEN, seconds(machine.at));
    }

    fn guest(&mut self, guest: &Arc<Figures>) {
        self.at = nanos(guest.at);
        let memory = &guest.memory;
        self.add_some(&CACHE, memory.cached);
        self.add_some(&MAPPED, memory.mapped);
        self.add_some(
            &SWAP,
            memory.swap_total.zip(memory.swap_free).map(|(total, free)| total.saturating_sub(free)),
        );
        self.add_some(&PROCESSES, guest.processes);
        self.add_some(&THREADS, guest.threads);
        self.add_some(&GUEST_UPTIME, guest.uptime.map(|uptime| uptime.as_secs()));
        if let Some(time) = guest.processor_time {
            self.add(&GUEST_USER, nanoseconds(time.user));
            self.add(&GUEST_SYSTEM, nanoseconds(time.system));
        }
        guest.file_systems.iter().for_each(|each| self.file_system(each));
    }

    fn file_system(&mut self, each: &FileSystem) {
        let device = [each.device.as_str()];
        self.add_with(&FS_USAGE, &device, each.used);
        self.add_with(&FS_LIMIT, &device, each.total);
        if let Some(inodes) = each.inodes {
            self.add_with(&FS_INODES, &device, inodes.total);
            self.add_with(&FS_INODES_FREE, &device, inodes.total.saturating_sub(inodes.used));
        }
    }

    fn link(&mut self, link: &NetworkLink) {
        let name = [link.name.as_str()];
        for (line, value) in [
            (&RECEIVED, link.received.bytes),
            (&RECEIVED_PACKETS, link.received.packets),
            (&RECEIVED_DROPPED, link.received.dropped),
            (&RECEIVED_ERRORS, link.received.errors),
            (&SENT, link.sent.bytes),
            (&SENT_PACKETS, link.sent.packets),
            (&SENT_DROPPED, link.sent.dropped),
            (&SENT_ERRORS, link.sent.errors),
        ] {
            self.add_with(line, &name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_described_once() {
        let names: BTreeSet<&str> = ALL.iter().map(|line| line.name).collect();
        assert_eq!(names.len(), ALL.len());
        for described in descriptors() {
            let keys: BTreeSet<&String> = described.label_keys.iter().collect();
            assert_eq!(keys.len(), described.label_keys.len(), "{}", described.name);
            let total = described.name.ends_with("_total");
            let inodes = described.name == FS_INODES.name;
            let line = ALL.iter().find(|line| line.name == described.name).unwrap();
            assert_eq!(total && !inodes, line.kind == MetricType::Counter, "{}", described.name);
        }
    }
}
