//! Feeds a command's standard input.
//!
//! The task ends when the source does (then the guest sees end of file, but on a terminal, which has none), or when the channel refuses more. A guest that
//! does not read makes it wait, without touching anything else; the command's own task aborts it at the end.

use std::sync::Arc;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::sync::mpsc;

/// Where standard input comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// End of file at once.
    Closed,
    /// These bytes, then end of file.
    Bytes(Bytes),
    /// What arrives here, then end of file.
    Piped(mpsc::Receiver<Bytes>),
}

/// Sends it all; the end too, where that is one for the command (`ends`).
pub(super) async fn feed(channel: Arc<ChannelWriteHalf<Msg>>, source: Source, ends: bool) {
    let sent = match source {
        Source::Closed => Ok(()),
        Source::Bytes(bytes) => channel.data_bytes(bytes).await,
        Source::Piped(mut pipe) => {
            let mut sent = Ok(());
            while let Some(bytes) = pipe.recv().await {
                sent = channel.data_bytes(bytes).await;
                if sent.is_err() {
                    break;
                }
            }
            sent
        }
    };
    // A failure means that the connection is gone, which the command's own task sees and tells.
    if sent.is_ok() && ends {
        let _ = channel.eof().await;
    }
}
