//! A machine's TPM: what the guest finds, how long it keeps, and that it ends with its machine in every way.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use machines::{Cause, MachineSpec, MachineState, OnReset, Provider, Tpm};

use crate::isolation::{cgroup_mounts, status};
use crate::recovery::{gone, kill};
use crate::sector::Sector;
use crate::stage::{PATIENCE, Stage, UID};

fn with_tpm(stage: &Stage, sector: &Sector) -> MachineSpec {
    MachineSpec { tpm: Tpm::V2, ..stage.spec(sector) }
}

fn signal(name: &str, pid: i32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn runs(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The processes that have this directory.
fn born_in(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let there = processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder));
    there.map(|process| process.display().to_string()).collect()
}

#[tokio::test]
async fn a_guest_finds_the_tpm_that_its_machine_has() {
    let sector = Sector::new().say("tpm: ").say_tpm().power_off();
    let stage = Stage::new();
    stage.start(&stage.spec(&sector)).await;
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("tpm: F").await;
    assert!(!stage.file("tpm").exists());
    stage.close().await;

    let stage = Stage::new();
    let spec = with_tpm(&stage, &sector);
    stage.start(&spec).await;
    let first = stage.tpm();
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("tpm: T").await;
    assert!(!runs(first), "it ends before the end is told");

    // The next start has the same one: what it keeps is read, or it could not be spoilt.
    stage.qemu.start(&spec.id).await.unwrap();
    assert_eq!(stage.ended().await.cause, Cause::PoweredOff);
    stage.console_says("tpm: Ttpm: T").await;
    let kept = fs::read_dir(stage.file("tpm")).unwrap().map(|file| file.unwrap().path());
    for file in kept.filter(|file| file.is_file() && fs::metadata(file).unwrap().len() > 0) {
        fs::write(file, "spoilt").unwrap();
    }
    let error = stage.qemu.start(&spec.id).await.unwrap_err().to_string();
    assert!(error.contains("TPM"), "{error}");
    stage.close().await;
}

#[tokio::test]
async fn a_tpm_ends_with_its_machine_however_that_ends() {
    let mut stage = Stage::new();
    let mut spec = with_tpm(&stage, &Sector::new().say("hello").halt());
    spec.on_reset = OnReset::Continue;
    stage.start(&spec).await;
    stage.console_says("hello").await;
    let (machine, tpm) = (stage.pid(), stage.tpm());
    assert!(runs(tpm));
    // Another daemon: both are the same, and the machine's end is that of its TPM.
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    stage.qemu.start(&spec.id).await.unwrap();
    assert_eq!((stage.pid(), stage.tpm()), (machine, tpm));
    stage.force().await;
    assert!(!runs(tpm));

    // Killed, and while no daemon is there.
    stage.qemu.start(&spec.id).await.unwrap();
    let tpm = stage.tpm();
    kill(stage.pid());
    assert_eq!(stage.ended().await.cause, Cause::Lost);
    assert!(!runs(tpm));
    stage.qemu.start(&spec.id).await.unwrap();
    let tpm = stage.tpm();
    stage.reopen();
    kill(stage.pid());
    gone(tpm).await;
    assert_eq!(stage.ended().await.cause, Cause::Lost);

    // One that does not end is ended.
    stage.qemu.start(&spec.id).await.unwrap();
    let tpm = stage.tpm();
    signal("-STOP", tpm);
    stage.force().await;
    assert!(!runs(tpm));
    stage.qemu.start(&spec.id).await.unwrap();
    let tpm = stage.tpm();
    signal("-STOP", tpm);
    kill(stage.pid());
    stage.reopen();
    stage.close().await;
    gone(tpm).await;
}

/// The instants at which a start can be interrupted.
#[tokio::test]
async fn a_tpm_of_an_interrupted_start_is_ended_by_the_next() {
    let mut stage = Stage::new();
    let spec = with_tpm(&stage, &Sector::new().say("hello").halt());
    stage.start(&spec).await;
    stage.console_says("hello").await;
    kill(stage.pid());
    assert_eq!(stage.ended().await.cause, Cause::Lost);
    for name in ["process.json", "tpm.json", "ended.json"] {
        fs::remove_file(stage.file(name)).unwrap();
    }
    // As a daemon leaves it that was killed before it recorded the process: QEMU has not spoken to it, nor ever will.
    let (_ours, its) = UnixStream::pair().unwrap();
    let mut left = Command::new("swtpm");
    left.args(["socket", "--tpm2", "--tpmstate", "dir=.", "--ctrl", "type=unixio,clientfd=0", "--terminate"]);
    let mut left = left.current_dir(stage.file("tpm")).stdin(OwnedFd::from(its)).spawn().unwrap();
    let pid = i32::try_from(left.id()).unwrap();
    // A program runs a moment before it has its command line, by which it is found; until then it may show ours.
    let named = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        let line = || fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        while !line().split(|&byte| byte == 0).any(|word| word == b"--tpm2") {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, named).await.expect("it has its command line");
    stage.reopen();
    assert_eq!(stage.state().await, MachineState::Defined);
    stage.qemu.start(&spec.id).await.unwrap();
    gone(pid).await;
    assert!(!left.wait().unwrap().success(), "it was killed");
    stage.console_says("hellohello").await;

    // QEMU does not come to speak to it.
    stage.force().await;
    fs::write(stage.file("overlay.qcow2"), "nonsense").unwrap();
    let error = stage.qemu.start(&spec.id).await.unwrap_err().to_string();
    assert!(error.contains("not in qcow2 format"), "{error}");
    assert!(born_in(&stage.file("tpm")).is_empty());
    stage.close().await;
}

#[tokio::test]
async fn a_machine_goes_on_without_its_tpm_and_has_one_again_at_its_next_start() {
    let stage = Stage::new();
    let spec = with_tpm(&stage, &Sector::new().say("hello").say_tpm().obey_power_button());
    stage.start(&spec).await;
    stage.console_says("helloT").await;
    let tpm = stage.tpm();
    kill(tpm);
    gone(tpm).await;
    assert_eq!(stage.state().await, MachineState::Running { resets: 0 });
    stage.force().await;
    stage.qemu.start(&spec.id).await.unwrap();
    stage.console_says("helloThelloT").await;
    assert_ne!(stage.tpm(), tpm);
    stage.close().await;
}

#[tokio::test]
async fn a_tpm_has_no_rights_and_no_network_and_counts_for_its_machine() {
    use std::os::unix::fs::MetadataExt;
    let stage = Stage::new();
    let mut spec = with_tpm(&stage, &Sector::new().halt());
    let top = format!("machines-tpm-{}", std::process::id());
    spec.cgroup_parent = Some(format!("/{top}/pod"));
    stage.start(&spec).await;
    let (machine, tpm) = (stage.pid(), stage.tpm());
    assert_eq!(status(tpm, "Uid:"), format!("{UID} {UID} {UID} {UID}"));
    assert_eq!(status(tpm, "Gid:"), "65534 65534 65534 65534");
    assert_eq!(status(tpm, "Groups:"), "");
    assert_eq!(status(tpm, "Seccomp:"), "2");
    assert_eq!(status(tpm, "NoNewPrivs:"), "1");
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:"] {
        assert_eq!(status(tpm, set), "0000000000000000", "{set}");
    }
    let net = |of: &str| fs::metadata(Path::new("/proc").join(of).join("ns/net")).unwrap().ino();
    let own = net(&tpm.to_string());
    assert!(own != net(&machine.to_string()) && own != net("self"));
    let folder = fs::metadata(stage.file("tpm")).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o777), (UID, 0o700));
    assert_eq!(fs::metadata(stage.file("")).unwrap().uid(), 0, "no path leads into it");
    let as_qemu = |path: String| {
        let mut list = Command::new("setpriv");
        list.args([&format!("--reuid={UID}"), &format!("--regid={UID}"), "--clear-groups", "ls"]).arg(path);
        list.output().unwrap().status.success()
    };
    assert!(as_qemu(format!("/proc/{machine}/cwd/")));
    assert!(!as_qemu(format!("/proc/{tpm}/cwd/")), "nor does one by way of its process");
    for mount in cgroup_mounts() {
        let procs = fs::read_to_string(mount.join(&top).join("pod/infranetes-m/cgroup.procs")).unwrap();
        let mut procs: Vec<i32> = procs.lines().map(|line| line.parse().unwrap()).collect();
        procs.sort_unstable();
        let mut both = [machine, tpm];
        both.sort_unstable();
        assert_eq!(procs, both);
    }
    stage.close().await;
    for mount in cgroup_mounts() {
        assert!(!mount.join(&top).exists(), "what was made is removed");
    }
}
