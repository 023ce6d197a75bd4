//! Connections to the guest's own ports (`direct-tcpip`).
//!
//! ```text
//!   a connection of its own (pool) -> channel to host:port -> Forwarded --dropped--> channel closed, place given back
//! ```
//!
//! - Happy path: bytes both ways, each direction ended by itself.
//! - A reader that stops: the library keeps a bounded number of packets, then the connection is not read any more. It
//!   carries nothing else, so nobody else waits.
//! - Failures: the server forwards nothing ([`Error::Forbidden`]), nothing listens there or no answer in time
//!   ([`Error::Unreachable`]), the connection is lost (end of file, or an error to who writes).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::pool::{self, Share, Slot};
use super::session::SshSession;
use crate::{ByteStream, Error, PortForward, Result};

#[async_trait]
impl PortForward for SshSession {
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn ByteStream>> {
        let slot = self.slot(Share::Own).await?;
        let limit = self.pool.options.start_timeout;
        // Who asks is a matter for the guest's log alone.
        let opening = slot.connection.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        let Ok(opened) = timeout(limit, opening).await else {
            return Err(Error::Unreachable(format!(
                "{host}:{port} in the guest: no answer within {limit:?}"
            )));
        };
        match opened {
            Ok(channel) => Ok(Box::new(Forwarded { stream: channel.into_stream(), _slot: slot })),
            Err(russh::Error::ChannelOpenFailure(reason)) => Err(match reason {
                ChannelOpenFailure::AdministrativelyProhibited | ChannelOpenFailure::UnknownChannelType => {
                    Error::Forbidden(format!(
                        "the guest's SSH server forwards no connection to {host}:{port}: allow it there \
                     (AllowTcpForwarding, PermitOpen)"
                    ))
                }
                reason => {
                    Error::Unreachable(format!("nothing answers on {host}:{port} in the guest ({reason:?})"))
                }
            }),
            Err(error) => Err(pool::lost(&slot.connection, &error)),
        }
    }
}

/// One connection to a port, and its place on the connection to the guest.
struct Forwarded {
    stream: ChannelStream<Msg>,
    _slot: Slot,
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
