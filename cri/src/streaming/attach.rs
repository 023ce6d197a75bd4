//! A container's own terminal, spoken with: for a machine its serial console, for a process its input and output
//! ([`super::attach_process`]).
//!
//! The client may leave and come again; the guest notices none of it. The size of the client's terminal means nothing to a
//! serial line.

use std::sync::Arc;

use super::attach_process;
use super::console::Viewer;
use super::remote_command::{Io, Streams, feed, resize, show};
use super::status::End;
use crate::container::begun;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::pod::ContainerView;

/// Shows the console to the client until the machine ends or the client leaves.
pub(super) async fn run(node: &Arc<Node>, container: &str, mut streams: Streams) {
    let end = tokio::select! {
        end = attach(node, container, &mut streams.io) => end,
        () = streams.error.gone() => return,
    };
    streams.end(&end.unwrap_or_else(|error| End::Failed(error.chain()))).await;
}

async fn attach(node: &Arc<Node>, id: &str, io: &mut Io) -> Result<End> {
    let container = begun(&node.pods, id, Some(attach_process::PATIENCE)).await?;
    if let Some(process) = container.record.process() {
        return attach_process::run(&container, process, io).await;
    }
    speak(view(node, &container).await?, io).await;
    Ok(End::Code(0))
}

async fn view(node: &Arc<Node>, container: &ContainerView) -> Result<Viewer> {
    let Some(console) = container.console.as_ref().filter(|_| container.is_live()) else {
        return Err(Error::Conflict(format!("container {} no longer runs", container.record.id)));
    };
    node.streaming.consoles.view(&console.socket).await
}

async fn speak(mut viewer: Viewer, io: &mut Io) {
    let Io { stdin, stdout, stderr: _, resize: sizes } = io;
    let keys = stdin.is_some().then(|| viewer.keys.clone());
    let shown = async {
        while let Some(bytes) = viewer.next().await {
            if show(stdout.as_ref(), bytes).await.is_err() {
                // Who is gone is noticed by the caller.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = shown => {}
        () = feed(stdin, keys) => {}
        () = resize(sizes, None) => {}
    }
}
