//! Containers that are processes: their machine is made with the first of them, and ends with the pod.
//!
//! ```text
//!   create: machine found or made --> recorded      start: machine started --> followed (crate::pod::process) --> told
//! ```
//!
//! The machine is a container of its own in the records, [`Role::Host`], which lists show to nobody; or it is the
//! pod's one container without a command, which has come first or has taken it over ([`super::adopt`]). When it has ended the pod is spent: it becomes not ready, so
//! that the kubelet makes a new one and runs the init containers again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guests::process::{Limits, MAX_MESSAGE_BYTES, ProcessExit, ProcessId, ProcessSpec, StdinMode, User};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{LAST_LINES, Owner};
use crate::convert::container::log_path;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::logs::ProcessLog;
use crate::pod::process::{Process, ProcessConfig, Told, What, guest_of};
use crate::pod::request::NewContainer;
use crate::pod::view::{View, is_live};
use crate::pod::{machine, now, secret, size, stop};
use crate::store::{
    ContainerPhase, ContainerRecord, ExitRecord, ProcessRecord, ProcessStdin, Resources, Role,
};
use crate::volume::{Keeper, Volumes};

/// The name of the container record that is the machine of a pod of processes: no container of a pod can have it.
const HOST: &str = "";
/// How long after its grace period a process may still be there, until its machine is ended: longer than a guest may take
/// to be told a signal, and less than the kubelet waits.
const STOP_MARGIN: Duration = Duration::from_secs(60);
/// How long a guest may take to remove what is left of a process.
const CLEANING: Duration = Duration::from_secs(30);

impl Owner {
    /// Makes a process of the pod's machine, and the machine with the first one.
    pub(super) async fn create_process(
        &mut self,
        new: NewContainer,
        process: ProcessRecord,
        id: String,
    ) -> Result<()> {
        if self.transport().is_none() {
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

    /// Begins to stop a process; its task tells when it has ended.
    pub(super) async fn stop_process(&mut self, mut record: ContainerRecord, grace: Duration) -> Result<()> {
        if record.phase != ContainerPhase::Stopping {
            record.phase = ContainerPhase::Stopping;
            record.stop_by = Some(now().saturating_add(i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX)));
            self.save(record.clone()).await?;
            reached(Step::StopRecorded);
        }
        self.force_later(&record);
        match self.processes.get(&record.id) {
            Some(process) => process.stop(grace).await,
            None if self.has_live_machine() => {
                // It could not be followed so far, and may run all the same.
                self.follow_process(&record).await?;
                if let Some(process) = self.processes.get(&record.id) {
                    process.stop(grace).await;
                }
            }
            None => self.end_process(&record.id, &stop::without_machine()).await?,
        }
        Ok(())
    }

    /// Has it seen to that a process which cannot be stopped ends with its machine.
    fn force_later(&mut self, record: &ContainerRecord) {
        let left = record.stop_by.unwrap_or_default().saturating_sub(now());
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or_default());
        let Some(force_at) = Instant::now().checked_add(left + STOP_MARGIN) else { return };
        self.settle_at = Some(self.settle_at.map_or(force_at, |earlier| earlier.min(force_at)));
    }

    /// Ends the machine of a process that should long have stopped: its guest is silent, or cannot end it.
    pub(super) async fn force_overdue(&mut self) -> Result<()> {
        let stopping =
            |record: &ContainerRecord| !record.is_machine() && record.phase == ContainerPhase::Stopping;
        for record in self.records().into_iter().filter(stopping) {
            let due = record.stop_by.is_some_and(|by| {
                now().saturating_sub(by) >= i64::try_from(STOP_MARGIN.as_nanos()).unwrap_or(i64::MAX)
            });
            match self.machine_of(&record).cloned().filter(|machine| self.machine_runs(machine)) {
                Some(machine) if due => {
                    tracing::warn!(
                        container = record.id,
                        "it did not stop in its guest; its machine is ended"
                    );
                    self.end(machine).await?;
                }
                _ if due => self.end_process(&record.id, &stop::without_machine()).await?,
                _ => self.force_later(&record),
            }
        }
        Ok(())
    }

    /// Ends the processes of a machine that has ended, after their last lines.
    pub(super) async fn end_processes(&mut self, machine: &ContainerRecord, exit: &ExitRecord) -> Result<()> {
        let of_machine =
            |record: &&ContainerRecord| !record.is_machine() && record.machine == machine.machine;
        let ids: Vec<String> = self.each().filter(of_machine).map(|record| record.id.clone()).collect();
        let mut words = Vec::new();
        {
            let followed = ids.iter().filter_map(|id| self.processes.get(id));
            let finished = futures_util::future::join_all(followed.map(|process| process.finish(LAST_LINES)));
            tokio::pin!(finished);
            loop {
                tokio::select! {
                    biased;
                    Some(told) = self.told.1.recv() => words.push(*told),
                    _ = &mut finished => break,
                }
            }
        }
        // One that ended by itself just before has an end of its own.
        for told in words {
            Box::pin(self.told(told)).await?;
        }
        for id in ids {
            self.end_process(&id, &stop::with_machine(exit)).await?;
        }
        Ok(())
    }

    /// Returns when no process of the pod runs.
    pub(super) fn processes_end(&self) -> impl Future<Output = ()> + use<> {
        let mut view = self.view.subscribe();
        async move {
            let live = |view: &Arc<View>| {
                view.containers
                    .values()
                    .any(|container| container.is_live() && !container.record.is_machine())
            };
            let _ = view.wait_for(|view| !live(view)).await;
        }
    }

    /// Records the end of a process that runs, or shall.
    pub(super) async fn end_process(&mut self, id: &str, exit: &ExitRecord) -> Result<()> {
        self.processes.remove(id);
        let Some(mut record) = self.recorded(id).filter(|record| is_live(record.phase)) else {
            return Ok(());
        };
        record.phase = ContainerPhase::Exited;
        record.exit = Some(exit.clone());
        self.save(record).await?;
        reached(Step::ExitRecorded);
        Ok(())
    }

    /// Puts a process's last words where the kubelet reads them. Whether they are there.
    async fn keep_message(&self, record: &ContainerRecord, exit: &ProcessExit) -> bool {
        let path = record.process().and_then(|process| process.message_path.as_deref());
        let mount = record.mounts.iter().find(|mount| Some(mount.container_path.as_str()) == path);
        let (Some(mount), false) = (mount, exit.message.is_empty()) else { return false };
        let words = exit.message.as_bytes();
        let written = tokio::fs::write(&mount.host_path, &words[..words.len().min(MAX_MESSAGE_BYTES)]).await;
        if let Err(error) = &written {
            tracing::warn!(container = record.id, %error, "the termination message is told with the exit instead");
        }
        written.is_ok()
    }

    /// Removes a container for whoever asked. What a guest holds of a process is removed in a task of its own.
    pub(super) async fn remove_for(&mut self, id: &str, reply: oneshot::Sender<Result<()>>) {
        match self.begin_cleaning(id).await {
            Ok(Some(cleaning)) => {
                let (told, container) = (self.told.0.clone(), id.to_owned());
                tokio::spawn(async move {
                    let what = What::Cleaned(cleaning.await, reply);
                    let _ = told.send(Box::new(Told { container, what })).await;
                });
            }
            Ok(None) => drop(reply.send(self.remove_container(id).await)),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The work in the guest that comes before a process's record is forgotten; none where the guest holds nothing.
    async fn begin_cleaning(&mut self, id: &str) -> Result<Option<impl Future<Output = Result<()>> + use<>>> {
        let Some(mut record) = self.recorded(id).filter(|record| !record.is_machine()) else {
            return Ok(None);
        };
        if is_live(record.phase) {
            return Err(Error::Conflict(format!("container {id} runs; stop it before it is removed")));
        }
        // Where a start was recorded it may have been sent, whether or not that was seen.
        let Some(live) = self.live.as_ref().filter(|_| record.started_at.is_some()) else { return Ok(None) };
        let session = live.sessions.borrow().clone().ok_or_else(|| {
            Error::Unavailable(format!(
                "the guest of container {id} does not answer now; it is removed later"
            ))
        })?;
        let (known, process) = (live.guest.clone(), process_id(id)?);
        let volumes = self.volumes(&record, &live.volumes)?;
        record.phase = ContainerPhase::Removing;
        self.save(record).await?;
        reached(Step::RemovalRecorded);
        Ok(Some(async move {
            let work = async {
                let guest = guest_of(&known, session.as_ref()).await?;
                guest.remove(session.as_ref(), &process).await?;
                volumes.take(session.as_ref()).await
            };
            match timeout(CLEANING, work).await {
                Ok(done) => Ok(done?),
                Err(_) => Err(Error::TimedOut(format!(
                    "the guest did not remove what is left of the process within {} s",
                    CLEANING.as_secs()
                ))),
            }
        }))
    }
}

impl Owner {
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
