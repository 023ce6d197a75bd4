//! What a machine leaves on the disk: one directory, named by its id, and one for its sockets.
//!
//! ```text
//! ROOT/ID/lock            held by the machine's process as long as it lives: the one truth about "does it run"
//!         spec.json       the specification without the seed; written last, so that it says "defined"
//!         overlay.qcow2   the disk      seed.img  the NoCloud seed      vars.fd  UEFI variables
//!         run.json        "it was started" and its cgroups, written before anything of them is made
//!         process.json    the process that runs it, written before its processors are let go
//!         tpm/            what its TPM keeps      tpm.json  the process that is its TPM, as above
//!         events.log      what the machine's monitor told, also while no daemon listens
//!         ended.json      why the last run ended
//!         console.log     the serial console        qemu.log, tpm.log  what QEMU and the TPM themselves complain about
//! RUN/ID/qmp.sock         the daemon's monitor      qmp2.sock  one for people      serial.sock  the console
//! ```
//!
//! All of it belongs to root with no access for others: QEMU gets open descriptors, never paths. Only what is in `tpm` is
//! the machines' user's, to which no path there is open. Files that say something appear whole or not at all (written
//! aside, synced, renamed).
//!
//! A machine ran if `process.json` says so. All that its files say about a run is removed in an order in which each
//! rest is true: without `process.json` nothing ran, with `ended.json` alone it ended as that says.
//!
//! Work on files that may take longer than a look at one goes through [`Directory::work`]: off the threads that serve
//! everything else, and one after the other, so that what a cancelled call left under way is over before the next.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Cause, Ended, Error, MachineId, MachineSpec, Result};

/// The longest path of a Unix socket, in bytes.
const SOCKET_PATH_LIMIT: usize = 107;

/// The paths of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    id: MachineId,
    root: PathBuf,
    run: PathBuf,
    /// Held while work on the files goes on.
    working: Arc<tokio::sync::Mutex<()>>,
}

/// Which process runs a machine. A process id alone says nothing: it is used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    /// The process id.
    pub(crate) pid: i32,
    /// Its start, in clock ticks since the node's boot (field 22 of `/proc/PID/stat`).
    pub(crate) start_time: u64,
    /// Which boot of the node that was (`/proc/sys/kernel/random/boot_id`).
    pub(crate) boot_id: String,
}

/// A run that was begun.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// The cgroups that are its to remove, from the last to the first: its own, and those above that machines made.
    pub(crate) cgroups: Vec<PathBuf>,
}

/// An end that is seen now.
pub(crate) fn ended_now(cause: Cause, message: impl Into<String>) -> Ended {
    Ended { cause, at: SystemTime::now(), message: message.into() }
}

impl Directory {
    pub(crate) fn new(root: &Path, run: &Path, id: &MachineId) -> Self {
        Self {
            id: id.clone(),
            root: root.join(id.as_str()),
            run: run.join(id.as_str()),
            working: Arc::default(),
        }
    }

    /// Does work on the machine's files where it may block.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let alone = Arc::clone(&self.working).lock_owned().await;
        let directory = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _alone = alone;
            work(&directory)
        });
        done.await.map_err(|error| self.failed("the work on its files was broken off", error))?
    }

    /// The run records of all machines beside this one, and its own. One that cannot be read says nothing.
    pub(crate) fn run_records(&self) -> Vec<RunRecord> {
        let machines = self.root.parent().and_then(|root| fs::read_dir(root).ok());
        let records = machines.into_iter().flatten().flatten();
        let records = records.filter_map(|entry| fs::read(entry.path().join("run.json")).ok());
        records.filter_map(|bytes| serde_json::from_slice(&bytes).ok()).collect()
    }

    pub(crate) fn id(&self) -> &MachineId {
        &self.id
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn qmp_socket(&self) -> PathBuf {
        self.run.join("qmp.sock")
    }

    pub(crate) fn people_socket(&self) -> PathBuf {
        self.run.join("qmp2.sock")
    }

    pub(crate) fn serial_socket(&self) -> PathBuf {
        self.run.join("serial.sock")
    }

    pub(crate) fn console_log(&self) -> PathBuf {
        self.file("console.log")
    }

    pub(crate) fn exists(&self) -> bool {
        self.root.exists() || self.run.exists()
    }

    /// Makes both directories.
    pub(crate) fn make(&self) -> Result<()> {
        let longest = self.serial_socket();
        let length = longest.as_os_str().len();
        if length > SOCKET_PATH_LIMIT {
            return Err(Error::Invalid(format!(
                "the socket path {} has {length} bytes and may have {SOCKET_PATH_LIMIT}: configure a shorter \
                 directory for sockets",
                longest.display()
            )));
        }
        for path in [&self.root, &self.run] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
                Error::failed(format!("cannot make the machine directory {}", path.display()), error)
            })?;
        }
        Ok(())
    }

    /// Removes everything. The state directory goes last, so that an interrupted removal is found again.
    pub(crate) fn remove(&self) -> Result<()> {
        for path in [&self.run, &self.root] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::failed(format!("cannot remove {}", path.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn spec(&self) -> Result<Option<MachineSpec>> {
        self.read("spec.json")
    }

    pub(crate) fn write_spec(&self, spec: &MachineSpec) -> Result<()> {
        self.write("spec.json", spec)
    }

    pub(crate) fn run_record(&self) -> Result<Option<RunRecord>> {
        self.read("run.json")
    }

    pub(crate) fn write_run_record(&self, record: &RunRecord) -> Result<()> {
        self.write("run.json", record)
    }

    pub(crate) fn process(&self) -> Option<ProcessRecord> {
        self.read("process.json").ok().flatten()
    }

    pub(crate) fn write_process(&self, record: &ProcessRecord) -> Result<()> {
        self.write("process.json", record)
    }

    /// The process that is the TPM of the last run.
    pub(crate) fn tpm(&self) -> Option<ProcessRecord> {
        self.read("tpm.json").ok().flatten()
    }

    pub(crate) fn write_tpm(&self, record: &ProcessRecord) -> Result<()> {
        self.write("tpm.json", record)
    }

    pub(crate) fn ended(&self) -> Result<Option<Ended>> {
        self.read("ended.json")
    }

    /// Records an end, unless one is recorded already: the first reason is the true one. Answers what stands. An end
    /// that cannot be recorded (the disk is full) is no less true: that is logged, and nothing waits for the disk.
    pub(crate) async fn record_end(&self, ended: Ended) -> Ended {
        let told = ended.clone();
        let recorded = self.work(move |directory| match directory.ended()? {
            Some(before) => Ok(before),
            None => directory.write("ended.json", &ended).map(|()| ended),
        });
        recorded.await.unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(machine = %self.id, %error, cause, "the machine's end is known but not recorded");
            told
        })
    }

    /// Forgets the last run.
    pub(crate) fn clear_run(&self) -> Result<()> {
        for name in ["run.json", "process.json", "tpm.json", "ended.json"] {
            match fs::remove_file(self.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed(&format!("cannot remove {name}"), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a file so that it appears whole or not at all, readable by root only.
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let aside = self.file(&format!("{name}.new"));
        let written = (|| {
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, self.file(name))?;
            File::open(&self.root)?.sync_all()
        })();
        written.map_err(|error: io::Error| self.failed(&format!("cannot write {name}"), error))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| self.failed(&format!("cannot put {name} into words"), error))?;
        self.write_bytes(name, &bytes)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let bytes = match fs::read(self.file(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&format!("cannot read {name}"), error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| self.failed(&format!("cannot understand {name}"), error))
    }

    /// An error about this machine.
    pub(crate) fn failed(
        &self,
        what: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::failed(format!("machine {}: {what}", self.id), source)
    }

    /// A failure of this machine without a deeper cause.
    pub(crate) fn failure(&self, what: impl std::fmt::Display) -> Error {
        Error::Failed { what: format!("machine {}: {what}", self.id), source: None }
    }
}
