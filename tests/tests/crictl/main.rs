//! `crictl`, a client that this project did not write, drives a pod through its whole life: on an image with cloud-init,
//! on one from before systemd that takes a password only, and on one of busybox and dropbear. It also speaks with what runs
//! in a guest: `exec`, `attach`, `port-forward`.
//!
//! Run by `cargo xtask test --tier e2e`, which builds crictl where there is a Go to do so.

mod fleet;
mod joining;
mod program;
mod streaming;
mod talk;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use program::Crictl;
use serde_json::{Value, json};
use tests::{Node, Options};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a guest may take to its first answer on a busy machine.
const BOOT: Duration = Duration::from_secs(300);
/// How long a line may take from the guest to the reader of its log.
const LINE: Duration = Duration::from_secs(60);

/// The turns of tests whose machines run: more emulated ones would starve each other.
static MACHINES: Semaphore = Semaphore::const_new(2);

/// Waits for a turn.
fn turn() -> SemaphorePermit<'static> {
    let waiting = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    waiting.block_on(MACHINES.acquire()).expect("it is never closed")
}

#[test]
fn an_image_with_cloud_init() {
    life("cloud", "cloud-init");
}

#[test]
fn an_image_from_before_systemd() {
    life("sysvinit", "/sbin/init");
}

#[test]
fn an_image_of_busybox_and_dropbear() {
    life("dropbear", "dropbear");
}

/// The whole life of a pod. `process` is a part of the name of something that only this guest has in its root.
fn life(guest: &str, process: &str) {
    let _turn = turn();
    let mut options = Options::from_env().expect("the tests' environment");
    "[timeouts]\nstart-wait-seconds = 110\n".clone_into(&mut options.config);
    let node = Node::start(options).expect("a node");
    let Some(crictl) = Crictl::find(&node) else {
        // Straight to the standard output: this is not for a reader of a failure.
        let _ = writeln!(std::io::stdout(), "skipped: crictl is not here, there was no Go to build it");
        return;
    };
    let before = node.inventory().expect("an inventory");
    ready(&crictl);
    let image = format!("{}/guests/{guest}:latest", node.registry());
    let image_id = pull(&crictl, &image);
    let files = files(&node, &image);
    let pod = crictl.call(&["runp", "-T", "120s", text(&files.pod)]);
    let address = crictl.json(&["inspectp", "-o", "json", &pod])["status"]["network"]["ip"].clone();
    let address = address.as_str().expect("an address").to_owned();
    assert!(address.starts_with("10.89."), "the pod has its IP before it has a machine: {address}");

    let id = crictl.call(&["create", "--no-pull", &pod, text(&files.container), text(&files.pod)]);
    assert_eq!(status(&crictl, &id)["state"], "CONTAINER_CREATED");
    assert_eq!(crictl.call(&["start", &id]), id);
    let kernel = crictl.until(BOOT, &["exec", "-s", &id, "uname", "-s"]);
    assert_eq!(kernel, "Linux");
    let running = status(&crictl, &id);
    assert_eq!(running["state"], "CONTAINER_RUNNING");
    assert_eq!(running["imageRef"], image_id.as_str());
    let listed = crictl.json(&["ps", "-o", "json", "--name", "machine"]);
    assert_eq!(listed["containers"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["containers"][0]["id"], id.as_str());
    let pods = crictl.json(&["pods", "-o", "json"]);
    assert_eq!(pods["items"][0]["state"], "SANDBOX_READY", "{pods}");

    let has = |wanted: &str, command: &[&str]| {
        let printed = crictl.call(&[&["exec", "-s", &id], command].concat());
        assert!(printed.contains(wanted), "{command:?}: no {wanted} in {printed}");
    };
    has(&address, &["ip", "-4", "addr", "show", "eth0"]);
    has(process, &["sh", "-c", "ls -d /usr/bin/* /usr/sbin/* /sbin/init"]);
    let failed = crictl.attempt(&["exec", "-s", &id, "sh", "-c", "echo why >&2; exit 7"]);
    assert!(failed.as_ref().is_err_and(|error| error.contains('7')), "an exit code is told: {failed:?}");

    figures(&crictl, &id, &pod);
    let mut events = crictl.follow(&["events"]);
    let mut log = crictl.follow(&["logs", "-f", &id]);
    crictl.call(&["exec", "-s", &id, "logger", "crictl's own line"]);
    log.wait_for("crictl's own line", LINE);
    assert!(!crictl.call(&["logs", &id]).is_empty());

    crictl.call(&["stop", "-t", "200", &id]);
    events.wait_for("CONTAINER_STOPPED_EVENT", LINE);
    let ended = status(&crictl, &id);
    assert_eq!(ended["state"], "CONTAINER_EXITED");
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("Completed"), &json!(0)), "{ended}");
    let lines = log.end(LINE);
    let mine = lines.iter().filter(|line| line.contains("crictl's own line")).count();
    assert_eq!(mine, 1, "a line is told once: {lines:#?}");

    crictl.call(&["rm", &id]);
    crictl.call(&["stopp", &pod]);
    crictl.call(&["rmp", &pod]);
    crictl.call(&["rmi", &image]);
    for list in [&["ps", "-aq"][..], &["pods", "-q"], &["images", "-q"]] {
        assert_eq!(crictl.call(list), "", "crictl {list:?}");
    }
    assert_eq!(node.inventory().expect("an inventory").beyond(&before), Vec::<String>::new());
}

/// `crictl stats`, `statsp` and `metricsp`: the guest's own figures, and the machine's.
fn figures(crictl: &Crictl, id: &str, pod: &str) {
    let is_told = |value: &Value| value["value"].as_str().is_some_and(|value| value != "0");
    let told = crictl.until_json(LINE, &["stats", "-o", "json", id], |told| {
        is_told(&told["stats"][0]["memory"]["rssBytes"])
    });
    assert!(is_told(&told["stats"][0]["cpu"]["usageCoreNanoSeconds"]), "{told}");
    let table = crictl.call(&["stats", id]);
    assert!(table.contains("machine"), "a container at work is in the table: {table}");
    let told = crictl.json(&["statsp", "-o", "json", pod]);
    let linux = &told["stats"][0]["linux"];
    assert_eq!(linux["network"]["defaultInterface"]["name"], "eth0", "{told}");
    assert!(is_told(&linux["process"]["processCount"]), "{told}");
    let metrics = crictl.call(&["metricsp"]);
    assert!(metrics.contains("infranetes_machine_vcpu_nanoseconds_total"), "{metrics}");
}

/// `crictl info`: the node is ready.
fn ready(crictl: &Crictl) {
    let info = crictl.json(&["info"]);
    for wanted in ["RuntimeReady", "NetworkReady"] {
        let conditions = info["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == wanted);
        assert!(found.is_some_and(|condition| condition["status"] == true), "{wanted}: {info}");
    }
}

/// `crictl pull` and `crictl images`. Answers the image's id.
fn pull(crictl: &Crictl, image: &str) -> String {
    assert_eq!(crictl.call(&["images", "-q"]), "", "it has never seen the image");
    let printed = crictl.call(&["pull", image]);
    let id = printed.rsplit(' ').next().unwrap_or_default().to_owned();
    let images = crictl.json(&["images", "-o", "json"]);
    let found = &images["images"][0];
    assert_eq!((&found["id"], &found["repoTags"][0]), (&json!(id), &json!(image)), "{printed}: {images}");
    id
}

/// `crictl inspect`.
fn status(crictl: &Crictl, id: &str) -> Value {
    crictl.json(&["inspect", "-o", "json", id])["status"].clone()
}

struct Files {
    pod: PathBuf,
    container: PathBuf,
}

/// What `crictl runp` and `crictl create` read.
fn files(node: &Node, image: &str) -> Files {
    let files = Files { pod: node.dir().join("pod.json"), container: node.dir().join("container.json") };
    let pod = json!({
        "metadata": { "name": "pod", "uid": "1", "namespace": "default", "attempt": 0 },
        "hostname": "pod",
        "log_directory": node.pod_logs().join("pod"),
        "linux": {},
    });
    let container = json!({
        "metadata": { "name": "machine", "attempt": 0 },
        "image": { "image": image },
        "log_path": "machine/0.log",
        "linux": {},
    });
    for (path, content) in [(&files.pod, pod), (&files.container, container)] {
        std::fs::write(path, content.to_string()).expect("a file in the node's folder");
    }
    files
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path without surprises")
}
