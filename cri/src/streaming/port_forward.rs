//! Connections to a pod's ports, carried by SPDY on a socket or in a WebSocket.
//!
//! ```text
//!   stream error + stream data (same requestid, port) --> the guest's localhost:port --> bytes both ways
//!                                                          `-- forbidden --> pod IP:port
//! ```
//!
//! - Happy path: the guest's own end of a connection ends the data stream, then the error stream, which stays empty.
//! - Failures: what cannot be reached is told on the error stream. A stream without its pair after 30 s, without a port,
//!   or that is there already is refused. The client is gone: all of its connections are closed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use transports::ByteStream;

use super::channel::{Input, Output};
use super::spdy::{self, Offer};
use super::upgrade::Protocol;
use super::websocket;
use crate::container::session;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::store::PodPhase;

/// How long the second stream of a pair may take.
const CREATION: Duration = Duration::from_secs(30);
/// How long a guest that has answered before, and a TCP connection, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may still send when the guest has ended its direction.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// What is read from a guest at once.
const PIECE_BYTES: usize = 32 * 1024;
/// Where a guest's own services listen.
const LOCALHOST: [&str; 2] = ["127.0.0.1", "::1"];

/// Serves the connections that the client asks for, until it leaves.
pub(super) async fn run<S>(node: &Arc<Node>, pod: String, socket: S, protocol: Protocol, idle: Duration)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (_connection, mut offers) = match protocol {
        Protocol::Tunnel => spdy::serve(websocket::tunnel(socket).await, idle),
        Protocol::Spdy(_) | Protocol::WebSocket(_) => spdy::serve(socket, idle),
    };
    let pod: Arc<str> = pod.into();
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut forwards = JoinSet::new();
    loop {
        let expiry = halves.values().map(|half| half.until).min();
        tokio::select! {
            offer = offers.recv() => {
                let Some(offer) = offer else { return };
                if let Some(pair) = pair(&mut halves, offer).await {
                    forwards.spawn(forward(Arc::clone(node), Arc::clone(&pod), pair));
                }
            }
            Some(_) = forwards.join_next() => {}
            () = at(expiry) => {
                let now = Instant::now();
                for (_, half) in halves.extract_if(|_, half| half.until <= now) {
                    tracing::info!(port = half.port, "a stream of a port-forward came without its pair");
                    half.output.cut().await;
                }
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// One stream of a pair, which waits for the other.
struct Half {
    port: u16,
    is_data: bool,
    input: Input,
    output: Output,
    until: Instant,
}

/// The two streams of one connection.
struct Pair {
    port: u16,
    data: (Input, Output),
    error: Output,
}

/// Puts a stream to the one that it belongs to; none as long as that is missing. Each is accepted by itself, for a client
/// opens the second only then.
async fn pair(halves: &mut HashMap<String, Half>, offer: Offer) -> Option<Pair> {
    let port = offer.headers.get("port").and_then(|port| port.parse().ok()).filter(|port: &u16| *port > 0);
    let kind = match offer.headers.get("streamtype") {
        Some("data") => Some(true),
        Some("error") => Some(false),
        _ => None,
    };
    let (Some(port), Some(is_data)) = (port, kind) else {
        tracing::info!("a stream of a port-forward without a port or a type is refused");
        offer.refuse().await;
        return None;
    };
    // Old clients give no id: their data stream is the one after the error stream.
    let first = if is_data { offer.stream.saturating_sub(2) } else { offer.stream };
    let id = offer.headers.get("requestid").map_or_else(|| format!("stream {first}"), str::to_owned);
    let there = halves.get(&id);
    if there.is_some_and(|half| half.is_data == is_data || half.port != port) {
        tracing::info!(port, "a stream of a port-forward that is there already is refused");
        offer.refuse().await;
        return None;
    }
    let (input, output) = offer.accept().await.ok()?;
    let new = Half { port, is_data, input, output, until: Instant::now() + CREATION };
    let Some(other) = halves.remove(&id) else {
        halves.insert(id, new);
        return None;
    };
    let (data, error) = if is_data { (new, other) } else { (other, new) };
    Some(Pair { port, data: (data.input, data.output), error: error.output })
}

/// One connection, to its end.
async fn forward(node: Arc<Node>, pod: Arc<str>, pair: Pair) {
    let Pair { port, data: (mut input, output), error } = pair;
    match connect(&node, &pod, port).await {
        Err(why) => {
            tracing::info!(pod = &*pod, port, error = why.chain(), "a port-forward failed");
            let _ = error.send(why.chain().into()).await;
            let _ = tokio::join!(output.finish(), error.finish());
        }
        Ok(stream) => carry(stream, &mut input, &output, &error).await,
    }
}

/// Carries bytes both ways, each direction to its own end.
async fn carry(stream: Box<dyn ByteStream>, input: &mut Input, output: &Output, error: &Output) {
    let (mut from, mut to) = tokio::io::split(stream);
    let inward = async {
        while let Some(bytes) = input.next().await {
            if to.write_all(&bytes).await.is_err() {
                // The guest takes no more; what it has to say still comes.
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    let outward = async {
        let mut bytes = BytesMut::with_capacity(PIECE_BYTES);
        while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            if output.send(bytes.split().freeze()).await.is_err() {
                return;
            }
            bytes.reserve(PIECE_BYTES);
        }
        let _ = tokio::join!(output.finish(), error.finish());
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut inward => {
            if !output.is_cut() {
                outward.await;
            }
        }
        () = &mut outward => drop(timeout(LAST_WORDS, inward).await),
    }
    if output.is_cut() {
        let _ = error.finish().await;
    }
}

/// A connection to a port of the pod: to the guest's own, or where it forbids that, over the network.
async fn connect(node: &Node, pod: &str, port: u16) -> Result<Box<dyn ByteStream>> {
    let view = node.pods.view(pod)?;
    if view.pod.phase != PodPhase::Ready {
        return Err(Error::Conflict(format!("pod {pod} is not ready ({:?})", view.pod.phase)));
    }
    let Some(machine) = view.containers.values().find(|container| container.is_live()) else {
        return Err(Error::Conflict(format!(
            "the machine of pod {pod} does not run, so nothing listens on {port}"
        )));
    };
    if machine.link.is_some() {
        let session = session(machine, Some(PATIENCE)).await?;
        if let Some(ports) = session.port_forward() {
            match localhost(ports, port).await {
                Err(transports::Error::Forbidden(why)) => {
                    tracing::debug!(pod, port, why, "forwarded over the network instead");
                }
                reached => return Ok(reached?),
            }
        }
    }
    let addresses = view.pod.attachment.as_ref().map(|attachment| &attachment.addresses);
    let Some(address) = addresses.and_then(|addresses| addresses.first()) else {
        return Err(Error::invalid(format!("pod {pod} has no address, and its guest forwards no ports")));
    };
    let address = (address.address, port);
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(Error::Unavailable(format!("{}:{port}: {error}", address.0))),
        Err(_) => Err(Error::TimedOut(format!("{}:{port}: no answer within {PATIENCE:?}", address.0))),
    }
}

async fn localhost(
    ports: &dyn transports::PortForward,
    port: u16,
) -> Result<Box<dyn ByteStream>, transports::Error> {
    let [first, second] = LOCALHOST;
    match ports.connect(first, port).await {
        // The first error is the one that people know.
        Err(error @ transports::Error::Unreachable(_)) => {
            ports.connect(second, port).await.map_err(|_| error)
        }
        reached => reached,
    }
}
