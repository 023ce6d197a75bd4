//! What happens around the life of a container: its hooks, its graceful end, its next attempt.

use crate::{Fixture, MOMENT};

/// The state of a pod's one container.
const STATUS: &str = ".status.containerStatuses[0]";
/// One failure is enough to have it restarted; a late answer is none.
const WELL: &str = "livenessProbe: {exec: {command: [test, '!', -e, /run/sick]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}";

#[test]
fn hooks_run_in_the_guest_and_an_end_says_how_it_came() {
    let Some(fixture) = Fixture::new() else { return };
    let image = fixture.image();
    machine(&fixture, &image);
    processes(&fixture, &image);
    fixture.kubectl(&["delete", "pods", "--all", "--timeout=80s"]);
}

/// A machine that falls ill is shut down in good order, and its next attempt is a fresh one.
fn machine(fixture: &Fixture, image: &str) {
    // Who follows the log in the guest looks for more about once a second, and ends with the guest.
    let hooks = "lifecycle:
        postStart: {exec: {command: [sh, -c, 'echo begun >/run/begun']}}
        preStop: {exec: {command: [sh, -c, 'echo the hook says goodbye >>/var/log/app.log; sleep 6']}}
      readinessProbe: {exec: {command: [test, -e, /run/begun]}, periodSeconds: 1, timeoutSeconds: 5}";
    let own = format!("{hooks}\n      {WELL}");
    fixture.cluster.kubectl().apply(&manifest("machine", image, "Always", 60, &own)).unwrap();
    fixture.wait("machine", "condition=Ready");
    let exec = |command: &str| fixture.kubectl(&["exec", "machine", "--", "sh", "-c", command]);
    assert_eq!(exec("cat /run/begun"), "begun\n");
    exec("touch /root/kept && sync && touch /run/sick");

    fixture.wait("machine", &format!("jsonpath={{{STATUS}.restartCount}}=1"));
    let asked = format!("jsonpath={{{STATUS}.lastState.terminated}}");
    let last = fixture.until(MOMENT, &["get", "pod", "machine", "-o", &asked], |told| !told.is_empty());
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert!(last["exitCode"] == 0 && last["reason"] == "Completed", "{last}");
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("the guest shut itself down when it was asked to, "), "{last}");
    let log = fixture.kubectl(&["logs", "machine", "--previous"]);
    assert!(log.contains("the hook says goodbye"), "{log}");

    fixture.wait("machine", "condition=Ready");
    assert_eq!(exec("ls /root; cat /run/begun"), "begun\n", "a fresh disk, and its hook was run again");
    fixture.kubectl(&["delete", "pod", "machine", "--timeout=80s"]);
}

/// A process that obeys its stop signal, one that does not, and one that fails until it does not.
fn processes(fixture: &Fixture, image: &str) {
    let command = "trap 'cat /run/said >/dev/termination-log; exit 7' TERM; while :; do sleep 0.2; done";
    let own = format!(
        "command: [sh, -c, '{}']
      lifecycle:
        postStart: {{exec: {{command: [sh, -c, 'echo begun >/run/said']}}}}
        preStop: {{exec: {{command: [sh, -c, 'echo ended >>/run/said']}}}}
      {WELL}",
        command.replace('\'', "''")
    );
    let ended = |pod: &str, part: &str| fixture.of_pod(pod, &format!("{STATUS}.state.terminated.{part}"));
    let falls_ill = |pod: &str| {
        fixture.wait(pod, "condition=Ready");
        fixture.kubectl(&["exec", pod, "--", "touch", "/run/sick"]);
        fixture.wait(pod, "jsonpath={.status.phase}=Failed");
    };
    fixture.cluster.kubectl().apply(&manifest("polite", image, "Never", 30, &own)).unwrap();
    falls_ill("polite");
    let message = ended("polite", "message");
    assert_eq!((ended("polite", "exitCode").as_str(), message.as_str()), ("7", "begun\nended\n"));
    fixture.kubectl(&["delete", "pod", "polite", "--wait=false"]);

    let own = format!("command: [sh, -c, 'trap \"\" TERM; while :; do sleep 0.2; done']\n      {WELL}");
    fixture.cluster.kubectl().apply(&manifest("deaf", image, "Never", 3, &own)).unwrap();
    falls_ill("deaf");
    assert_eq!(ended("deaf", "exitCode"), "137");
    assert_eq!(
        ended("deaf", "message"),
        "the process still ran when its grace period was over, and was killed"
    );
    fixture.kubectl(&["delete", "pod", "deaf", "--wait=false"]);

    // Each attempt is in the same machine.
    let own = "command: [sh, -c, 'echo try >>/run/tries; [ $(wc -l </run/tries) -ge 3 ]']";
    fixture.cluster.kubectl().apply(&manifest("third", image, "OnFailure", 3, own)).unwrap();
    // A hook that fails ends what it belongs to.
    let own =
        "command: [sleep, '1000']\n      lifecycle: {postStart: {exec: {command: [test, -e, /run/none]}}}";
    fixture.cluster.kubectl().apply(&manifest("vain", image, "Never", 3, own)).unwrap();

    // In one call: it waits for ten seconds, and what was before its last try is not kept.
    let last = format!("{STATUS}.lastState.terminated");
    let told = format!("jsonpath={{{STATUS}.state.waiting.reason}} {{{last}.reason}} {{{last}.exitCode}}");
    let waiting = ["get", "pod", "third", "-o", &told];
    fixture.until(crate::BOOT, &waiting, |told| told == "CrashLoopBackOff Error 1");
    fixture.wait("third", "jsonpath={.status.phase}=Succeeded");
    assert_eq!(fixture.of_pod("third", &format!("{STATUS}.restartCount")), "2");
    fixture.wait("vain", "jsonpath={.status.phase}=Failed");
    assert_eq!(ended("vain", "exitCode"), "143");
    let events = ["get", "events", "-o", "jsonpath={.items[*].reason}"];
    let reasons = ["BackOff", "Killing", "FailedPostStartHook"];
    fixture.until(MOMENT, &events, |told| reasons.iter().all(|reason| told.contains(reason)));
}

/// A pod with one container, with this of its own.
fn manifest(name: &str, image: &str, restart: &str, grace: u32, own: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  runtimeClassName: vm
  restartPolicy: {restart}
  terminationGracePeriodSeconds: {grace}
  containers:
    - name: app
      image: {image}
      {own}
"
    )
}
