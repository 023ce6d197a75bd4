//! The streaming server: where a client that has called `Exec`, `Attach` or `PortForward` opens its session.
//!
//! ```text
//!   RPC --Streaming::url--> token --HTTP GET/POST /exec/TOKEN--> server --negotiate (upgrade)--> protocol
//!
//!     spdy (streams) ------------------+--> remote_command (stdin, stdout, stderr, error, resize) --> exec | attach
//!     websocket (channels) ------------+
//!     spdy in websocket (tunnel) ------+--> port_forward (pairs of streams) --> the guest's localhost, or the pod IP
//! ```
//!
//! - Happy path: the kubelet gets a URL from the RPC and hands its client's bytes through to it. The token is taken, the
//!   connection upgraded, the streams gathered, and the session runs until the command ends or the client leaves.
//! - Back-pressure is real both ways: a client that does not read stops the guest's program, on a connection to the guest
//!   that carries nothing else; queues are bounded in each step.
//! - A client that vanishes kills what it started, also while nobody takes its input: it is written to then, which fails. A
//!   client that is silent for too long is taken for one.
//! - Failures of the guest are told on the session's error channel, those of the client's protocol end its connection.
//! - No pod's owner is asked for anything: sessions read its view.

mod attach;
mod attach_process;
mod channel;
mod connection;
mod console;
mod exec;
mod line;
mod port_forward;
mod remote_command;
mod server;
mod spdy;
mod status;
mod tls;
mod tokens;
mod typing;
mod upgrade;
mod websocket;
mod window;

use std::time::Duration;

use tokio::net::TcpListener;

pub use remote_command::Wanted;
pub use server::Server;

use crate::config::StreamingSection;
use crate::error::{Error, Result};
use console::Consoles;
use tokens::Tokens;

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A command in the guest.
    Exec {
        /// The container's id.
        container: String,
        /// The program and its arguments.
        command: Vec<String>,
        /// The streams.
        wanted: Wanted,
    },
    /// The container's own terminal.
    Attach {
        /// The container's id.
        container: String,
        /// The streams.
        wanted: Wanted,
    },
    /// Connections to the pod's ports.
    PortForward {
        /// The pod's id.
        pod: String,
    },
}

impl Request {
    /// Its part of the URL.
    fn name(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Attach { .. } => "attach",
            Self::PortForward { .. } => "portforward",
        }
    }
}

/// The sessions that wait to be opened, and what those that are open share.
#[derive(Debug)]
pub struct Streaming {
    base: String,
    tokens: Tokens<Request>,
    consoles: Consoles,
    idle: Duration,
}

impl Streaming {
    /// A URL that opens one session for this request, once, within a minute.
    pub fn url(&self, request: Request) -> Result<String> {
        let name = request.name();
        Ok(format!("{}/{name}/{}", self.base, self.tokens.issue(request)?))
    }
}

/// Opens the server's socket. It answers once it is served.
pub async fn open(section: &StreamingSection) -> Result<(Streaming, Server)> {
    let tls = tls::acceptor(section)?;
    let failed = |source: std::io::Error| {
        let what = format!(
            "cannot listen on {} for streaming; configure another streaming.address",
            section.address
        );
        Error::failed(what, source)
    };
    let listener = TcpListener::bind(section.address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let base = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
    let idle = Duration::from_secs(section.idle_seconds);
    let streaming = Streaming { base, tokens: Tokens::default(), consoles: Consoles::default(), idle };
    Ok((streaming, Server::new(listener, tls)))
}
