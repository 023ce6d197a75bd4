//! What a manifest says of files is what its guest has, and goes on to have.

use crate::{Fixture, MOMENT};

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

    let greeting = r#"{"data": {"greeting": "good evening"}}"#;
    fixture.kubectl(&["patch", "configmap", "greetings", "--patch", greeting]);
    let shown = ["exec", "app", "-c", "app", "--", "cat", "/etc/app/greeting", "/etc/one.conf"];
    // A file that is mounted alone stays as it was, as in any container.
    fixture.until(MOMENT, &shown, |text| text == "good eveninghello");

    fixture.kubectl(&["delete", "pod", "app", "--timeout=80s"]);
    fixture.nothing_left();
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
        - {{ name: scratch, mountPath: /scratch }}
  volumes:
    - name: greetings
      configMap: {{ name: greetings }}
    - name: keys
      secret: {{ secretName: keys, defaultMode: 0400 }}
    - name: about
      downwardAPI: {{ items: [{{ path: labels, fieldRef: {{ fieldPath: metadata.labels }} }}] }}
    - name: scratch
      emptyDir: {{ medium: Memory, sizeLimit: 8Mi }}
"
    )
}
