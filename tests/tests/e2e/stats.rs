//! Figures: the guest's own beside the machine's cost, from memory, each with its time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use proto::runtime::v1 as cri;
use tests::Node;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::client::{Client, container, pod};

/// The figures of one container, measured now.
async fn stats(client: &mut Client, id: &str) -> cri::ContainerStats {
    let request = cri::ContainerStatsRequest { container_id: id.to_owned() };
    client.runtime.container_stats(request).await.unwrap().into_inner().stats.unwrap()
}

/// The figures of all running containers, from memory.
async fn list(client: &mut Client, filter: Option<cri::ContainerStatsFilter>) -> Vec<cri::ContainerStats> {
    let request = cri::ListContainerStatsRequest { filter };
    client.runtime.list_container_stats(request).await.unwrap().into_inner().stats
}

async fn pods(client: &mut Client, filter: Option<cri::PodSandboxStatsFilter>) -> Vec<cri::PodSandboxStats> {
    let request = cri::ListPodSandboxStatsRequest { filter };
    client.runtime.list_pod_sandbox_stats(request).await.unwrap().into_inner().stats
}

fn ids(stats: &[cri::ContainerStats]) -> BTreeSet<&str> {
    stats.iter().map(|each| each.attributes.as_ref().unwrap().id.as_str()).collect()
}

fn value(value: Option<&cri::UInt64Value>) -> u64 {
    value.expect("it is told").value
}

fn cpu(stats: &cri::ContainerStats) -> u64 {
    value(stats.cpu.as_ref().unwrap().usage_core_nano_seconds.as_ref())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_tell_what_runs_and_matches() {
    let (node, mut client) = crate::bare_node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    assert_eq!(list(&mut client, None).await, []);
    let (mut pod_ids, mut container_ids) = (Vec::new(), Vec::new());
    for (number, tier) in [(0, "front"), (1, "back"), (2, "back")] {
        let labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
        let config =
            cri::PodSandboxConfig { labels: labels.clone(), ..pod(&format!("p{number}"), &node.pod_logs()) };
        let pod_id = client.run_pod(&config).await.unwrap();
        let config = cri::ContainerConfig { labels, ..container("machine", &image) };
        let id = client.create_with(&pod_id, config).await.unwrap();
        assert_eq!(stats(&mut client, &id).await.cpu, None, "it does not run yet");
        client.start(&id).await.unwrap();
        pod_ids.push(pod_id);
        container_ids.push(id);
    }
    let one = stats(&mut client, &container_ids[0]).await;
    let about = one.attributes.as_ref().unwrap();
    assert_eq!((about.id.as_str(), about.labels["tier"].as_str()), (container_ids[0].as_str(), "front"));
    assert_eq!(about.metadata.as_ref().unwrap().name, "machine");
    assert_eq!((cpu(&one), one.memory.is_none()), (0, true), "nothing is used, and nothing made up: {one:?}");
    let layer = one.writable_layer.as_ref().unwrap();
    assert!(Path::new(&layer.fs_id.as_ref().unwrap().mountpoint).is_dir(), "{layer:?}");

    assert_eq!(ids(&list(&mut client, None).await), container_ids.iter().map(String::as_str).collect());
    let selector = BTreeMap::from([("tier".to_owned(), "back".to_owned())]);
    let by_label = cri::ContainerStatsFilter { label_selector: selector.clone(), ..Default::default() };
    assert_eq!(ids(&list(&mut client, Some(by_label)).await).len(), 2);
    let by_pod = cri::ContainerStatsFilter { pod_sandbox_id: pod_ids[1].clone(), ..Default::default() };
    assert_eq!(ids(&list(&mut client, Some(by_pod)).await), BTreeSet::from([container_ids[1].as_str()]));
    let by_id = cri::ContainerStatsFilter { id: container_ids[2][..12].to_owned(), ..Default::default() };
    assert_eq!(ids(&list(&mut client, Some(by_id)).await), BTreeSet::from([container_ids[2].as_str()]));

    let by_label = cri::PodSandboxStatsFilter { label_selector: selector, ..Default::default() };
    assert_eq!(pods(&mut client, Some(by_label)).await.len(), 2);
    let all = pods(&mut client, None).await;
    assert_eq!(all.len(), 3);
    let first = all.iter().find(|each| each.attributes.as_ref().unwrap().id == pod_ids[0]).unwrap();
    assert_eq!(first.attributes.as_ref().unwrap().metadata.as_ref().unwrap().namespace, "default");
    assert_eq!(ids(&first.linux.as_ref().unwrap().containers), BTreeSet::from([container_ids[0].as_str()]));

    client.stop(&container_ids[0], 1).await.unwrap();
    client.stop_pod(&pod_ids[1]).await.unwrap();
    assert_eq!(ids(&list(&mut client, None).await), BTreeSet::from([container_ids[2].as_str()]));
    assert_eq!(pods(&mut client, None).await.len(), 2, "a pod that was stopped has no figures");
    let request = cri::PodSandboxStatsRequest { pod_sandbox_id: pod_ids[1].clone() };
    let stopped = client.runtime.pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
    assert_eq!(stopped.linux, None);
    let request = cri::ContainerStatsRequest { container_id: "nobody".to_owned() };
    assert_eq!(client.runtime.container_stats(request).await.unwrap_err().code(), Code::NotFound);
    let request = cri::PodSandboxStatsRequest { pod_sandbox_id: "nobody".to_owned() };
    assert_eq!(client.runtime.pod_sandbox_stats(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_figures_are_its_own_words() {
    crate::within(480, guest()).await;
}

async fn guest() {
    let (node, mut client) = crate::node().await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("counted", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    client.output(&id, &["true"]).await;

    // A guest that does much else tells them once a question is answered already, for the next one.
    let all = |now: &cri::ContainerStats| {
        now.cpu.is_some() && now.memory.as_ref().is_some_and(|memory| memory.rss_bytes.is_some())
    };
    let before = stats_are(&mut client, &id, all).await;
    client.output(&id, &["sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]).await;
    let after = stats_are(&mut client, &id, all).await;
    assert!(cpu(&after) > cpu(&before) + 50_000_000, "its processor worked: {before:?} {after:?}");
    assert!(after.cpu.as_ref().unwrap().usage_nano_cores.is_some());

    // What the guest says at about the same time; a small guest's memory moves by little.
    let free = client.output(&id, &["cat", "/proc/meminfo"]).await;
    let of = |name: &str| {
        let line = free.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    };
    let memory = after.memory.as_ref().unwrap();
    let used = of("MemTotal") - of("MemAvailable");
    let told = value(memory.working_set_bytes.as_ref());
    assert!(told.abs_diff(used) < 32 << 20, "the guest says {used}, the figures {told}");
    let limit = told + value(memory.available_bytes.as_ref());
    assert!(limit >= of("MemTotal"), "the machine's memory is {limit}, its guest's {}", of("MemTotal"));
    assert!(value(memory.page_faults.as_ref()) > 0 && value(memory.rss_bytes.as_ref()) > 0, "{memory:?}");
    let layer = after.writable_layer.as_ref().unwrap();
    assert!(value(layer.used_bytes.as_ref()) > 0, "{layer:?}");
    assert!(Path::new(&layer.fs_id.as_ref().unwrap().mountpoint).is_dir(), "{layer:?}");

    let request = cri::PodSandboxStatsRequest { pod_sandbox_id: pod_id.clone() };
    let of_pod = client.runtime.pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
    let linux = of_pod.linux.unwrap();
    let own = linux.network.unwrap().default_interface.expect("the pod's interface is found by its address");
    assert_eq!(own.name, "eth0");
    assert!(value(own.rx_bytes.as_ref()) > 0 && value(own.tx_bytes.as_ref()) > 0, "{own:?}");
    assert!(value(linux.process.unwrap().process_count.as_ref()) > 1);
    assert_eq!(linux.containers.len(), 1, "the pod's figures are its one machine's");

    metrics(&mut client, &id).await;
    silent(&node, &mut client, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_a_login_tells_its_memory_by_its_balloon() {
    crate::within(480, balloon()).await;
}

async fn balloon() {
    let wrong = "[[image]]\npattern = \"*\"\nfacts.credential = { password = \"wrong\" }\n";
    let (node, mut client) = crate::node_with(&format!("{wrong}[timeouts]\nstart-wait-seconds = 1")).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("locked", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    let told = stats_are(&mut client, &id, |now| now.memory.is_some()).await;
    let memory = told.memory.as_ref().unwrap();
    let (used, rest) = (value(memory.working_set_bytes.as_ref()), value(memory.available_bytes.as_ref()));
    assert!(used > 1 << 20 && used + rest == 512 << 20, "the machine has 512 MiB: {memory:?}");
    assert!(memory.rss_bytes.is_none() && told.swap.is_none(), "a balloon does not know that: {told:?}");
}

/// Every metric has its descriptor's labels, and those that people look for are there.
async fn metrics(client: &mut Client, id: &str) {
    let request = cri::ListMetricDescriptorsRequest {};
    let described = client.runtime.list_metric_descriptors(request).await.unwrap().into_inner().descriptors;
    let keys: BTreeMap<_, _> = described.into_iter().map(|each| (each.name, each.label_keys)).collect();
    let request = cri::ListPodSandboxMetricsRequest {};
    let told = client.runtime.list_pod_sandbox_metrics(request).await.unwrap().into_inner().pod_metrics;
    let [of_pod] = told.as_slice() else { panic!("{told:?}") };
    let [of_container] = of_pod.container_metrics.as_slice() else { panic!("{of_pod:?}") };
    assert_eq!(of_container.container_id, id);
    let mut series = BTreeSet::new();
    for metric in of_pod.metrics.iter().chain(&of_container.metrics) {
        assert_eq!(metric.label_values.len(), keys[&metric.name].len(), "{metric:?}");
        assert!(series.insert((metric.name.clone(), metric.label_values.clone())), "twice: {metric:?}");
    }
    let names: BTreeSet<&str> = series.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "container_network_receive_bytes_total",
        "container_fs_usage_bytes",
        "container_start_time_seconds",
        "infranetes_machine_vcpu_nanoseconds_total",
        "infranetes_machine_resident_bytes",
        "infranetes_guest_cpu_user_nanoseconds_total",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

/// A guest that stands still keeps its last figures with their time; its machine's go on, and no list waits.
async fn silent(node: &Node, client: &mut Client, id: &str) {
    let told = list(client, None).await.remove(0).memory.unwrap();
    tokio::task::block_in_place(|| node.freeze(id)).unwrap();
    let frozen = stats_until(client, |_| true).await;
    let later = stats_until(client, |now| {
        let at = |stats: &cri::ContainerStats| stats.cpu.as_ref().unwrap().timestamp;
        at(now) > at(&frozen)
    })
    .await;
    assert_eq!(cpu(&later), cpu(&stats_until(client, |_| true).await), "it stands still");
    let last = later.memory.unwrap();
    assert!(last.timestamp >= told.timestamp, "nothing is forgotten: {told:?} {last:?}");
    let request = cri::ExecSyncRequest { container_id: id.to_owned(), cmd: vec!["true".into()], timeout: 1 };
    client.runtime.exec_sync(request).await.expect_err("the guest is silent");
}

/// Asks for the figures of one container until they are as wanted.
async fn stats_are(
    client: &mut Client,
    id: &str,
    wanted: impl Fn(&cri::ContainerStats) -> bool,
) -> cri::ContainerStats {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let now = stats(client, id).await;
        if wanted(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "it stays {now:?}");
        // The protocol offers no event for it.
        sleep(Duration::from_millis(500)).await;
    }
}

/// Asks for the list until it is as wanted.
async fn stats_until(
    client: &mut Client,
    wanted: impl Fn(&cri::ContainerStats) -> bool,
) -> cri::ContainerStats {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let asked = Instant::now();
        let now = list(client, None).await.remove(0);
        assert!(asked.elapsed() < guests_patience(), "a list has waited for the guest");
        if wanted(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "it stays {now:?}");
        // The protocol offers no event for it.
        sleep(Duration::from_millis(200)).await;
    }
}

/// Half of what a guest is given for its figures.
fn guests_patience() -> Duration {
    Duration::from_secs(5)
}
