//! The gRPC shell: the only place that knows tonic.
//!
//! Each RPC is one line here and one file elsewhere. [`call`] is the one wrapper around all of them: it traces the call
//! and turns an error into a status by the one table in [`status`].

mod deadline;
mod image;
mod runtime;
mod status;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, StreamExt};
use proto::runtime::v1::image_service_server::ImageServiceServer;
use proto::runtime::v1::runtime_service_server::RuntimeServiceServer;
use tonic::service::Routes;
use tonic::{Response, Status};

use crate::error::Result;
use crate::node::Node;
use crate::telemetry;

pub use deadline::DeadlineLayer;
pub(crate) use deadline::EXPIRED;

/// The largest message that is taken or given, in bytes: the kubelet's own bound.
const LARGEST_MESSAGE: usize = 16 << 20;

/// Both services on one node.
pub fn routes(node: &Arc<Node>) -> Routes {
    let runtime = RuntimeServiceServer::new(runtime::Runtime(node.clone()));
    let image = ImageServiceServer::new(image::Images(node.clone()));
    Routes::default()
        .add_service(
            runtime.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(2 * LARGEST_MESSAGE),
        )
        .add_service(
            image.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(2 * LARGEST_MESSAGE),
        )
}

/// Runs one RPC: traced, timed, counted, its error mapped.
async fn call<T>(rpc: &'static str, work: impl Future<Output = Result<T>>) -> Result<Response<T>, Status> {
    let begun = Instant::now();
    let result = work.await;
    let elapsed = begun.elapsed();
    let answer = match result {
        Ok(answer) => {
            tracing::debug!(rpc, ?elapsed, "done");
            Ok(Response::new(answer))
        }
        Err(error) => {
            tracing::info!(rpc, ?elapsed, error = error.chain(), "failed");
            Err(status::of(&error))
        }
    };
    let code = answer.as_ref().map_or_else(|status| format!("{:?}", status.code()), |_| "OK".to_owned());
    telemetry::traces::rpc_ended(answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok));
    telemetry::rpc(rpc, code, elapsed);
    answer
}

/// A stream of answers.
type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Runs one RPC that answers a stream: traced until the stream begins, each error in it mapped.
async fn call_many<T>(
    rpc: &'static str,
    work: impl Future<Output = Result<impl Stream<Item = Result<T>> + Send + 'static>>,
) -> Result<Response<Many<T>>, Status> {
    let mapped = |item: Result<T>| item.map_err(|error| status::of(&error));
    call(rpc, async { Ok(Box::pin(work.await?.map(mapped)) as Many<T>) }).await
}
