//! A pod's life as a kubelet drives it: call by call, each of which may be repeated.

use std::path::Path;

use proto::runtime::v1 as cri;
use tonic::Status;

use crate::client::{Client, pod};

/// A call of the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    RunPod,
    Create,
    Start,
    Stop,
    Remove,
    StopPod,
    RemovePod,
}

impl Call {
    /// A whole life.
    pub(crate) const LIFE: [Self; 7] =
        [Self::RunPod, Self::Create, Self::Start, Self::Stop, Self::Remove, Self::StopPod, Self::RemovePod];
}

/// What a kubelet knows of its pod.
#[derive(Debug)]
pub(crate) struct Life {
    config: cri::PodSandboxConfig,
    image: String,
    pub(crate) pod: String,
    pub(crate) container: String,
}

impl Life {
    /// A pod of this name that will live on this image.
    pub(crate) fn new(name: &str, image: &str, logs: &Path) -> Self {
        Self {
            config: pod(name, logs),
            image: image.to_owned(),
            pod: String::new(),
            container: String::new(),
        }
    }

    /// Makes one call. Repeated after an error it is the same call, as the kubelet's is.
    pub(crate) async fn call(&mut self, client: &mut Client, call: Call) -> Result<(), Status> {
        match call {
            Call::RunPod => client.run_pod(&self.config).await.map(|id| self.pod = id),
            Call::Create => {
                client.create(&self.pod, "machine", &self.image).await.map(|id| self.container = id)
            }
            Call::Start => client.start(&self.container).await,
            Call::Stop => client.stop(&self.container, 0).await,
            Call::Remove => client.remove(&self.container).await,
            Call::StopPod => client.stop_pod(&self.pod).await,
            Call::RemovePod => client.remove_pod(&self.pod).await,
        }
    }
}
