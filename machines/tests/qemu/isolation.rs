//! What a machine's process is, and is not, on the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use machines::{Error, Nic, NicModel, Provider};

use crate::sector::Sector;
use crate::stage::{Stage, UID, id};

/// A network namespace with a tap, removed with it.
#[derive(Debug)]
struct Namespace(String);

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status().expect("apt-get install iproute2");
    assert!(status.success(), "ip {words:?}");
}

impl Namespace {
    fn new(name: &str) -> Self {
        let name = format!("machines-{}-{name}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr"]);
        Self(name)
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    fn nic(&self, model: NicModel) -> Nic {
        Nic { netns: self.path(), tap: "tap0".into(), mac: "52:54:00:12:34:56".into(), mtu: 1450, model }
    }

    /// Waits until the tap has the flag: the kernel tells the carrier a moment late.
    async fn shows(&self, flag: &str) {
        let showing = async {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
            while !self.links().lines().any(|line| line.contains("tap0:") && line.contains(flag)) {
                tick.tick().await;
            }
        };
        let shown = tokio::time::timeout(std::time::Duration::from_secs(10), showing).await;
        assert!(shown.is_ok(), "{flag} is not in {}", self.links());
    }

    fn links(&self) -> String {
        let output = Command::new("ip").args(["-n", &self.0, "link"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

pub(crate) fn status(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_process_has_no_rights_and_lives_in_the_namespace() {
    use std::os::unix::fs::MetadataExt;
    for (name, model) in
        [("virtio", NicModel::Virtio), ("e1000", NicModel::E1000), ("e1000e", NicModel::E1000e)]
    {
        let namespace = Namespace::new(name);
        let stage = Stage::new();
        let mut spec = stage.spec(&Sector::new().say("hello").halt());
        spec.nic = Some(namespace.nic(model));
        stage.start(&spec).await;
        stage.console_says("hello").await;
        let pid = stage.pid();

        assert_eq!(status(pid, "Uid:"), format!("{UID} {UID} {UID} {UID}"));
        assert_eq!(status(pid, "Gid:"), format!("{UID} {UID} {UID} {UID}"));
        assert_eq!(status(pid, "Groups:"), "");
        assert_eq!(status(pid, "Seccomp:"), "2");
        assert_eq!(status(pid, "NoNewPrivs:"), "1");
        for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:"] {
            assert_eq!(status(pid, set), "0000000000000000", "{set}");
        }
        let net = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(net(Path::new(&format!("/proc/{pid}/ns/net"))), net(&namespace.path()));
        let here = fs::read_link("/proc/self/ns/mnt").unwrap();
        assert_eq!(fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap(), here);

        ip(&["-n", &namespace.0, "link", "set", "tap0", "up"]);
        namespace.shows("LOWER_UP").await;
        stage.force().await;
        namespace.shows("NO-CARRIER").await;
        // The tap is free again.
        stage.qemu.start(&spec.id).await.unwrap();
        stage.close().await;
    }
}

#[tokio::test]
async fn nothing_of_a_machine_is_open_to_its_own_user() {
    use std::os::unix::fs::MetadataExt;
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().halt());
    spec.seed = Some(machines::Seed {
        form: machines::SeedForm::NoCloud,
        user_data: "secret".into(),
        meta_data: String::new(),
        network_config: String::new(),
    });
    stage.start(&spec).await;
    let files =
        fs::read_dir(stage.file("")).unwrap().chain(fs::read_dir(stage.dir.path().join("run/m")).unwrap());
    for file in files.map(Result::unwrap) {
        let facts = file.metadata().unwrap();
        assert_eq!(facts.uid(), 0, "{file:?}");
        // qemu-img makes the overlay with the usual mode; the directory around it is closed.
        if file.file_name() != "overlay.qcow2" {
            assert_eq!(facts.mode() & 0o077, 0, "{file:?}");
        }
    }
    assert_eq!(fs::metadata(stage.file("")).unwrap().mode() & 0o777, 0o700);
    for name in ["spec.json", "run.json", "qemu.log", "events.log"] {
        assert!(!fs::read_to_string(stage.file(name)).unwrap().contains("secret"), "{name}");
    }
    let line = fs::read(format!("/proc/{}/cmdline", stage.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains("secret"));
    stage.close().await;
}

#[tokio::test]
async fn a_missing_tap_is_told_and_not_made() {
    let namespace = Namespace::new("missing");
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("hello").power_off());
    let mut nic = namespace.nic(NicModel::Virtio);
    nic.tap = "tap9".into();
    spec.nic = Some(nic);
    stage.qemu.define(&spec).await.unwrap();
    let error = stage.qemu.start(&spec.id).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("cannot find the tap tap9"), "{cause}");
    assert!(!namespace.links().contains("tap9"));
    assert_eq!(stage.state().await, machines::MachineState::Defined);

    spec.nic = Some(Nic { netns: "/run/netns/machines-none".into(), ..namespace.nic(NicModel::Virtio) });
    stage.qemu.define(&spec).await.unwrap();
    let error = stage.qemu.start(&spec.id).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("machines-none"));
    stage.close().await;
}

pub(crate) fn cgroup_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let is_cgroup = |line: &&str| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup"));
    mounts.lines().filter(is_cgroup).map(|line| PathBuf::from(line.split(' ').nth(1).unwrap())).collect()
}

#[tokio::test]
async fn the_process_joins_its_cgroup_in_every_hierarchy() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().say("hello").halt());
    let top = format!("machines-test-{}", std::process::id());
    spec.cgroup_parent = Some(format!("/{top}/pod"));
    let mounts = cgroup_mounts();
    assert!(!mounts.is_empty(), "mount a cgroup file system at /sys/fs/cgroup");
    stage.start(&spec).await;
    let joined = fs::read_to_string(format!("/proc/{}/cgroup", stage.pid())).unwrap();
    assert_eq!(joined.matches(&format!("/{top}/pod/infranetes-m\n")).count(), mounts.len(), "{joined}");
    let threads = mounts.iter().map(|mount| mount.join(&top).join("pod/infranetes-m/cgroup.procs"));
    for procs in threads {
        assert_eq!(fs::read_to_string(&procs).unwrap().trim(), stage.pid().to_string(), "{procs:?}");
    }
    stage.force().await;
    stage.qemu.start(&spec.id).await.unwrap();
    stage.close().await;
    for mount in mounts {
        assert!(!mount.join(&top).exists(), "what was made is removed");
    }
}

#[tokio::test]
async fn a_cgroup_that_machines_share_goes_with_the_last() {
    let stage = Stage::new();
    let mut spec = stage.spec(&Sector::new().halt());
    let top = format!("machines-shared-{}", std::process::id());
    spec.cgroup_parent = Some(format!("/{top}/pod"));
    let mut other = spec.clone();
    other.id = id("n");
    stage.start(&spec).await;
    stage.start(&other).await;
    stage.qemu.destroy(&spec.id).await.unwrap();
    for mount in cgroup_mounts() {
        assert!(mount.join(&top).join("pod/infranetes-n").exists());
    }
    stage.qemu.destroy(&other.id).await.unwrap();
    for mount in cgroup_mounts() {
        assert!(!mount.join(&top).exists(), "whoever goes last removes what was made");
    }
    stage.close().await;
}
