//! A command in the guest, spoken with.
//!
//! The command has a connection to the guest of its own, so that a client which stops reading stops this command and
//! nothing else. The client's end drops the command, which kills it in the guest.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use transports::{Exit, Process, Size, Stdin, Stream, Terminal};

use super::remote_command::{Io, Streams, Wanted, feed, resize, show};
use super::status::End;
use crate::container::{begun, exit_code, inside, session};
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::ContainerView;

/// How long a guest that has answered before may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let (mut process, size) = start(&container, command.clone(), wanted).await?;
    let stdin = process.stdin.take();
    let Io { stdin: typed, stdout, stderr, resize: sizes } = io;
    let output = async {
        while let Some(output) = process.output.recv().await {
            let to = match output.stream {
                Stream::Stdout => stdout.as_ref(),
                Stream::Stderr => stderr.as_ref(),
            };
            if show(to, output.data).await.is_err() {
                // Who is gone is noticed by the caller.
                return std::future::pending().await;
            }
        }
        let lost = |_| Exit::Lost("the session was closed".into());
        (&mut process.exit).await.unwrap_or_else(lost)
    };
    let exit = tokio::select! {
        exit = output => exit,
        () = feed(typed, stdin) => return Err(Error::Unavailable("the input has ended".into())),
        () = resize(sizes, size.as_ref()) => return Err(Error::Unavailable("the terminal has ended".into())),
    };
    let code = exit_code(exit)?;
    // `kubectl cp` is such a command, and its user has chosen no program.
    if let Some(remedy) = guests::missing::remedy(container.family(), &command, code) {
        let _ = show(stderr.as_ref(), format!("infranetes: {remedy}\n").into()).await;
    }
    Ok(End::Code(code))
}

async fn start(
    container: &ContainerView,
    argv: Vec<String>,
    wanted: Wanted,
) -> Result<(Process, Option<watch::Sender<Size>>)> {
    let session = session(container, Some(PATIENCE)).await?;
    let stdin = if wanted.stdin { Stdin::Piped } else { Stdin::Closed };
    let command = inside(container, argv, stdin)?;
    if !wanted.tty {
        return Ok((session.stream(command).await?, None));
    }
    let Some(terminals) = session.terminals() else {
        return Err(Error::invalid("the guest's protocol has no terminals; run the command without tty"));
    };
    let Terminal { process, resize } = terminals.open(command, Size::default()).await?;
    Ok((process, Some(resize)))
}
