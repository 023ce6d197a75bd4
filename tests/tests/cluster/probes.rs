//! Probes of guests: exec probes know what a boot is, and those over the network need one that waits for it.

use tests::Process;

use crate::{BOOT, Fixture, MOMENT};

/// Where a start waits for no guest, so that each boot is a slow one to the kubelet.
const NODE: &str = "[timeouts]\nstart-wait-seconds = 1";
/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The state of a pod's one container.
const STATUS: &str = ".status.containerStatuses[0]";
/// How long a guest may take to answer a probe, in seconds: less than it is silent when it hangs, or boots anew.
const PATIENCE: u32 = 8;
/// The same of one whose boot is to be noticed.
const HASTE: u32 = 5;

#[test]
fn an_exec_probe_waits_for_a_boot_and_finds_a_guest_that_hangs() {
    let Some(fixture) = Fixture::with(NODE) else { return };
    let image = fixture.image();
    fixture.cluster.kubectl().apply(&manifest("app", &image, "{}", &alive(PATIENCE))).unwrap();
    fixture.wait("app", "condition=Ready");
    assert_eq!(fixture.of_pod("app", &format!("{STATUS}.restartCount")), "0", "its boot was let be");
    // People are told what it waited for.
    let events = ["get", "events", "-o", "jsonpath={.items[*].message}"];
    fixture.until(MOMENT, &events, |told| told.contains("guest is booting ("));

    let id = fixture.of_pod("app", &format!("{STATUS}.containerID"));
    let machine = id.split_once("://").unwrap().1.to_owned();
    fixture.cluster.node().freeze(&machine).unwrap();
    fixture.wait("app", &format!("jsonpath={{{STATUS}.restartCount}}=1"));
    let last = |part: &str| {
        let asked = format!("jsonpath={{{STATUS}.lastState.terminated.{part}}}");
        fixture.until(MOMENT, &["get", "pod", "app", "-o", &asked], |told| !told.is_empty())
    };
    assert_eq!((last("exitCode").as_str(), last("reason").as_str()), ("137", "Killed"));
    assert_eq!(
        last("message"),
        "the guest had not shut itself down when its grace period was over, and was forced off"
    );
    fixture.until(MOMENT, &events, |told| told.contains("failed liveness probe, will be restarted"));
    fixture.wait("app", "condition=Ready");
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);

    reboots(&fixture);
}

/// A guest that boots anew from inside has the time that its pod says.
fn reboots(fixture: &Fixture) {
    let pod = |name, grace, patience| {
        let annotations =
            format!("{{infranetes.io/on-reset: continue, infranetes.io/reboot-grace-seconds: '{grace}'}}");
        let manifest = manifest(name, &fixture.image(), &annotations, &alive(patience));
        fixture.cluster.kubectl().apply(&manifest).unwrap();
        fixture.wait(name, "condition=Ready");
    };
    let reboot = |name| {
        // Nobody may be left to answer.
        let _ = fixture.cluster.kubectl().run(&["exec", name, "--", "reboot"]);
    };
    pod("patient", 300, PATIENCE);
    let boot_id = ["exec", "patient", "--", "cat", BOOT_ID];
    let first = fixture.kubectl(&boot_id);
    reboot("patient");
    fixture.until(BOOT, &boot_id, |now| !now.is_empty() && now != first);
    fixture.wait("patient", "condition=Ready");
    assert_eq!(fixture.of_pod("patient", &format!("{STATUS}.restartCount")), "0", "it was let be");
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);

    // With none a silent guest is a dead one.
    pod("hasty", 0, HASTE);
    assert_eq!(fixture.of_pod("hasty", &format!("{STATUS}.restartCount")), "0");
    reboot("hasty");
    fixture.wait("hasty", &format!("jsonpath={{{STATUS}.restartCount}}=1"));
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
}

#[test]
fn a_probe_over_the_network_needs_a_startup_probe_for_a_slow_guest() {
    let Some(fixture) = Fixture::with(NODE) else { return };
    let image = fixture.image();
    let page = "{path: /, port: 80}, periodSeconds: 1, failureThreshold";
    // A guest that has just booted may take a while to an answer.
    let slow = format!(
        "startupProbe: {{httpGet: {page}: 300}}
      livenessProbe: {{httpGet: {page}: 1, timeoutSeconds: 10}}
      readinessProbe: {{tcpSocket: {{port: 22}}, periodSeconds: 1}}"
    );
    fixture.cluster.kubectl().apply(&manifest("slow", &image, "{}", &slow)).unwrap();
    fixture.wait("slow", "condition=Ready");
    assert_eq!(fixture.of_pod("slow", &format!("{STATUS}.restartCount")), "0", "its boot was waited for");
    assert_eq!(fixture.of_pod("slow", &format!("{STATUS}.started")), "true");

    // The kubelet asks the guest itself, which nobody tells that it boots.
    let alive = format!("livenessProbe: {{httpGet: {page}: 1}}");
    fixture.cluster.kubectl().apply(&manifest("killed", &image, "{}", &alive)).unwrap();
    fixture.wait("killed", &format!("jsonpath={{{STATUS}.restartCount}}=1"));
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);

    asked_by_grpc(&fixture);
}

/// A guest that leads to a server which tells its health by gRPC: the cluster's etcd.
fn asked_by_grpc(fixture: &Fixture) {
    let address = r#"jsonpath={.status.addresses[?(@.type=="InternalIP")].address}"#;
    let node = fixture.kubectl(&["get", "node", "node", "-o", address]);
    let mut socat = fixture.cluster.node().namespace().command("socat");
    socat.args([&format!("TCP-LISTEN:2379,bind={node},fork"), "TCP:127.0.0.1:2379"]);
    let mut relay = Process::start(socat, "socat", &fixture.cluster.logs().join("relay.log")).unwrap();
    let grpc = "{grpc: {port: 50051}, periodSeconds: 1, timeoutSeconds: 5, failureThreshold";
    let own = format!(
        "command: [nc, -ll, -p, '50051', -e, nc, {node}, '2379']
      startupProbe: {grpc}: 300}}
      livenessProbe: {grpc}: 100}}
      readinessProbe: {grpc}: 1}}"
    );
    fixture.cluster.kubectl().apply(&manifest("asked", &fixture.image(), "{}", &own)).unwrap();
    fixture.wait("asked", "condition=Ready");
    assert_eq!(fixture.of_pod("asked", &format!("{STATUS}.restartCount")), "0", "its boot was waited for");

    // An open port alone is no health.
    relay.kill();
    fixture.wait("asked", "condition=Ready=False");
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
}

/// Probes of which one failure is enough, after this many seconds. Of what happens to a pod the kubelet tells 25 events at
/// once, so they do not come every second.
fn alive(timeout: u32) -> String {
    let asked = format!("exec: {{command: ['true']}}, timeoutSeconds: {timeout}");
    format!(
        "livenessProbe: {{{asked}, periodSeconds: 2, failureThreshold: 1}}
      readinessProbe: {{{asked}, periodSeconds: 3}}"
    )
}

/// A pod whose one container is its machine, with these annotations and this of its own.
fn manifest(name: &str, image: &str, annotations: &str, own: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {annotations}
spec:
  runtimeClassName: vm
  terminationGracePeriodSeconds: 3
  containers:
    - name: machine
      image: {image}
      {own}
"
    )
}
