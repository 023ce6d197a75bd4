//! What the node tells of a machine that no task watches: after a restart of the daemon, and after each end.
//!
//! ```text
//!   spec.json? --no--> Absent
//!     | yes
//!   a process? --yes--> its monitor answers: let go --> watched, Running        never let go --> Defined
//!     | no                          silent: it is ending (then as on the left), or an error
//!   ended.json? --yes--> Ended(as recorded)
//!     | no
//!   process.json? --yes--> Ended(as this daemon saw it, else Lost), recorded now
//!     | no
//!   Defined
//! ```

use std::time::Duration;

use super::directory::{Directory, ended_now};
use super::process::{self, Process};
use super::watcher::{Attached, Watcher, cause_of_loss, words};
use super::{Machine, Qemu};
use crate::{Cause, Ended, MachineState, Result};

/// How long a process whose monitor is silent may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// What the files and the process of a machine tell.
#[derive(Debug)]
struct Traces {
    is_defined: bool,
    lock_is_held: bool,
    process: Option<Process>,
    ended: Option<Ended>,
    /// Whether a process was made for the last start, so that guest code may have run.
    ran: bool,
}

impl Qemu {
    /// Brings `state` in step with what is on the node, and watches the process if there is one.
    pub(super) async fn recover(&self, machine: &Machine, watcher: &mut Option<Watcher>) -> Result<()> {
        if watcher.as_ref().is_some_and(|watcher| !watcher.is_over()) {
            return Ok(());
        }
        *watcher = None;
        let directory = &machine.directory;
        let found = self.look(machine).await?;
        if !found.is_defined {
            machine.state.send_replace(MachineState::Absent);
            return Ok(());
        }
        if found.lock_is_held || found.process.is_some() {
            match (Attached::new(directory, &machine.uuid).await, found.process) {
                (Ok(attached), Some(process)) if attached.begun => {
                    let record = process.record.clone();
                    // Without it, a later end of the node would look as if nothing had run.
                    let kept = directory.work(move |directory| match directory.process() {
                        Some(before) if before == record => Ok(()),
                        _ => directory.write_process(&record),
                    });
                    if let Err(error) = kept.await {
                        tracing::warn!(machine = %directory.id(), %error, "the machine's process is not recorded");
                    }
                    *watcher = Some(self.attend(machine, attached, process));
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
                        let ended = process.ended(ENDING).await;
                        if !ended.map_err(|error| directory.failed("cannot wait for its process", error))? {
                            return Err(error);
                        }
                    }
                    if !lock_is_released(directory).await? {
                        return Err(error);
                    }
                }
            }
        }
        let seen = match &*machine.state.borrow() {
            MachineState::Ended(seen) => Some(seen.clone()),
            _ => None,
        };
        let state = match (found.ended, found.ran) {
            (Some(ended), _) => MachineState::Ended(ended),
            (None, true) => {
                let ended = match (seen, cause_of_loss(directory).await) {
                    (Some(seen), _) => seen,
                    (None, Cause::Lost) => ended_now(
                        Cause::Lost,
                        "its process ended while no daemon ran, without a word from the guest",
                    ),
                    (None, cause) => ended_now(cause, words(cause)),
                };
                MachineState::Ended(directory.record_end(ended).await)
            }
            (None, false) => MachineState::Defined,
        };
        machine.state.send_replace(state);
        Ok(())
    }

    async fn look(&self, machine: &Machine) -> Result<Traces> {
        let (uuid, user) = (machine.uuid.clone(), self.user);
        let looking = machine.directory.work(move |directory| {
            let lock_is_held = process::lock_is_held(directory)?;
            Ok(Traces {
                is_defined: directory.spec()?.is_some(),
                lock_is_held,
                process: Process::find(directory, &uuid, user, lock_is_held),
                ended: directory.ended()?,
                ran: directory.process().is_some(),
            })
        });
        looking.await
    }

    /// Watches a process from now on.
    pub(super) fn attend(&self, machine: &Machine, attached: Attached, process: Process) -> Watcher {
        let (directory, state) = (machine.directory.clone(), machine.state.clone());
        attached.watch(directory, process, state, self.user, self.config.console_bytes)
    }
}

/// Whether the lock of a process that is ending is released soon. The kernel forgets a dead process's command line
/// before it closes its files, so there is a moment at which the lock is held by nobody that can be found.
pub(super) async fn lock_is_released(directory: &Directory) -> Result<bool> {
    let mut pause = Duration::from_millis(5);
    for _ in 0..8 {
        if !process::lock_is_held(directory)? {
            return Ok(true);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    process::lock_is_held(directory).map(|held| !held)
}
