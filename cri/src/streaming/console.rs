//! The serial consoles of machines, each shared by all of its viewers.
//!
//! ```text
//!   machine's socket (one client) <--> hub --broadcast--> viewer, viewer, ...
//!                                       ^------ keys -------'
//! ```
//!
//! A hub is connected only while there are viewers, since a connected client that does not read would stall the guest:
//! so the hub always reads. A viewer that does not keep up misses output and is told so.
//!
//! - The machine ends: the hub ends, and its viewers see the end.
//! - The last viewer leaves: the hub ends, and the socket is free for another client.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, mpsc};

use crate::error::{Error, Result};

/// The pieces of output that a viewer may lag behind.
const LAG_PIECES: usize = 256;
/// The largest piece.
const PIECE_BYTES: usize = 4096;
/// Pieces of input on their way to the guest.
const KEYS: usize = 16;
/// What a viewer reads in the place of what it missed.
const MISSED: &[u8] = b"\r\n[infranetes: the console went on without you]\r\n";

/// The hubs that have viewers, by the socket.
#[derive(Debug, Default)]
pub(super) struct Consoles {
    hubs: Mutex<HashMap<PathBuf, Weak<Hub>>>,
}

#[derive(Debug)]
struct Hub {
    said: broadcast::WeakSender<Bytes>,
    keys: mpsc::Sender<Bytes>,
}

/// One view of a console.
#[derive(Debug)]
pub(super) struct Viewer {
    said: broadcast::Receiver<Bytes>,
    /// Takes what is typed.
    pub(super) keys: mpsc::Sender<Bytes>,
    _hub: Arc<Hub>,
}

impl Viewer {
    /// What the guest says next; none when the machine has ended.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self.said.recv().await {
            Ok(bytes) => Some(bytes),
            Err(RecvError::Lagged(_)) => Some(Bytes::from_static(MISSED)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Consoles {
    /// Looks at the console behind a socket.
    pub(super) async fn view(&self, socket: &Path) -> Result<Viewer> {
        let mut hubs = self.hubs.lock().await;
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let known = hubs.get(socket).and_then(Weak::upgrade);
        if let Some((hub, said)) = known.and_then(|hub| hub.said.upgrade().map(|said| (hub, said))) {
            return Ok(Viewer { said: said.subscribe(), keys: hub.keys.clone(), _hub: hub });
        }
        // A Unix socket takes or refuses a client at once, so nobody waits long for the lock.
        let stream = UnixStream::connect(socket).await.map_err(|source| {
            Error::failed(
                format!("cannot open the console {}; does the machine still run?", socket.display()),
                source,
            )
        })?;
        let (said, seen) = broadcast::channel(LAG_PIECES);
        let (keys, typed) = mpsc::channel(KEYS);
        let hub = Arc::new(Hub { said: said.downgrade(), keys: keys.clone() });
        hubs.insert(socket.to_owned(), Arc::downgrade(&hub));
        // The task keeps no sender of keys: those of its viewers keep it.
        tokio::spawn(serve(stream, said, typed));
        Ok(Viewer { said: seen, keys, _hub: hub })
    }
}

/// Carries one console until its machine ends or nobody looks any more.
async fn serve(stream: UnixStream, said: broadcast::Sender<Bytes>, mut typed: mpsc::Receiver<Bytes>) {
    let (mut from, mut to) = stream.into_split();
    let reading = async {
        let mut bytes = BytesMut::with_capacity(PIECE_BYTES);
        while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            // An error only says that nobody looks just now.
            let _ = said.send(bytes.split().freeze());
            bytes.reserve(PIECE_BYTES);
        }
    };
    let writing = async {
        while let Some(keys) = typed.recv().await {
            if to.write_all(&keys).await.is_err() {
                // The machine has ended, which the reading sees.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn see(viewer: &mut Viewer, wanted: &str) {
        let mut seen = String::new();
        while !seen.contains(wanted) {
            let next = timeout(PATIENCE, viewer.next()).await;
            seen.push_str(&String::from_utf8_lossy(&next.expect("it comes").expect("the machine runs")));
        }
    }

    #[tokio::test]
    async fn viewers_share_one_connection_and_leave_it_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let guest = UnixListener::bind(&path).unwrap();
        let consoles = Consoles::default();
        let mut first = consoles.view(&path).await.unwrap();
        let (mut console, _) = guest.accept().await.unwrap();
        let mut second = consoles.view(&path).await.unwrap();
        console.write_all(b"login: ").await.unwrap();
        see(&mut first, "login: ").await;
        see(&mut second, "login: ").await;
        second.keys.send(Bytes::from_static(b"root\r")).await.unwrap();
        let mut keys = [0; 5];
        console.read_exact(&mut keys).await.unwrap();
        assert_eq!(&keys, b"root\r");
        drop(first);
        console.write_all(b"still").await.unwrap();
        see(&mut second, "still").await;
        drop(second);
        assert_eq!(timeout(PATIENCE, console.read(&mut keys)).await.expect("it is let go").unwrap(), 0);
        let third = consoles.view(&path).await.unwrap();
        let (console, _) = timeout(PATIENCE, guest.accept()).await.expect("connected anew").unwrap();
        drop((third, console));
    }

    #[tokio::test]
    async fn a_viewer_that_does_not_read_stalls_nobody_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let guest = UnixListener::bind(&path).unwrap();
        let consoles = Consoles::default();
        let (mut reader, mut lazy) =
            (consoles.view(&path).await.unwrap(), consoles.view(&path).await.unwrap());
        let (mut console, _) = guest.accept().await.unwrap();
        let piece = vec![b'x'; PIECE_BYTES];
        for _ in 0..2 * LAG_PIECES {
            timeout(PATIENCE, console.write_all(&piece)).await.expect("the guest goes on").unwrap();
            timeout(PATIENCE, reader.next()).await.expect("the reader sees it").unwrap();
        }
        console.write_all(b"the end").await.unwrap();
        see(&mut reader, "the end").await;
        see(&mut lazy, "went on without you").await;
        see(&mut lazy, "the end").await;
        drop(console);
        assert_eq!(timeout(PATIENCE, lazy.next()).await.expect("it ends"), None);
    }
}
