//! Containers that are processes: their machine is made with the first of them, and ends with the pod.
//!
//! ```text
//!   create: machine found or made --> recorded      start: machine started --> followed (crate::pod::process) --> told
//! ```
//!
//! The machine is a container of its own in the records, [`Role::Host`], which lists show to nobody; or it is the
//! pod's one container without a command, which has come first or has taken it over ([`super::adopt`]). When it has ended the pod is spent: it becomes not ready, so
//! that the kubelet makes a new one and runs the init containers again.

mod end;

use std::collections::BTreeMap;

use guests::process::{Limits, ProcessId, ProcessSpec, StdinMode, User};

use super::Owner;
use crate::convert::container::log_path;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::logs::ProcessLog;
use crate::pod::process::{Process, ProcessConfig, Told, What};
use crate::pod::request::NewContainer;
use crate::pod::view::is_live;
use crate::pod::{machine, now, secret, size, stop};
use crate::store::{ContainerPhase, ContainerRecord, ProcessRecord, ProcessStdin, Resources, Role};
use crate::volume::{Keeper, Volumes};

/// The name of the container record that is the machine of a pod of processes: no container of a pod can have it.
const HOST: &str = "";
impl Owner {
    /// Makes a process of the pod's machine, and the machine with the first one.
    pub(super) async fn create_process(
        &mut self,
        new: NewContainer,
        process: ProcessRecord,
        id: String,
    ) -> Result<()> {
        if !self.guests_answer() {
            return Err(Error::invalid(format!(
                "the provider {:?} has no way into its guests, so nothing can be run in them; leave `command` and `args` \
                 out",
                self.pod.provider
            )));
        }
        let machine = match self.machine_for_processes() {
            Some(found) => {
                self.has_image(found, &new)?;
                found.machine.clone()
            }
            None if self.is_spent() => return Err(self.spent()),
            None => self.create_host(&new).await?,
        };
        let mut record = self.record(new, id, machine, Role::Process(Box::new(process)));
        self.spec(&record)?;
        record.phase = ContainerPhase::Created;
        self.save(record).await?;
        reached(Step::ContainerCreated);
        Ok(())
    }

    /// Makes the machine for processes of this image.
    async fn create_host(&mut self, like: &NewContainer) -> Result<machines::MachineId> {
        let id = machine::container_id(&self.pod.id, HOST, 0);
        let machine = machine::machine_id(&id)?;
        let new = NewContainer {
            name: HOST.to_owned(),
            attempt: 0,
            labels: BTreeMap::default(),
            annotations: BTreeMap::default(),
            mounts: Vec::new(),
            log_path: String::new(),
            // All containers share it: what the pod asks for is its size.
            resources: Resources::default(),
            ..like.clone()
        };
        self.create_machine(self.record(new, id, machine.clone(), Role::Host)).await?;
        Ok(machine)
    }

    /// Refuses a container whose image is not that of the machine which it would share.
    pub(super) fn has_image(&self, machine: &ContainerRecord, new: &NewContainer) -> Result<()> {
        if machine.image_id == new.found.id {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "pod {} runs the image {}, and a machine has one image; give container {:?} the same instead of {}",
            self.pod.id, machine.image, new.name, new.image
        )))
    }

    /// The machine that a process runs in.
    fn machine_of(&self, process: &ContainerRecord) -> Option<&ContainerRecord> {
        self.each().find(|record| record.is_machine() && record.machine == process.machine)
    }

    /// The machine that processes can be run in.
    fn machine_for_processes(&self) -> Option<&ContainerRecord> {
        self.each().find(|record| {
            record.is_machine() && (record.phase == ContainerPhase::Created || is_live(record.phase))
        })
    }

    /// Whether a machine runs, or shall.
    pub(in crate::pod) fn has_live_machine(&self) -> bool {
        self.each().any(|record| self.machine_runs(record))
    }

    /// Whether the pod had processes and has lost the machine that they ran in.
    pub(super) fn is_spent(&self) -> bool {
        let processes = self.each().any(|record| !record.is_machine());
        let ended = |record: &ContainerRecord| {
            record.phase == ContainerPhase::Exited && (processes || matches!(record.role, Role::Host))
        };
        self.machine_for_processes().is_none()
            && self.each().any(|record| record.is_machine() && ended(record))
    }

    /// What a container is told that comes to a spent pod.
    pub(super) fn spent(&self) -> Error {
        Error::Conflict(format!("the machine of pod {} has ended; the kubelet makes a new pod", self.pod.id))
    }

    /// Starts a process, and its machine where it does not run yet.
    pub(super) async fn start_process(&mut self, mut record: ContainerRecord) -> Result<()> {
        match self.machine_of(&record).cloned() {
            Some(machine) if self.machine_runs(&machine) => {}
            Some(machine) if machine.phase == ContainerPhase::Created => self.start_machine(machine).await?,
            _ => return Err(self.spent()),
        }
        record.phase = ContainerPhase::Starting;
        record.started_at = Some(now());
        self.save(record.clone()).await?;
        reached(Step::StartRecorded);
        let followed = self.follow(&record, false).await;
        if let Err(error) = &followed {
            // Nothing was sent to the guest.
            self.end_process(&record.id, &stop::start_error(&error.chain())).await?;
        }
        followed
    }

    /// Goes on following a process that its guest may know.
    pub(super) async fn follow_process(&mut self, record: &ContainerRecord) -> Result<()> {
        self.follow(record, true).await
    }

    /// Follows a process, after starting it where nobody has seen it started.
    async fn follow(&mut self, record: &ContainerRecord, tried: bool) -> Result<()> {
        let Some(live) = &self.live else {
            if self.has_live_machine() {
                return Err(Error::Unavailable(format!(
                    "the machine of container {} cannot be followed now; it is tried again",
                    record.id
                )));
            }
            return self.end_process(&record.id, &stop::without_machine()).await;
        };
        let (sessions, guest) = (live.sessions.subscribe(), live.guest.clone());
        let (path, checkpoint) = (log_path(record, &self.pod), self.checkpoint(&record.id));
        let log = tokio::task::spawn_blocking(move || ProcessLog::open(path, checkpoint));
        let log = log.await.map_err(|source| Error::failed("opening the log panicked", source))??;
        let config = ProcessConfig {
            container: record.id.clone(),
            spec: self.spec(record)?,
            volumes: self.volumes(record, &live.volumes)?,
            started: record.answered,
            tried,
            sessions,
            guest,
            log,
            start_wait: (record.phase == ContainerPhase::Starting).then(|| self.context.start_wait()),
        };
        self.processes.insert(record.id.clone(), Process::spawn(config, self.told.0.clone()));
        Ok(())
    }

    /// Hears what a process's task tells.
    pub(super) async fn told(&mut self, told: Told) -> Result<()> {
        let Told { container, what } = told;
        if let What::Updated(result, updated, reply) = what {
            let _ = reply.send(self.updated(&container, result, updated).await);
            return Ok(());
        }
        if let What::Cleaned(result, reply) = what {
            let result = match (result, self.recorded(&container)) {
                (Ok(()), Some(record)) => self.undo_container(&record).await,
                (result, _) => result,
            };
            // Whoever asked may have gone.
            let _ = reply.send(result);
            return Ok(());
        }
        let Some(mut record) = self.recorded(&container).filter(|record| is_live(record.phase)) else {
            return Ok(());
        };
        match what {
            What::Started(since, identity) => {
                record.answered = true;
                record.identity = identity;
                record.started_at = Some(since);
                self.runs_now(record).await
            }
            What::Waits => self.runs_now(record).await,
            What::Failed(why) => self.end_process(&container, &stop::start_error(&why)).await,
            What::Lost(why) => self.end_process(&container, &stop::process_lost(&why)).await,
            What::NeverBegan => self.end_process(&container, &stop::never_began()).await,
            What::Exited(exit) => {
                let kept = self.keep_message(&record, &exit).await;
                let overdue =
                    record.phase == ContainerPhase::Stopping && record.stop_by.is_some_and(|by| now() >= by);
                self.end_process(&container, &stop::process_exit(&exit, kept, overdue)).await
            }
            What::Cleaned(..) | What::Updated(..) => unreachable!("it was answered above"),
        }
    }

    async fn runs_now(&mut self, mut record: ContainerRecord) -> Result<()> {
        if record.phase == ContainerPhase::Starting {
            record.phase = ContainerPhase::Running;
        }
        let id = record.id.clone();
        let saved = self.save(record).await;
        if saved.is_err() {
            // Followed anew when it is settled, it tells this again.
            self.processes.remove(&id);
        }
        saved?;
        reached(Step::RunningRecorded);
        Ok(())
    }

    /// The volumes that a container wants, on the machine whose volumes are kept by this.
    pub(super) fn volumes(&self, record: &ContainerRecord, keeper: &Keeper) -> Result<Volumes> {
        let login = secret::named(&self.pod.annotations);
        Ok(Volumes::of(record, &self.context.config.kubelet_root_dir, login, keeper)?)
    }

    /// What the guest is asked to run. A limit that the machine itself keeps is none for the guest.
    pub(super) fn spec(&self, record: &ContainerRecord) -> Result<ProcessSpec> {
        let process = record.process().ok_or_else(|| Error::invalid("the container is no process"))?;
        let ProcessRecord {
            argv,
            env,
            working_dir,
            user,
            stdin,
            tty,
            capabilities,
            no_new_privileges,
            message_path,
            stop_signal,
        } = process.clone();
        let own = self.machine_of(record).map_or_else(Resources::default, |machine| machine.resources);
        let size = size::size(own, self.pod.resources, &record.facts, &self.context.config.machine)?;
        // A machine that was there before keeps nobody's limit.
        let (cpus, memory) = if self.adopts() {
            (u64::MAX, u64::MAX)
        } else {
            (u64::from(size.cpus) * 1000, u64::from(size.memory_mib) << 20)
        };
        Ok(ProcessSpec {
            id: process_id(&record.id)?,
            argv,
            env,
            working_dir,
            user: User {
                uid: user.uid,
                name: user.name,
                gid: user.gid,
                groups: user.groups,
                strict: user.strict,
            },
            stdin: match stdin {
                ProcessStdin::Closed => StdinMode::Closed,
                ProcessStdin::Once => StdinMode::Once,
                ProcessStdin::Kept => StdinMode::Kept,
            },
            tty,
            limits: Limits {
                milli_cpus: record.resources.milli_cpus.filter(|limit| *limit < cpus),
                memory_bytes: record.resources.memory_bytes.filter(|limit| *limit < memory),
                pids: None,
            },
            capabilities,
            no_new_privileges,
            message_path,
            stop_signal,
        })
    }
}

/// A process's name in its guest is its container's id.
pub fn process_id(container: &str) -> Result<ProcessId> {
    Ok(ProcessId::new(container)?)
}
