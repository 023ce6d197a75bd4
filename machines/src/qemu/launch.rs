//! The steps of a start, in their order, each after a durable word about it.
//!
//! 1. The lock is held, the last run is forgotten, `run.json` says that a start has begun and names its cgroups.
//! 2. Sockets are made and listen; every file is opened. The TPM's process is made and recorded, if there shall be one,
//!    and then QEMU's, with its processors stopped.
//! 3. Its id is recorded, its journal negotiated, its identity verified.
//! 4. It joins its cgroups, so that all of the guest's memory is counted there; then the processors are let go.
//!
//! A step that fails leaves the process to the caller, who ends it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::arguments::{self, Execution, Surroundings, fd};
use super::cgroup::{self, Groups};
use super::config::User;
use super::directory::{Directory, RunRecord};
use super::process::{self, Launch, Process, last_words};
use super::watcher::{ANSWER, Attached};
use super::{tpm, unprivileged};
use crate::{Error, MachineId, MachineSpec, Result};

/// How long a process that is no use any more may take to end by itself.
const GIVING_UP: Duration = Duration::from_secs(1);

/// The machine's UUID, derived from its id alone.
pub(crate) fn uuid(id: &MachineId) -> String {
    let digest = Sha256::digest(format!("infranetes machine {id}"));
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a digest is longer than that");
    // Version 8 (made by a rule of one's own), variant 1.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// One start of one machine.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) directory: Directory,
    pub(crate) spec: MachineSpec,
    pub(crate) uuid: String,
    pub(crate) binary: PathBuf,
    /// The program of its TPM, where it shall have one.
    pub(crate) swtpm: Option<PathBuf>,
    pub(crate) user: User,
    pub(crate) execution: Execution,
    /// The files of its firmware, code and variables, where QEMU itself has none.
    pub(crate) firmware: Option<(PathBuf, PathBuf)>,
}

/// What a start begins with.
struct Prepared {
    launch: Launch,
    groups: Option<Groups>,
    /// The process that is its TPM.
    tpm: Option<i32>,
}

impl Start {
    /// Runs all steps.
    pub(crate) async fn run(self, lock: OwnedFd) -> Result<(Attached, Process)> {
        let directory = self.directory.clone();
        let uuid = self.uuid.clone();
        let (journal, journal_end) =
            UnixStream::pair().map_err(|error| directory.failed("cannot make its journal", error))?;
        let preparing = directory.work(move |_| self.prepare(lock, journal_end));
        let Prepared { launch, groups, tpm } = preparing.await?;
        let launched = process::launch(launch).await;
        let mut child =
            launched.map_err(|error| unprivileged::failed(&directory, "cannot make its process", error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let recording = directory.work(move |directory| {
            let process = pid.and_then(Process::of_child);
            let process = process.ok_or_else(|| directory.failure("its process cannot be found in /proc"))?;
            directory.write_process(&process.record)?;
            Ok(process)
        });
        let recorded = recording.await;
        let starting = async {
            negotiate(journal)
                .await
                .map_err(|error| directory.failed("its journal cannot be opened", error))?;
            let mut attached = Attached::new(&directory, &uuid).await?;
            let process = recorded?;
            if let Some(groups) = groups {
                let pids = [Some(process.record.pid), tpm];
                let joining = directory.work(move |directory| {
                    let joined = pids.into_iter().flatten().try_for_each(|pid| groups.join(pid));
                    joined.map_err(|error| directory.failed("cannot join its cgroup", error))
                });
                joining.await?;
            }
            attached.begin(&directory).await?;
            Ok::<_, Error>((attached, process))
        };
        let mut started = starting.await;
        if started.is_err() {
            // A QEMU that gave up says why in its complaints, after a moment.
            if let Ok(status) = tokio::time::timeout(GIVING_UP, child.wait()).await {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let logs = ["qemu.log", tpm::LOG];
                let said = directory
                    .work(move |directory| Ok(logs.map(|log| last_words(&directory.file(log))).join(" ")))
                    .await
                    .unwrap_or_default();
                started = Err(directory.failure(format!("QEMU did not start ({status}): {}", said.trim())));
            }
        }
        // Reaped for as long as this daemon lives; the process itself lives on.
        tokio::spawn(async move { child.wait().await });
        started
    }

    /// Forgets the last run, and says that another is begun.
    fn prepare(&self, lock: OwnedFd, journal: UnixStream) -> Result<Prepared> {
        let (directory, id) = (&self.directory, &self.spec.id);
        directory.make()?;
        let parent = self.spec.cgroup_parent.as_deref();
        let groups = parent.map(|parent| cgroup::plan(parent, id, &directory.run_records())).transpose()?;
        directory.clear_run()?;
        let cgroups = groups.as_ref().map(|groups| groups.made.clone()).unwrap_or_default();
        directory.write_run_record(&RunRecord { cgroups })?;
        let (mut descriptors, mut tpm) = (Vec::new(), None);
        if let Some(program) = &self.swtpm {
            let (socket, pid) = tpm::start(directory, program, self.user)?;
            descriptors.push((socket, fd::TPM));
            tpm = Some(pid);
        }
        Ok(Prepared { launch: self.open(lock, journal, descriptors)?, groups, tpm })
    }

    /// Opens everything that the process gets beside these.
    fn open(
        &self,
        lock: OwnedFd,
        journal: UnixStream,
        mut descriptors: Vec<(OwnedFd, i32)>,
    ) -> Result<Launch> {
        let (directory, spec) = (&self.directory, &self.spec);
        let opening = |path: &Path, options: &mut fs::OpenOptions| -> Result<OwnedFd> {
            let file = options.mode(0o600).open(path);
            file.map(Into::into)
                .map_err(|error| directory.failed(&format!("cannot open {}", path.display()), error))
        };
        descriptors.extend([
            (lock, fd::LOCK),
            (self.listen(&directory.qmp_socket())?, fd::QMP),
            (self.listen(&directory.people_socket())?, fd::QMP_PEOPLE),
            (self.listen(&directory.serial_socket())?, fd::SERIAL),
            (journal.into(), fd::JOURNAL),
        ]);
        let (events, complaints) = (directory.file("events.log"), directory.file("qemu.log"));
        for path in [&events, &complaints] {
            opening(path, File::options().write(true).create(true).truncate(true))?;
        }
        let mut append = File::options();
        append.append(true).create(true);
        descriptors.push((opening(&events, &mut append)?, fd::JOURNAL_LOG));
        descriptors.push((opening(&directory.console_log(), &mut append)?, fd::CONSOLE_LOG));
        let complaints_file = File::from(opening(&complaints, &mut append)?);

        let read = || {
            let mut options = File::options();
            options.read(true);
            options
        };
        descriptors.push((opening(&spec.disk.base, &mut read())?, fd::BASE));
        descriptors.push((opening(&directory.file("overlay.qcow2"), read().write(true))?, fd::OVERLAY));
        let seed = directory.file("seed.img");
        let has_seed = seed.exists();
        if has_seed {
            let writable = arguments::seed_is_writable(spec.disk.bus);
            descriptors.push((opening(&seed, read().write(writable))?, fd::SEED));
        }
        let mut code = None;
        if let Some((found, template)) = &self.firmware {
            let vars = directory.file("vars.fd");
            if !vars.exists() {
                let template = fs::read(template);
                let template =
                    template.map_err(|error| directory.failed("cannot read the UEFI variables", error))?;
                directory.write_bytes("vars.fd", &template)?;
            }
            descriptors.push((opening(&vars, read().write(true))?, fd::VARS));
            code = Some(found.display().to_string());
        }
        let around = Surroundings {
            uuid: &self.uuid,
            execution: self.execution,
            has_seed,
            ovmf_code: code.as_deref(),
        };
        Ok(Launch {
            program: self.binary.clone(),
            arguments: arguments::arguments(spec, &around),
            user: self.user,
            kvm_group: (self.execution == Execution::Kvm).then(unprivileged::kvm_group).flatten(),
            descriptors,
            complaints: complaints_file,
            nic: spec.nic.clone(),
        })
    }

    /// A listening socket that only root may connect to.
    fn listen(&self, path: &Path) -> Result<OwnedFd> {
        let bound = (|| {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(listener.into())
        })();
        bound.map_err(|error| self.directory.failed(&format!("cannot listen on {}", path.display()), error))
    }
}

/// Opens the journal: a monitor that goes on telling events to its log after its one client has left.
async fn negotiate(journal: UnixStream) -> io::Result<()> {
    journal.set_nonblocking(true)?;
    let mut journal = tokio::net::UnixStream::from_std(journal)?;
    let exchange = async {
        journal.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").await?;
        let mut heard = Vec::new();
        while heard.len() < 64 << 10 {
            if journal.read_buf(&mut heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if heard.windows(8).any(|words| words == b"\"return\"") {
                return Ok(());
            }
        }
        Err(io::Error::other("the monitor says too much"))
    };
    tokio::time::timeout(ANSWER, exchange).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_the_ids_own() {
        let of = |id: &str| uuid(&MachineId::new(id).unwrap());
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a").len(), 36);
        assert_eq!(&of("a")[14..15], "8");
    }
}
