//! The one task that owns a pod.
//!
//! It serves one request at a time and, between requests, what happens to the machine. It waits for nothing that a
//! guest decides: a boot, a shutdown and a silence all come back to it as events with deadlines.
//!
//! Whatever it does is boxed: a node has many owners, nearly all of them waiting, and a task is as large as the largest
//! thing that it may ever do in place.

mod adopt;
mod create;
mod end;
mod events;
mod lent;
mod process;
mod run;
mod sandbox;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use process::process_id;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Instrument;
use transports::Backoff;

use super::Context;
use super::handle::Handle;
use super::live::{Live, at};
use super::process::{Process, Told};
use super::request::{Asked, Request};
use super::view::{ContainerView, View, is_live};
use crate::error::{Error, Result};
use crate::network::DhcpGuard;
use crate::store::{ContainerPhase, ContainerRecord, PodPhase, PodRecord, Role};
use crate::telemetry;

/// How many requests of one pod may wait.
const WAITING_REQUESTS: usize = 16;
/// How many words of the pod's processes may wait.
const WAITING_TOLD: usize = 64;

/// How long the last lines of a log may take to be written after the machine has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The owner's own state. The records in it are always as they are in the store.
pub(super) struct Owner {
    context: Arc<Context>,
    pod: PodRecord,
    containers: BTreeMap<String, Arc<ContainerRecord>>,
    live: Option<Live>,
    /// The processes that are followed, by container.
    processes: BTreeMap<String, Process>,
    /// What they tell; boxed, for the queue holds room for many.
    told: (mpsc::Sender<Box<Told>>, mpsc::Receiver<Box<Told>>),
    dhcp: Option<DhcpGuard>,
    /// Whether a change of what something may use is being carried out.
    updating: bool,
    /// When what could not be done is tried again.
    settle_at: Option<Instant>,
    patience: Backoff,
    view: watch::Sender<Arc<View>>,
}

impl Owner {
    /// Starts the owner of a new pod. The answer comes when the pod is ready, or why it cannot be.
    pub(super) fn spawn_new(
        context: Arc<Context>,
        pod: PodRecord,
    ) -> (Handle, oneshot::Receiver<Result<()>>) {
        let (mut owner, view) = Self::new(context, pod, Vec::new());
        let span = tracing::Span::current();
        let (requests, inbox) = mpsc::channel(WAITING_REQUESTS);
        let (answer, created) = oneshot::channel();
        tokio::spawn(async move {
            let result = Box::pin(owner.create_pod()).instrument(span).await;
            // What could be undone is gone; what could not is shown as not ready, and removed by the kubelet.
            let gone = owner.pod.phase == PodPhase::Creating;
            if gone {
                drop(inbox);
                let _ = answer.send(result);
            } else {
                let _ = answer.send(result);
                Box::pin(owner.serve(inbox)).await;
            }
        });
        (Handle { requests, view }, created)
    }

    /// An owner that remembers, and the view of its pod.
    pub(super) fn new(
        context: Arc<Context>,
        pod: PodRecord,
        containers: Vec<ContainerRecord>,
    ) -> (Self, watch::Receiver<Arc<View>>) {
        let containers: BTreeMap<_, _> =
            containers.into_iter().map(|record| (record.id.clone(), Arc::new(record))).collect();
        let (view, seen) = watch::channel(Arc::new(View { pod: pod.clone(), containers: BTreeMap::new() }));
        let owner = Self {
            context,
            pod,
            containers,
            live: None,
            processes: BTreeMap::new(),
            told: mpsc::channel(WAITING_TOLD),
            dhcp: None,
            updating: false,
            settle_at: None,
            patience: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            view,
        };
        owner.publish();
        (owner, seen)
    }

    /// Goes on serving a pod that recovery has brought up to date.
    pub(super) fn spawn(self) -> Handle {
        let (requests, inbox) = mpsc::channel(WAITING_REQUESTS);
        let view = self.view.subscribe();
        tokio::spawn(self.serve(inbox));
        Handle { requests, view }
    }

    async fn serve(mut self, mut inbox: mpsc::Receiver<Asked>) {
        loop {
            let live = &mut self.live;
            let happened = async {
                match live {
                    Some(live) => live.next().await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                asked = inbox.recv() => Next::Request(asked.map(|asked| *asked)),
                happened = happened => Next::Happened(happened),
                Some(told) = self.told.1.recv() => Next::Told(*told),
                () = at(self.settle_at) => Next::Settle,
            };
            match next {
                Next::Happened(happened) => {
                    let handled = Box::pin(self.handle(happened)).await;
                    self.settle_later(handled);
                }
                Next::Told(told) => {
                    let handled = Box::pin(self.told(told)).await;
                    self.settle_later(handled);
                }
                Next::Settle => {
                    self.settle_at = None;
                    let settled = Box::pin(self.settle()).await;
                    self.settle_later(settled);
                }
                Next::Request(Some((Request::RemovePod(reply), span))) => {
                    let result = Box::pin(self.remove_pod()).instrument(span).await;
                    let gone = result.is_ok();
                    if gone {
                        inbox.close();
                    }
                    let _ = reply.send(result);
                    if gone {
                        return;
                    }
                }
                Next::Request(Some((request, span))) => Box::pin(self.answer(request)).instrument(span).await,
                Next::Request(None) => return,
            }
        }
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Create(new, reply) => drop(reply.send(self.create_container(*new).await)),
            Request::Start(id, reply) => drop(reply.send(self.start_container(&id).await)),
            Request::Stop(id, grace, reply) => drop(reply.send(self.stop_container(&id, grace).await)),
            Request::Remove(id, reply) => self.remove_for(&id, reply).await,
            Request::ReopenLog(id, reply) => drop(reply.send(self.reopen_log(&id).await)),
            Request::Update(id, update, reply) => self.update_for(&id, update, reply).await,
            Request::UpdatePod(update, reply) => self.update_pod_for(update, reply).await,
            Request::StopPod(reply) => drop(reply.send(self.stop_pod().await)),
            Request::RemovePod(_) => unreachable!("the owner's loop answers it, since it ends with it"),
        }
    }

    /// What failed is tried again after a while.
    pub(super) fn settle_later(&mut self, result: Result<()>) {
        match result {
            Ok(()) if self.settle_at.is_none() => self.patience.reset(),
            Ok(()) => {}
            Err(error) => {
                let wait = self.patience.next_wait();
                tracing::error!(
                    pod = self.pod.id,
                    error = error.chain(),
                    ?wait,
                    "not done; it is tried again"
                );
                telemetry::retried();
                self.settle_at = Some(Instant::now() + wait);
            }
        }
    }

    /// Has the pod brought up to date as soon as what is being done is done.
    pub(super) fn settle_soon(&mut self) {
        self.settle_at = Some(Instant::now());
    }

    /// Shows everyone the pod as it is now.
    fn publish(&self) {
        let live = self.live.as_ref().and_then(|live| Some((live, self.containers.get(&live.container)?)));
        let provider = self.context.providers.get(&self.pod.provider);
        // Nobody knows the id of one that is being made, or asked for the machine of a pod of processes.
        let hidden = |record: &ContainerRecord| {
            record.phase == ContainerPhase::Creating || matches!(record.role, Role::Host)
        };
        let shown = self.containers.values().filter(|record| !hidden(record));
        let containers = shown.map(|record| {
            let here = live.filter(|(_, machine)| machine.machine == record.machine);
            let live = here.map(|(live, _)| live);
            let container = ContainerView {
                record: record.clone(),
                link: live.and_then(|live| live.link.clone()),
                sessions: live.map(|live| live.sessions.subscribe()),
                answered: here.is_some_and(|(_, machine)| machine.answered),
                guest: live.map(|live| live.guest.clone()),
                boot_deadline: live.and_then(|live| live.boot_deadline),
                rebooting_until: live.and_then(|live| live.rebooting_until),
                console: provider.and_then(|provider| provider.console(&record.machine)),
            };
            (record.id.clone(), Arc::new(container))
        });
        let view = Arc::new(View { pod: self.pod.clone(), containers: containers.collect() });
        let before = self.view.send_replace(Arc::clone(&view));
        self.context.changes.tell(&before, &view);
    }

    /// Makes the pod's record durable, then visible.
    async fn save_pod(&self) -> Result<()> {
        self.context.store.put_pod(&self.pod).await?;
        self.publish();
        Ok(())
    }

    /// Makes a container's record durable, then visible.
    async fn save(&mut self, record: ContainerRecord) -> Result<()> {
        self.context.store.put_container(&record).await?;
        self.containers.insert(record.id.clone(), Arc::new(record));
        self.publish();
        Ok(())
    }

    fn each(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.containers.values().map(AsRef::as_ref)
    }

    /// A container's record, to be changed and saved.
    fn recorded(&self, id: &str) -> Option<ContainerRecord> {
        self.containers.get(id).map(|record| record.as_ref().clone())
    }

    fn container(&self, id: &str) -> Result<ContainerRecord> {
        self.recorded(id).ok_or_else(|| Error::not_found("container", id))
    }
}

/// What the owner turns to next.
enum Next {
    Request(Option<(Request, tracing::Span)>),
    Happened(super::live::Happened),
    Told(Told),
    Settle,
}

/// What recovery asks of an owner.
impl Owner {
    /// The pod's id.
    pub(super) fn id(&self) -> &str {
        &self.pod.id
    }

    /// Where the pod is in its life.
    pub(super) fn phase(&self) -> PodPhase {
        self.pod.phase
    }

    /// The containers as they are recorded.
    pub(super) fn records(&self) -> Vec<ContainerRecord> {
        self.each().cloned().collect()
    }

    /// Whether the pod's network is still on the node.
    pub(super) async fn network_exists(&self) -> Result<bool> {
        match &self.pod.attachment {
            Some(attachment) if attachment.is_real() => {
                tokio::fs::try_exists(&attachment.netns).await.map_err(|source| {
                    Error::failed(format!("cannot look at {}", attachment.netns.display()), source)
                })
            }
            other => Ok(other.is_some()),
        }
    }

    /// Takes up whatever should run or be served and is not: after a restart of the daemon, and after a failure.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let mut result = Ok(());
        if let (PodPhase::Ready, None, Some(attachment)) = (self.pod.phase, &self.dhcp, &self.pod.attachment)
        {
            let attachment = attachment.clone();
            result = self.serve_dhcp(&attachment).await;
        }
        let (mut machines, mut processes): (Vec<_>, Vec<_>) =
            self.records().into_iter().partition(ContainerRecord::is_machine);
        processes.retain(|record| is_live(record.phase));
        // One that was taken over from processes runs before its container is started.
        machines.retain(|machine| {
            is_live(machine.phase) || processes.iter().any(|record| record.machine == machine.machine)
        });
        for record in machines {
            if self.live.as_ref().is_some_and(|live| live.container == record.id) {
                continue;
            }
            let resumed = match self.bring_to_life(&record).await {
                Ok(()) if record.phase == ContainerPhase::Stopping => self.resume_stop(&record).await,
                other => other,
            };
            result = result.and(resumed);
        }
        for record in processes {
            if self.processes.contains_key(&record.id) {
                continue;
            }
            let resumed = match self.follow_process(&record).await {
                Ok(()) if record.phase == ContainerPhase::Stopping => self.resume_stop(&record).await,
                other => other,
            };
            result = result.and(resumed);
        }
        result = result.and(self.force_overdue().await);
        if self.pod.phase == PodPhase::Ready && self.is_spent() {
            result = result.and(self.stop_pod().await);
        }
        result
    }
}
