//! `GetContainerEvents`: what happens on both sides, as it happens.
//!
//! ```text
//!   ours   --------------------------------------> one stream, which ends when ours does
//!   theirs --listening--lost--> asking until it answers --> the listener is let go
//! ```
//!
//! Happy path: both streams are one, each in its own order. Theirs comes over a connection of its own, so a listener that
//! does not read holds up nobody.
//!
//! Failure paths: while the delegate is away ours go on. Once it is back, what happened there meanwhile is lost, so the listener
//! is told and let go; whoever it is lists, and asks for events again. A delegate that refuses to tell events, as older ones do, is
//! one where none happen.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use transports::Backoff;

use super::Delegate;
use super::frame::{self, Call, Messages};
use super::router::Router;

/// The call.
const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// Events as they travel, until one error.
type Events = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Serves the call.
pub(super) async fn events(router: &Router, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let ours = Messages::of(router.ours(call.request()).await)?;
    let theirs: Events = Box::pin(theirs(router.delegate().clone(), message).chain(stream::pending()));
    let both = stream::unfold(Some((ours, theirs)), next);
    Ok(frame::begun(Body::new(StreamBody::new(both))))
}

type Both = Option<(Messages, Events)>;

/// The next event of either side; after the last one how the call ended.
async fn next(both: Both) -> Option<(Result<Frame<Bytes>, Status>, Both)> {
    let (mut ours, mut theirs) = both?;
    let event = tokio::select! {
        event = ours.next() => event,
        Some(event) = theirs.next() => event.map(Some),
    };
    let (frame, rest) = match event {
        Ok(Some(event)) => (Frame::data(event), Some((ours, theirs))),
        Ok(None) => (frame::trailers(&Status::ok("")), None),
        Err(status) => (frame::trailers(&status), None),
    };
    Some((Ok(frame), rest))
}

/// Where the delegate's stream is.
enum Listening {
    Not,
    To(Messages),
    /// Something was told.
    Heard(Messages),
    Lost(Status),
}

/// The delegate's events. A call begins to answer with the first of them.
fn theirs(delegate: Arc<Delegate>, message: Bytes) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    stream::unfold(Some(Listening::Not), move |listening| {
        let (delegate, message) = (delegate.clone(), message.clone());
        async move {
            let mut listening = listening?;
            loop {
                listening = match listening {
                    Listening::Not => match listen(&delegate, &message).await {
                        Ok(messages) => Listening::To(messages),
                        Err(status) if has_none(&status) => return None,
                        Err(status) => Listening::Lost(status),
                    },
                    Listening::To(mut messages) => match messages.next().await {
                        Ok(Some(event)) => return Some((Ok(event), Some(Listening::Heard(messages)))),
                        Ok(None) => Listening::Lost(Status::unavailable("it ended the stream")),
                        Err(status) if has_none(&status) => return None,
                        Err(status) => Listening::Lost(status),
                    },
                    Listening::Heard(mut messages) => match messages.next().await {
                        Ok(Some(event)) => return Some((Ok(event), Some(Listening::Heard(messages)))),
                        Ok(None) => Listening::Lost(Status::unavailable("it ended the stream")),
                        Err(status) => Listening::Lost(status),
                    },
                    Listening::Lost(why) => {
                        answers(&delegate).await;
                        let why = why.message();
                        let told = format!(
                            "events of the delegate were lost ({why}); list, and ask for events again"
                        );
                        return Some((Err(Status::unavailable(told)), None));
                    }
                };
            }
        }
    })
}

/// Whether a runtime refuses by this to tell any events: containerd 1.6 says so with no code of its own. What comes from the
/// connection has a source.
fn has_none(status: &Status) -> bool {
    matches!(status.code(), Code::Unimplemented | Code::Unknown)
        && std::error::Error::source(status).is_none()
}

async fn listen(delegate: &Delegate, message: &Bytes) -> Result<Messages, Status> {
    let response = delegate.peer.apart().pass(frame::request(EVENTS, message)?).await?;
    Messages::of(response)
}

/// Waits until the delegate answers again.
async fn answers(delegate: &Arc<Delegate>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while delegate.version().await.is_err() {
        tokio::time::sleep(backoff.next_wait()).await;
    }
}
