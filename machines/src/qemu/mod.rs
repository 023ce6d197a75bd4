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
//! processors were never let go is ended and made anew by the next `start`; a recorded run without a process is
//! `Lost`; a directory without `spec.json` is `Absent` but listed, so that it can be defined again or destroyed.
//!
//! QEMU is trusted as little as its guest: it runs as an unprivileged user behind its seccomp sandbox, in the pod's
//! network namespace, and gets every file, socket and tap as an open descriptor. It owns no file on the node, and no
//! machine's process can reach another machine's files or monitor.

mod arguments;
mod bound;
mod cgroup;
mod config;
mod directory;
mod disk;
mod launch;
mod probe;
mod process;
mod qmp;
mod ready;
mod seed;
mod validate;
mod watcher;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{OnceCell, watch};

pub use config::{Accel, QemuConfig};

use self::arguments::Execution;
use self::config::User;
use self::directory::Directory;
use self::process::Process;
use self::watcher::{ANSWER, Attached, Watcher, kill_process};
use crate::{
    Cause, Console, Error, Firmware, MachineId, MachineSpec, MachineState, Provider, Result, StopMode,
};

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
        Arc::clone(machines.entry(id.clone()).or_insert_with(new))
    }

    /// Forgets a machine of which nothing exists and that nobody watches.
    fn forget(&self, machine: &Machine) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        if !machine.directory.exists() && machine.state.receiver_count() == 0 {
            machines.remove(machine.directory.id());
        }
    }

    /// Brings `state` in step with what is on the node, and watches the process if there is one.
    async fn recover(&self, machine: &Machine, watcher: &mut Option<Watcher>) -> Result<()> {
        if watcher.as_ref().is_some_and(|watcher| !watcher.is_over()) {
            return Ok(());
        }
        *watcher = None;
        let directory = &machine.directory;
        if directory.spec()?.is_none() {
            machine.state.send_replace(MachineState::Absent);
            return Ok(());
        }
        if process::take_lock(directory)?.is_none() {
            let process = Process::find(directory, &machine.uuid, self.user);
            let attached = Attached::new(directory, &machine.uuid).await;
            match (attached, process) {
                (Ok(attached), Some(process)) if attached.begun => {
                    let state = machine.state.clone();
                    let console = self.config.console_bytes;
                    *watcher = Some(attached.watch(directory.clone(), process, state, console));
                    return Ok(());
                }
                // Its start was interrupted: the next start begins anew.
                (Ok(_), Some(_)) => {
                    machine.state.send_replace(MachineState::Defined);
                    return Ok(());
                }
                (Ok(_), None) => return Err(directory.failure("its process cannot be found in /proc")),
                // It may be ending just now.
                (Err(error), process) => {
                    if let Some(process) = process {
                        let ended = process.ended(Duration::from_secs(2)).await;
                        if !ended.map_err(|error| directory.failed("cannot wait for its process", error))? {
                            return Err(error);
                        }
                    }
                    if !Self::lock_is_released(directory).await? {
                        return Err(error);
                    }
                }
            }
        }
        let state = match (directory.ended()?, directory.run_record()?) {
            (Some(ended), _) => MachineState::Ended(ended),
            (None, Some(_)) => MachineState::Ended(directory.record_end(
                Cause::Lost,
                "its process ended while no daemon ran, without a word from the guest",
            )?),
            (None, None) => MachineState::Defined,
        };
        machine.state.send_replace(state);
        Ok(())
    }

    /// Ends whatever runs, watched or not.
    async fn force(&self, machine: &Machine, watcher: &mut Option<Watcher>) -> Result<()> {
        let directory = &machine.directory;
        if let Err(error) = self.recover(machine, watcher).await {
            tracing::warn!(machine = %directory.id(), %error, "the machine is ended without its monitor");
        }
        if let Some(mut running) = watcher.take() {
            if !running.is_over() {
                directory.record_end(Cause::Forced, "it was forced off")?;
                running.end(directory).await?;
            }
            return Ok(());
        }
        if !directory.file("lock").exists() || process::take_lock(directory)?.is_some() {
            return Ok(());
        }
        let Some(process) = Process::find(directory, &machine.uuid, self.user) else {
            if Self::lock_is_released(directory).await? {
                return Ok(());
            }
            return Err(directory.failure("its lock is held, but its process cannot be found in /proc"));
        };
        kill_process(directory, &process, Duration::ZERO).await?;
        if *machine.state.borrow() != MachineState::Defined && directory.run_record()?.is_some() {
            let ended = directory.record_end(Cause::Forced, "it was forced off")?;
            machine.state.send_replace(MachineState::Ended(ended));
        }
        Ok(())
    }

    /// Whether the lock of a process that is ending is released soon. The kernel forgets a dead process's command line
    /// before it closes its files, so there is a moment at which the lock is held by nobody that can be found.
    async fn lock_is_released(directory: &Directory) -> Result<bool> {
        let mut pause = Duration::from_millis(5);
        for _ in 0..8 {
            if process::take_lock(directory)?.is_some() {
                return Ok(true);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(process::take_lock(directory)?.is_some())
    }

    async fn release_cgroups(directory: &Directory) -> Result<()> {
        let Some(record) = directory.run_record()? else { return Ok(()) };
        let mut pause = Duration::from_millis(5);
        // The kernel takes a moment to let a dead process go.
        for _ in 0..7 {
            if cgroup::remove(&record.cgroups, directory.id()).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        cgroup::remove(&record.cgroups, directory.id())
    }
}

#[async_trait]
impl Provider for Qemu {
    async fn check(&self) -> Result<()> {
        self.binary()?;
        self.qemu_img()?;
        for program in ["setsid", "setpriv"] {
            config::program(None, program, "util-linux")?;
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotReady(
                "machines are started by root, which gives up its rights for them; run the daemon as root"
                    .into(),
            ));
        }
        self.execution().await.map(drop)
    }

    async fn define(&self, spec: &MachineSpec) -> Result<()> {
        validate::specification(spec)?;
        disk::base_size(&spec.disk)?;
        if spec.firmware == Firmware::Uefi {
            config::ovmf(self.config.ovmf.as_ref())?;
        }
        let qemu_img = self.qemu_img()?;
        let machine = self.machine(&spec.id);
        let mut watcher = machine.watcher.lock().await;
        let directory = &machine.directory;
        if let Some(before) = directory.spec()? {
            if before.disk.base != spec.disk.base || before.disk.format != spec.disk.format {
                return Err(Error::Invalid(format!(
                    "machine {} has a disk over another base image, {}; destroy it first",
                    spec.id,
                    before.disk.base.display()
                )));
            }
            self.recover(&machine, &mut watcher).await?;
            if watcher.is_some() {
                return Ok(());
            }
        }
        directory.make()?;
        disk::make_overlay(directory, &qemu_img, &spec.disk).await?;
        if let Some(seed) = &spec.seed {
            let volume =
                seed::volume(seed).map_err(|error| directory.failed("cannot build its seed", error))?;
            directory.write_bytes("seed.img", &volume)?;
        }
        directory.write_spec(spec)?;
        self.recover(&machine, &mut watcher).await
    }

    async fn start(&self, id: &MachineId) -> Result<()> {
        let machine = self.machine(id);
        let mut watcher = machine.watcher.lock().await;
        self.recover(&machine, &mut watcher).await?;
        let directory = &machine.directory;
        let Some(spec) = directory.spec()? else {
            drop(watcher);
            self.forget(&machine);
            return Err(Error::NotFound(id.to_string()));
        };
        if watcher.is_some() {
            return Ok(());
        }
        validate::specification(&spec)?;
        let binary = self.binary()?;
        let execution = self.execution().await?;
        let lock = if let Some(lock) = process::take_lock(directory)? {
            lock
        } else {
            // A process whose processors were never let go.
            self.force(&machine, &mut watcher).await?;
            process::take_lock(directory)?.ok_or_else(|| directory.failure("its lock is still held"))?
        };
        Self::release_cgroups(directory).await?;
        let launched = launch::Start {
            directory,
            spec: &spec,
            uuid: &machine.uuid,
            binary,
            user: self.user,
            execution,
            ovmf: self.config.ovmf.as_ref(),
        };
        match launched.run(lock).await {
            Ok((attached, process)) => {
                let state = machine.state.clone();
                let console = self.config.console_bytes;
                *watcher = Some(attached.watch(directory.clone(), process, state, console));
                Ok(())
            }
            Err(error) => {
                if let Some(process) = Process::find(directory, &machine.uuid, self.user) {
                    kill_process(directory, &process, Duration::ZERO).await?;
                }
                Self::release_cgroups(directory).await?;
                directory.clear_run()?;
                machine.state.send_replace(MachineState::Defined);
                Err(error)
            }
        }
    }

    async fn watch(&self, id: &MachineId) -> Result<watch::Receiver<MachineState>> {
        let machine = self.machine(id);
        let mut watcher = machine.watcher.lock().await;
        self.recover(&machine, &mut watcher).await?;
        Ok(machine.state.subscribe())
    }

    async fn stop(&self, id: &MachineId, mode: StopMode) -> Result<()> {
        let machine = self.machine(id);
        let mut watcher = machine.watcher.lock().await;
        if mode == StopMode::Force {
            return self.force(&machine, &mut watcher).await;
        }
        self.recover(&machine, &mut watcher).await?;
        let Some(running) = watcher.as_ref() else { return Ok(()) };
        match running.qmp.execute("system_powerdown", json!({}), ANSWER).await {
            Ok(_) => Ok(()),
            // It ended in the meantime, or is about to.
            Err(_)
                if running.is_over() || !matches!(*machine.state.borrow(), MachineState::Running { .. }) =>
            {
                Ok(())
            }
            Err(error) => Err(machine.directory.failed("cannot press its power button", error)),
        }
    }

    async fn destroy(&self, id: &MachineId) -> Result<()> {
        let machine = self.machine(id);
        {
            let mut watcher = machine.watcher.lock().await;
            if machine.directory.exists() {
                self.force(&machine, &mut watcher).await?;
                *watcher = None;
                Self::release_cgroups(&machine.directory).await?;
                machine.directory.remove()?;
            }
            machine.state.send_replace(MachineState::Absent);
        }
        self.forget(&machine);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<MachineId>> {
        let mut found = BTreeSet::new();
        for place in [&self.config.root, &self.config.run] {
            let failed =
                |error| Error::failed(format!("cannot list the machines in {}", place.display()), error);
            for entry in std::fs::read_dir(place).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                found.extend(name.to_str().and_then(|name| MachineId::new(name).ok()));
            }
        }
        Ok(found.into_iter().collect())
    }

    fn console(&self, id: &MachineId) -> Option<Console> {
        let directory = self.directory(id);
        Some(Console { log: directory.console_log(), socket: directory.serial_socket() })
    }
}
