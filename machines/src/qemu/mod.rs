//! Machines on this node, run by QEMU.
//!
//! ```text
//!   define: directory, overlay, seed, spec.json          start: lock, run.json, sockets, process, identity, cgroup, go
//!   Absent -----------------------------------> Defined ---------------------------------------------> Running
//!                                                 ^                                                       |
//!                                                 |  start again                     ended.json, QEMU quits
//!                                                 +--------------------------- Ended <--------------------+
//! ```
//!
//! Happy path: [`Qemu::open`], then the calls of [`Provider`]. The process survives the daemon; the next daemon finds
//! it by its lock, its socket and its identity, and its events in a journal that QEMU writes itself.
//!
//! Failure paths: whatever instant the daemon is killed at, the directory tells how far it came. A process whose
//! processors were never let go is ended and made anew by the next `start`; a recorded process that is no more is
//! `Lost`; a directory without `spec.json` is `Absent` but listed, so that it can be defined again or destroyed. On a
//! full disk guests that write stand still until there is space again, and machines can be stopped and destroyed.
//!
//! QEMU is trusted as little as its guest: it runs as an unprivileged user behind its seccomp sandbox, in the pod's
//! network namespace, and gets every file, socket and tap as an open descriptor. It owns no file on the node, and no
//! machine's process can reach another machine's files or monitor. A machine's TPM is a process of its own beside it.

mod arguments;
mod bound;
mod cgroup;
mod config;
mod directory;
mod disk;
mod force;
mod launch;
mod meter;
mod probe;
mod process;
mod provider;
mod qmp;
mod ready;
mod recovery;
mod resize;
mod seed;
mod stall;
mod tpm;
mod unprivileged;
mod validate;
mod watcher;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, watch};

pub use config::{Accel, QemuConfig};

use self::arguments::Execution;
use self::config::User;
use self::directory::Directory;
use self::watcher::Watcher;
use crate::{Error, MachineId, MachineState, Result};

/// The QEMU provider.
#[derive(Debug)]
pub struct Qemu {
    config: QemuConfig,
    user: User,
    execution: OnceCell<Execution>,
    machines: Mutex<HashMap<MachineId, Arc<Machine>>>,
}

/// One machine as this daemon knows it.
#[derive(Debug)]
struct Machine {
    directory: Directory,
    uuid: String,
    state: watch::Sender<MachineState>,
    /// Held by whoever changes the machine.
    watcher: tokio::sync::Mutex<Option<Watcher>>,
}

impl Qemu {
    /// Makes the directories, and finds the user. Machines are looked at when they are asked for.
    pub fn open(config: QemuConfig) -> Result<Self> {
        let user = User::resolve(&config.user)?;
        for path in [&config.root, &config.run] {
            std::fs::create_dir_all(path).map_err(|error| {
                Error::failed(format!("cannot make the directory {} of machines", path.display()), error)
            })?;
        }
        Ok(Self { config, user, execution: OnceCell::new(), machines: Mutex::default() })
    }

    /// `qemu-system-x86_64`.
    fn binary(&self) -> Result<PathBuf> {
        config::program(self.config.binary.as_deref(), "qemu-system-x86_64", "qemu-system-x86")
    }

    fn swtpm(&self) -> Result<PathBuf> {
        config::program(self.config.swtpm.as_deref(), "swtpm", "swtpm")
    }

    fn qemu_img(&self) -> Result<PathBuf> {
        config::program(self.config.qemu_img.as_deref(), "qemu-img", "qemu-utils")
    }

    /// How guest code is executed; found out once.
    async fn execution(&self) -> Result<Execution> {
        let find = async || {
            if self.config.accel == Accel::Tcg {
                return Ok(Execution::Tcg);
            }
            match probe::kvm_works(&self.binary()?, self.user).await {
                Ok(()) => Ok(Execution::Kvm),
                Err(reason) if self.config.accel == Accel::Kvm => Err(Error::NotReady(format!(
                    "KVM is configured and does not work here: {reason}; give the user {} access to /dev/kvm, or \
                     configure emulation",
                    self.config.user
                ))),
                Err(reason) => {
                    tracing::info!(reason, "machines are emulated, since KVM does not work here");
                    Ok(Execution::Tcg)
                }
            }
        };
        self.execution.get_or_try_init(find).await.copied()
    }

    fn directory(&self, id: &MachineId) -> Directory {
        Directory::new(&self.config.root, &self.config.run, id)
    }

    fn machine(&self, id: &MachineId) -> Arc<Machine> {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Machine {
                directory: self.directory(id),
                uuid: launch::uuid(id),
                state: watch::Sender::new(MachineState::Absent),
                watcher: tokio::sync::Mutex::default(),
            })
        };
        if !machines.contains_key(id) {
            machines.retain(|_, machine| {
                // Nothing is known of it that the node does not tell, and nobody looks at it.
                let idle = Arc::strong_count(machine) == 1 && machine.state.receiver_count() == 0;
                !(idle && *machine.state.borrow() == MachineState::Absent)
            });
        }
        Arc::clone(machines.entry(id.clone()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Provider, StopMode};

    #[tokio::test]
    async fn what_is_absent_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = Qemu::open(QemuConfig {
            root: dir.path().join("machines"),
            run: dir.path().join("run"),
            binary: None,
            qemu_img: None,
            swtpm: None,
            user: "1".into(),
            accel: Accel::Tcg,
            ovmf: None,
            ovmf_secure: None,
            console_bytes: 1 << 20,
        })
        .unwrap();
        let id = |n: u32| MachineId::new(format!("m{n}")).unwrap();
        let watched = qemu.watch(&id(0)).await.unwrap();
        for n in 1..100 {
            qemu.stop(&id(n), StopMode::Force).await.unwrap();
            drop(qemu.watch(&id(n)).await.unwrap());
        }
        assert_eq!(qemu.machines.lock().unwrap().len(), 2, "the watched one and the last");
        let state = &qemu.machine(&id(0)).state;
        assert_eq!(state.receiver_count(), 1, "the watch is still of the machine");
        drop(watched);
    }
}
