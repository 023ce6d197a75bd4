//! Connections into a guest: what a protocol may lack.

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Result;

/// Bytes both ways. Shutting it down is a half-close: the other direction goes on.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// The ability to connect to a TCP port as the guest itself would.
#[async_trait]
pub trait PortForward: Send + Sync {
    /// Connects to a port of a host, both as the guest sees them. What is not read is kept in a bounded queue, then
    /// slows the other end down, and nothing else.
    ///
    /// # Errors
    /// [`crate::Error::Forbidden`] where the guest forwards nothing, so that another way may be tried;
    /// [`crate::Error::Unreachable`] where nothing answers there.
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn ByteStream>>;
}
