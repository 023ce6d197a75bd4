//! The start of a daemon: every record becomes a pod again, what was interrupted is finished or undone, and what
//! nobody remembers is removed.
//!
//! | the record says | what is done |
//! |---|---|
//! | pod `Creating` | undone: its id was never told to anyone |
//! | pod `Stopping`, `Removing` | finished |
//! | pod `Ready`, but its network namespace is gone (the node restarted) | stopped |
//! | container `Creating` | undone |
//! | container `Removing` | finished |
//! | container `Starting` | its machine is started, if it was not |
//! | container `Starting`, `Running` | followed again: log, link, machine |
//! | container `Stopping` | followed again, and stopped again |
//!
//! Failure paths: a pod that cannot be brought up to date now is kept as recorded, with an error in the log, and the
//! kubelet's next stop or remove tries again. What nobody remembers is only removed where all records could be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::handle::Handle;
use super::owner::Owner;
use super::registry::Pods;
use super::{Context, view};
use crate::error::Result;
use crate::store::{ContainerPhase, ContainerRecord, PodPhase, PodRecord};

/// How many pods are brought up to date at once.
const AT_ONCE: usize = 16;
/// The grace period of a stop that the daemon's own end interrupted.
const RESUMED_GRACE: Duration = Duration::from_secs(10);

/// Brings back every pod of the store.
pub async fn recover(context: Arc<Context>) -> Result<Pods> {
    let pods = context.store.pods()?;
    let mut containers: BTreeMap<String, Vec<ContainerRecord>> = BTreeMap::new();
    for record in context.store.containers()? {
        containers.entry(record.pod_id.clone()).or_default().push(record);
    }
    let owners = pods.into_iter().map(|pod| {
        let own = containers.remove(&pod.id).unwrap_or_default();
        bring_back(context.clone(), pod, own)
    });
    let owners: Vec<_> = futures_util::stream::iter(owners).buffer_unordered(AT_ONCE).collect().await;
    let handles: BTreeMap<String, Handle> = owners.into_iter().flatten().collect();
    for record in containers.into_values().flatten() {
        tracing::warn!(container = record.id, "its pod is gone; its record goes too");
        context.store.delete_container(&record.id).await?;
    }
    sweep(&context, &handles).await;
    Ok(Pods::new(context, handles))
}

/// One pod; none where it was undone or removed.
async fn bring_back(
    context: Arc<Context>,
    pod: PodRecord,
    containers: Vec<ContainerRecord>,
) -> Option<(String, Handle)> {
    let id = pod.id.clone();
    let (mut owner, _) = Owner::new(context, pod, containers);
    match owner.resume().await {
        Ok(true) => Some((id, owner.spawn())),
        Ok(false) => None,
        Err(error) => {
            tracing::error!(
                pod = id,
                error = error.chain(),
                "cannot be brought up to date; kept as recorded"
            );
            Some((id, owner.spawn()))
        }
    }
}

impl Owner {
    /// Brings the pod up to date; `false` where nothing is left of it.
    async fn resume(&mut self) -> Result<bool> {
        match self.phase() {
            PodPhase::Creating => {
                self.undo_pod().await?;
                return Ok(false);
            }
            PodPhase::Removing => {
                self.remove_pod().await?;
                return Ok(false);
            }
            PodPhase::Stopping => self.stop_pod().await?,
            PodPhase::Ready if !self.network_exists().await => {
                tracing::warn!(pod = self.id(), "its network namespace is gone; it is stopped");
                self.stop_pod().await?;
            }
            PodPhase::Ready => self.resume_network().await?,
            PodPhase::Stopped => {}
        }
        for record in self.records() {
            match record.phase {
                ContainerPhase::Creating | ContainerPhase::Removing => self.undo_container(&record).await?,
                _ if view::is_live(record.phase) => {
                    self.bring_to_life(&record).await?;
                    if record.phase == ContainerPhase::Stopping {
                        self.stop_container(&record.id, RESUMED_GRACE).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(true)
    }
}

/// Removes what no record speaks of: it was left by a daemon that died between an effect and its undoing.
async fn sweep(context: &Context, pods: &BTreeMap<String, Handle>) {
    let views: Vec<_> = pods.values().map(|handle| handle.view.borrow().clone()).collect();
    let containers: BTreeSet<&str> =
        views.iter().flat_map(|view| view.containers.keys()).map(String::as_str).collect();
    for (name, provider) in &context.providers {
        match provider.list().await {
            Ok(machines) => {
                for machine in machines.iter().filter(|machine| !containers.contains(machine.as_str())) {
                    tracing::warn!(provider = name, %machine, "nobody remembers this machine; it is destroyed");
                    report(provider.destroy(machine).await, "destroy", machine.as_str());
                }
            }
            Err(error) => tracing::error!(provider = name, %error, "cannot list machines"),
        }
    }
    match context.network.list().await {
        Ok(networks) => {
            for id in networks.iter().filter(|id| !pods.contains_key(*id)) {
                tracing::warn!(pod = id, "nobody remembers this pod's network; it is detached");
                report(context.network.detach(id).await, "detach", id);
            }
        }
        Err(error) => tracing::error!(%error, "cannot list networks"),
    }
    match context.images.leases().await {
        Ok(leases) => {
            for (image, holder) in leases.iter().filter(|(_, holder)| !containers.contains(holder.as_str())) {
                report(context.images.release(image, holder).await, "release", image);
            }
        }
        Err(error) => tracing::error!(%error, "cannot list leases"),
    }
}

fn report<E: std::error::Error>(result: Result<(), E>, verb: &str, name: &str) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot {verb} {name}; the next start tries again");
    }
}
