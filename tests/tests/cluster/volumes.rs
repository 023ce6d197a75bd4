//! What a manifest says of files is what its guest has, and goes on to have.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::{Fixture, MOMENT};

/// How often the `ConfigMap` is changed once more.
const SWAPS: usize = 20;
/// Where the account's token is in every container.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[test]
fn secrets_and_config_maps_are_files_in_the_guest_and_follow() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image())).unwrap();
    fixture.wait("app", "condition=Ready");
    let exec = |command: &[&str]| fixture.kubectl(&[&["exec", "app", "-c", "app", "--"], command].concat());
    assert_eq!(exec(&["cat", "/etc/app/greeting"]), "hello");
    assert_eq!(exec(&["cat", "/etc/keys/password"]), "hunter2");
    assert_eq!(exec(&["stat", "-L", "-c", "%a", "/etc/keys/password"]), "400\n");
    assert_eq!(exec(&["cat", "/etc/one.conf"]), "hello");
    assert!(exec(&["cat", "/etc/about/labels"]).contains("tier=\"legacy\""));
    assert!(exec(&["cat", "/etc/hosts"]).contains("192.0.2.7\tdb.example"));
    assert_eq!(exec(&["cat", TOKEN]).split('.').count(), 3, "a signed token");
    assert_eq!(exec(&["cat", "/scratch/from-init"]), "prepared\n");
    let size = exec(&["sh", "-c", "df -k /scratch | tail -n 1"]);
    assert!(size.contains(" 8192 "), "the limit of its memory: {size}");

    assert_eq!(
        exec(&["cat", "/etc/all/words/greeting", "/etc/all/words/password", "/etc/all/name"]),
        "hellohunter2app"
    );
    assert_eq!(exec(&["cat", "/etc/all/token"]).split('.').count(), 3, "a signed token");
    let names = exec(&["cat", "/etc/resolv.conf"]);
    for line in ["nameserver 192.0.2.53", "search corp.example", "options ndots:2"] {
        assert!(names.lines().any(|told| told == line), "{names}");
    }

    let greeting = r#"{"data": {"greeting": "good evening"}}"#;
    fixture.kubectl(&["patch", "configmap", "greetings", "--patch", greeting]);
    let shown = ["exec", "app", "-c", "app", "--", "cat", "/etc/app/greeting", "/etc/one.conf"];
    // A file that is mounted alone stays as it was, as in any container.
    fixture.until(MOMENT, &shown, |text| text == "good eveninghello");

    fixture.kubectl(&["label", "pod", "app", "tier=modern", "--overwrite"]);
    let labels = ["exec", "app", "-c", "app", "--", "cat", "/etc/about/labels"];
    fixture.until(MOMENT, &labels, |text| text.contains("tier=\"modern\""));

    let slowest = (1..=SWAPS).map(|turn| swap(&fixture, turn)).max().unwrap_or_default();
    let _ = writeln!(
        std::io::stdout(),
        "{SWAPS} changes through the API server: the slowest was in the guest {} ms after the kubelet's write",
        slowest.as_millis()
    );

    // A volume that a guest cannot have: the pod's events say which, why and what to do.
    fixture.cluster.kubectl().apply(&refused(&fixture.image())).unwrap();
    let events = ["events", "--for", "pod/refused", "--no-headers"];
    let told = fixture.until(MOMENT, &events, |text| text.contains("is the hostPath \"/srv\""));
    assert!(told.contains("the mount at /data") && told.contains("remove this one"), "{told}");
    let reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    let state = ["get", "pod", "refused", "-o", reason];
    fixture.until(MOMENT, &state, |waiting| waiting == "CreateContainerError");

    fixture.kubectl(&["delete", "pods", "app", "refused", "--timeout=80s"]);
    fixture.nothing_left();
}

/// Changes the `ConfigMap`; answers how long after the kubelet has written that its guest has it.
fn swap(fixture: &Fixture, turn: usize) -> Duration {
    let wanted = format!("turn {turn}");
    let patch = format!("{{\"data\": {{\"greeting\": \"{wanted}\"}}}}");
    fixture.kubectl(&["patch", "configmap", "greetings", "--patch", &patch]);
    let uid = fixture.of_pod("app", ".metadata.uid");
    let pods = fixture.cluster.node().kubelet().join("pods");
    let file = pods.join(uid).join("volumes/kubernetes.io~configmap/greetings/greeting");
    let deadline = Instant::now() + MOMENT;
    while std::fs::read_to_string(&file).ok().as_ref() != Some(&wanted) {
        assert!(Instant::now() < deadline, "the kubelet does not write {wanted:?}");
        // It is the kubelet's moment, which nobody is told of.
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let written = Instant::now();
    let shown = ["exec", "app", "-c", "app", "--", "cat", "/etc/app/greeting"];
    fixture.until(MOMENT, &shown, |text| text == wanted);
    written.elapsed()
}

/// A pod with a directory of the node.
fn refused(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{ name: refused }}
spec:
  runtimeClassName: vm
  containers:
    - name: app
      image: {image}
      volumeMounts: [{{ name: data, mountPath: /data }}]
  volumes:
    - name: data
      hostPath: {{ path: /srv }}
"
    )
}

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{ name: greetings }}
data: {{ greeting: hello }}
---
apiVersion: v1
kind: Secret
metadata: {{ name: keys }}
stringData: {{ password: hunter2 }}
---
apiVersion: v1
kind: Pod
metadata:
  name: app
  labels: {{ tier: legacy }}
spec:
  runtimeClassName: vm
  dnsPolicy: None
  dnsConfig: {{ nameservers: [192.0.2.53], searches: [corp.example], options: [{{ name: ndots, value: '2' }}] }}
  hostAliases: [{{ ip: 192.0.2.7, hostnames: [db.example] }}]
  initContainers:
    - name: prepare
      image: {image}
      command: [sh, -c, 'echo prepared >/made/from-init']
      volumeMounts: [{{ name: scratch, mountPath: /made }}]
  containers:
    - name: app
      image: {image}
      command: [sleep, '100000']
      volumeMounts:
        - {{ name: greetings, mountPath: /etc/app }}
        - {{ name: greetings, mountPath: /etc/one.conf, subPath: greeting }}
        - {{ name: keys, mountPath: /etc/keys }}
        - {{ name: about, mountPath: /etc/about }}
        - {{ name: all, mountPath: /etc/all }}
        - {{ name: scratch, mountPath: /scratch }}
  volumes:
    - name: greetings
      configMap: {{ name: greetings }}
    - name: keys
      secret: {{ secretName: keys, defaultMode: 0400 }}
    - name: about
      downwardAPI: {{ items: [{{ path: labels, fieldRef: {{ fieldPath: metadata.labels }} }}] }}
    - name: all
      projected:
        sources:
          - configMap: {{ name: greetings, items: [{{ key: greeting, path: words/greeting }}] }}
          - secret: {{ name: keys, items: [{{ key: password, path: words/password, mode: 0400 }}] }}
          - downwardAPI: {{ items: [{{ path: name, fieldRef: {{ fieldPath: metadata.name }} }}] }}
          - serviceAccountToken: {{ path: token, audience: elsewhere, expirationSeconds: 600 }}
    - name: scratch
      emptyDir: {{ medium: Memory, sizeLimit: 8Mi }}
"
    )
}
