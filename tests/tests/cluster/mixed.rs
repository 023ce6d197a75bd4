//! A mixed node: machines beside ordinary containers, kube-proxy among them.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::{Fixture, MOMENT};

/// How often somebody asks to learn who answers.
const ASKED: usize = 12;
/// An image of ordinary containers.
const ORDINARY: &str = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
/// What a restart of a pod or of a container would change.
const SEEN: &str = "jsonpath={range .items[*]}{.metadata.uid} {.status.podIP} {.status.containerStatuses[*].containerID} \
                    {.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].ready};{end}";

#[test]
fn a_service_leads_to_machines_and_containers() {
    let Some(mut fixture) = Fixture::mixed(1) else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image())).unwrap();
    for workload in ["deployment/machine", "deployment/container", "daemonset/everywhere"] {
        fixture.rolled_out(workload);
    }
    let name = |app: &str| fixture.kubectl(&["get", "pods", "-l", &format!("kind={app}"), "-o", NAME]);
    let (machine, container) = (name("machine"), name("container"));
    let both = BTreeSet::from([machine.clone(), container.clone()]);
    let address = fixture.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    answers(&fixture, &both, &address);

    for pod in &both {
        let uname = fixture.kubectl(&["exec", pod, "--", "uname", "-s"]);
        assert_eq!(uname.trim(), "Linux");
        fixture.until(MOMENT, &["logs", pod], |log| !log.is_empty());
        fixture.until(MOMENT, &["top", "pod", pod, "--no-headers"], |line| line.contains(pod));
        let url = "http://web.default.svc.cluster.local/name";
        let told = fixture.kubectl(&["exec", pod, "--", "timeout", "20", "wget", "-qO-", url]);
        assert!(both.contains(told.trim()), "{told}");
        people_speak_with(&fixture, pod);
    }
    talks_to_who_joins_it(&fixture);

    // Either side ends and comes back, and no pod is restarted.
    let before = fixture.seen_of_all();
    fixture.cluster.node_mut().delegate().kill();
    answers(&fixture, &both, &address);
    fixture.cluster.restart_daemon().unwrap();
    fixture.cluster.node_mut().delegate().start_again().unwrap();
    goes_on(&fixture, &both);
    assert_eq!(fixture.seen_of_all(), before, "after a restart of containerd and the daemon");
    fixture.cluster.restart_kubelet().unwrap();
    goes_on(&fixture, &both);
    assert_eq!(fixture.seen_of_all(), before, "after a restart of the kubelet");
    answers(&fixture, &both, &address);

    // The node is switched over to containerd alone, and back; the containers go on.
    fixture.kubectl(&["delete", "deployment", "machine", "--cascade=foreground", "--timeout=80s"]);
    let before = fixture.seen_of_all();
    let ordinary = BTreeSet::from([container]);
    for socket in [fixture.cluster.node_mut().delegate().socket(), fixture.cluster.node().socket()] {
        fixture.cluster.switch_kubelet(&socket).unwrap();
        goes_on(&fixture, &ordinary);
        answers(&fixture, &ordinary, &address);
        assert_eq!(fixture.seen_of_all(), before, "after a switch to {}", socket.display());
    }

    let all = [
        "delete",
        "deployment,daemonset,service",
        "-l",
        "tier=test",
        "--cascade=foreground",
        "--timeout=80s",
    ];
    fixture.kubectl(&all);
    fixture.ends_kube_proxy();
    fixture.nothing_left();
}

impl Fixture {
    /// What is seen of all pods. The runtime's name stands before the ids, which are the same under another one.
    fn seen_of_all(&self) -> String {
        let seen = self.kubectl(&["get", "pods", "-A", "--sort-by=.metadata.uid", "-o", SEEN]);
        ["infranetes://", "containerd://"].iter().fold(seen, |seen, name| seen.replace(name, ""))
    }
}

/// The name of the one pod.
const NAME: &str = "jsonpath={.items[0].metadata.name}";

/// What people type to speak with a pod does the same on either side.
fn people_speak_with(fixture: &Fixture, pod: &str) {
    let kubectl = fixture.cluster.kubectl();
    let mut talk = kubectl.on_terminal((24, 80), &["exec", "-it", pod, "--", "sh"]);
    talk.types("exit $((4 - 1))\r");
    assert_eq!(talk.ends(MOMENT).1.code(), Some(3), "the exit code of {pod}");

    let folder = tempfile::tempdir().unwrap();
    let (from, back) = (folder.path().join("from"), folder.path().join("back"));
    std::fs::write(&from, "as it was\n").unwrap();
    let there = format!("{pod}:/tmp/copied");
    fixture.kubectl(&["cp", from.to_str().unwrap(), &there]);
    fixture.kubectl(&["cp", &there, back.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "as it was\n");

    let forward = ["port-forward", &format!("pod/{pod}"), "18080:80", "--address=127.0.0.1"];
    let mut talk = kubectl.talk(&forward);
    talk.shows("Forwarding from 127.0.0.1:18080 -> 80", MOMENT);
    assert_eq!(fixture.page("http://127.0.0.1:18080/name").trim(), pod);
}

/// A container that is made to be joined, and goes with who has joined it.
fn talks_to_who_joins_it(fixture: &Fixture) {
    let tolerates = r#"{"spec": {"tolerations": [{"key": "infranetes.io/vm", "operator": "Exists"}]}}"#;
    let overrides = format!("--overrides={tolerates}");
    let image = format!("--image={ORDINARY}");
    let command = ["--command", "--", "tr", "a-z", "A-Z"];
    let run = ["run", "talker", &image, &overrides, "-i", "--rm", "--restart=Never"];
    let run = [&run[..], &command].concat();
    let mut talk = fixture.cluster.kubectl().talk(&run);
    talk.types("as it comes\n");
    talk.hangs_up();
    let (shown, status) = talk.ends(MOMENT);
    let shown = String::from_utf8_lossy(&shown);
    assert!(status.success() && shown.contains("AS IT COMES\n"), "{status}: {shown}");
    fixture.until(MOMENT, &["get", "pods", "-o", "name"], |names| !names.contains("talker"));
}

/// Waits until all answer, and nobody else.
fn answers(fixture: &Fixture, wanted: &BTreeSet<String>, address: &str) {
    let deadline = Instant::now() + MOMENT;
    loop {
        let url = format!("http://{address}/name");
        let answers: BTreeSet<_> = (0..ASKED).map(|_| fixture.page(&url).trim().to_owned()).collect();
        if answers == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{answers:?} instead of {wanted:?}");
    }
}

/// Waits until commands run in each.
fn goes_on(fixture: &Fixture, pods: &BTreeSet<String>) {
    for pod in pods {
        fixture.until(MOMENT, &["exec", pod, "--", "echo", "here"], |told| told.contains("here"));
    }
}

/// A Service with a machine and a container behind it, and a `DaemonSet` of containers.
fn manifest(image: &str) -> String {
    let tolerations = "tolerations: [{ key: infranetes.io/vm, operator: Exists }]";
    let ready = "readinessProbe:
            httpGet: { path: /name, port: 80 }
            periodSeconds: 1
            timeoutSeconds: 10";
    let deployment = |kind: &str, spec: &str| {
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {kind}, labels: {{ tier: test }} }}
spec:
  replicas: 1
  selector: {{ matchLabels: {{ kind: {kind} }} }}
  template:
    metadata: {{ labels: {{ app: web, kind: {kind} }} }}
    spec:
{spec}
---
"
        )
    };
    let machine = deployment(
        "machine",
        &format!(
            "      runtimeClassName: vm
      containers:
        - name: main
          image: {image}
          lifecycle:
            postStart: {{ exec: {{ command: [sh, -c, 'hostname >/var/www/name'] }} }}
          {ready}"
        ),
    );
    let container = deployment(
        "container",
        &format!(
            "      {tolerations}
      containers:
        - name: main
          image: {ORDINARY}
          command: [sh, -c, 'hostname >/var/www/name; exec sh /bin/serve']
          {ready}"
        ),
    );
    format!(
        "{machine}{container}apiVersion: v1
kind: Service
metadata: {{ name: web, labels: {{ tier: test }} }}
spec:
  selector: {{ app: web }}
  ports: [{{ port: 80 }}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{ name: everywhere, labels: {{ tier: test }} }}
spec:
  selector: {{ matchLabels: {{ kind: everywhere }} }}
  template:
    metadata: {{ labels: {{ kind: everywhere }} }}
    spec:
      {tolerations}
      containers:
        - name: main
          image: {ORDINARY}
          command: [sh, -c, 'echo runs; trap exit TERM; while :; do sleep 1; done']
"
    )
}
