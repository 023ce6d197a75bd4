//! A node whose disk is full: guests wait, and every machine can still be ended.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use machines::{Cause, MachineState, Provider, StopMode};

use crate::sector::Sector;
use crate::stage::{Stage, id};

const PATIENCE: Duration = Duration::from_mins(1);
/// The most that a forced stop may take on a busy node. One that waits for the disk takes longer.
const FORCED: Duration = Duration::from_secs(20);

/// A small file system for the state of a stage's machines.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn under(stage: &Stage) -> Self {
        let path = stage.dir.path().join("machines");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&path).status();
        assert!(status.unwrap().success(), "mounting needs root's rights");
        Self(path)
    }

    /// Leaves not one block.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.0.join("filler_")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        assert!(std::fs::write(self.0.join("more_"), "x").is_err());
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler_")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // The stage could not remove a directory with a mount in it.
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// What the machine's second monitor says of its state.
fn status(stage: &Stage) -> String {
    stage.ask("query-status")["status"].as_str().unwrap().to_owned()
}

async fn comes_to(stage: &Stage, wanted: &str) {
    let coming = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while status(stage) != wanted {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, coming)
        .await
        .unwrap_or_else(|_| panic!("{wanted} is not {}", status(stage)));
}

/// Presses the button until the guest, which enables it some time after its start, stands still.
async fn press_until(stage: &Stage, wanted: &str) {
    let pressing = async {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        while status(stage) != wanted {
            stage.qemu.stop(&id("m"), StopMode::PowerButton).await.unwrap();
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, pressing)
        .await
        .unwrap_or_else(|_| panic!("{wanted} is not {}", status(stage)));
}

/// A stage whose machine writes to its disk when it is told to, and then powers off.
async fn writes_when_told() -> (Stage, Disk) {
    let stage = Stage::new();
    let disk = Disk::under(&stage);
    let sector = Sector::new().say("hello").wait_for_power_button().write_to_disk().power_off();
    stage.start(&stage.spec(&sector)).await;
    stage.console_says("hello").await;
    (stage, disk)
}

#[tokio::test]
async fn a_guest_waits_for_space_and_goes_on() {
    let (mut stage, disk) = writes_when_told().await;
    disk.fill();
    press_until(&stage, "io-error").await;
    // It is let go and stands still again, also for a daemon that finds it like this.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    tokio::time::sleep(Duration::from_secs(2)).await;
    comes_to(&stage, "io-error").await;
    disk.free();
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.close().await;
}

#[tokio::test]
async fn a_machine_is_forced_off_and_destroyed_on_a_full_disk() {
    let (mut stage, disk) = writes_when_told().await;
    disk.fill();
    press_until(&stage, "io-error").await;
    let pid = stage.pid();
    let begun = std::time::Instant::now();
    stage.force().await;
    assert!(begun.elapsed() < FORCED, "{:?}", begun.elapsed());
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "the process has ended");
    assert!(!stage.file("ended.json").exists(), "there was no space for it");
    assert_eq!(stage.ended().await.cause, Cause::Forced);
    // What could not be written is written when there is space.
    disk.free();
    assert_eq!(stage.ended().await.cause, Cause::Forced);
    stage.reopen();
    assert_eq!(stage.ended().await.cause, Cause::Forced);

    stage.qemu.start(&id("m")).await.unwrap();
    let pid = stage.pid();
    disk.fill();
    stage.reopen();
    stage.qemu.destroy(&id("m")).await.unwrap();
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "the process has ended");
    assert!(!stage.file("").exists());
    stage.close().await;
}

#[tokio::test]
async fn the_true_end_is_told_on_a_full_disk() {
    let stage = Stage::new();
    let disk = Disk::under(&stage);
    stage.start(&stage.spec(&Sector::new().say("hello").obey_power_button())).await;
    stage.console_says("hello").await;
    disk.fill();
    let mut watch = stage.qemu.watch(&id("m")).await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let pressing = async {
        while !matches!(*watch.borrow_and_update(), MachineState::Ended(_)) {
            stage.qemu.stop(&id("m"), StopMode::PowerButton).await.unwrap();
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, pressing).await.expect("the end is told");
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    assert!(!stage.file("ended.json").exists(), "there was no space for it");
    stage.close().await;
}
