//! A container's own terminal, spoken with: for a machine its serial console.
//!
//! The client may leave and come again; the guest notices none of it. The size of the client's terminal means nothing to a
//! serial line.

use std::sync::Arc;

use super::console::Viewer;
use super::remote_command::{Io, Streams, feed, resize, show};
use super::status::End;
use crate::error::{Error, Result};
use crate::node::Node;

/// Shows the console to the client until the machine ends or the client leaves.
pub(super) async fn run(node: &Arc<Node>, container: &str, mut streams: Streams) {
    let end = match view(node, container).await {
        Err(error) => End::Failed(error.chain()),
        Ok(viewer) => tokio::select! {
            () = speak(viewer, &mut streams.io) => End::Code(0),
            () = streams.error.gone() => return,
        },
    };
    streams.end(&end).await;
}

async fn view(node: &Arc<Node>, container: &str) -> Result<Viewer> {
    let (_, container) = node.pods.container(container)?;
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
