//! The calls of [`Provider`], each idempotent and each alone with its machine.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;

use super::directory::Directory;
use super::force::release_cgroups;
use super::qmp::QmpError;
use super::watcher::ANSWER;
use super::{Qemu, config, disk, launch, process, seed, validate};
use crate::{
    Console, Error, MachineId, MachineSpec, MachineState, Provider, Resize, Result, StopMode, Tpm, Usage,
};

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
        self.config.firmware(spec.firmware)?;
        if spec.tpm == Tpm::V2 {
            self.swtpm()?;
        }
        let qemu_img = self.qemu_img()?;
        let machine = self.machine(&spec.id);
        let mut watcher = machine.watcher.lock().await;
        let directory = &machine.directory;
        let root = spec.disk.clone();
        let looking = directory.work(move |directory| Ok((disk::base_size(&root)?, directory.spec()?)));
        let (base_size, before) = looking.await?;
        if let Some(before) = before {
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
        directory.work(Directory::make).await?;
        disk::make_overlay(directory, &qemu_img, &spec.disk, base_size).await?;
        let spec = spec.clone();
        let writing = directory.work(move |directory| {
            if let Some(seed) = &spec.seed {
                let volume =
                    seed::volume(seed).map_err(|error| directory.failed("cannot build its seed", error))?;
                directory.write_bytes("seed.img", &volume)?;
            }
            directory.write_spec(&spec)
        });
        writing.await?;
        self.recover(&machine, &mut watcher).await
    }

    async fn start(&self, id: &MachineId) -> Result<()> {
        let machine = self.machine(id);
        let mut watcher = machine.watcher.lock().await;
        self.recover(&machine, &mut watcher).await?;
        let directory = &machine.directory;
        let Some(spec) = directory.work(Directory::spec).await? else {
            return Err(Error::NotFound(id.to_string()));
        };
        if watcher.is_some() {
            return Ok(());
        }
        validate::specification(&spec)?;
        let binary = self.binary()?;
        let swtpm = (spec.tpm == Tpm::V2).then(|| self.swtpm()).transpose()?;
        let firmware = self.config.firmware(spec.firmware)?;
        let execution = self.execution().await?;
        // What still runs is a process whose processors were never let go.
        self.force_unwatched(&machine).await?;
        let lock = directory.work(process::take_lock).await?;
        let lock = lock.ok_or_else(|| directory.failure("its lock is still held"))?;
        release_cgroups(directory).await?;
        let launched = launch::Start {
            directory: directory.clone(),
            spec,
            uuid: machine.uuid.clone(),
            binary,
            swtpm,
            user: self.user,
            execution,
            firmware,
        };
        match launched.run(lock).await {
            Ok((attached, process)) => {
                *watcher = Some(self.attend(&machine, attached, process));
                Ok(())
            }
            Err(error) => {
                machine.state.send_replace(MachineState::Defined);
                self.force_unwatched(&machine).await?;
                release_cgroups(directory).await?;
                directory.work(Directory::clear_run).await?;
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
            // Without the connection it is about to end, which the watch tells.
            Ok(_) | Err(QmpError::Closed | QmpError::Io(_)) => Ok(()),
            // It ended in the meantime.
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
        let mut watcher = machine.watcher.lock().await;
        if machine.directory.exists() {
            self.force(&machine, &mut watcher).await?;
            release_cgroups(&machine.directory).await?;
            machine.directory.work(Directory::remove).await?;
        }
        machine.state.send_replace(MachineState::Absent);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<MachineId>> {
        let places = [self.config.root.clone(), self.config.run.clone()];
        let listing = tokio::task::spawn_blocking(move || {
            let mut found = BTreeSet::new();
            for place in &places {
                let failed =
                    |error| Error::failed(format!("cannot list the machines in {}", place.display()), error);
                for entry in std::fs::read_dir(place).map_err(failed)? {
                    let name = entry.map_err(failed)?.file_name();
                    found.extend(name.to_str().and_then(|name| MachineId::new(name).ok()));
                }
            }
            Ok(found.into_iter().collect())
        });
        listing.await.map_err(|error| Error::failed("the list of machines was broken off", error))?
    }

    async fn usage(&self, id: &MachineId) -> Result<Option<Usage>> {
        let machine = self.machine(id);
        // Whoever changes the machine may take long, and is not waited for.
        let meter = match machine.watcher.try_lock() {
            Ok(watcher) => {
                watcher.as_ref().filter(|running| !running.is_over()).map(|running| running.meter.clone())
            }
            Err(_) => None,
        };
        match meter {
            Some(meter) => meter.measure().await.map(Some),
            None => Ok(None),
        }
    }

    fn resizing(&self) -> Option<&dyn Resize> {
        Some(self)
    }

    fn console(&self, id: &MachineId) -> Option<Console> {
        let directory = self.directory(id);
        Some(Console { log: directory.console_log(), socket: directory.serial_socket() })
    }
}
