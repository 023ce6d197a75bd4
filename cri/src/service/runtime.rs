//! `RuntimeService`: a line for each RPC.

use std::sync::Arc;

use proto::runtime::v1 as cri;
use proto::runtime::v1::runtime_service_server::RuntimeService;
use tonic::{Request, Response, Status};

use super::{Many, call, call_many};
use crate::node::Node;
use crate::{container, runtime, sandbox};

/// The service.
pub(super) struct Runtime(pub(super) Arc<Node>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RuntimeService for Runtime {
    type StreamPodSandboxesStream = Many<cri::StreamPodSandboxesResponse>;
    type StreamContainersStream = Many<cri::StreamContainersResponse>;
    type StreamContainerStatsStream = Many<cri::StreamContainerStatsResponse>;
    type StreamPodSandboxStatsStream = Many<cri::StreamPodSandboxStatsResponse>;
    type StreamPodSandboxMetricsStream = Many<cri::StreamPodSandboxMetricsResponse>;
    type GetContainerEventsStream = Many<cri::ContainerEventResponse>;

    async fn version(&self, _: Request<cri::VersionRequest>) -> Answer<cri::VersionResponse> {
        call("Version", async { Ok(runtime::version::version()) }).await
    }

    async fn runtime_config(
        &self,
        _: Request<cri::RuntimeConfigRequest>,
    ) -> Answer<cri::RuntimeConfigResponse> {
        call("RuntimeConfig", async { Ok(runtime::config::config(&self.0)) }).await
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<cri::RunPodSandboxRequest>,
    ) -> Answer<cri::RunPodSandboxResponse> {
        call("RunPodSandbox", sandbox::run::run(&self.0, request.into_inner())).await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<cri::StopPodSandboxRequest>,
    ) -> Answer<cri::StopPodSandboxResponse> {
        call("StopPodSandbox", sandbox::stop::stop(&self.0, request.into_inner())).await
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<cri::RemovePodSandboxRequest>,
    ) -> Answer<cri::RemovePodSandboxResponse> {
        call("RemovePodSandbox", sandbox::remove::remove(&self.0, request.into_inner())).await
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<cri::PodSandboxStatusRequest>,
    ) -> Answer<cri::PodSandboxStatusResponse> {
        call("PodSandboxStatus", async { sandbox::status::status(&self.0, request.into_inner()) }).await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<cri::ListPodSandboxRequest>,
    ) -> Answer<cri::ListPodSandboxResponse> {
        call("ListPodSandbox", async { sandbox::list::list(&self.0, request.into_inner()) }).await
    }

    async fn create_container(
        &self,
        request: Request<cri::CreateContainerRequest>,
    ) -> Answer<cri::CreateContainerResponse> {
        call("CreateContainer", container::create::create(&self.0, request.into_inner())).await
    }

    async fn start_container(
        &self,
        request: Request<cri::StartContainerRequest>,
    ) -> Answer<cri::StartContainerResponse> {
        call("StartContainer", container::start::start(&self.0, request.into_inner())).await
    }

    async fn stop_container(
        &self,
        request: Request<cri::StopContainerRequest>,
    ) -> Answer<cri::StopContainerResponse> {
        call("StopContainer", container::stop::stop(&self.0, request.into_inner())).await
    }

    async fn remove_container(
        &self,
        request: Request<cri::RemoveContainerRequest>,
    ) -> Answer<cri::RemoveContainerResponse> {
        call("RemoveContainer", container::remove::remove(&self.0, request.into_inner())).await
    }

    async fn list_containers(
        &self,
        request: Request<cri::ListContainersRequest>,
    ) -> Answer<cri::ListContainersResponse> {
        call("ListContainers", async { container::list::list(&self.0, request.into_inner()) }).await
    }

    async fn container_status(
        &self,
        request: Request<cri::ContainerStatusRequest>,
    ) -> Answer<cri::ContainerStatusResponse> {
        call("ContainerStatus", async { container::status::status(&self.0, request.into_inner()) }).await
    }

    async fn reopen_container_log(
        &self,
        request: Request<cri::ReopenContainerLogRequest>,
    ) -> Answer<cri::ReopenContainerLogResponse> {
        call("ReopenContainerLog", container::reopen_log::reopen_log(&self.0, request.into_inner())).await
    }

    async fn exec_sync(&self, request: Request<cri::ExecSyncRequest>) -> Answer<cri::ExecSyncResponse> {
        call("ExecSync", container::exec_sync::exec_sync(&self.0, request.into_inner())).await
    }

    async fn status(&self, request: Request<cri::StatusRequest>) -> Answer<cri::StatusResponse> {
        call("Status", runtime::status::status(&self.0, request.into_inner())).await
    }

    async fn update_container_resources(
        &self,
        request: Request<cri::UpdateContainerResourcesRequest>,
    ) -> Answer<cri::UpdateContainerResourcesResponse> {
        call("UpdateContainerResources", container::update::update(&self.0, request.into_inner())).await
    }

    async fn exec(&self, request: Request<cri::ExecRequest>) -> Answer<cri::ExecResponse> {
        call("Exec", container::exec::exec(&self.0, request.into_inner())).await
    }

    async fn attach(&self, request: Request<cri::AttachRequest>) -> Answer<cri::AttachResponse> {
        call("Attach", async { container::attach::attach(&self.0, request.into_inner()) }).await
    }

    async fn port_forward(
        &self,
        request: Request<cri::PortForwardRequest>,
    ) -> Answer<cri::PortForwardResponse> {
        call("PortForward", async { sandbox::port_forward::port_forward(&self.0, request.into_inner()) })
            .await
    }

    async fn container_stats(
        &self,
        request: Request<cri::ContainerStatsRequest>,
    ) -> Answer<cri::ContainerStatsResponse> {
        call("ContainerStats", container::stats::stats(&self.0, request.into_inner())).await
    }

    async fn list_container_stats(
        &self,
        request: Request<cri::ListContainerStatsRequest>,
    ) -> Answer<cri::ListContainerStatsResponse> {
        call("ListContainerStats", container::list_stats::list_stats(&self.0, request.into_inner())).await
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<cri::PodSandboxStatsRequest>,
    ) -> Answer<cri::PodSandboxStatsResponse> {
        call("PodSandboxStats", sandbox::stats::stats(&self.0, request.into_inner())).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<cri::ListPodSandboxStatsRequest>,
    ) -> Answer<cri::ListPodSandboxStatsResponse> {
        call("ListPodSandboxStats", sandbox::list_stats::list_stats(&self.0, request.into_inner())).await
    }

    async fn update_runtime_config(
        &self,
        request: Request<cri::UpdateRuntimeConfigRequest>,
    ) -> Answer<cri::UpdateRuntimeConfigResponse> {
        call("UpdateRuntimeConfig", async {
            Ok(runtime::update_config::update_config(&self.0, request.into_inner()))
        })
        .await
    }

    async fn checkpoint_container(
        &self,
        request: Request<cri::CheckpointContainerRequest>,
    ) -> Answer<cri::CheckpointContainerResponse> {
        call("CheckpointContainer", async {
            container::checkpoint::checkpoint(&self.0, request.into_inner())
        })
        .await
    }

    async fn list_metric_descriptors(
        &self,
        request: Request<cri::ListMetricDescriptorsRequest>,
    ) -> Answer<cri::ListMetricDescriptorsResponse> {
        call("ListMetricDescriptors", async {
            Ok(runtime::metric_descriptors::metric_descriptors(request.into_inner()))
        })
        .await
    }

    async fn list_pod_sandbox_metrics(
        &self,
        request: Request<cri::ListPodSandboxMetricsRequest>,
    ) -> Answer<cri::ListPodSandboxMetricsResponse> {
        call("ListPodSandboxMetrics", sandbox::list_metrics::list_metrics(&self.0, request.into_inner()))
            .await
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<cri::UpdatePodSandboxResourcesRequest>,
    ) -> Answer<cri::UpdatePodSandboxResourcesResponse> {
        call("UpdatePodSandboxResources", sandbox::update::update(&self.0, request.into_inner())).await
    }

    async fn stream_pod_sandboxes(
        &self,
        request: Request<cri::StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        call_many("StreamPodSandboxes", async { sandbox::stream::stream(&self.0, request.into_inner()) })
            .await
    }

    async fn stream_containers(
        &self,
        request: Request<cri::StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        call_many("StreamContainers", async { container::stream::stream(&self.0, request.into_inner()) })
            .await
    }

    async fn stream_container_stats(
        &self,
        request: Request<cri::StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        call_many("StreamContainerStats", container::stream_stats::stream(&self.0, request.into_inner()))
            .await
    }

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<cri::StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        call_many("StreamPodSandboxStats", sandbox::stream_stats::stream(&self.0, request.into_inner())).await
    }

    async fn stream_pod_sandbox_metrics(
        &self,
        request: Request<cri::StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        call_many("StreamPodSandboxMetrics", sandbox::stream_metrics::stream(&self.0, request.into_inner()))
            .await
    }

    async fn get_container_events(
        &self,
        request: Request<cri::GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        call_many("GetContainerEvents", async {
            Ok(container::events::events(&self.0, request.into_inner()))
        })
        .await
    }
}
