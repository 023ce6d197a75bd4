//! Mixed nodes for tests.

use std::io::Write as _;
use std::time::Duration;

use proto::runtime::v1 as cri;
use tests::{Containerd, Delegated, Node, Options};
use tokio::sync::Mutex;
use tokio::task::block_in_place;

use crate::client::{Client, pod, spec};

/// An ordinary image, which has a shell.
pub(crate) const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// Held by the test that runs: a machine and containerd starve each other.
static TURN: Mutex<()> = Mutex::const_new(());

/// Which containerd.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Version {
    /// The one that is built from its module.
    Newest,
    /// The distribution's.
    Distribution,
}

/// A node with its delegate.
pub(crate) struct Mixed {
    pub(crate) node: Node,
}

impl Mixed {
    /// Starts one; none, and a word why, where there is no such containerd.
    fn start(version: Version, machines: bool) -> Option<Self> {
        let variable = match version {
            Version::Newest => "INFRANETES_CONTAINERD",
            Version::Distribution => "INFRANETES_CONTAINERD_OLD",
        };
        let Some(delegate) = Delegated::from_env(variable).expect("the tests' environment") else {
            // Straight to the standard output: this is not for a reader of a failure.
            let _ = writeln!(std::io::stdout(), "skipped: {variable} names no containerd");
            return None;
        };
        let options = Options::from_env().expect("the tests' environment");
        let options = Options { machines, delegate: Some(delegate), ..options };
        Some(Self { node: Node::start(options).expect("a node with a delegate") })
    }

    /// The delegate.
    pub(crate) fn containerd(&mut self) -> &mut Containerd {
        self.node.delegate()
    }

    /// A client of ours.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.node.socket()).await
    }

    /// A client of the delegate itself.
    pub(crate) async fn direct(&mut self) -> Client {
        Client::connect(&self.containerd().socket()).await
    }

    /// A pod of containers with one that runs a command, both known to the delegate alone: their ids.
    pub(crate) async fn ordinary(&self, client: &mut Client, name: &str, command: &str) -> (String, String) {
        let config = pod(name, &self.node.pod_logs());
        let pod_id = client.run_pod_by(&config, "").await.expect("a pod of containers");
        let request = cri::PullImageRequest {
            image: Some(spec(IMAGE)),
            auth: None,
            sandbox_config: Some(config.clone()),
        };
        client.images.pull_image(request).await.expect("an ordinary image");
        let container = cri::ContainerConfig {
            command: ["sh", "-c", command].map(str::to_owned).into(),
            linux: Some(cri::LinuxContainerConfig::default()),
            ..crate::client::container("main", IMAGE)
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod_id.clone(),
            config: Some(container),
            sandbox_config: Some(config),
        };
        let created = client.runtime.create_container(request).await.expect("an ordinary container");
        let id = created.into_inner().container_id;
        client.start(&id).await.expect("it starts");
        (pod_id, id)
    }

    /// Restarts the daemon as after a `kill -9`.
    pub(crate) fn restart_daemon(&mut self) {
        block_in_place(|| self.node.kill_and_restart_daemon()).expect("the daemon");
    }

    /// Starts the delegate again after a kill.
    pub(crate) fn start_delegate(&mut self) {
        block_in_place(|| self.containerd().start_again()).expect("containerd");
    }
}

/// Runs a test on a mixed node, alone and not longer than it may take.
///
/// # Panics
/// When the time is over. The test is dropped then, and with it its node and everything on it.
pub(crate) async fn on<F: Future<Output = ()>>(
    version: Version,
    machines: bool,
    test: impl FnOnce(Mixed) -> F,
) {
    let _alone = TURN.lock().await;
    let Some(mixed) = block_in_place(|| Mixed::start(version, machines)) else { return };
    tokio::select! {
        ended = tokio::time::timeout(PATIENCE, Box::pin(test(mixed))) => {
            assert!(ended.is_ok(), "the test did not end within {PATIENCE:?}");
        }
        () = interrupted() => panic!("interrupted"),
    }
}

/// Waits until the end is asked for.
async fn interrupted() {
    while !tests::interrupt::asked() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The ids of all pods in the order of the list.
pub(crate) async fn pods(client: &mut Client) -> Vec<String> {
    let listed = client.runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await;
    listed.expect("a list").into_inner().items.into_iter().map(|pod| pod.id).collect()
}

/// The ids of all containers in the order of the list.
pub(crate) async fn containers(client: &mut Client) -> Vec<String> {
    let listed = client.runtime.list_containers(cri::ListContainersRequest::default()).await;
    listed.expect("a list").into_inner().containers.into_iter().map(|container| container.id).collect()
}

/// Stops and removes a pod.
pub(crate) async fn remove(client: &mut Client, pod: &str) {
    client.stop_pod(pod).await.expect("it stops");
    client.remove_pod(pod).await.expect("it goes");
}
