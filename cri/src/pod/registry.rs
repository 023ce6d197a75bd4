//! All pods of the node: found by id, by the beginning of an id, by the kubelet's own name for them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Context;
use super::handle::Handle;
use super::owner::Owner;
use super::request::{NewContainer, Request, Update};
use super::view::{ContainerView, View};
use crate::error::{Error, Result};
use crate::store::{ContainerPhase, PodPhase, PodRecord};

/// All pods of the node.
pub struct Pods {
    context: Arc<Context>,
    pods: RwLock<BTreeMap<String, Handle>>,
}

impl Pods {
    /// A node with these pods.
    pub(super) fn new(context: Arc<Context>, pods: BTreeMap<String, Handle>) -> Self {
        Self { context, pods: RwLock::new(pods) }
    }

    /// What the pods share.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Every pod as it is now, in the order of their ids.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.read(|pods| alive(pods).map(|handle| handle.view.borrow().clone()).collect())
    }

    /// A pod by its id or the unique beginning of it.
    pub fn view(&self, id: &str) -> Result<Arc<View>> {
        Ok(self.pod(id)?.view.borrow().clone())
    }

    /// A container by its id or the unique beginning of it, with its pod.
    pub fn container(&self, id: &str) -> Result<(Arc<View>, Arc<ContainerView>)> {
        let (handle, id) = self.find_container(id)?;
        let view = handle.view.borrow().clone();
        let container = view.containers.get(&id).cloned();
        Ok((view, container.ok_or_else(|| Error::not_found("container", id))?))
    }

    /// One container, once it is begun or will never be; as it is after `patience` where that takes longer.
    pub async fn container_begun(&self, id: &str, patience: Duration) -> Result<Arc<ContainerView>> {
        let (handle, id) = self.find_container(id)?;
        let mut seen = handle.view.clone();
        let settled = seen.wait_for(|view| {
            view.containers.get(&id).is_none_or(|container| container.is_begun() || !container.is_live())
        });
        // What it is by then is looked at anew.
        let _ = tokio::time::timeout(patience, settled).await;
        Ok(self.container(&id)?.1)
    }

    /// Makes a pod, or finds the one that the same request has made already. Answers its id when it is ready.
    pub async fn run(&self, pod: PodRecord) -> Result<String> {
        let (handle, created) = self.reserve(pod);
        let id = handle.view.borrow().pod.id.clone();
        if let Some(created) = created {
            created.await.map_err(|_| Error::not_found("pod", &id))??;
            return Ok(id);
        }
        let mut view = handle.view.clone();
        let settled = view.wait_for(|view| view.pod.phase != PodPhase::Creating).await;
        match settled.map(|view| view.pod.phase) {
            Ok(PodPhase::Ready) => Ok(id),
            Ok(_) => Err(Error::Conflict(format!(
                "pod {id} was made by the same request and has stopped since; remove it or raise the attempt"
            ))),
            Err(_) => Err(Error::not_found("pod", id)),
        }
    }

    /// The owner of a pod of this name, namespace, uid and attempt: found, or started with the answer still to come.
    fn reserve(&self, pod: PodRecord) -> (Handle, Option<oneshot::Receiver<Result<()>>>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|_, handle| handle.is_alive());
        let same = pods.values().find(|handle| {
            let other = &handle.view.borrow().pod;
            (&other.name, &other.namespace, &other.uid, other.attempt)
                == (&pod.name, &pod.namespace, &pod.uid, pod.attempt)
        });
        if let Some(handle) = same {
            return (handle.clone(), None);
        }
        let id = pod.id.clone();
        let (handle, created) = Owner::spawn_new(self.context.clone(), pod);
        pods.insert(id, handle.clone());
        (handle, Some(created))
    }

    /// Stops a pod. One that does not exist is a success.
    pub async fn stop(&self, id: &str) -> Result<()> {
        let Some(handle) = self.pod_if_any(id)? else { return Ok(()) };
        absent_is_fine(handle.ask(id, Request::StopPod).await)
    }

    /// Removes a pod. One that does not exist is a success.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let Some(handle) = self.pod_if_any(id)? else { return Ok(()) };
        absent_is_fine(handle.ask(id, Request::RemovePod).await)
    }

    /// Makes a container in a pod; answers its id.
    pub async fn create_container(&self, pod: &str, new: NewContainer) -> Result<String> {
        self.pod(pod)?.ask(pod, |reply| Request::Create(Box::new(new), reply)).await
    }

    /// Starts a container; answers when it no longer starts: it runs, or has ended again.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let (handle, id) = self.find_container(id)?;
        handle.ask(&id, |reply| Request::Start(id.clone(), reply)).await?;
        wait(&handle, &id, |container| container.record.phase != ContainerPhase::Starting).await?;
        let ended =
            handle.view.borrow().containers.get(&id).and_then(|container| container.record.exit.clone());
        match ended {
            Some(exit) if exit.reason == super::stop::START_ERROR => Err(Error::Conflict(exit.message)),
            _ => Ok(()),
        }
    }

    /// Stops a container within the grace period; answers when it has ended. One that does not exist is a success.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let Some((handle, id)) = self.container_if_any(id)? else { return Ok(()) };
        absent_is_fine(handle.ask(&id, |reply| Request::Stop(id.clone(), grace, reply)).await)?;
        absent_is_fine(wait(&handle, &id, |container| !container.is_live()).await)
    }

    /// Removes a container. One that does not exist is a success.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        let Some((handle, id)) = self.container_if_any(id)? else { return Ok(()) };
        let process =
            |view: &View| view.containers.get(&id).is_some_and(|it| it.is_live() && !it.record.is_machine());
        if process(&handle.view.borrow()) {
            // Its end is the guest's word, which no owner waits for.
            self.stop_container(&id, Duration::ZERO).await?;
        }
        absent_is_fine(handle.ask(&id, |reply| Request::Remove(id.clone(), reply)).await)
    }

    /// Opens a container's log anew.
    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        let (handle, id) = self.find_container(id)?;
        handle.ask(&id, |reply| Request::ReopenLog(id.clone(), reply)).await
    }

    /// Changes what a container may use; answers when it is in force.
    pub async fn update_container(&self, id: &str, update: Update) -> Result<()> {
        let (handle, id) = self.find_container(id)?;
        handle.ask(&id, |reply| Request::Update(id.clone(), update, reply)).await
    }

    /// Changes what a pod may use; answers when it is in force.
    pub async fn update(&self, id: &str, update: Update) -> Result<()> {
        self.pod(id)?.ask(id, |reply| Request::UpdatePod(update, reply)).await
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Handle>) -> T) -> T {
        look(&self.pods.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn pod(&self, id: &str) -> Result<Handle> {
        self.pod_if_any(id)?.ok_or_else(|| Error::not_found("pod", id))
    }

    fn pod_if_any(&self, id: &str) -> Result<Option<Handle>> {
        self.read(|pods| {
            let from_here =
                pods.range(id.to_owned()..).take_while(|(key, _)| key.starts_with(id) && !id.is_empty());
            let found = from_here.map(|(_, handle)| handle).filter(|handle| handle.is_alive());
            one("pod", id, found.cloned())
        })
    }

    fn find_container(&self, id: &str) -> Result<(Handle, String)> {
        self.container_if_any(id)?.ok_or_else(|| Error::not_found("container", id))
    }

    fn container_if_any(&self, id: &str) -> Result<Option<(Handle, String)>> {
        let found: Vec<(Handle, String)> = self.read(|pods| {
            let of_pod = |handle: &Handle| -> Vec<(Handle, String)> {
                let view = handle.view.borrow();
                let ids = view.containers.keys().filter(|key| !id.is_empty() && key.starts_with(id));
                ids.map(|key| (handle.clone(), key.clone())).collect()
            };
            alive(pods).flat_map(of_pod).collect()
        });
        one("container", id, found.into_iter())
    }
}

fn alive(pods: &BTreeMap<String, Handle>) -> impl Iterator<Item = &Handle> {
    pods.values().filter(|handle| handle.is_alive())
}

/// The only one of several, none, or an error that there are more.
fn one<T>(kind: &str, id: &str, mut found: impl Iterator<Item = T>) -> Result<Option<T>> {
    let first = found.next();
    match found.next() {
        Some(_) => Err(Error::invalid(format!(
            "{id} is the beginning of more than one {kind}'s id; give more of it"
        ))),
        None => Ok(first),
    }
}

/// Waits until a container is as wanted.
async fn wait(handle: &Handle, id: &str, wanted: impl Fn(&ContainerView) -> bool) -> Result<()> {
    let gone = || Error::not_found("container", id);
    let mut view = handle.view.clone();
    let view = view
        .wait_for(|view| view.containers.get(id).is_none_or(|container| wanted(container)))
        .await
        .map_err(|_| gone())?;
    if view.containers.contains_key(id) { Ok(()) } else { Err(gone()) }
}

fn absent_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}
