//! A CRI client as the kubelet is one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::runtime::v1 as cri;
use proto::runtime::v1::image_service_client::ImageServiceClient;
use proto::runtime::v1::runtime_service_client::RuntimeServiceClient;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long the daemon may take to begin an answer: longer than any boot.
const ANSWER: Duration = Duration::from_secs(600);

/// Both services of a daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Pods and containers.
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    /// Images.
    pub(crate) images: ImageServiceClient<Channel>,
}

impl Client {
    #[allow(clippy::unused_async, reason = "it needs the runtime that connects later")]
    /// Connects, now and again after each restart of the daemon.
    pub(crate) async fn connect(socket: &Path) -> Self {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        // As the library of the kubelet does: what may be under way grows with what the connection carries.
        let endpoint = Endpoint::from_static("http://localhost").http2_adaptive_window(true).timeout(ANSWER);
        let channel = endpoint.connect_with_connector_lazy(connector);
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20),
            images: ImageServiceClient::new(channel),
        }
    }

    /// Pulls an image; answers its id.
    pub(crate) async fn pull(&mut self, image: &str) -> Result<String, Status> {
        let request = cri::PullImageRequest { image: Some(spec(image)), ..Default::default() };
        Ok(self.images.pull_image(request).await?.into_inner().image_ref)
    }

    /// Runs a pod; answers its id.
    pub(crate) async fn run_pod(&mut self, config: &cri::PodSandboxConfig) -> Result<String, Status> {
        self.run_pod_by(config, "vm").await
    }

    /// Runs a pod by the handler of another `RuntimeClass`; answers its id.
    pub(crate) async fn run_pod_by(
        &mut self,
        config: &cri::PodSandboxConfig,
        handler: &str,
    ) -> Result<String, Status> {
        let request =
            cri::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: handler.into() };
        Ok(self.runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
    }

    /// Creates a container that is the machine; answers its id.
    pub(crate) async fn create(&mut self, pod: &str, name: &str, image: &str) -> Result<String, Status> {
        self.create_with(pod, container(name, image)).await
    }

    /// Creates a container as configured.
    pub(crate) async fn create_with(
        &mut self,
        pod: &str,
        config: cri::ContainerConfig,
    ) -> Result<String, Status> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: None,
        };
        Ok(self.runtime.create_container(request).await?.into_inner().container_id)
    }

    /// Starts a container.
    pub(crate) async fn start(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::StartContainerRequest { container_id: id.to_owned() };
        self.runtime.start_container(request).await.map(drop)
    }

    /// Stops a container within the grace period in seconds.
    pub(crate) async fn stop(&mut self, id: &str, timeout: i64) -> Result<(), Status> {
        let request = cri::StopContainerRequest { container_id: id.to_owned(), timeout };
        self.runtime.stop_container(request).await.map(drop)
    }

    /// Removes a container.
    pub(crate) async fn remove(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::RemoveContainerRequest { container_id: id.to_owned() };
        self.runtime.remove_container(request).await.map(drop)
    }

    /// Stops a pod.
    pub(crate) async fn stop_pod(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.runtime.stop_pod_sandbox(request).await.map(drop)
    }

    /// Removes a pod.
    pub(crate) async fn remove_pod(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.runtime.remove_pod_sandbox(request).await.map(drop)
    }

    /// A container's status.
    pub(crate) async fn status(&mut self, id: &str) -> Result<cri::ContainerStatus, Status> {
        let request = cri::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        Ok(self.runtime.container_status(request).await?.into_inner().status.unwrap_or_default())
    }

    /// The ids of a pod's containers.
    pub(crate) async fn list(&mut self, pod: &str) -> BTreeSet<String> {
        let filter = cri::ContainerFilter { pod_sandbox_id: pod.to_owned(), ..Default::default() };
        let request = cri::ListContainersRequest { filter: Some(filter) };
        let listed = self.runtime.list_containers(request).await.expect("a list").into_inner();
        listed.containers.into_iter().map(|container| container.id).collect()
    }

    /// A pod's status.
    pub(crate) async fn pod_status(&mut self, id: &str) -> Result<cri::PodSandboxStatus, Status> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        Ok(self.runtime.pod_sandbox_status(request).await?.into_inner().status.unwrap_or_default())
    }

    /// Runs a command in the guest.
    pub(crate) async fn exec(
        &mut self,
        id: &str,
        command: &[&str],
        timeout: i64,
    ) -> Result<cri::ExecSyncResponse, Status> {
        let request = cri::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command.iter().map(|word| (*word).to_owned()).collect(),
            timeout,
        };
        Ok(self.runtime.exec_sync(request).await?.into_inner())
    }

    /// Waits until a container's status is as wanted.
    ///
    /// # Panics
    /// When it is not within this time.
    pub(crate) async fn wait_for(
        &mut self,
        id: &str,
        seconds: u64,
        wanted: impl Fn(&cri::ContainerStatus) -> bool,
    ) -> cri::ContainerStatus {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let status = self.status(id).await.expect("the container exists");
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "after {seconds} s it still is {status:?}");
            // The protocol offers no event for it.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a container has ended; answers how.
    pub(crate) async fn wait_for_end(&mut self, id: &str, seconds: u64) -> cri::ContainerStatus {
        let exited = i32::from(cri::ContainerState::ContainerExited);
        self.wait_for(id, seconds, |status| status.state == exited).await
    }

    /// Waits until a container's log has a line with this.
    pub(crate) async fn logged(&mut self, id: &str, log: &Path, part: &str) {
        let has = |_: &_| std::fs::read_to_string(log).is_ok_and(|text| text.contains(part));
        self.wait_for(id, 120, has).await;
    }

    /// What a command prints in the guest; it must succeed.
    pub(crate) async fn output(&mut self, id: &str, command: &[&str]) -> String {
        // Without a timeout it waits for a guest that boots for longer than its start waits.
        let answer = self.exec(id, command, 0).await.expect("the command runs");
        assert_eq!(answer.exit_code, 0, "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }
}

/// An image by its name.
pub(crate) fn spec(image: &str) -> cri::ImageSpec {
    cri::ImageSpec { image: image.to_owned(), ..Default::default() }
}

/// A pod of this name with its logs in a directory.
pub(crate) fn pod(name: &str, logs: &Path) -> cri::PodSandboxConfig {
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        log_directory: logs.join(name).display().to_string(),
        ..Default::default()
    }
}

/// A container that is the machine.
pub(crate) fn container(name: &str, image: &str) -> cri::ContainerConfig {
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(spec(image)),
        log_path: format!("{name}/0.log"),
        ..Default::default()
    }
}
