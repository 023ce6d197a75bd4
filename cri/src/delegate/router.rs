//! The one place that every call passes: it goes to us, to the delegate, or to both.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::frame::{self, Call};
use super::list::List;
use super::method::{self, Method};
use super::owner::{self, Side};
use super::peer::Silence;
use super::{Delegate, events, images, list, status, wire};
use crate::error::Error;
use crate::node::Node;
use crate::telemetry;

/// Puts the router before the services.
#[derive(Clone)]
pub struct RouterLayer {
    node: Arc<Node>,
    delegate: Arc<Delegate>,
}

impl RouterLayer {
    /// A router between the node's own services and the delegate.
    pub fn new(node: Arc<Node>, delegate: Arc<Delegate>) -> Self {
        Self { node, delegate }
    }
}

impl Layer<Routes> for RouterLayer {
    type Service = Router;

    fn layer(&self, ours: Routes) -> Router {
        Router { ours, node: self.node.clone(), delegate: self.delegate.clone() }
    }
}

/// The router.
#[derive(Clone)]
pub struct Router {
    ours: Routes,
    node: Arc<Node>,
    delegate: Arc<Delegate>,
}

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let router = self.clone();
        Box::pin(async move { Ok(router.route(request).await.unwrap_or_else(Status::into_http)) })
    }
}

impl Router {
    /// The node's own side.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// The other side.
    pub(super) fn delegate(&self) -> &Arc<Delegate> {
        &self.delegate
    }

    /// Serves a request ourselves.
    pub(super) async fn ours(&self, request: Request<Body>) -> Response<Body> {
        match self.ours.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Hands a request on to the delegate: timed and counted as ours are, until it begins to answer.
    async fn theirs(&self, rpc: &'static str, request: Request<Body>) -> Result<Response<Body>, Status> {
        let begun = Instant::now();
        let answer = self.delegate.pass(request).await;
        let elapsed = begun.elapsed();
        // A refusal stands in the headers: it has no message.
        let refusal = match &answer {
            Ok(response) => Status::from_header_map(response.headers()),
            Err(status) => Some(status.clone()),
        };
        let code = refusal.as_ref().map_or(Code::Ok, Status::code);
        match refusal.filter(|_| code != Code::Ok) {
            None => tracing::debug!(rpc, ?elapsed, "the delegate has done it"),
            Some(status) => tracing::info!(rpc, ?elapsed, error = status.message(), "the delegate failed"),
        }
        telemetry::traces::rpc_ended(code);
        telemetry::rpc(rpc, if code == Code::Ok { "OK".to_owned() } else { format!("{code:?}") }, elapsed);
        answer
    }

    async fn route(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let Some((rpc, method)) = method::find(request.uri().path()) else {
            return self.theirs("other", request).await;
        };
        if matches!(method, Method::Ours) {
            return Ok(self.ours(request).await);
        }
        let call = Call::read(request).await?;
        let side = match method {
            Method::Ours => Side::Ours,
            Method::Run => owner::of_handler(&self.delegate.handlers, &text(&call, 2)?),
            Method::Pod => self.of_pod(&text(&call, 1)?)?,
            Method::Container => self.of_container(&text(&call, 1)?)?,
            Method::Pull => images::of_pull(self, &call)?,
            Method::RemoveImage => images::of_removal(self, &call).await?,
            Method::ImageStatus => return images::status(self, call).await,
            Method::List(list) => return list::list(self, list, call).await,
            Method::Stream(list) => return list::stream(self, list, call).await,
            Method::Events => return events::events(self, call).await,
            Method::Status => return status::status(self, call).await,
            Method::Config => return status::config(self, call).await,
            Method::UpdateConfig => return status::update_config(self, call).await,
        };
        match side {
            Side::Ours => Ok(self.ours(call.request()).await),
            Side::Theirs => {
                let answer = self.theirs(rpc, call.request()).await?;
                let refusal = Status::from_header_map(answer.headers()).map(|status| status.code());
                if refusal.is_none_or(|code| code == Code::Ok) {
                    self.delegate.heard.changed(method::changed(rpc));
                }
                let is_absent = method::ENDS.contains(&rpc) && refusal == Some(Code::NotFound);
                Ok(if is_absent { frame::response(frame::framed(&[])) } else { answer })
            }
        }
    }

    /// Whose a pod of this id is. None at all is for us to refuse.
    fn of_pod(&self, id: &str) -> Result<Side, Status> {
        self.of_id(id, self.node.pods.view(id).map(|view| view.pod.id.clone()), &list::PODS)
    }

    /// The same of a container.
    fn of_container(&self, id: &str) -> Result<Side, Status> {
        let found = self.node.pods.container(id).map(|(_, container)| container.record.id.clone());
        self.of_id(id, found, &list::CONTAINERS)
    }

    fn of_id(&self, id: &str, found: Result<String, Error>, list: &'static List) -> Result<Side, Status> {
        match found {
            Err(Error::NotFound { .. }) if !id.is_empty() => Ok(Side::Theirs),
            Ok(whole) if whole == id => Ok(Side::Ours),
            // It is the beginning of one of ours, or of more of them.
            _ => owner::of_beginning(id, list::ids(list, &self.delegate.heard.last(list.path))).ok_or_else(
                || {
                    Status::invalid_argument(format!(
                        "{id} is the beginning of ids of both runtimes; give more of it"
                    ))
                },
            ),
        }
    }
}

/// A text that stands in a call itself.
fn text(call: &Call, number: u32) -> Result<String, Status> {
    wire::text(&call.message(), &[number]).map_err(|error| malformed(&error))
}

/// What a call is answered that cannot be read.
pub(super) fn malformed(error: &wire::Malformed) -> Status {
    Status::invalid_argument(format!("the request is {error}"))
}

impl Delegate {
    /// Hands a request on as it is, and notes whether the delegate is there.
    pub(super) async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let answer = self.peer.pass(request).await;
        let trouble = if let Err(Silence::Away(why)) = &answer { Some(why.as_str()) } else { None };
        self.heard.note(trouble);
        answer.map_err(Status::from)
    }
}
