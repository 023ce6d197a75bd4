//! What drives the pods ends and comes back, and they never notice: the kubelet, the daemon, the API server.

use crate::{BOOT, Fixture, MOMENT, vm_pod};

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The containers, and what their lines count by.
const COUNTERS: [(&str, &str); 2] = [("machine", "app: line "), ("talker", "said ")];

#[test]
fn pods_stay_as_they_are_while_kubernetes_comes_and_goes() {
    let Some(mut fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&manifest(&fixture.image())).unwrap();
    fixture.until(BOOT, &["get", "pod", "app", "-o", SEEN], |seen| seen.ends_with("0 0 true true"));
    let before = fixture.seen();

    fixture.cluster.restart_kubelet().unwrap();
    fixture.goes_on(&before, "the kubelet");
    fixture.cluster.restart_daemon().unwrap();
    fixture.goes_on(&before, "the daemon");
    fixture.cluster.restart_api_server().unwrap();
    fixture.goes_on(&before, "the API server");
    // Both at once, as when a node's service manager restarts all that it has.
    fixture.cluster.restart_daemon().unwrap();
    fixture.cluster.restart_kubelet().unwrap();
    fixture.goes_on(&before, "the kubelet and the daemon");

    fixture.kubectl(&["delete", "pod", "app", "--timeout=80s"]);
    fixture.nothing_left();
}

/// What a restart of a pod or of a container would change.
const SEEN: &str = "jsonpath={.metadata.uid} {.status.podIP} {.status.startTime} \
                    {.status.containerStatuses[*].containerID} {.status.containerStatuses[*].restartCount} \
                    {.status.containerStatuses[*].ready}";

impl Fixture {
    /// What is seen of the pod from outside, and which boot its guest is in.
    fn seen(&self) -> String {
        let boot = ["exec", "app", "-c", "talker", "--", "cat", BOOT_ID];
        // The kubelet serves a moment after it has told of itself.
        let boot = self.until(MOMENT, &boot, |boot| !boot.is_empty());
        self.until(MOMENT, &["get", "pod", "app", "-o", SEEN], |seen| seen.ends_with("true true"))
            + " "
            + &boot
    }

    /// After a restart of `what` the pod is the same, and its logs go on, each line once.
    fn goes_on(&self, before: &str, what: &str) {
        assert_eq!(self.seen(), before, "after a restart of {what}");
        for (container, counter) in COUNTERS {
            let logs = ["logs", "app", "-c", container];
            let until_now = *numbers(&self.kubectl(&logs), counter).last().unwrap();
            let log = self.until(MOMENT, &logs, |log| {
                numbers(log, counter).last().is_some_and(|last| *last >= until_now + 3)
            });
            let logged = numbers(&log, counter);
            let expected: Vec<u64> = (1..=*logged.last().unwrap()).collect();
            assert_eq!(logged, expected, "every line of {container} once, after a restart of {what}");
        }
    }
}

/// The numbers that follow a word in a log, in their order.
fn numbers(log: &str, counter: &str) -> Vec<u64> {
    log.lines().filter_map(|line| line.split_once(counter)?.1.trim().parse().ok()).collect()
}

/// A machine, and a process in it that has something to say.
fn manifest(image: &str) -> String {
    format!(
        "{}    - name: talker
      image: {image}
      command: [sh, -c, 'n=0; while :; do n=$((n + 1)); echo said $n; sleep 0.2; done']
",
        vm_pod(image)
    )
}
