//! The whole life of a VM pod, as people live it with `kubectl`.

use std::net::IpAddr;

use crate::{Fixture, MOMENT, vm_pod};

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[test]
fn a_vm_pod_is_made_watched_entered_and_deleted() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.cluster.kubectl().apply(&vm_pod(&fixture.image())).unwrap();
    fixture.wait("app", "condition=Ready");
    assert_eq!(fixture.of_pod("app", ".status.phase"), "Running");
    let address = fixture.of_pod("app", ".status.podIP");
    assert!(address.parse::<IpAddr>().is_ok(), "{address:?}");

    // It is a machine: another kernel, with the pod's name and address.
    let exec = |command: &[&str]| fixture.kubectl(&[&["exec", "app", "--"], command].concat());
    let own = std::fs::read_to_string(BOOT_ID).unwrap();
    assert_ne!(exec(&["cat", BOOT_ID]), own);
    assert_eq!(exec(&["hostname"]).trim(), "app");
    assert!(exec(&["ip", "-4", "addr", "show", "eth0"]).contains(&address));
    let failed = fixture.cluster.kubectl().run(&["exec", "app", "--", "sh", "-c", "echo why >&2; exit 3"]);
    let told = format!("{:#}", failed.unwrap_err());
    assert!(told.contains("exit code 3") && told.contains("why"), "{told}");

    fixture.until(MOMENT, &["logs", "app"], |log| log.contains("the guest answers"));
    fixture.until(MOMENT, &["get", "events", "-o", "jsonpath={.items[*].reason}"], |reasons| {
        ["Scheduled", "Pulled", "Created", "Started"].iter().all(|reason| reasons.contains(reason))
    });
    assert!(!fixture.cluster.pod_groups().is_empty(), "the machine is in the control groups of its pod");

    fixture.kubectl(&["delete", "pod", "app", "--timeout=80s"]);
    fixture.nothing_left();
}
