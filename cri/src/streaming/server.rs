//! HTTP/1.1 on the streaming address: a token is taken, and its connection handed to the session.
//!
//! ```text
//!   accept --(TLS)--> head of the request --token--> upgrade --> session
//!                                          `-- none --> 404
//! ```
//!
//! - Happy path: one request a connection, answered with 101.
//! - Failures: no token, or one that was used, has expired or belongs to another path: 404 and a line in the log. No
//!   upgrade, or nothing in common: 400 or 403, and the token is spent. A head that does not come in time, or is too
//!   long: the connection is closed. Beyond [`CONNECTIONS_MAX`] connections further ones wait to be accepted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::upgrade::{self, Kind, Protocol};
use super::{Request, attach, exec, port_forward, remote_command};
use crate::node::Node;

/// The most connections at once.
const CONNECTIONS_MAX: usize = 512;
/// How long the TLS handshake, and then the head of the request, may take.
const HEAD: Duration = Duration::from_secs(10);
/// The longest head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// How long a silent client is asked for signs of life, and how often.
const SIGN_OF_LIFE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// How long a socket that takes no connection is left alone (no file descriptor is free).
const OUT_OF_FILES: Duration = Duration::from_secs(1);

type Answer = Response<Full<Bytes>>;

/// The server, before it serves.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<Acceptor>,
}

/// A TLS acceptor with a `Debug` that says nothing.
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Server {
    pub(super) fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> Self {
        Self { listener, tls: tls.map(Acceptor) }
    }

    /// Serves for ever.
    pub async fn serve(self, node: Arc<Node>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    let tls = self.tls.as_ref().map(|tls| tls.0.clone());
                    tokio::spawn(connection(Arc::clone(&node), socket, tls, peer, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a streaming connection was not accepted");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }
}

async fn connection(
    node: Arc<Node>,
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    let (after, every, times) = SIGN_OF_LIFE;
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(every).with_retries(times);
    // Without either a session is only slower, or ended later.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
    match tls {
        None => http(node, socket, peer, place).await,
        Some(tls) => match timeout(HEAD, tls.accept(socket)).await {
            Ok(Ok(socket)) => http(node, socket, peer, place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a streaming client speaks no TLS"),
            Err(_) => tracing::debug!(%peer, "a streaming client finished no TLS handshake in time"),
        },
    }
}

async fn http<S>(node: Arc<Node>, socket: S, peer: SocketAddr, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let place = Arc::new(place);
    let service = service_fn(move |request| {
        let (node, place) = (Arc::clone(&node), Arc::clone(&place));
        async move { Ok::<_, Infallible>(answer(node, request, peer, place)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a streaming client was not served");
    }
}

/// Takes the token and answers. The session runs on in a task of its own.
fn answer(
    node: Arc<Node>,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    place: Arc<OwnedSemaphorePermit>,
) -> Answer {
    let asked = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
    let found = asked.and_then(|(name, token)| {
        let found = node.streaming.tokens.take(token)?;
        (found.name() == name).then_some(found)
    });
    let Some(wanted) = found else {
        tracing::warn!(%peer, "a streaming URL that was used, has expired, or never was: refused");
        return refusal(
            StatusCode::NOT_FOUND,
            "this URL was used, has expired, or never was; ask for a new one",
        );
    };
    let kind = match wanted {
        Request::PortForward { .. } => Kind::PortForward,
        Request::Exec { .. } | Request::Attach { .. } => Kind::RemoteCommand,
    };
    match upgrade::negotiate(kind, request.headers()) {
        Ok((protocol, answer)) => {
            tokio::spawn(async move {
                match timeout(HEAD, hyper::upgrade::on(request)).await {
                    Ok(Ok(upgraded)) => session(&node, wanted, protocol, TokioIo::new(upgraded)).await,
                    Ok(Err(error)) => {
                        tracing::info!(%peer, %error, "a streaming client left before its session");
                    }
                    Err(_) => tracing::info!(%peer, "a streaming client was not upgraded in time"),
                }
                drop(place);
            });
            answer
        }
        Err(refused) => {
            tracing::info!(%peer, why = refused.why, "a streaming client was refused");
            let mut answer = refusal(refused.status, &refused.why);
            answer.headers_mut().extend(refused.headers().map(|(name, value)| (Some(name), value)));
            answer
        }
    }
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{why}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// One session, to its end.
async fn session<S>(node: &Arc<Node>, request: Request, protocol: Protocol, socket: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tracing::debug!(session = request.name(), ?protocol, "begins");
    let name = request.name();
    let idle = node.streaming.idle;
    match request {
        Request::Exec { container, command, wanted } => {
            if let Some(streams) = remote_command::gather(socket, protocol, wanted, idle).await {
                exec::run(node, &container, command, wanted, streams).await;
            }
        }
        Request::Attach { container, wanted } => {
            if let Some(streams) = remote_command::gather(socket, protocol, wanted, idle).await {
                attach::run(node, &container, streams).await;
            }
        }
        Request::PortForward { pod } => port_forward::run(node, pod, socket, protocol, idle).await,
    }
    tracing::debug!(session = name, "ended");
}
