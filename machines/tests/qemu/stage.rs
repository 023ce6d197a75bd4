//! A state directory of its own for each test, and what tests ask of a machine.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use machines::{
    Accel, Clock, DiskBus, DiskFormat, Ended, Firmware, MachineId, MachineSpec, MachineState, OnReset,
    Provider, Qemu, QemuConfig, RootDisk, StopMode, Tpm,
};

use crate::sector::Sector;

pub(crate) const UID: u32 = 64055;
/// Generous: emulated firmware on a busy node takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A provider with directories that vanish with it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) qemu: Qemu,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let qemu = open(&dir);
        Self { dir, qemu }
    }

    /// What a restart of the daemon does.
    pub(crate) fn reopen(&mut self) {
        self.qemu = open(&self.dir);
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("base.img")
    }

    /// The machine `m`, whose disk boots the sector.
    pub(crate) fn spec(&self, sector: &Sector) -> MachineSpec {
        sector.write(&self.base());
        MachineSpec {
            id: id("m"),
            cpus: 1,
            memory_mib: 64,
            firmware: Firmware::Bios,
            clock: Clock::Utc,
            hyper_v: false,
            tpm: Tpm::None,
            disk: RootDisk {
                base: self.base(),
                format: DiskFormat::Raw,
                bus: DiskBus::Virtio,
                size_bytes: None,
            },
            nic: None,
            seed: None,
            cgroup_parent: None,
            on_reset: OnReset::End,
        }
    }

    pub(crate) async fn start(&self, spec: &MachineSpec) {
        self.qemu.define(spec).await.unwrap();
        self.qemu.start(&spec.id).await.unwrap();
    }

    pub(crate) async fn state(&self) -> MachineState {
        self.qemu.watch(&id("m")).await.unwrap().borrow().clone()
    }

    pub(crate) async fn ended(&self) -> Ended {
        let mut watch = self.qemu.watch(&id("m")).await.unwrap();
        let end = watch.wait_for(|state| matches!(state, MachineState::Ended(_)));
        match tokio::time::timeout(PATIENCE, end).await.expect("the machine ends").unwrap().clone() {
            MachineState::Ended(ended) => ended,
            state => panic!("{state:?} is no end"),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("machines/m").join(name)
    }

    /// The process's id, as recorded.
    pub(crate) fn pid(&self) -> i32 {
        self.recorded("process.json")
    }

    /// The id of the process that is its TPM, as recorded.
    pub(crate) fn tpm(&self) -> i32 {
        self.recorded("tpm.json")
    }

    fn recorded(&self, name: &str) -> i32 {
        let record: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.file(name)).unwrap()).unwrap();
        i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
    }

    /// What the machine's second monitor answers, whether a daemon is there or not.
    pub(crate) fn ask(&self, command: &str) -> serde_json::Value {
        let socket = UnixStream::connect(self.dir.path().join("run/m/qmp2.sock")).unwrap();
        // No other deadline holds while a thread waits here.
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(socket.try_clone().unwrap()).lines();
        for command in ["qmp_capabilities", command] {
            writeln!(&socket, "{{\"execute\":\"{command}\",\"id\":\"{command}\"}}").unwrap();
        }
        let mut told = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
        told.find(|told| told["id"] == command).unwrap()["return"].take()
    }

    /// Waits until the console has said something.
    pub(crate) async fn console_says(&self, text: &str) {
        self.console_holds(|log| String::from_utf8_lossy(log).contains(text)).await;
    }

    pub(crate) async fn console_holds(&self, check: impl Fn(&[u8]) -> bool) {
        let log = self.qemu.console(&id("m")).unwrap().log;
        let saying = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while !check(&std::fs::read(&log).unwrap_or_default()) {
                tick.tick().await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, saying).await.is_ok();
        assert!(said, "the console said only {:?}", String::from_utf8_lossy(&std::fs::read(&log).unwrap()));
    }

    pub(crate) async fn close(self) {
        for machine in self.qemu.list().await.unwrap() {
            self.qemu.destroy(&machine).await.unwrap();
        }
        assert_eq!(self.qemu.list().await.unwrap(), []);
    }

    pub(crate) async fn force(&self) {
        self.qemu.stop(&id("m"), StopMode::Force).await.unwrap();
    }
}

/// A test that fails leaves no process behind.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() && self.file("process.json").exists() {
            let _ = std::process::Command::new("kill").args(["-9", &self.pid().to_string()]).status();
        }
    }
}

pub(crate) fn id(name: &str) -> MachineId {
    MachineId::new(name).unwrap()
}

pub(crate) fn config(dir: &tempfile::TempDir) -> QemuConfig {
    QemuConfig {
        root: dir.path().join("machines"),
        run: dir.path().join("run"),
        binary: None,
        qemu_img: None,
        swtpm: None,
        user: UID.to_string(),
        accel: Accel::Tcg,
        ovmf: None,
        ovmf_secure: None,
        console_bytes: 1 << 20,
    }
}

fn open(dir: &tempfile::TempDir) -> Qemu {
    Qemu::open(config(dir)).unwrap()
}
