//! The end of whatever runs for a machine, watched or not, and of what the node did for it.
//!
//! Happy path: the task that watches the machine is told, records the reason, has QEMU quit.
//!
//! Failure paths: QEMU is killed after a moment, whatever stands in the way of the rest: a silent monitor, a disk that is
//! full. A process that nobody watches is found as [`Process::find`] says, and killed.

use std::time::Duration;

use super::directory::{Directory, ended_now};
use super::process::{self, Process};
use super::recovery::lock_is_released;
use super::watcher::{Watcher, kill_process};
use super::{Machine, Qemu, cgroup, tpm};
use crate::{Cause, MachineState, Result};

impl Qemu {
    /// Ends whatever runs, watched or not.
    pub(super) async fn force(&self, machine: &Machine, watcher: &mut Option<Watcher>) -> Result<()> {
        if let Err(error) = self.recover(machine, watcher).await {
            tracing::warn!(machine = %machine.directory.id(), %error, "the machine is ended without its monitor");
        }
        if let Some(running) = watcher.as_mut() {
            let ended = running.end(&machine.directory).await;
            *watcher = None;
            ended?;
        }
        self.force_unwatched(machine).await
    }

    /// Ends a process that no task watches, if there is one, and the TPM beside it.
    pub(super) async fn force_unwatched(&self, machine: &Machine) -> Result<()> {
        self.force_process(machine).await?;
        tpm::end(&machine.directory, self.user).await
    }

    async fn force_process(&self, machine: &Machine) -> Result<()> {
        let directory = &machine.directory;
        let (uuid, user) = (machine.uuid.clone(), self.user);
        let finding = directory.work(move |directory| {
            let lock_is_held = process::lock_is_held(directory)?;
            Ok((lock_is_held, Process::find(directory, &uuid, user, lock_is_held)))
        });
        let process = match finding.await? {
            (_, Some(process)) => process,
            (false, None) => return Ok(()),
            (true, None) if lock_is_released(directory).await? => return Ok(()),
            (true, None) => {
                return Err(directory.failure("its lock is held, but its process cannot be found in /proc"));
            }
        };
        kill_process(directory, &process, Duration::ZERO).await?;
        let seen = machine.state.borrow().clone();
        let ended = match seen {
            // A process that was never let go ran nothing, and so has no end.
            MachineState::Defined => return Ok(()),
            MachineState::Ended(seen) => seen,
            MachineState::Absent | MachineState::Running { .. } => {
                ended_now(Cause::Forced, "it was forced off")
            }
        };
        let ended = directory.record_end(ended).await;
        machine.state.send_replace(MachineState::Ended(ended));
        Ok(())
    }
}

/// Removes the cgroups of the last run.
pub(super) async fn release_cgroups(directory: &Directory) -> Result<()> {
    let mut pause = Duration::from_millis(5);
    let release = || {
        directory.work(|directory| match directory.run_record()? {
            Some(record) => cgroup::remove(&record.cgroups, directory.id()),
            None => Ok(()),
        })
    };
    // The kernel takes a moment to let a dead process go.
    for _ in 0..7 {
        if release().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    release().await
}
