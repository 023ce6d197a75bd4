//! The figures of this very machine, by Debian's tools and by busybox's, held against what the kernel says here.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

mod support;

use guests::Family;
use guests::figures::{Figures, figures};
use support::LocalSession;

/// `MemTotal` as it stands here.
fn total() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

fn whole(told: &Figures) {
    assert_eq!(told.memory.total, total());
    assert!(told.memory.available > 0 && told.memory.available <= told.memory.total, "{told:?}");
    assert!(told.uptime.is_some() && told.processor_time.is_some(), "{told:?}");
    assert!(
        told.processes.is_some_and(|count| count > 1) && told.threads > told.processes.map(|_| 1),
        "{told:?}"
    );
    assert!(told.memory.minor_faults.is_some_and(|count| count > 0), "{told:?}");
    let root = told.file_systems.first().expect("there is a root");
    assert!(root.place == "/" && root.total > 0 && root.used <= root.total, "{root:?}");
    assert!(told.links.iter().all(|link| link.name != "lo"), "{:?}", told.links);
}

#[tokio::test]
async fn debian() {
    whole(&figures(&LocalSession::default(), Family::Unix).await.unwrap());
}

#[tokio::test]
async fn busybox() {
    let folder = tempfile::tempdir().unwrap();
    let sh = folder.path().join("sh");
    // Its own applets come first there, whatever the script does to the search path.
    std::os::unix::fs::symlink("/bin/busybox", &sh).unwrap();
    whole(
        &figures(&LocalSession { path: Some(folder.path().into()), ..LocalSession::default() }, Family::Unix)
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn a_guest_that_is_no_linux_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let sh = folder.path().join("sh");
    std::os::unix::fs::symlink("/bin/echo", &sh).unwrap();
    let session = LocalSession { path: Some(folder.path().into()), ..LocalSession::default() };
    let error = figures(&session, Family::Unix).await.unwrap_err();
    assert!(error.to_string().contains("as Linux does") && !error.retryable(), "{error}");
}
