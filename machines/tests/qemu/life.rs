//! The states of a machine, each with its true reason.

use machines::{Cause, MachineState, OnReset, Provider, StopMode};

use crate::sector::Sector;
use crate::stage::{PATIENCE, Stage, id};

async fn end_of(sector: Sector) -> Cause {
    let stage = Stage::new();
    stage.start(&stage.spec(&sector)).await;
    let ended = stage.ended().await;
    assert!(!ended.message.is_empty());
    stage.console_says("hello").await;
    stage.close().await;
    ended.cause
}

#[tokio::test]
async fn a_power_off_from_inside_is_seen() {
    assert_eq!(end_of(Sector::new().say("hello").power_off()).await, Cause::PoweredOff);
}

#[tokio::test]
async fn a_reset_from_inside_is_seen() {
    assert_eq!(end_of(Sector::new().say("hello").reset()).await, Cause::Reset);
}

#[tokio::test]
async fn a_panic_is_seen() {
    assert_eq!(end_of(Sector::new().say("hello").panic()).await, Cause::Panicked);
}

#[tokio::test]
async fn the_power_button_is_obeyed() {
    let stage = Stage::new();
    stage.start(&stage.spec(&Sector::new().obey_power_button())).await;
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    // The sector enables the button some time after the start; an earlier press is lost, as on a real machine.
    let mut watch = stage.qemu.watch(&id("m")).await.unwrap();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(300));
    let pressing = async {
        while !matches!(*watch.borrow_and_update(), MachineState::Ended(_)) {
            tick.tick().await;
            stage.qemu.stop(&id("m"), StopMode::PowerButton).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, pressing).await.expect("the guest obeys");
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.close().await;
}

#[tokio::test]
async fn a_deaf_guest_is_forced_off() {
    let stage = Stage::new();
    stage.start(&stage.spec(&Sector::new().say("deaf").halt())).await;
    stage.console_says("deaf").await;
    stage.qemu.stop(&id("m"), StopMode::PowerButton).await.unwrap();
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    let pid = stage.pid();
    stage.force().await;
    assert_eq!(stage.ended().await.cause, Cause::Forced);
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists(), "the process has ended");
    // Again, and the button too: nothing happens.
    stage.force().await;
    stage.qemu.stop(&id("m"), StopMode::PowerButton).await.unwrap();
    assert_eq!(stage.ended().await.cause, Cause::Forced);
    stage.close().await;
}

#[tokio::test]
async fn resets_are_counted_where_they_do_not_end_it() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("again").reset());
    spec.on_reset = OnReset::Continue;
    stage.start(&spec).await;
    let mut watch = stage.qemu.watch(&spec.id).await.unwrap();
    let reset = watch.wait_for(|state| matches!(state, MachineState::Running { resets: 2.. }));
    tokio::time::timeout(PATIENCE, reset).await.unwrap().unwrap();
    stage.close().await;
}

#[tokio::test]
async fn an_ended_machine_starts_again_with_its_disk() {
    let stage = Stage::new();
    let spec = stage.spec(&Sector::new().say("hello").write_to_disk().power_off());
    stage.start(&spec).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.qemu.start(&spec.id).await.unwrap();
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("hellohello").await;
    let base = std::fs::read(stage.base()).unwrap();
    assert!(base[512..].iter().all(|&byte| byte == 0), "the base image was written to");
    let disk = stage.dir.path().join("disk.raw");
    let status = std::process::Command::new("qemu-img")
        .args(["convert", "-O", "raw"])
        .arg(stage.file("overlay.qcow2"))
        .arg(&disk)
        .status();
    assert!(status.unwrap().success());
    let disk = std::fs::read(disk).unwrap();
    assert_eq!(disk[512..1024], base[..512], "the guest's write is in its overlay");
    stage.close().await;
}

#[tokio::test]
async fn every_call_may_be_repeated() {
    let stage = Stage::new();
    let absent = id("m");
    assert!(stage.qemu.start(&absent).await.unwrap_err().to_string().contains("does not exist"));
    stage.qemu.stop(&absent, StopMode::Force).await.unwrap();
    stage.qemu.stop(&absent, StopMode::PowerButton).await.unwrap();
    stage.qemu.destroy(&absent).await.unwrap();
    assert_eq!(stage.state().await, MachineState::Absent);

    let spec = stage.spec(&Sector::new().halt());
    let mut watch = stage.qemu.watch(&spec.id).await.unwrap();
    for _ in 0..2 {
        stage.qemu.define(&spec).await.unwrap();
        assert_eq!(*watch.borrow_and_update(), MachineState::Defined);
    }
    stage.qemu.start(&spec.id).await.unwrap();
    let pid = stage.pid();
    let (one, two) = tokio::join!(stage.qemu.start(&spec.id), stage.qemu.start(&spec.id));
    one.and(two).unwrap();
    stage.qemu.define(&spec).await.unwrap();
    assert_eq!(stage.pid(), pid, "a second start makes no second process");
    assert_eq!(stage.qemu.list().await.unwrap(), [id("m")]);
    for _ in 0..2 {
        stage.qemu.destroy(&spec.id).await.unwrap();
        assert_eq!(*watch.borrow_and_update(), MachineState::Absent);
    }
    assert!(!stage.file("").exists());
    stage.close().await;
}

#[tokio::test]
async fn a_console_that_never_ends_stays_bounded() {
    use std::os::unix::fs::MetadataExt;
    let stage = Stage::new();
    stage.start(&stage.spec(&Sector::new().flood())).await;
    let log = stage.qemu.console(&id("m")).unwrap().log;
    let facts = || std::fs::metadata(&log).unwrap();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    let growing = async {
        while facts().len() < 3 << 20 {
            tick.tick().await;
            assert!(facts().blocks() * 512 < 3 << 20, "{} bytes are kept", facts().blocks() * 512);
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(2), growing).await.expect("the guest writes");
    assert_eq!(std::fs::read(&log).unwrap()[..4096], [0; 4096], "the oldest part is released");
    stage.close().await;
}
