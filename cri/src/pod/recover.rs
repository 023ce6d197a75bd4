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
//! | a process of a live machine, `Starting` | started, if the guest does not know it yet |
//!
//! Failure paths: a pod that cannot be brought up to date now is kept as recorded, with an error in the log, and the
//! kubelet's next stop or remove tries again. What nobody remembers is only removed where all records could be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;

use super::Context;
use super::handle::Handle;
use super::owner::Owner;
use super::registry::Pods;
use crate::error::Result;
use crate::store::{ContainerPhase, ContainerRecord, PodPhase, PodRecord};

/// How many pods are brought up to date at once.
const AT_ONCE: usize = 16;

/// Brings back every pod of the store.
pub async fn recover(context: Arc<Context>) -> Result<Pods> {
    let pods = context.store.pods()?;
    let mut containers: BTreeMap<String, Vec<ContainerRecord>> = BTreeMap::new();
    for record in context.store.containers()? {
        containers.entry(record.pod_id.clone()).or_default().push(record);
    }
    let owners = pods.into_iter().map(|pod| {
        let own = containers.remove(&pod.id).unwrap_or_default();
        // A task each: what goes wrong with one pod does not end the daemon.
        tokio::spawn(bring_back(context.clone(), pod, own))
    });
    let owners: Vec<_> = futures_util::stream::iter(owners).buffer_unordered(AT_ONCE).collect().await;
    let mut handles = BTreeMap::new();
    for owner in owners {
        match owner {
            Ok(found) => handles.extend(found),
            Err(error) => tracing::error!(%error, "a pod could not be brought back"),
        }
    }
    for record in containers.into_values().flatten() {
        tracing::warn!(container = record.id, "its pod is gone; its record goes too");
        context.store.delete_container(&record.id).await?;
    }
    sweep(&context).await?;
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
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => owner.settle_later(Err(error)),
    }
    Some((id, owner.spawn()))
}

impl Owner {
    /// Brings the pod up to date; `false` where nothing is left of it.
    async fn resume(&mut self) -> Result<bool> {
        match self.phase() {
            PodPhase::Creating => {
                self.undo_pod().await;
                return Ok(self.phase() != PodPhase::Creating);
            }
            PodPhase::Removing => {
                self.remove_pod().await?;
                return Ok(false);
            }
            PodPhase::Stopping => self.stop_pod().await?,
            PodPhase::Ready if !self.network_exists().await? => {
                tracing::warn!(pod = self.id(), "its network namespace is gone; it is stopped");
                self.stop_pod().await?;
            }
            PodPhase::Ready | PodPhase::Stopped => {}
        }
        self.finish_adoption().await?;
        for record in self.records() {
            // What a guest still holds of a process is removed with the kubelet's next call, or with its machine.
            let left = record.is_machine() || !self.has_live_machine();
            if matches!(record.phase, ContainerPhase::Creating | ContainerPhase::Removing) && left {
                self.undo_container(&record).await?;
            }
        }
        self.settle().await?;
        Ok(true)
    }
}

/// Removes what no record speaks of: it was left by a daemon that died between an effect and its undoing.
async fn sweep(context: &Context) -> Result<()> {
    let pods: BTreeSet<String> = context.store.pods()?.into_iter().map(|pod| pod.id).collect();
    let records = context.store.containers()?;
    let known: BTreeSet<String> =
        records.iter().map(|container| container.machine.as_str().to_owned()).collect();
    let containers: BTreeSet<String> = records.into_iter().map(|container| container.id).collect();
    for (name, provider) in &context.providers {
        match provider.list().await {
            Ok(machines) => {
                for machine in machines.iter().filter(|machine| !known.contains(machine.as_str())) {
                    tracing::warn!(provider = name, %machine, "nobody remembers this machine; it is destroyed");
                    report(provider.destroy(machine).await, "destroy", machine.as_str());
                }
            }
            Err(error) => tracing::error!(provider = name, %error, "cannot list machines"),
        }
    }
    match context.network.list().await {
        Ok(networks) => {
            for id in networks.iter().filter(|id| !pods.contains(*id)) {
                tracing::warn!(pod = id, "nobody remembers this pod's network; it is detached");
                report(context.network.detach(id).await, "detach", id);
            }
        }
        Err(error) => tracing::error!(%error, "cannot list networks"),
    }
    match context.images.leases().await {
        Ok(leases) => {
            for (image, holder) in leases.iter().filter(|(_, holder)| !containers.contains(holder)) {
                report(context.images.release(image, holder).await, "release", image);
            }
        }
        Err(error) => tracing::error!(%error, "cannot list leases"),
    }
    let logs = std::fs::read_dir(context.config.logs_dir());
    for file in logs.into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if !name.split('.').next().is_some_and(|container| containers.contains(container)) {
            report(std::fs::remove_file(file.path()), "remove", &name);
        }
    }
    Ok(())
}

fn report<E: std::error::Error>(result: Result<(), E>, verb: &str, name: &str) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot {verb} {name}; the next start tries again");
    }
}
