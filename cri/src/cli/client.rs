//! The connection to the daemon's CRI socket, and its refusals as errors for people.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use proto::runtime::v1::image_service_client::ImageServiceClient;
use proto::runtime::v1::runtime_service_client::RuntimeServiceClient;
use proto::runtime::v1::{
    Container, ContainerStatusRequest, ContainerStatusResponse, ListContainersRequest, ListPodSandboxRequest,
    PodSandbox, PodSandboxStatusRequest, PodSandboxStatusResponse,
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::Global;
use crate::service::EXPIRED;

/// How long a call that only asks may take.
const QUERY: Duration = Duration::from_secs(30);
/// The largest answer: both streams of `ExecSync` at their bound, with room to spare.
const LARGEST_ANSWER: usize = 64 << 20;

/// A connection to the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Client {
    channel: Channel,
    timeout: Option<Duration>,
}

impl Client {
    /// Dials the socket.
    pub(super) async fn connect(global: &Global) -> anyhow::Result<Self> {
        let path = socket_path(&global.endpoint)?;
        // The transport's own error hides which of its causes it was, so look at the socket first.
        let opened = tokio::time::timeout(QUERY, UnixStream::connect(path)).await;
        let opened = opened.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        if let Err(error) = opened {
            let remedy = remedy(error.kind());
            return Err(error).with_context(|| format!("cannot connect to {}: {remedy}", path.display()));
        }
        let channel = Endpoint::try_from(format!("unix://{}", path.display()))
            .context("the endpoint is no address")?
            .connect()
            .await
            .with_context(|| format!("cannot speak to the daemon at {}", path.display()))?;
        Ok(Self { channel, timeout: global.timeout() })
    }

    /// The runtime service.
    pub(super) fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// The image service.
    pub(super) fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// A request that only asks.
    pub(super) fn query<T>(&self, message: T) -> Request<T> {
        self.bounded(message, Some(QUERY))
    }

    /// A request that takes as long as it takes (`None`), or no longer than `default`, unless the person says so.
    pub(super) fn bounded<T>(&self, message: T, default: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(timeout) = self.timeout.or(default) {
            request.set_timeout(timeout);
        }
        request
    }

    /// Every pod.
    pub(super) async fn pods(&self) -> anyhow::Result<Vec<PodSandbox>> {
        let request = self.query(ListPodSandboxRequest::default());
        let answer = self.runtime().list_pod_sandbox(request).await;
        Ok(answer.map_err(|status| refusal("list the pods", &status))?.into_inner().items)
    }

    /// Every container.
    pub(super) async fn containers(&self) -> anyhow::Result<Vec<Container>> {
        let request = self.query(ListContainersRequest::default());
        let answer = self.runtime().list_containers(request).await;
        Ok(answer.map_err(|status| refusal("list the containers", &status))?.into_inner().containers)
    }

    /// A pod's state, with what the daemon tells beyond the protocol.
    pub(super) async fn pod_status(&self, id: &str) -> anyhow::Result<PodSandboxStatusResponse> {
        let request = self.query(PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true });
        let answer = self.runtime().pod_sandbox_status(request).await;
        Ok(answer.map_err(|status| refusal(&format!("ask for pod {id}"), &status))?.into_inner())
    }

    /// A container's state, with what the daemon tells beyond the protocol.
    pub(super) async fn container_status(&self, id: &str) -> anyhow::Result<ContainerStatusResponse> {
        let request = self.query(ContainerStatusRequest { container_id: id.to_owned(), verbose: true });
        let answer = self.runtime().container_status(request).await;
        Ok(answer.map_err(|status| refusal(&format!("ask for container {id}"), &status))?.into_inner())
    }
}

/// The daemon's refusal of `what` as an error.
pub(super) fn refusal(what: &str, status: &Status) -> anyhow::Error {
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let remedy = match status.code() {
        // The time that we gave was up, by our clock or by the daemon's. A deadline that the daemon tells of is another.
        Code::DeadlineExceeded | Code::Cancelled if message == EXPIRED => "; give it longer with --timeout",
        Code::Unimplemented => "; is the daemon of another version?",
        _ => "",
    };
    anyhow!("cannot {what}: {message}{remedy}")
}

/// The path of a `unix://` address, or a bare path.
fn socket_path(endpoint: &str) -> anyhow::Result<&Path> {
    let path =
        endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    if !path.starts_with('/') {
        anyhow::bail!("the endpoint {endpoint:?} is no Unix socket; write unix:///PATH");
    }
    Ok(Path::new(path))
}

fn remedy(kind: std::io::ErrorKind) -> &'static str {
    match kind {
        std::io::ErrorKind::PermissionDenied => {
            "the socket is the daemon's user's alone; run this as that user (root)"
        }
        std::io::ErrorKind::TimedOut => "the daemon takes no connections; see its log",
        _ => {
            "is the daemon running? start it with `infranetes serve --config FILE`, or name its socket with --endpoint"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_unix_sockets() {
        for endpoint in ["unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"] {
            assert_eq!(socket_path(endpoint).unwrap(), Path::new("/run/x.sock"));
        }
        let error = socket_path("tcp://127.0.0.1:1").unwrap_err().to_string();
        assert!(error.contains("unix:///PATH"), "{error}");
    }

    #[test]
    fn refusals_keep_the_message_and_add_the_remedy() {
        let late = refusal("stop pod x", &Status::cancelled(EXPIRED)).to_string();
        assert_eq!(late, "cannot stop pod x: Timeout expired; give it longer with --timeout");
        let told = refusal("run it", &Status::deadline_exceeded("the guest is silent")).to_string();
        assert_eq!(told, "cannot run it: the guest is silent");
        let empty = refusal("stop pod x", &Status::not_found("")).to_string();
        assert!(empty.len() > "cannot stop pod x: ".len(), "{empty}");
    }

    #[test]
    fn an_absent_socket_names_the_remedy() {
        assert!(remedy(std::io::ErrorKind::NotFound).contains("infranetes serve --config"));
        assert!(remedy(std::io::ErrorKind::PermissionDenied).contains("root"));
    }
}
