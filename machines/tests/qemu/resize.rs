//! A running machine is given less, and all of it again.

use std::path::PathBuf;
use std::time::Duration;

use machines::{Error, MachineState, Provider, Share};

use crate::sector::Sector;
use crate::stage::{Stage, id};

/// The processor quota of the machine's process by its own cgroup; `None` where it has none.
fn quota(stage: &Stage) -> Option<String> {
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", stage.pid())).unwrap();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1).map(PathBuf::from));
    let paths =
        groups.lines().filter_map(|line| line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/')));
    let paths: Vec<&str> = paths.filter(|path| path.ends_with("infranetes-m")).collect();
    let mut quotas = mounts.flat_map(|mount| {
        let files =
            paths.iter().flat_map(move |path| ["cpu.max", "cpu.cfs_quota_us"].map(|file| (*path, file)));
        files
            .filter_map(|(path, file)| std::fs::read_to_string(mount.join(path).join(file)).ok())
            .collect::<Vec<_>>()
    });
    quotas.next().map(|quota| quota.split_whitespace().next().unwrap().to_owned())
}

fn cpus(milli: u64) -> Share {
    Share { milli_cpus: Some(milli), memory_bytes: None }
}

#[tokio::test]
async fn a_machine_in_a_cgroup_has_its_processors_bounded() {
    let mut stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("hello").halt());
    let top = format!("machines-test-resize-{}", std::process::id());
    spec.cgroup_parent = Some(format!("/{top}/pod"));
    let resize =
        async |stage: &Stage, share| stage.qemu.resizing().expect("it can").resize(&id("m"), share).await;
    assert!(matches!(resize(&stage, Share::default()).await, Err(Error::NotReady(_))), "it does not exist");
    stage.start(&spec).await;
    resize(&stage, cpus(250)).await.unwrap();
    assert_eq!(quota(&stage).as_deref(), Some("25000"));
    let error = resize(&stage, cpus(1001)).await.unwrap_err();
    assert!(error.to_string().contains("was booted with 1 processor(s)"), "{error}");
    // The bound outlives the daemon.
    stage.reopen();
    assert_eq!(quota(&stage).as_deref(), Some("25000"));
    resize(&stage, Share::default()).await.unwrap();
    assert!(matches!(quota(&stage).as_deref(), Some("max" | "-1")));
    stage.force().await;
    assert!(matches!(resize(&stage, Share::default()).await, Err(Error::NotReady(_))), "it has ended");
    stage.close().await;
}

#[tokio::test]
async fn what_nobody_could_keep_is_refused() {
    let stage = Stage::new();
    let spec = stage.spec(&Sector::new().say("hello").halt());
    stage.start(&spec).await;
    let resizing = stage.qemu.resizing().expect("it can");
    let error = resizing.resize(&spec.id, cpus(500)).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid(_)) && error.to_string().contains("give its pod a cgroup"),
        "{error}"
    );
    // All of its processors need nobody who bounds them.
    resizing.resize(&spec.id, cpus(1000)).await.unwrap();
    // This guest has no balloon driver, and its memory is as it was.
    let less = Share { milli_cpus: None, memory_bytes: Some(48 << 20) };
    let refused = tokio::time::timeout(Duration::from_mins(2), resizing.resize(&spec.id, less)).await;
    let error = refused.expect("a guest that does not answer is not waited for").unwrap_err();
    assert!(error.to_string().contains("has 64 MiB of memory, and did not come to 48 MiB"), "{error}");
    assert!(matches!(stage.state().await, MachineState::Running { .. }));
    resizing.resize(&spec.id, Share::default()).await.unwrap();
    stage.close().await;
}
