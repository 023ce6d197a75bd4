//! What a kubelet does with images, and what it does when the disk is full, holds on both sides of a mixed node.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;
use tests::LOGIN;

use crate::{Fixture, MOMENT};

/// Why a container waits.
const WAITS: &str = ".status.containerStatuses[0].state.waiting.reason";
/// The logins to both private registries.
const SECRETS: &str = "imagePullSecrets: [{ name: machines }, { name: containers }]";
/// A place that is not given up.
const CRITICAL: &str = "priorityClassName: system-node-critical";
/// Pods that use an image of one side each, and are critical to the node.
const KEPT: [&str; 2] = ["kept-machine", "kept-container"];
/// Pods that want the same images without a login.
const STRANGERS: [&str; 2] = ["strange-machine", "strange-container"];

#[test]
fn a_login_and_a_full_disk_mean_the_same_on_both_sides() {
    let Some(mut fixture) = Fixture::mixed(2) else { return };
    let registries = fixture.cluster.node().private_registries().unwrap();
    for (name, registry) in ["machines", "containers"].iter().zip(&registries) {
        let [server, user, password] = [
            format!("--docker-server={}", registry.host()),
            format!("--docker-username={}", LOGIN.0),
            format!("--docker-password={}", LOGIN.1),
        ];
        fixture.kubectl(&["create", "secret", "docker-registry", name, &server, &user, &password]);
    }
    let images = ["guests/mini:latest", "e2e-test-images/busybox:1.29-2"];
    let private = [0, 1].map(|side| format!("{}/{}", registries[side].host(), images[side]));

    // Whoever has the login pulls.
    let pods = [0, 1].map(|side| pod(KEPT[side], &private[side], side, &[SECRETS, CRITICAL]));
    fixture.cluster.kubectl().apply(&pods.concat()).unwrap();
    for pod in KEPT {
        fixture.wait(pod, "condition=Ready");
    }
    fixture.cluster.kubectl().apply(&pod("evicted", &private[0], 0, &[SECRETS])).unwrap();
    fixture.wait("evicted", "condition=Ready");
    let events = ["get", "events", "--field-selector=involvedObject.name=evicted", "-o"];
    let messages = [&events[..], &["jsonpath={.items[*].message}"]].concat();
    fixture.until(MOMENT, &messages, |told| told.contains("already present on machine"));

    // Whoever has none does not get what others have pulled.
    let pods = [0, 1].map(|side| pod(STRANGERS[side], &private[side], side, &[]));
    fixture.cluster.kubectl().apply(&pods.concat()).unwrap();
    for pod in STRANGERS {
        let path = format!("jsonpath={{{WAITS}}}");
        fixture.until(MOMENT, &["get", "pod", pod, "-o", &path], |reason| reason.contains("ImagePull"));
    }
    fixture.kubectl(&["delete", "pod", STRANGERS[0], STRANGERS[1], "--timeout=80s"]);

    // Images that nobody uses any more.
    let spare = [
        format!("{}/guests/dropbear:latest", fixture.cluster.node().registry()),
        "registry.k8s.io/e2e-test-images/nginx:1.14-2".to_owned(),
    ];
    fixture.pull(&["--handler=vm", &spare[0]]);
    fixture.pull(&["--handler=runc", &spare[1]]);
    let wanted: BTreeSet<_> = private.iter().chain(&spare).cloned().collect();
    assert!(fixture.images().is_superset(&wanted), "{:?}", fixture.images());

    // The disk is full: they go, on both sides, and then a pod.
    let full =
        json!({ "evictionHard": { "nodefs.available": "99.9%" }, "evictionPressureTransitionPeriod": "1s" });
    fixture.cluster.configure_kubelet(&full).unwrap();
    let phase = ["get", "pod", "evicted", "-o", "jsonpath={.status.phase} {.status.reason}"];
    fixture.until(MOMENT * 2, &phase, |told| told == "Failed Evicted");
    let deadline = Instant::now() + MOMENT * 2;
    let mut left = fixture.images();
    while spare.iter().any(|image| left.contains(image)) {
        assert!(Instant::now() < deadline, "nobody uses them: {left:?}");
        left = fixture.images();
    }
    assert!(private.iter().all(|image| left.contains(image)), "a pod uses them: {left:?}");
    for pod in KEPT {
        assert_eq!(fixture.kubectl(&["exec", pod, "--", "echo", "here"]).trim(), "here");
        assert_eq!(fixture.of_pod(pod, ".status.containerStatuses[0].restartCount"), "0");
    }

    let roomy = json!({ "evictionHard": { "nodefs.available": "0%" } });
    fixture.cluster.configure_kubelet(&roomy).unwrap();
    let pressure =
        ["get", "node", "-o", "jsonpath={.items[0].status.conditions[?(@.type=='DiskPressure')].status}"];
    fixture.until(MOMENT, &pressure, |told| told == "False");
    fixture.kubectl(&["delete", "pod", "--all", "--timeout=80s"]);
    fixture.ends_kube_proxy();
    fixture.nothing_left();
}

impl Fixture {
    /// Runs `infranetes image`.
    fn image_command(&self, arguments: &[&str]) -> String {
        let mut command = self.cluster.node().infranetes();
        command.arg("image").args(arguments);
        let ended = command.output().unwrap();
        let told = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stderr));
        told
    }

    fn pull(&self, arguments: &[&str]) {
        self.image_command(&[&["pull"], arguments].concat());
    }

    /// The names of all images of the node.
    fn images(&self) -> BTreeSet<String> {
        let told: serde_json::Value =
            serde_json::from_str(&self.image_command(&["ls", "--output=json"])).unwrap();
        let names = told.as_array().unwrap().iter().flat_map(|image| image["tags"].as_array().unwrap());
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

/// A pod of one side, with further lines of its own.
fn pod(name: &str, image: &str, side: usize, further: &[&str]) -> String {
    let kind = [
        "runtimeClassName: vm",
        "tolerations: [{ key: infranetes.io/vm, operator: Exists }]\n  terminationGracePeriodSeconds: 2",
    ][side];
    let command = ["", "command: [sh, -c, 'trap exit TERM; while :; do sleep 1; done']"][side];
    let ready =
        ["readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1, timeoutSeconds: 10 }", ""][side];
    let further = further.join("\n  ");
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  {kind}
  {further}
  containers:
    - name: main
      image: {image}
      imagePullPolicy: IfNotPresent
      {command}
      {ready}
---
"
    )
}
