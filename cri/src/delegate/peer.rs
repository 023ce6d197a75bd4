//! The way to the delegate: its socket, spoken to as the kubelet would.
//!
//! HTTP/2 by hyper itself: tonic's channel hands each call through one more queue and task.
//!
//! Failure paths: the connection is made by the call that needs one, so a delegate that was away is reached by the next call
//! after it is back. What never came to it, and what was under way when it went, fails with `Unavailable` and its address. A call
//! that it breaks off on a connection that lives fails with `Internal` and the reason of HTTP/2: it is not away.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::Status;
use tonic::body::Body;

use super::frame;
use crate::error::{Error, Result};

/// How much may be on its way to us, in bytes: answers that nobody reads on do not hold up the others.
const WINDOW: u32 = 64 << 20;

/// The most bytes of an answer's headers: how a call failed stands in them, and may be long. As many as a client in Go takes.
const HEADERS: u32 = 16 << 20;

/// A connection that is made when it is needed.
#[derive(Clone)]
pub(super) struct Peer {
    address: String,
    socket: PathBuf,
    /// The connection that was made last.
    made: Arc<Mutex<Option<SendRequest<Body>>>>,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Silence {
    /// It cannot be reached, or went in the middle of it.
    Away(String),
    /// It answers with this.
    Refused(Status),
}

impl Peer {
    /// The peer at `unix:///PATH`.
    pub(super) fn open(address: &str) -> Result<Self> {
        let socket =
            address.strip_prefix("unix://").filter(|path| path.starts_with('/')).ok_or_else(|| {
                Error::Invalid(format!(
                    "cannot use {address} as the delegate's endpoint: it is not unix:///PATH"
                ))
            })?;
        Ok(Self { address: address.to_owned(), socket: socket.into(), made: Arc::default() })
    }

    /// Its address.
    pub(super) fn endpoint(&self) -> &str {
        &self.address
    }

    /// The same peer over a connection of its own.
    pub(super) fn apart(&self) -> Self {
        Self { made: Arc::default(), ..self.clone() }
    }

    /// Hands a request on as it is.
    pub(super) async fn pass(&self, mut request: Request<Body>) -> Result<Response<Body>, Silence> {
        *request.uri_mut() = absolute(std::mem::take(request.uri_mut()));
        if let Some(mut kept) = self.kept() {
            match kept.try_send_request(request).await {
                Ok(response) => return Ok(response.map(Body::new)),
                Err(mut error) => match error.take_message() {
                    // The connection had ended before anything of it was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(self.silence(&error.into_error())),
                },
            }
        }
        let mut made = self.connect().await?;
        made.send_request(request)
            .await
            .map(|response| response.map(Body::new))
            .map_err(|error| self.silence(&error))
    }

    /// The connection that there is.
    fn kept(&self) -> Option<SendRequest<Body>> {
        self.made().clone().filter(|made| !made.is_closed())
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Silence> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.away(&error))?;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.initial_connection_window_size(WINDOW).max_header_list_size(HEADERS);
        let made = http.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| self.away(&error))?;
        // Whoever waits for an answer on it learns why it ended.
        tokio::spawn(connection);
        *self.made() = Some(sender.clone());
        Ok(sender)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Option<SendRequest<Body>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks by a message of ours.
    pub(super) async fn ask(&self, path: &str, message: &[u8]) -> Result<Bytes, Silence> {
        let request = frame::request(path, message).map_err(Silence::Refused)?;
        let response = self.pass(request).await?;
        frame::answered(response).await.map_err(|status| {
            // A connection that breaks within an answer is told as a status of the transport's.
            if std::error::Error::source(&status).is_some() {
                self.silence(&status)
            } else {
                Silence::Refused(status)
            }
        })
    }

    /// Why a call on a connection that was made is not answered.
    fn silence(&self, error: &(dyn std::error::Error + 'static)) -> Silence {
        let (address, cause) = (&self.address, cause(error));
        if cause.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_reset) {
            let why =
                format!("the delegate at {address} has broken off this call alone ({cause}); see its log");
            return Silence::Refused(Status::internal(why));
        }
        self.away(error)
    }

    fn away(&self, error: &(dyn std::error::Error + 'static)) -> Silence {
        let (address, cause) = (&self.address, cause(error));
        Silence::Away(format!(
            "the delegate at {address} does not answer ({cause}); start it, or see its log"
        ))
    }
}

impl From<Silence> for Status {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Away(why) => Self::unavailable(why),
            Silence::Refused(status) => status,
        }
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What is at the bottom of an error.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

/// The same path as a whole address, as HTTP/2 carries one; the host is the one that gRPC names for a socket.
fn absolute(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("localhost"));
    Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hyper::body::Incoming;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use tokio::net::UnixListener;
    use tonic::Code;

    use super::*;

    /// More than fits into the headers of a client that asks for no more than usual.
    const LONG: usize = 100 << 10;

    /// A delegate that refuses `/long` at length and breaks off every other call; it counts its connections.
    async fn serve(listener: UnixListener, connections: tokio::sync::watch::Sender<usize>) {
        let answer = |request: Request<Incoming>| async move {
            if request.uri().path() != "/long" {
                return Err("no answer");
            }
            Ok(Status::not_found("x".repeat(LONG)).into_http::<Body>())
        };
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.send_modify(|count| *count += 1);
            let http = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    }

    #[tokio::test]
    async fn a_call_that_fails_alone_is_not_an_outage() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let (count, connections) = tokio::sync::watch::channel(0);
        let server = tokio::spawn(serve(UnixListener::bind(&socket).unwrap(), count));
        let peer = Peer::open(&format!("unix://{}", socket.display())).unwrap();
        let refused = async |path| match peer.ask(path, &[]).await {
            Err(Silence::Refused(status)) => status,
            other => panic!("it is there and answers nothing else: {other:?}"),
        };
        for _ in 0..2 {
            let long = refused("/long").await;
            assert_eq!((long.code(), long.message().len()), (Code::NotFound, LONG));
            let broken = refused("/broken").await;
            assert_eq!(broken.code(), Code::Internal, "{broken}");
            assert!(broken.message().contains("stream error received"), "{broken}");
        }
        assert_eq!(*connections.borrow(), 1, "the connection goes on");
        server.abort();
    }
}
