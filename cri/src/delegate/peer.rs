//! The way to the delegate: its socket, spoken to as the kubelet would.
//!
//! Failure paths: the connection is made by the call that needs one, so a delegate that was away is reached by the next call
//! after it is back. What never came to it, and what was under way when it went, fails with `Unavailable` and its address.

use bytes::Bytes;
use hyper::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

use super::frame;
use crate::error::{Error, Result};

/// How much may be on its way to us, in bytes: answers that nobody reads on do not hold up the others.
const WINDOW: u32 = 64 << 20;

/// A connection that is made when it is needed.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    endpoint: Endpoint,
    address: String,
    channel: Channel,
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
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|source| {
                Error::failed(format!("cannot use {address} as the delegate's endpoint"), source)
            })?
            .initial_connection_window_size(WINDOW);
        let channel = endpoint.connect_lazy();
        Ok(Self { endpoint, address: address.to_owned(), channel })
    }

    /// Its address.
    pub(super) fn endpoint(&self) -> &str {
        &self.address
    }

    /// The same peer over a connection of its own.
    pub(super) fn apart(&self) -> Self {
        Self { channel: self.endpoint.connect_lazy(), ..self.clone() }
    }

    /// Hands a request on as it is.
    pub(super) async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, Silence> {
        self.channel.clone().oneshot(request).await.map_err(|error| Silence::Away(self.away(&error)))
    }

    /// Asks by a message of ours.
    pub(super) async fn ask(&self, path: &str, message: &[u8]) -> Result<Bytes, Silence> {
        let request = frame::request(path, message).map_err(Silence::Refused)?;
        let response = self.pass(request).await?;
        frame::answered(response).await.map_err(|status| {
            // A connection that breaks within an answer is told as a status of the transport's.
            if std::error::Error::source(&status).is_some() {
                Silence::Away(self.away(&status))
            } else {
                Silence::Refused(status)
            }
        })
    }

    fn away(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        format!("the delegate at {} does not answer ({cause}); start it, or see its log", self.address)
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
