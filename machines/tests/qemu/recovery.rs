//! A daemon that goes away and comes back, and processes that go away by themselves.

use machines::{Cause, MachineState, OnReset, Provider};

use crate::sector::Sector;
use crate::stage::{PATIENCE, Stage, id};

pub(crate) fn kill(pid: i32) {
    let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

pub(crate) async fn gone(pid: i32) {
    let going = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tick.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), going).await.expect("the process ends");
}

#[tokio::test]
async fn a_restarted_daemon_finds_the_same_machine() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().say("hello").obey_power_button());
    stage.start(&spec).await;
    stage.console_says("hello").await;
    let pid = stage.pid();
    for _ in 0..3 {
        stage.reopen();
        assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
        stage.qemu.start(&spec.id).await.unwrap();
        assert_eq!(stage.pid(), pid);
    }
    kill(pid);
    assert_eq!(stage.ended().await.cause, Cause::Lost);
    stage.close().await;
}

/// The guest ends while nobody is connected, at its power button.
async fn ends_while_away(sector: Sector) -> Cause {
    let mut stage = Stage::new();
    let spec = stage.spec(&sector);
    stage.start(&spec).await;
    let pid = stage.pid();
    stage.reopen();
    // Not before nobody is there, and by no call that would connect; then QEMU waits with the reason.
    let journal = stage.file("events.log");
    let told = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
        while !std::fs::read_to_string(&journal).unwrap().contains("\"STOP\"") {
            stage.ask("system_powerdown");
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("the guest ends");
    stage.console_says("bye").await;
    assert!(!stage.file("ended.json").exists(), "nobody was there to see it");
    let ended = stage.ended().await;
    gone(pid).await;
    // The reason is durable.
    stage.reopen();
    assert_eq!(stage.ended().await, ended);
    stage.close().await;
    ended.cause
}

#[tokio::test]
async fn the_reason_of_an_end_without_a_daemon_is_true() {
    let sector = Sector::new().wait_for_power_button().say("bye");
    assert_eq!(ends_while_away(sector.clone().power_off()).await, Cause::PoweredOff);
    assert_eq!(ends_while_away(sector.clone().reset()).await, Cause::Reset);
    assert_eq!(ends_while_away(sector.panic()).await, Cause::Panicked);
}

#[tokio::test]
async fn a_killed_process_is_lost_and_can_start_again() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().halt());
    stage.start(&spec).await;
    kill(stage.pid());
    let ended = stage.ended().await;
    assert_eq!(ended.cause, Cause::Lost);
    assert!(ended.message.contains("without a word"), "{}", ended.message);
    stage.qemu.start(&spec.id).await.unwrap();
    let pid = stage.pid();
    // Without a daemon, too: as after a restart of the node.
    stage.reopen();
    kill(pid);
    gone(pid).await;
    std::fs::remove_dir_all(stage.dir.path().join("run/m")).unwrap();
    assert_eq!(stage.ended().await.cause, Cause::Lost);
    stage.qemu.start(&spec.id).await.unwrap();
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    stage.close().await;
}

#[tokio::test]
async fn an_interrupted_definition_is_listed_and_finished() {
    let stage = Stage::new();
    let spec = stage.spec(&Sector::new().say("hello").power_off());
    std::fs::create_dir_all(stage.file("")).unwrap();
    std::fs::write(stage.file("overlay.qcow2.new"), "half").unwrap();
    assert_eq!(stage.qemu.list().await.unwrap(), [id("m")]);
    assert_eq!(stage.state().await, MachineState::Absent);
    assert!(stage.qemu.start(&spec.id).await.is_err());
    stage.start(&spec).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.close().await;
}

/// Makes the instants at which a start can be interrupted, from the outside.
#[tokio::test]
async fn an_interrupted_start_is_finished_by_the_next() {
    let mut stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("hello").halt());
    spec.on_reset = OnReset::Continue;
    stage.start(&spec).await;
    let pid = stage.pid();
    // Killed between the making of the process and the record of its id: the process is found by its command line.
    std::fs::remove_file(stage.file("process.json")).unwrap();
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    stage.force().await;
    gone(pid).await;
    assert_eq!(stage.ended().await.cause, Cause::Forced);

    // Killed while it forgot that run: what stands is still true.
    std::fs::remove_file(stage.file("run.json")).unwrap();
    std::fs::remove_file(stage.file("process.json")).unwrap();
    stage.reopen();
    assert_eq!(stage.ended().await.cause, Cause::Forced);
    // Killed after run.json was written and before there was a process: nothing ran.
    std::fs::remove_file(stage.file("ended.json")).unwrap();
    std::fs::write(stage.file("run.json"), r#"{"cgroups":[]}"#).unwrap();
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Defined);
    stage.qemu.start(&spec.id).await.unwrap();
    let pid = stage.pid();

    // A record of a process that is another's by now: nothing of it is touched.
    std::fs::write(stage.file("process.json"), r#"{"pid":1,"start_time":1}"#).unwrap();
    stage.reopen();
    stage.force().await;
    gone(pid).await;
    stage.close().await;
}

#[tokio::test]
async fn a_start_that_was_never_let_go_begins_anew() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().say("hello").halt());
    stage.start(&spec).await;
    stage.console_says("hello").await;
    let line = std::fs::read(format!("/proc/{}/cmdline", stage.pid())).unwrap();
    stage.force().await;
    let words: Vec<_> = line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word)).collect();
    let uuid = words.iter().skip_while(|word| *word != "-uuid").nth(1).unwrap();

    // A process as a killed daemon leaves it: it holds the lock, listens, and its processors stand still.
    std::fs::remove_file(stage.file("ended.json")).unwrap();
    std::fs::remove_file(stage.file("process.json")).unwrap();
    let lock = stage.file("lock").display().to_string();
    let socket = stage.dir.path().join("run/m/qmp.sock").display().to_string();
    std::fs::remove_file(&socket).unwrap();
    let half_started = std::process::Command::new("flock")
        .args([
            "--no-fork",
            &lock,
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-S",
            "-uuid",
            uuid,
        ])
        .args(["-qmp", &format!("unix:{socket},server=on,wait=off")])
        .spawn();
    let mut half_started = half_started.unwrap();
    let listening = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        while !std::path::Path::new(&socket).exists() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), listening).await.unwrap();

    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Defined);
    stage.qemu.start(&spec.id).await.unwrap();
    let pid = i32::try_from(half_started.id()).unwrap();
    assert_ne!(stage.pid(), pid);
    gone(pid).await;
    assert!(!half_started.wait().unwrap().success(), "the half-started process was ended");
    stage.console_says("hellohello").await;
    stage.close().await;
}

#[tokio::test]
async fn a_machine_of_the_same_name_elsewhere_is_left_alone() {
    let (here, elsewhere) = (Stage::new(), Stage::new());
    here.start(&here.spec(&Sector::new().halt())).await;
    elsewhere.start(&elsewhere.spec(&Sector::new().halt())).await;
    std::fs::remove_file(here.file("process.json")).unwrap();
    let mut here = here;
    here.reopen();
    here.force().await;
    assert_eq!(here.ended().await.cause, Cause::Forced);
    here.close().await;
    assert_eq!(elsewhere.state().await, MachineState::Running { resets: 0 });
    elsewhere.close().await;
}

/// A guest that has taken its process over can unlock the lock and rewrite the command line, but not the record.
#[tokio::test]
async fn a_process_that_hides_is_ended_all_the_same() {
    let mut stage = Stage::new();
    let spec = stage.spec(&Sector::new().halt());
    stage.start(&spec).await;
    stage.force().await;
    let record = std::fs::read(stage.file("process.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let mut hidden = std::process::Command::new("sleep").arg("300").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", hidden.id())).unwrap();
    record["pid"] = hidden.id().into();
    record["start_time"] = stat.split(' ').nth(21).unwrap().parse::<u64>().unwrap().into();
    std::fs::write(stage.file("process.json"), record.to_string()).unwrap();
    stage.reopen();
    // No second process is made beside it, and the machine does not pass for ended.
    assert!(stage.qemu.start(&spec.id).await.is_err());
    assert!(stage.qemu.watch(&spec.id).await.is_err());
    assert!(hidden.try_wait().unwrap().is_none());
    stage.qemu.destroy(&spec.id).await.unwrap();
    gone(i32::try_from(hidden.id()).unwrap()).await;
    assert!(!hidden.wait().unwrap().success());
    stage.close().await;
}
