//! One connection attempt: TCP, key exchange with the host key check, authentication, all under one deadline.
//!
//! - Happy path: [`dial`] gives an authenticated connection and the host key that it proved to hold.
//! - Failures name the last step that was reached, since that is how people tell a guest that is still booting
//!   ("connection refused", "no banner yet") from one that is broken.
//! - Handshakes are costly for both sides; only [`HANDSHAKES`] happen at once in this process, and the wait for a turn
//!   counts into the deadline.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::{io, mem};

use russh::client::{self, Handle};
use russh::keys::Algorithm;
use russh::{AlgorithmKind, SshId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Client, Failure, Seen, describe};
use super::identity::{Expected, family, fingerprint};
use super::{SshOptions, algorithms, authenticate};
use crate::{Error, Identity, Result, Target};

/// The receive window of a channel, in bytes.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Packets that the library keeps for a channel before it stops reading the connection.
const CHANNEL_BUFFER_PACKETS: usize = 64;

/// The handshakes that may happen at once in this process: 4 for each core.
static HANDSHAKES: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(4 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
});

/// An authenticated connection.
pub(super) struct Dialled {
    pub(super) handle: Handle<Client>,
    /// Tells why the connection ended, once it has.
    pub(super) ended: watch::Receiver<Option<String>>,
    /// Dropped, it ends the socket whatever the library is waiting for.
    pub(super) cut: oneshot::Sender<()>,
    /// The host key as a line of text, by which later connections are pinned.
    pub(super) host_key: String,
    /// Whether the server takes a single command at a time.
    pub(super) one_by_one: bool,
}

/// Connects and authenticates.
pub(super) async fn dial(options: &SshOptions, target: &Target) -> Result<Dialled> {
    let expected = Expected::new(&target.identity)?;
    let mut preferred = algorithms::offer(&target.legacy_algorithms)?;
    expected.prefer(preferred.key.to_mut());
    let deadline = Instant::now() + options.connect_timeout;
    loop {
        let config = Arc::new(client::Config {
            client_id: SshId::Standard("SSH-2.0-infranetes".into()),
            window_size: WINDOW_BYTES,
            channel_buffer_size: CHANNEL_BUFFER_PACKETS,
            preferred: preferred.clone(),
            keepalive_interval: Some(options.keepalive_interval),
            keepalive_max: 3,
            nodelay: true,
            ..client::Config::default()
        });
        match attempt(options, target, &expected, config, deadline).await {
            Err(Attempt::Other(key)) => {
                // A fingerprint does not tell the kind of its key: see what else the server can show.
                let shown = family(&key.algorithm());
                let mut rest: Vec<Algorithm> = mem::take(preferred.key.to_mut());
                rest.retain(|algorithm| family(algorithm) != shown);
                if !expected.may_be_another_kind() || rest.is_empty() {
                    return Err(wrong_identity(target.address, &format!("it shows {}", fingerprint(&key))));
                }
                preferred.key = rest.into();
            }
            Err(Attempt::NoSuchKey(theirs)) => {
                return Err(wrong_identity(
                    target.address,
                    &format!("it has only keys of the kinds {theirs}"),
                ));
            }
            Err(Attempt::Failed(error)) => return Err(error),
            Ok(dialled) => return Ok(dialled),
        }
    }
}

fn wrong_identity(address: SocketAddr, shown: &str) -> Error {
    Error::WrongIdentity(format!(
        "the guest at {address} is not the expected one: {shown}, which is none of the pinned host keys; nothing secret \
         was sent to it"
    ))
}

/// How one attempt failed.
enum Attempt {
    Other(russh::keys::PublicKey),
    NoSuchKey(String),
    Failed(Error),
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

async fn attempt(
    options: &SshOptions,
    target: &Target,
    expected: &Expected,
    config: Arc<client::Config>,
    deadline: Instant,
) -> Result<Dialled, Attempt> {
    let address = target.address;
    let Ok(Ok(_turn)) = timeout_at(deadline, HANDSHAKES.acquire()).await else {
        return Err(Error::Unreachable(format!("{address}: too many handshakes at once on this node")).into());
    };
    let stream = match timeout(options.tcp_timeout, TcpStream::connect(address)).await {
        Err(_) => return Err(Error::Unreachable(format!("{address}: no answer to TCP")).into()),
        Ok(Err(error)) => return Err(Error::Unreachable(format!("{address}: {}", tcp_reason(&error))).into()),
        Ok(Ok(stream)) => stream,
    };
    // Only a matter of speed: a connection that cannot do it works too.
    let _ = stream.set_nodelay(true);
    let spoken = Arc::new(AtomicBool::new(false));
    let (cut, cut_receiver) = oneshot::channel();
    let stream = Watched { stream, spoken: Arc::clone(&spoken), cut: Some(cut_receiver) };
    let seen = Arc::new(Seen::default());
    let (ended_sender, ended) = watch::channel(None);
    let handler = Client { expected: expected.clone(), seen: Arc::clone(&seen), ended: ended_sender };

    let handshake = client::connect_stream(config, stream, handler);
    tokio::pin!(handshake);
    let until_banner = deadline.min(Instant::now() + options.banner_timeout);
    let silent = || !spoken.load(Ordering::Relaxed);
    let shaken = match timeout_at(until_banner, &mut handshake).await {
        Err(_) if silent() => {
            return Err(Error::Unreachable(format!("{address}: connected, no banner yet")).into());
        }
        Err(_) => timeout_at(deadline, &mut handshake).await,
        done => done,
    };
    let mut handle = match shaken {
        Err(_) => {
            return Err(Error::Unreachable(format!("{address}: key exchange not finished in time")).into());
        }
        Ok(Ok(handle)) => handle,
        Ok(Err(Failure::OtherKey(key))) => return Err(Attempt::Other(key)),
        Ok(Err(Failure::Protocol(russh::Error::NoCommonAlgo {
            kind: AlgorithmKind::Key, theirs, ..
        }))) => {
            return Err(Attempt::NoSuchKey(theirs.join(", ")));
        }
        Ok(Err(Failure::Protocol(error @ russh::Error::NoCommonAlgo { .. }))) => {
            return Err(Error::Invalid(format!("{address}: {}", describe(&error))).into());
        }
        Ok(Err(Failure::Protocol(_))) if silent() => {
            return Err(Error::Unreachable(format!("{address}: connection closed, no banner yet")).into());
        }
        Ok(Err(Failure::Protocol(error))) => {
            return Err(
                Error::Unreachable(format!("{address}: key exchange failed: {}", describe(&error))).into()
            );
        }
    };
    // Boxed: it is over long before the connection is.
    let login = Box::pin(authenticate::authenticate(&mut handle, target, &seen, &ended));
    match timeout_at(deadline, login).await {
        Err(_) => {
            return Err(Error::Unreachable(format!("{address}: authentication not finished in time")).into());
        }
        Ok(result) => result?,
    }
    let host_key = seen.key().and_then(|key| key.to_openssh().ok()).unwrap_or_default();
    tracing::debug!(%address, user = target.user, "connected by SSH");
    Ok(Dialled { handle, ended, cut, host_key, one_by_one: seen.one_by_one() })
}

/// The target with the identity that a first connection proved.
pub(super) fn pinned(target: &Target, host_key: &str) -> Target {
    Target { identity: Identity::Pinned(vec![host_key.to_owned()]), ..target.clone() }
}

/// Why a TCP connection could not be made, in the words that people search for.
fn tcp_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        _ => error.to_string().to_lowercase(),
    }
}

/// A stream that remembers whether the other side ever said anything, and ends when its owner is gone: the library's
/// task would else wait for a silent server for ever.
struct Watched {
    stream: TcpStream,
    spoken: Arc<AtomicBool>,
    cut: Option<oneshot::Receiver<()>>,
}

impl Watched {
    /// Fails once the owner is gone, and wakes the task when that happens.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut
            && Pin::new(cut).poll(cx).is_ready()
        {
            self.cut = None;
        }
        if self.cut.is_none() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was closed"));
        }
        Ok(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.spoken.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
