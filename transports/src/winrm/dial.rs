//! One connection attempt: TCP, TLS with the check of the certificate, then HTTP on it.
//!
//! - Happy path: [`dial`] gives a connection on which nothing was sent yet.
//! - Failures name the last step that was reached, since that is how people tell a guest that is still booting
//!   ("connection refused") from one that is broken. Another certificate is [`Error::WrongIdentity`], before anything
//!   secret was sent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::body::Body;
use super::certificate::{Expected, fingerprint};
use super::options::{Security, WinrmOptions};
use super::{binding, words};
use crate::{Error, Identity, Result, Target};

/// A connection that carries HTTP.
pub(super) struct Dialled {
    pub(super) sender: SendRequest<Body>,
    /// Set once the guest has said that it will end the connection, so that its end is no news.
    pub(super) announced: Arc<AtomicBool>,
    /// The work of the connection; ended with this value.
    _work: Work,
    socket: OwnedFd,
    /// The fingerprint of the certificate that was shown, and what a login is bound to by it.
    pub(super) certificate: Option<(String, Vec<u8>)>,
}

impl Dialled {
    /// Whether nothing has come that nobody asked for, which can only be the connection's end. The library learns of that
    /// a moment later than the kernel does.
    pub(super) fn is_quiet(&self) -> bool {
        let peeked = recv(&self.socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(Errno::AGAIN)) && !self.sender.is_closed()
    }
}

struct Work(AbortHandle);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects; TCP within a limit, all of it until the deadline. `ended` is told when the guest ends the connection.
pub(super) async fn dial(
    options: &WinrmOptions,
    target: &Target,
    tcp_timeout: Duration,
    deadline: Instant,
    ended: &Arc<Notify>,
) -> Result<Dialled> {
    let address = target.address;
    let tls = match options.security {
        Security::Tls => Some(Expected::new(&target.identity, Arc::new(ring::default_provider()))?),
        Security::SealedMessages if target.identity == Identity::TrustOnFirstUse => None,
        Security::SealedMessages => {
            return Err(Error::Invalid(format!(
                "{address}: over HTTP no certificate is shown that could be checked: use HTTPS, or trust the guest by \
                 its password alone (trust on first use)"
            )));
        }
    };
    let stream = match timeout(tcp_timeout, TcpStream::connect(address)).await {
        Err(_) => return Err(Error::Unreachable(format!("{address}: no answer to TCP"))),
        Ok(Err(error)) => return Err(Error::Unreachable(format!("{address}: {}", words(&error)))),
        Ok(Ok(stream)) => stream,
    };
    // Only a matter of speed: a connection that cannot do it works too.
    let _ = stream.set_nodelay(true);
    let socket = rustix::io::dup(&stream);
    let socket = socket.map_err(|error| Error::Unreachable(format!("{address}: {}", words(&error))))?;
    let Some(expected) = tls.map(Arc::new) else { return http(address, stream, socket, None, ended).await };
    let name = expected.name.clone().unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    let shaking = connector(Arc::clone(&expected))?.connect(name, stream);
    let Ok(shaken) = timeout_at(deadline, shaking).await else {
        return Err(Error::Unreachable(format!("{address}: TLS handshake not finished in time")));
    };
    let stream = shaken.map_err(|error| refused(address, &error, &expected))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(|shown| (fingerprint(shown), binding::to_certificate(shown)));
    http(address, stream, socket, certificate, ended).await
}

fn connector(expected: Arc<Expected>) -> Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Invalid(format!("TLS cannot be used: {error}")))?;
    let config = config.dangerous().with_custom_certificate_verifier(expected).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Why there is no TLS connection.
fn refused(address: SocketAddr, error: &io::Error, expected: &Expected) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Error::WrongIdentity(format!(
            "the guest at {address} is not the expected one: {}; nothing secret was sent to it",
            expected.refusal(why)
        )),
        Some(
            rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
            )
            | rustls::Error::PeerIncompatible(_),
        ) => Error::Invalid(format!(
            "{address}: the guest has no TLS 1.2 or later with a safe cipher: enable that in it, or reach it over HTTP, \
             where messages are sealed"
        )),
        Some(rustls::Error::InvalidMessage(_)) => {
            Error::Unreachable(format!("{address}: what answers there speaks no TLS (port of HTTP?)"))
        }
        _ => Error::Unreachable(format!("{address}: TLS handshake failed: {}", words(error))),
    }
}

async fn http<S>(
    address: SocketAddr,
    stream: S,
    socket: OwnedFd,
    certificate: Option<(String, Vec<u8>)>,
    ended: &Arc<Notify>,
) -> Result<Dialled>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Error::Unreachable(format!("{address}: {}", words(&error))))?;
    let (ended, announced) = (Arc::clone(ended), Arc::new(AtomicBool::new(false)));
    let expected = Arc::clone(&announced);
    let work = tokio::spawn(async move {
        // Whoever waits for an answer on it learns why.
        let _ = connection.await;
        if !expected.load(Ordering::Relaxed) {
            ended.notify_one();
        }
    });
    Ok(Dialled { sender, announced, _work: Work(work.abort_handle()), socket, certificate })
}
