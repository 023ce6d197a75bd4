//! Where VM pods go, what they cost there, and what tells one replica from another: the manifests of `deploy/` as they are.

use std::collections::BTreeSet;

use crate::{BOOT, Fixture, MOMENT};

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Fills the guest's memory but for what it lives on.
const FILL: &str = "mount -o remount,size=100% /dev/shm &&
    dd if=/dev/zero of=/dev/shm/fill bs=1M count=$(awk '/MemAvailable/ {print int($2 / 1024) - 16}' /proc/meminfo) 2>/dev/null &&
    du -m /dev/shm/fill | cut -f1";

#[test]
fn replicas_have_nodes_of_their_own_kind_and_sizes_and_names_of_their_own() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image())).unwrap();
    // A pod of containers is not for this node.
    let why = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}";
    fixture.until(MOMENT, &["get", "pod", "stray", "-o", why], |told| told.contains("untolerated taint"));

    let available = ["get", "deployment", "app", "-o", "jsonpath={.status.availableReplicas}"];
    fixture.until(BOOT, &available, |replicas| replicas == "2");
    let names =
        fixture.kubectl(&["get", "pods", "-l", "app=app", "-o", "jsonpath={.items[*].metadata.name}"]);
    let names: Vec<&str> = names.split_whitespace().collect();
    let mut boots = BTreeSet::new();
    for name in &names {
        let exec =
            |script: &str| fixture.kubectl(&["exec", name, "--", "sh", "-c", script]).trim().to_owned();
        assert_eq!(exec("hostname"), *name);
        assert_eq!(exec("nproc"), "2", "a part of a processor is a whole one");
        let memory: u32 = exec("awk '/MemTotal/ {print $2}' /proc/meminfo").parse().unwrap();
        assert!((140 << 10..192 << 10).contains(&memory), "{memory} KiB");
        boots.insert(exec(&format!("cat {BOOT_ID}")));
    }
    assert_eq!((names.len(), boots.len()), (2, 2));

    // What a machine costs is counted, and is enough for one whose guest uses all that it has.
    let name = names[0];
    assert_eq!(fixture.of_pod(name, ".spec.overhead.memory"), "192Mi");
    let filled: u32 = fixture.kubectl(&["exec", name, "--", "sh", "-c", FILL]).trim().parse().unwrap();
    assert!(filled > 60, "{filled} MiB");
    assert_eq!(fixture.kubectl(&["exec", name, "--", "cat", BOOT_ID]).trim().len(), 36);
    assert_eq!(fixture.of_pod(name, ".status.containerStatuses[0].restartCount"), "0");
    let limits: BTreeSet<u64> =
        fixture.cluster.pod_groups().iter().filter_map(|group| limit(group)).collect();
    assert_eq!(limits, BTreeSet::from([(192 + 192) << 20]), "the limit with the overhead");

    fixture.kubectl(&["delete", "deployment", "app"]);
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
}

#[test]
fn a_machine_that_its_pod_has_no_room_for_says_so() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&narrow(&fixture.image())).unwrap();
    let ended = ["get", "pod", "narrow", "-o", "jsonpath={.status.containerStatuses[0].state.terminated}"];
    let told = fixture.until(BOOT, &ended, |told| !told.is_empty());
    for word in ["OOMKilled", "137", "had no memory left", "overhead"] {
        assert!(told.contains(word), "{told}");
    }
    fixture.kubectl(&["delete", "pod", "narrow", "--timeout=80s"]);
    fixture.nothing_left();
}

/// A machine of a `RuntimeClass` that counts nothing for QEMU itself.
fn narrow(image: &str) -> String {
    format!(
        "apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: bare
handler: vm
---
apiVersion: v1
kind: Pod
metadata:
  name: narrow
spec:
  runtimeClassName: bare
  restartPolicy: Never
  tolerations: [{{ key: infranetes.io/vm, operator: Exists }}]
  containers:
    - name: machine
      image: {image}
      resources: {{ limits: {{ cpu: 1, memory: 96Mi }} }}
"
    )
}

/// The most memory that a control group may have.
fn limit(group: &std::path::Path) -> Option<u64> {
    let files = ["memory.max", "memory.limit_in_bytes"].map(|name| std::fs::read_to_string(group.join(name)));
    files.into_iter().flatten().find_map(|text| text.trim().parse().ok())
}

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
spec:
  replicas: 2
  selector: {{ matchLabels: {{ app: app }} }}
  template:
    metadata: {{ labels: {{ app: app }} }}
    spec:
      runtimeClassName: vm
      terminationGracePeriodSeconds: 10
      containers:
        - name: machine
          image: {image}
          resources: {{ limits: {{ cpu: 1100m, memory: 192Mi }}, requests: {{ cpu: 100m }} }}
          readinessProbe: {{ exec: {{ command: ['true'] }}, periodSeconds: 1, timeoutSeconds: 5 }}
---
apiVersion: v1
kind: Pod
metadata:
  name: stray
spec:
  containers:
    - name: app
      image: {image}
      command: [sleep, '100000']
"
    )
}
