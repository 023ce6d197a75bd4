//! `ImageService`: a line for each RPC.

use std::sync::Arc;

use proto::runtime::v1 as cri;
use proto::runtime::v1::image_service_server::ImageService;
use tonic::{Request, Response, Status};

use super::{Many, call, call_many};
use crate::image;
use crate::node::Node;

/// The service.
pub(super) struct Images(pub(super) Arc<Node>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ImageService for Images {
    type StreamImagesStream = Many<cri::StreamImagesResponse>;

    async fn list_images(&self, request: Request<cri::ListImagesRequest>) -> Answer<cri::ListImagesResponse> {
        call("ListImages", image::list::list(&self.0, request.into_inner())).await
    }

    async fn image_status(
        &self,
        request: Request<cri::ImageStatusRequest>,
    ) -> Answer<cri::ImageStatusResponse> {
        call("ImageStatus", image::status::status(&self.0, request.into_inner())).await
    }

    async fn pull_image(&self, request: Request<cri::PullImageRequest>) -> Answer<cri::PullImageResponse> {
        call("PullImage", Box::pin(image::pull::pull(&self.0, request.into_inner()))).await
    }

    async fn remove_image(
        &self,
        request: Request<cri::RemoveImageRequest>,
    ) -> Answer<cri::RemoveImageResponse> {
        call("RemoveImage", image::remove::remove(&self.0, request.into_inner())).await
    }

    async fn image_fs_info(&self, _: Request<cri::ImageFsInfoRequest>) -> Answer<cri::ImageFsInfoResponse> {
        call("ImageFsInfo", image::fs_info::fs_info(&self.0)).await
    }

    async fn stream_images(
        &self,
        request: Request<cri::StreamImagesRequest>,
    ) -> Answer<Self::StreamImagesStream> {
        call_many("StreamImages", image::stream::stream(&self.0, request.into_inner())).await
    }
}
