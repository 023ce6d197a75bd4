//! Guests that fail: each ends in the state, with the message and the back-off, that people expect of Kubernetes.

use crate::{BOOT, Fixture, MOMENT};

/// Guests that say what is wrong with them; a start does not wait for them.
const NODE: &str = r#"
[timeouts]
start-wait-seconds = 1
[[image]]
pattern = "*/guests/dropbear:*"
facts.credential = { password = "not this one" }
[[image]]
pattern = "*/guests/sysvinit:*"
facts.port = 9
"#;
/// The state of a pod's one container.
const STATUS: &str = ".status.containerStatuses[0]";

#[test]
fn guests_that_fail_say_why_and_are_tried_again_ever_more_slowly() {
    let Some(fixture) = Fixture::with(NODE) else { return };
    let apply = |manifest: String| fixture.cluster.kubectl().apply(&manifest).unwrap();
    let mini = fixture.image();

    // Nothing in it ever answers; another one lets nobody in, which is told once its time to boot is over.
    apply(manifest("never", &mini.replace("mini", "sysvinit"), "Always", 10, ""));
    apply(manifest("refused", &mini.replace("mini", "dropbear"), "Never", 180, ""));
    backs_off(&fixture, "never");
    let events =
        ["get", "events", "--field-selector", "reason=BackOff", "-o", "jsonpath={.items[*].message}"];
    fixture.until(MOMENT, &events, |told| told.contains("restarting failed container machine"));
    let (code, reason, message) = ended(&fixture, "never", "lastState");
    assert_eq!((code.as_str(), reason.as_str()), ("124", "GuestBootTimeout"), "{message}");
    assert!(message.contains("did not answer within its boot deadline; last seen: "), "{message}");
    fixture.kubectl(&["delete", "pod", "never", "--wait=false"]);

    // A guest like it lets in whoever has the pod's own Secret.
    apply(with_login(&mini.replace("mini", "dropbear")));
    fixture.wait("entered", "condition=Ready");
    assert_eq!(fixture.kubectl(&["exec", "entered", "--", "id", "-un"]), "root\n");
    let kept =
        fixture.kubectl(&["exec", "entered", "--", "sh", "-c", "ls -d /login 2>/dev/null || echo none"]);
    assert_eq!(kept, "none\n", "it is not in the guest");
    fixture.kubectl(&["delete", "pod", "entered", "--wait=false"]);

    // Its kernel panics, again and again.
    apply(manifest("panics", &mini, "OnFailure", 300, READY));
    for restarts in 0..2 {
        let count = format!("jsonpath={{{STATUS}.restartCount}}={restarts}");
        fixture.wait("panics", &count);
        fixture.wait("panics", "condition=Ready");
        // Nobody is left to answer this.
        let panic = ["exec", "panics", "--", "sh", "-c", "echo c >/proc/sysrq-trigger"];
        let _ = fixture.cluster.kubectl().run(&panic);
        fixture.wait("panics", "condition=Ready=False");
    }
    backs_off(&fixture, "panics");
    let (code, reason, message) = ended(&fixture, "panics", "lastState");
    assert_eq!((code.as_str(), reason.as_str()), ("134", "GuestPanic"), "{message}");
    assert_eq!(message, "the guest's kernel reported a panic");
    fixture.kubectl(&["delete", "pod", "panics", "--wait=false"]);

    // One that is done is not run again where only failures are.
    apply(manifest("done", &mini, "OnFailure", 300, READY));
    fixture.wait("done", "condition=Ready");
    let _ = fixture.cluster.kubectl().run(&["exec", "done", "--", "poweroff"]);
    fixture.wait("done", "jsonpath={.status.phase}=Succeeded");
    let (code, reason, message) = ended(&fixture, "done", "state");
    assert_eq!((code.as_str(), reason.as_str()), ("0", "Completed"), "{message}");
    assert_eq!(fixture.of_pod("done", &format!("{STATUS}.restartCount")), "0");

    // Only now: it takes as long as all of that.
    fixture.wait("refused", "jsonpath={.status.phase}=Failed");
    let (code, reason, message) = ended(&fixture, "refused", "state");
    assert_eq!((code.as_str(), reason.as_str()), ("126", "GuestLoginRefused"), "{message}");
    assert!(message.contains("permission denied (tried password"), "{message}");
    assert!(message.contains("correct the image's `user` and `credential`"), "{message}");
    assert!(!message.contains("not this one"), "a secret is told: {message}");

    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
    fixture.nothing_left();
}

/// Waits until a container that was restarted once waits for its next try, or has it: it waits for ten seconds.
fn backs_off(fixture: &Fixture, pod: &str) {
    let waiting = format!("jsonpath={{{STATUS}.restartCount}} {{{STATUS}.state.waiting.reason}}");
    let asked = ["get", "pod", pod, "-o", &waiting];
    fixture.until(BOOT, &asked, |told| told == "1 CrashLoopBackOff" || told.starts_with("2 "));
}

/// The exit code, the reason and the message of a container's end.
fn ended(fixture: &Fixture, pod: &str, state: &str) -> (String, String, String) {
    let part = |name: &str| fixture.of_pod(pod, &format!("{STATUS}.{state}.terminated.{name}"));
    (part("exitCode"), part("reason"), part("message"))
}

/// So that it is known when a guest has booted.
const READY: &str = "readinessProbe: {exec: {command: ['true']}, periodSeconds: 1, timeoutSeconds: 5}";

/// A pod that brings the login of its image.
fn with_login(image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata:
  name: login
type: kubernetes.io/basic-auth
stringData: {{ username: root, password: infranetes }}
---
apiVersion: v1
kind: Pod
metadata:
  name: entered
  annotations: {{ infranetes.io/credential: login }}
spec:
  runtimeClassName: vm
  terminationGracePeriodSeconds: 5
  containers:
    - name: machine
      image: {image}
      {READY}
      volumeMounts: [{{ name: login, mountPath: /login }}]
  volumes:
    - name: login
      secret: {{ secretName: login }}
"
    )
}

/// A pod whose one container is its machine, with this of its own.
fn manifest(name: &str, image: &str, restart: &str, deadline: u32, own: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {{ infranetes.io/boot-deadline-seconds: '{deadline}' }}
spec:
  runtimeClassName: vm
  restartPolicy: {restart}
  terminationGracePeriodSeconds: 5
  containers:
    - name: machine
      image: {image}
      {own}
"
    )
}
