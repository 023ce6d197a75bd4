//! Pods that come to an end, and pods that never begin: each in the state, with the words, that people expect of Kubernetes.

use crate::{Fixture, MOMENT};

#[test]
fn a_pod_ends_as_its_process_does_and_one_without_an_image_waits() {
    let Some(fixture) = Fixture::new() else { return };
    let image = fixture.image();
    let absent = image.replace("mini", "nowhere");
    let kubectl = fixture.cluster.kubectl();
    kubectl.apply(&manifest("absent", &absent, "true")).unwrap();
    kubectl.apply(&manifest("good", &image, "echo all is well")).unwrap();
    fixture.wait("good", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(fixture.kubectl(&["logs", "good"]), "all is well\n");
    let ended = ".status.containerStatuses[0].state.terminated";
    assert_eq!(fixture.of_pod("good", &format!("{ended}.reason")), "Completed");
    // One machine after the other: they starve each other where there is no KVM.
    kubectl.apply(&manifest("bad", &image, "echo all is lost >&2; exit 3")).unwrap();
    fixture.wait("bad", "jsonpath={.status.phase}=Failed");
    assert_eq!(fixture.kubectl(&["logs", "bad"]), "all is lost\n");
    assert_eq!(fixture.of_pod("bad", &format!("{ended}.exitCode")), "3");

    // One that writes more than it may: the kubelet sees it in the figures of its machine.
    let writes = "dd if=/dev/urandom of=/big bs=1M count=64; sync; sleep 100000";
    let limit = "      resources: { limits: { ephemeral-storage: 32Mi } }\n";
    kubectl.apply(&(manifest("greedy", &image, writes) + limit)).unwrap();
    fixture.wait("greedy", "jsonpath={.status.reason}=Evicted");
    let told = fixture.of_pod("greedy", ".status.message");
    assert!(told.contains("ephemeral local storage") && told.contains("32Mi"), "{told}");

    let waiting = |part: &str| format!("jsonpath={{.status.containerStatuses[0].state.waiting.{part}}}");
    let until = |part: &str, wanted: &dyn Fn(&str) -> bool| {
        fixture.until(MOMENT, &["get", "pod", "absent", "-o", &waiting(part)], wanted);
    };
    until("reason", &|reason| ["ErrImagePull", "ImagePullBackOff"].contains(&reason));
    until("message", &|message| message.contains(&absent));

    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
    fixture.nothing_left();
}

/// A pod whose one container is a process in its machine.
fn manifest(name: &str, image: &str, script: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  runtimeClassName: vm
  restartPolicy: Never
  containers:
    - name: process
      image: {image}
      command: [sh, -c, '{script}']
"
    )
}
