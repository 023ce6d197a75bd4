//! The pod itself: its network comes first and goes last.

use super::Owner;
use crate::error::{Error, Result};
use crate::fault::{Step, reached};
use crate::network::{Attachment, PodNetworkRequest, PortMapping};
use crate::store::PodPhase;

impl Owner {
    /// Records the pod, attaches its network. What fails is undone before it is told.
    pub(super) async fn create_pod(&mut self) -> Result<()> {
        self.save_pod().await?;
        reached(Step::PodRecorded);
        let attached = self.attach().await;
        if attached.is_err() {
            self.undo_pod().await;
        }
        attached
    }

    #[tracing::instrument(level = "debug", skip_all, name = "attach network")]
    async fn attach(&mut self) -> Result<()> {
        let request = PodNetworkRequest {
            id: self.pod.id.clone(),
            name: self.pod.name.clone(),
            namespace: self.pod.namespace.clone(),
            uid: self.pod.uid.clone(),
            port_mappings: self.pod.ports.iter().map(port_mapping).collect(),
            forwards: self.adopts(),
        };
        let attachment = self.context.network.attach(&request).await?;
        reached(Step::NetworkAttached);
        self.serve_dhcp(&attachment).await?;
        self.pod.attachment = Some(attachment);
        self.pod.phase = PodPhase::Ready;
        self.save_pod().await?;
        reached(Step::PodReady);
        Ok(())
    }

    /// Answers a guest that only knows DHCP, for as long as the pod is ready.
    pub(in crate::pod) async fn serve_dhcp(&mut self, attachment: &Attachment) -> Result<()> {
        let identity = crate::pod::guest_identity(&self.pod);
        self.dhcp = Some(self.context.network.serve_dhcp(attachment, &identity).await?);
        Ok(())
    }

    /// Takes back a pod that never became ready. Where that fails it is left as one that is being stopped: it shows as
    /// not ready, and the kubelet's removal tries again.
    pub(in crate::pod) async fn undo_pod(&mut self) {
        let undone = match self.context.network.detach(&self.pod.id).await {
            Ok(()) => self.context.store.delete_pod(&self.pod.id).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = undone {
            tracing::error!(pod = self.pod.id, error = error.chain(), "cannot be undone; remove it");
            self.pod.phase = PodPhase::Stopping;
            if let Err(error) = self.save_pod().await {
                tracing::error!(pod = self.pod.id, error = error.chain(), "cannot be recorded");
            }
        }
    }

    /// Stops everything in the pod and gives its address back.
    #[tracing::instrument(level = "debug", skip_all, name = "stop pod")]
    pub(in crate::pod) async fn stop_pod(&mut self) -> Result<()> {
        if self.pod.phase == PodPhase::Stopped {
            return Ok(());
        }
        if self.pod.phase != PodPhase::Removing {
            self.pod.phase = PodPhase::Stopping;
            self.save_pod().await?;
        }
        reached(Step::PodStopRecorded);
        self.end_live_now().await?;
        self.dhcp = None;
        self.context.network.detach(&self.pod.id).await?;
        reached(Step::NetworkDetached);
        if self.pod.phase != PodPhase::Removing {
            self.pod.phase = PodPhase::Stopped;
            self.save_pod().await?;
        }
        reached(Step::PodStopped);
        Ok(())
    }

    /// Removes the pod and everything in it.
    pub(in crate::pod) async fn remove_pod(&mut self) -> Result<()> {
        self.stop_pod().await?;
        self.pod.phase = PodPhase::Removing;
        self.save_pod().await?;
        reached(Step::PodRemovalRecorded);
        let containers: Vec<String> = self.containers.keys().cloned().collect();
        for id in containers {
            self.remove_container(&id).await?;
        }
        self.context.store.delete_pod(&self.pod.id).await?;
        self.context.changes.tell_gone(&self.view.borrow());
        reached(Step::PodForgotten);
        Ok(())
    }

    /// The network of a pod that must have one.
    pub(super) fn attachment(&self) -> Result<Attachment> {
        match (&self.pod.phase, &self.pod.attachment) {
            (PodPhase::Ready, Some(attachment)) => Ok(attachment.clone()),
            _ => Err(Error::Conflict(format!(
                "pod {} is not ready; a container needs a pod that runs",
                self.pod.id
            ))),
        }
    }
}

fn port_mapping(port: &crate::store::PortMapping) -> PortMapping {
    PortMapping {
        protocol: port.protocol.clone(),
        container_port: port.container_port,
        host_port: port.host_port,
        host_ip: port.host_ip.clone(),
    }
}
