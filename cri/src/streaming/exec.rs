//! A command in the guest, spoken with.
//!
//! The command has a connection to the guest of its own, so that a client which stops reading stops this command and
//! nothing else. The client's end drops the command, which kills it in the guest. A client that asks for a terminal where the
//! guest's protocol has none is given lines ([`super::line`]), and told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use transports::{Exit, Process, Size, Stdin, Stream, Terminal};

use super::line::{self, Line, Screen};
use super::remote_command::{Io, Streams, Wanted, feed, resize, show};
use super::status::End;
use super::typing::by_lines;
use crate::container::{begun, exit_code, inside, session};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::ContainerView;

/// How long a guest that has answered before may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// The exit code of a command that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Runs the command for the client, to the end of either.
pub(super) async fn run(
    node: &Arc<Node>,
    container: &str,
    command: Vec<String>,
    wanted: Wanted,
    mut streams: Streams,
) {
    let end = tokio::select! {
        end = speak(node, container, command, wanted, &mut streams.io) => end,
        () = streams.error.gone() => {
            tracing::debug!(container, "the client is gone, and its command with it");
            return;
        }
    };
    streams.end(&end.unwrap_or_else(|error| End::Failed(error.chain()))).await;
}

async fn speak(
    node: &Arc<Node>,
    container: &str,
    command: Vec<String>,
    wanted: Wanted,
    io: &mut Io,
) -> Result<End> {
    let container = begun(&node.pods, container, Some(PATIENCE)).await?;
    let (mut process, terminal) = start(&container, command.clone(), wanted).await?;
    let end = if let Kind::Lines(end) = terminal { end } else { b"" };
    let stdin = process.stdin.take();
    let Io { stdin: typed, stdout, stderr, resize: sizes } = io;
    let stdout = stdout.as_ref();
    let mut screen = matches!(terminal, Kind::Lines(_)).then(Screen::default);
    let output = async {
        if screen.is_some() {
            let _ = show(stdout, Bytes::from_static(line::NOTICE)).await;
        }
        while let Some(output) = process.output.recv().await {
            let (to, data) = match (&mut screen, output.stream) {
                (Some(screen), _) => (stdout, screen.show(&output.data)),
                (None, Stream::Stdout) => (stdout, output.data),
                (None, Stream::Stderr) => (stderr.as_ref(), output.data),
            };
            if show(to, data).await.is_err() {
                // Who is gone is noticed by the caller.
                return std::future::pending().await;
            }
        }
        let lost = |_| Exit::Lost("the session was closed".into());
        (&mut process.exit).await.unwrap_or_else(lost)
    };
    let input = async {
        match terminal {
            Kind::Lines(_) => by_lines(Line::ending_in(end), typed, stdin, stdout).await,
            _ => feed(typed, stdin).await,
        }
    };
    let size = if let Kind::Terminal(size) = &terminal { Some(size) } else { None };
    let exit = tokio::select! {
        exit = output => exit,
        () = input => return Ok(End::Code(INTERRUPTED)),
        () = resize(sizes, size) => return Err(Error::Unavailable("the terminal has ended".into())),
    };
    let code = exit_code(exit)?;
    // `kubectl cp` is such a command, and its user has chosen no program.
    if let Some(remedy) = guests::missing::remedy(container.family(), &command, code) {
        let _ = show(stderr.as_ref(), format!("infranetes: {remedy}\n").into()).await;
    }
    Ok(End::Code(code))
}

/// What is between a command and its client.
enum Kind {
    /// Nothing.
    Streams,
    /// A terminal in the guest, which is told its size.
    Terminal(watch::Sender<Size>),
    /// Lines that are edited here, and that the guest knows by this end.
    Lines(&'static [u8]),
}

async fn start(container: &ContainerView, argv: Vec<String>, wanted: Wanted) -> Result<(Process, Kind)> {
    let session = session(container, Some(PATIENCE)).await?;
    let stdin = if wanted.stdin { Stdin::Piped } else { Stdin::Closed };
    let command = inside(container, argv, stdin)?;
    if let Some(terminals) = session.terminals().filter(|_| wanted.tty) {
        let Terminal { process, resize } = terminals.open(command, Size::default()).await?;
        return Ok((process, Kind::Terminal(resize)));
    }
    let end = container.family().line_end();
    let kind = if wanted.tty { Kind::Lines(end) } else { Kind::Streams };
    Ok((session.stream(command).await?, kind))
}
