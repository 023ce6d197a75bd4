//! What guests use is known to Kubernetes: `kubectl top` tells it, and the autoscaler acts on it, of a Deployment as people have it.

use std::fmt::Display;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::Process;

use crate::{BOOT, Fixture, MOMENT};

/// How long figures may take from a guest to an answer: the daemon, metrics-server and the autoscaler each look in turn.
const FIGURES: Duration = Duration::from_secs(120);

#[test]
fn load_in_a_guest_adds_pods_and_its_end_removes_them() {
    let Some(fixture) = Fixture::alone() else { return };
    let told = Told(Instant::now());
    fixture.applies("busy");
    fixture.rolled_out("deployment/web");
    let pod = fixture.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
    told.say(format!("{pod} is ready"));
    let top = ["top", "pod", &pod, "--no-headers"];
    let idle = |line: &str| figures(line).is_some_and(|(processors, _)| processors < 150);
    let usage = fixture.until(FIGURES, &top, idle);
    told.say(&usage);
    let (_, memory) = figures(&usage).unwrap();
    // The guest's memory, not the machine's.
    let guests = fixture.kubectl(&["exec", &pod, "--", "cat", "/proc/meminfo"]);
    let of = |name: &str| {
        let line = guests.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    };
    let used = of("MemTotal") - of("MemAvailable");
    assert!(memory.abs_diff(used) <= 16, "{memory} MiB are told, and {used} MiB are used in the guest");
    let node = fixture.kubectl(&["top", "node", "--no-headers"]);
    told.say(&node);
    assert!(node.starts_with("node ") && node.contains('%'), "{node}");

    // A client that goes away takes its command along, so the load ends with it.
    let log = fixture.cluster.logs().join("load.log");
    let mut client = Command::new(fixture.cluster.kubectl().program());
    client.args(["exec", &pod, "--", "sh", "-c", "while :; do :; done"]);
    let mut load = Process::start(client, "kubectl exec", &log).unwrap();
    told.say("the load begins");
    let busy = |line: &str| figures(line).is_some_and(|(processors, _)| processors > 330);
    told.say(fixture.until(FIGURES, &top, busy));
    let replicas = |of: &str, wanted: &str, patience| {
        let path = format!("jsonpath={{.status.{of}}}");
        fixture.until(patience, &["get", "deployment", "web", "-o", &path], |number| number == wanted);
    };
    replicas("replicas", "2", FIGURES);
    told.say(autoscaler(&fixture));
    replicas("readyReplicas", "2", BOOT);
    told.say("the second machine is ready");
    assert!(load.runs(), "the load has ended: {}", load.printed());

    load.kill();
    told.say("the load ends");
    replicas("replicas", "1", FIGURES);
    told.say(autoscaler(&fixture));
    fixture.until(MOMENT, &["get", "pods", "-o", "name"], |names| names.lines().count() == 1);
    told.say("the second machine is gone");
}

/// What the autoscaler says of itself.
fn autoscaler(fixture: &Fixture) -> String {
    fixture.kubectl(&["get", "hpa", "web", "--no-headers"])
}

/// Processors in thousandths and memory in MiB, as `kubectl top` tells them.
fn figures(line: &str) -> Option<(u64, u64)> {
    let mut columns = line.split_whitespace().skip(1);
    let processors = columns.next()?.strip_suffix('m')?.parse().ok()?;
    Some((processors, columns.next()?.strip_suffix("Mi")?.parse().ok()?))
}

/// What happens, with its time, for the reader of the test's output.
struct Told(Instant);

impl Told {
    fn say(&self, what: impl Display) {
        let seconds = self.0.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stdout(), "{seconds:6.1} s  {}", what.to_string().trim());
    }
}
