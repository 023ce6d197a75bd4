//! The streams of `exec` and `attach`, whichever protocol carries them.
//!
//! ```text
//!   SPDY:      one stream each, by its header `streamtype`; all must be there within 30 s
//!   WebSocket: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize
//! ```
//!
//! - Happy path: [`gather`] gives the streams; what was started writes to them; [`Streams::end`] ends the output, tells
//!   how it ended on the error stream, and lets the client go.
//! - Failures: a stream that was not asked for, or twice, is refused. One that does not come ends the connection.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use transports::Size;

use super::channel::{Gone, Input, Output};
use super::connection::Connection;
use super::status::End;
use super::upgrade::{Protocol, Version};
use super::{spdy, websocket};
use crate::error::{Error, Result};

/// How long a client may take to open its streams.
const CREATION: Duration = Duration::from_secs(30);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// The streams that a client has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What it writes.
    pub stdin: bool,
    /// What it reads.
    pub stdout: bool,
    /// What it reads of errors.
    pub stderr: bool,
    /// Whether a terminal is between.
    pub tty: bool,
}

impl Wanted {
    /// Whether it makes sense.
    pub fn check(self) -> Result<()> {
        if !(self.stdin || self.stdout || self.stderr) {
            return Err(Error::invalid("the request asks for no stream; ask for stdin, stdout or stderr"));
        }
        if self.tty && self.stderr {
            return Err(Error::invalid("a terminal has no separate stderr; ask for tty or for stderr"));
        }
        Ok(())
    }
}

/// What goes in and out.
#[derive(Debug, Default)]
pub(super) struct Io {
    pub(super) stdin: Option<Input>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    pub(super) resize: Option<Input>,
}

/// The streams of one client.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) io: Io,
    pub(super) error: Output,
    version: Version,
    /// The directions that nothing is sent on.
    silent: Vec<Output>,
    connection: Connection,
}

impl Streams {
    /// Ends the output and tells how it ended.
    pub(super) async fn end(self, end: &End) {
        let Self { io: Io { stdin, stdout, stderr, resize }, error, version, silent, connection } = self;
        // What the client still sends is thrown away from here on.
        drop((stdin, resize));
        for output in [stdout, stderr].into_iter().flatten() {
            let _ = output.finish().await;
        }
        let _ = error.send(end.tell(version)).await;
        let _ = error.finish().await;
        for output in silent {
            let _ = output.finish().await;
        }
        drop(connection);
    }
}

/// The streams that the client has asked for, once it has opened them all; none where it does not.
pub(super) async fn gather<S>(
    socket: S,
    protocol: Protocol,
    wanted: Wanted,
    idle: Duration,
) -> Option<Streams>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match protocol {
        Protocol::Spdy(version) => by_spdy(socket, version, wanted, idle).await,
        Protocol::WebSocket(version) => Some(by_websocket(socket, version, wanted, idle).await),
        Protocol::Tunnel => None,
    }
}

async fn by_websocket<S>(socket: S, version: Version, wanted: Wanted, idle: Duration) -> Streams
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut from_client = Vec::new();
    from_client.extend(wanted.stdin.then_some(STDIN));
    from_client.extend(wanted.tty.then_some(RESIZE));
    let (connection, mut inputs, output) =
        websocket::serve(socket, &from_client, version >= Version::V5, idle).await;
    let io = Io {
        stdin: inputs.remove(&STDIN),
        stdout: wanted.stdout.then(|| output(STDOUT)),
        stderr: wanted.stderr.then(|| output(STDERR)),
        resize: inputs.remove(&RESIZE),
    };
    Streams { io, error: output(ERROR), version, silent: Vec::new(), connection }
}

async fn by_spdy<S>(socket: S, version: Version, wanted: Wanted, idle: Duration) -> Option<Streams>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let deadline = Instant::now() + CREATION;
    let (connection, mut offers) = spdy::serve(socket, idle);
    let (mut io, mut error, mut silent) = (Io::default(), None, Vec::new());
    let resizes = wanted.tty && version >= Version::V3;
    loop {
        let all = error.is_some()
            && io.stdin.is_some() == wanted.stdin
            && io.stdout.is_some() == wanted.stdout
            && io.stderr.is_some() == wanted.stderr
            && io.resize.is_some() == resizes;
        if let (true, Some(error)) = (all, error.take_if(|_| all)) {
            return Some(Streams { io, error, version, silent, connection });
        }
        let Ok(offer) = timeout_at(deadline, offers.recv()).await else {
            tracing::info!("a streaming client has not opened its streams in time");
            return None;
        };
        let offer = offer?;
        let kind = offer.headers.get("streamtype").unwrap_or_default();
        let place = match kind {
            "stdin" if wanted.stdin && io.stdin.is_none() => STDIN,
            "stdout" if wanted.stdout && io.stdout.is_none() => STDOUT,
            "stderr" if wanted.stderr && io.stderr.is_none() => STDERR,
            "error" if error.is_none() => ERROR,
            "resize" if resizes && io.resize.is_none() => RESIZE,
            _ => {
                tracing::info!(
                    kind = kind.escape_debug().to_string(),
                    "a stream that was not asked for is refused"
                );
                offer.refuse().await;
                continue;
            }
        };
        let (input, output) = offer.accept().await.ok()?;
        match place {
            STDIN => {
                io.stdin = Some(input);
                silent.push(output);
            }
            RESIZE => {
                io.resize = Some(input);
                silent.push(output);
            }
            STDOUT => io.stdout = Some(output),
            STDERR => io.stderr = Some(output),
            _ => error = Some(output),
        }
    }
}

/// Hands what the client types on until it ends. Never returns, so that it may stand beside what does.
pub(super) async fn feed(input: &mut Option<Input>, to: Option<mpsc::Sender<Bytes>>) {
    if let (Some(input), Some(to)) = (input, to) {
        while let Some(bytes) = input.next().await {
            if to.send(bytes).await.is_err() {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Hands the sizes of the client's terminal on. Never returns.
pub(super) async fn resize(input: &mut Option<Input>, to: Option<&watch::Sender<Size>>) {
    if let Some(input) = input {
        while let Some(bytes) = input.next().await {
            // A client's terminal of no size, or of none that is told, changes nothing.
            if let (Some(to), Some(size)) = (to, size(&bytes)) {
                let _ = to.send(size);
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Sends a piece of output where the client wants it.
pub(super) async fn show(output: Option<&Output>, bytes: Bytes) -> Result<(), Gone> {
    match output {
        Some(output) => output.send(bytes).await,
        None => Ok(()),
    }
}

/// What a client's terminal says of its size.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    width: u16,
    height: u16,
}

/// The last size in the bytes, which are one JSON value after the other.
fn size(bytes: &[u8]) -> Option<Size> {
    let told = serde_json::Deserializer::from_slice(bytes)
        .into_iter::<Told>()
        .map_while(std::result::Result::ok)
        .last()?;
    (told.width > 0 && told.height > 0).then_some(Size { columns: told.width, rows: told.height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_one_after_the_other() {
        assert_eq!(size(b"{\"Width\":80,\"Height\":24}\n"), Some(Size { columns: 80, rows: 24 }));
        let two = b"{\"Width\":1,\"Height\":2}{\"Width\":3,\"Height\":4}\n";
        assert_eq!(size(two), Some(Size { columns: 3, rows: 4 }));
        for nothing in [&b"{\"Width\":0,\"Height\":0}"[..], b"{\"Width\":-1,\"Height\":4}", b"x", b""] {
            assert_eq!(size(nothing), None);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let wanted = |stdin, stdout, stderr, tty| Wanted { stdin, stdout, stderr, tty }.check().is_ok();
        assert!(wanted(false, true, true, false) && wanted(true, true, false, true));
        assert!(!wanted(false, false, false, false) && !wanted(false, true, true, true));
    }
}
