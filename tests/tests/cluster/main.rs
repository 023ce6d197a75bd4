//! Kubernetes itself drives it: what the API server is told is what the guest does, and what the guest does is what people are
//! told. Each test has a cluster of its own, and every call of `kubectl` a deadline.
//!
//! Run by `cargo xtask test --tier cluster`, which builds Kubernetes where there is a Go to do so.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod ends;
mod failing;
mod fleet;
mod guide;
mod hooks;
mod images;
mod jobs;
mod kubectl;
mod life;
mod load;
mod mixed;
mod place;
mod probes;
mod restarts;
mod rollout;
mod services;
mod sets;
mod volumes;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use tests::{Cluster, Inventory};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a guest may take to its first answer on a busy machine.
const BOOT: Duration = Duration::from_secs(600);
/// How long something may take that takes a moment.
const MOMENT: Duration = Duration::from_secs(60);
/// How long the kubelet may take to remove what a pod has left: it looks once a minute.
const SWEEP: Duration = Duration::from_secs(180);

/// How many tests may have machines that run.
const AT_ONCE: u32 = 2;
/// Their turns: more emulated ones would starve each other. What needs none is done beside them: the next test starts its
/// cluster, and the one before waits until its kubelet has swept.
static MACHINES: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// A cluster, and what was on its node before any pod.
struct Fixture {
    turn: SemaphorePermit<'static>,
    cluster: Cluster,
    before: Inventory,
}

impl Fixture {
    /// A new one; `None`, which is said, where there is no Kubernetes.
    fn new() -> Option<Self> {
        Self::with("")
    }

    /// The same, for a test that measures what its machines cost: no other one has any meanwhile.
    fn alone() -> Option<Self> {
        Self::for_turns("", AT_ONCE)
    }

    /// The same, of a node with further configuration.
    fn with(config: &str) -> Option<Self> {
        Self::for_turns(config, 1)
    }

    /// One whose node has ordinary containers, too, for a test with so many machines.
    fn mixed(machines: u32) -> Option<Self> {
        Self::of(Cluster::mixed_from_env().unwrap(), machines)
    }

    fn for_turns(config: &str, turns: u32) -> Option<Self> {
        Self::of(Cluster::from_env_with(config).unwrap(), turns)
    }

    fn of(cluster: Option<Cluster>, turns: u32) -> Option<Self> {
        let Some(cluster) = cluster else {
            // Straight to the standard output: this is not for a reader of a failure.
            let _ =
                writeln!(std::io::stdout(), "skipped: Kubernetes is not here, there was no Go to build it");
            return None;
        };
        let before = cluster.node().inventory().unwrap();
        let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turn = waiting.block_on(MACHINES.acquire_many(turns)).unwrap();
        Some(Self { turn, cluster, before })
    }

    /// Runs `kubectl`, which succeeds.
    fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl().run(arguments).unwrap()
    }

    /// Runs `kubectl` until what it prints is as wanted.
    fn until(&self, patience: Duration, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        self.cluster.kubectl().until(patience, arguments, wanted).unwrap()
    }

    /// Waits until a pod is as its guest makes it.
    fn wait(&self, pod: &str, what: &str) {
        self.wait_for(&format!("pod/{pod}"), what);
    }

    /// Waits until something is as guests make it.
    fn wait_for(&self, object: &str, what: &str) {
        let (what, patience) = (format!("--for={what}"), format!("--timeout={}s", BOOT.as_secs()));
        let waited = self.cluster.kubectl().run_within(BOOT + MOMENT, &["wait", &what, object, &patience]);
        waited.unwrap_or_else(|error| panic!("{error:#}\n{}", self.kubectl(&["describe", "pods"])));
    }

    /// Waits until all pods of a workload are ready.
    fn rolled_out(&self, workload: &str) {
        let patience = format!("--timeout={}s", BOOT.as_secs());
        let status = ["rollout", "status", workload, &patience];
        let waited = self.cluster.kubectl().run_within(BOOT + MOMENT, &status);
        waited.unwrap_or_else(|error| panic!("{error:#}\n{}", self.kubectl(&["describe", "pods"])));
    }

    /// What a web server answers to the node, or why it does not.
    fn page(&self, address: &str) -> String {
        // A busybox linked statically dies of its own `-T`.
        let mut command = self.cluster.node().namespace().command("timeout");
        let page = command.args(["20", "busybox", "wget", "-q", "-O", "-", address]).output().unwrap();
        String::from_utf8_lossy(if page.status.success() { &page.stdout } else { &page.stderr }).into_owned()
    }

    /// Applies a folder of manifests that are as people have them, but for their images and the runtime class.
    fn applies(&self, manifests: &str) {
        self.kubectl(&["apply", "-k", &folder(manifests)]);
    }

    /// Deletes them, and waits until their pods are gone.
    fn deletes(&self, manifests: &str) {
        self.kubectl(&["delete", "--cascade=foreground", "--timeout=80s", "-k", &folder(manifests)]);
    }

    /// A part of a pod, by its JSON path.
    fn of_pod(&self, name: &str, path: &str) -> String {
        self.kubectl(&["get", "pod", name, "-o", &format!("jsonpath={{{path}}}")])
    }

    /// The image of the guest that boots fastest.
    fn image(&self) -> String {
        format!("{}/guests/mini:latest", self.cluster.node().registry())
    }

    /// Ends the kube-proxy of a mixed node, which is a workload there.
    fn ends_kube_proxy(&self) {
        let delete = ["delete", "daemonset", "kube-proxy", "-n", "kube-system"];
        self.kubectl(&[&delete[..], &["--cascade=foreground", "--timeout=80s"]].concat());
    }

    /// Waits until nothing of any pod is left, neither in the API nor on the node.
    fn nothing_left(self) {
        assert_eq!(self.kubectl(&["get", "pods", "-o", "name"]), "");
        drop(self.turn);
        let left = self.cluster.wait_until_clean(&self.before, SWEEP).unwrap();
        assert_eq!(left, BTreeSet::new(), "left on the node");
    }
}

/// Where the manifests of this name are.
fn folder(manifests: &str) -> String {
    format!("{}/manifests/{manifests}", env!("CARGO_MANIFEST_DIR"))
}

/// The pod `app`, a machine that is Ready when its guest answers.
fn vm_pod(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  runtimeClassName: vm
  containers:
    - name: machine
      image: {image}
      readinessProbe:
        exec:
          command: ['true']
        periodSeconds: 1
        timeoutSeconds: 10
"
    )
}
