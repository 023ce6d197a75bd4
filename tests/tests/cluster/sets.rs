//! Pods that are someone: members with names of their own, one for the node, and one that the node has by itself.

use std::path::Path;

use crate::{Fixture, MOMENT, SWEEP};

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[test]
fn members_keep_their_names_and_a_node_has_its_own() {
    let Some(fixture) = Fixture::new() else { return };
    let image = fixture.image();
    let file = fixture.cluster.static_pods().join("console.yaml");
    std::fs::write(&file, static_pod(&image)).unwrap();
    fixture.cluster.kubectl().apply(&daemon_set(&image)).unwrap();
    fixture.applies("ledger");
    fixture.rolled_out("statefulset/ledger");
    fixture.rolled_out("daemonset/agent");
    fixture.members_come_in_order_and_keep_their_names();
    fixture.every_node_has_an_agent();
    fixture.the_node_keeps_its_own(&file);
    fixture.kubectl(&["delete", "daemonset", "agent", "--cascade=foreground", "--timeout=80s"]);
    fixture.deletes("ledger");
    fixture.until(MOMENT, &["get", "pods", "-o", "name"], str::is_empty);
    fixture.nothing_left();
}

impl Fixture {
    fn members_come_in_order_and_keep_their_names(&self) {
        let ready = r#"{.status.conditions[?(@.type=="Ready")].lastTransitionTime}"#;
        let ready = self.kubectl(&["get", "pod", "ledger-0", "-o", &format!("jsonpath={ready}")]);
        let made = self.of_pod("ledger-1", ".metadata.creationTimestamp");
        assert!(ready <= made, "ledger-1 was made at {made}, before ledger-0 was ready at {ready}");
        for member in ["ledger-0", "ledger-1"] {
            let page = self.page(&format!("http://{}:8080/", self.of_pod(member, ".status.podIP")));
            assert_eq!(page, format!("{member} of default, in EUR, password of 6 letters\n"));
            let said = format!("{member}.ledger.default.svc.cluster.local serves on 8080\n");
            self.until(MOMENT, &["logs", member], |log| log == said);
        }
        let boot = |member| self.kubectl(&["exec", member, "--", "cat", BOOT_ID]);
        let (first, second) = (boot("ledger-0"), boot("ledger-1"));
        let uid = self.of_pod("ledger-1", ".metadata.uid");
        self.kubectl(&["delete", "pod", "ledger-1", "--timeout=80s"]);
        self.kubectl(&["wait", "--for=create", "pod/ledger-1", "--timeout=60s"]);
        self.wait("ledger-1", "condition=Ready");
        assert_ne!(self.of_pod("ledger-1", ".metadata.uid"), uid);
        assert_ne!(boot("ledger-1"), second, "it is a new machine");
        assert_eq!(self.kubectl(&["exec", "ledger-1", "--", "hostname"]), "ledger-1\n");
        assert_eq!(boot("ledger-0"), first, "the other one never noticed");

        self.kubectl(&["scale", "statefulset/ledger", "--replicas=1"]);
        self.until(MOMENT, &["get", "pods", "-l", "app=ledger", "-o", "name"], |names| {
            names == "pod/ledger-0\n"
        });
    }

    fn every_node_has_an_agent(&self) {
        let nodes = ["get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.nodeName}"];
        assert_eq!(self.kubectl(&nodes), "node");
        // It tolerates what keeps others away.
        let tolerations =
            ["get", "pods", "-l", "app=agent", "-o", "jsonpath={.items[0].spec.tolerations[*].key}"];
        assert!(self.kubectl(&tolerations).contains("node.kubernetes.io/unschedulable"));
        self.until(MOMENT, &["logs", "daemonset/agent"], |log| log == "the agent of node\n");
    }

    /// What the API server has of a static pod is an image of it: whoever deletes that deletes no machine.
    fn the_node_keeps_its_own(&self, file: &Path) {
        self.wait("console-node", "condition=Ready");
        let boot = ["exec", "console-node", "--", "cat", BOOT_ID];
        let first = self.kubectl(&boot);
        let uid = self.of_pod("console-node", ".metadata.uid");
        self.kubectl(&["delete", "pod", "console-node", "--timeout=80s"]);
        self.until(MOMENT, &["get", "pod", "console-node", "-o", "jsonpath={.metadata.uid}"], |now| {
            now != uid
        });
        self.until(MOMENT, &boot, |now| now == first);
        std::fs::remove_file(file).unwrap();
        self.until(SWEEP, &["get", "pods", "-o", "name"], |names| !names.contains("console-node"));
    }
}

fn static_pod(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: console
spec:
  runtimeClassName: vm
  containers:
    - name: machine
      image: {image}
      readinessProbe: {{ exec: {{ command: ['true'] }}, timeoutSeconds: 10 }}
"
    )
}

fn daemon_set(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: agent
spec:
  selector: {{ matchLabels: {{ app: agent }} }}
  template:
    metadata: {{ labels: {{ app: agent }} }}
    spec:
      runtimeClassName: vm
      # Its controller looks at nodes with what stands here, before the RuntimeClass adds its own.
      tolerations: [{{ key: infranetes.io/vm, operator: Exists }}]
      terminationGracePeriodSeconds: 5
      containers:
        - name: agent
          image: {image}
          command: [sh, -c, 'echo the agent of $NODE; exec sleep 100000']
          env: [{{ name: NODE, valueFrom: {{ fieldRef: {{ fieldPath: spec.nodeName }} }} }}]
"
    )
}
