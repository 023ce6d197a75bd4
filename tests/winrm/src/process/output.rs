//! What a process wrote and nobody asked for yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::fault::Fault;

/// The most bytes of a stream that are kept; then the process has to wait.
const MOST: usize = 512 * 1024;

/// The output of a process.
#[derive(Debug, Default)]
pub(crate) struct Output {
    streams: Mutex<Streams>,
    changed: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    exit: Option<u32>,
    aborted: bool,
    done_told: bool,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    data: Vec<u8>,
    ended: bool,
    end_told: bool,
}

/// What a `Receive` asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The most bytes of both together.
    pub(crate) bytes: usize,
}

/// What it is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Streams that end with this.
    pub(crate) ended: Vec<&'static str>,
    /// The exit code; nothing is told after it.
    pub(crate) exit: Option<u32>,
}

impl Output {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns at the next change.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn ended(&self) -> bool {
        self.streams().exit.is_some()
    }

    pub(super) fn exit(&self, code: u32) {
        self.streams().exit = Some(code);
        self.changed.notify_waiters();
    }

    /// Nothing more is told.
    pub(super) fn abort(&self) {
        self.streams().aborted = true;
        self.changed.notify_waiters();
    }

    /// Takes what there is to tell.
    pub(super) fn take(&self, wanted: Wanted) -> Result<Option<Told>, Fault> {
        let mut streams = self.streams();
        let streams = &mut *streams;
        if streams.aborted {
            return Err(Fault::aborted());
        }
        if streams.done_told {
            return Err(Fault::no_command("that is done"));
        }
        let mut told = Told::default();
        let mut room = wanted.bytes;
        let mut whole = true;
        let each = [
            (wanted.stdout, "stdout", &mut streams.stdout, &mut told.stdout),
            (wanted.stderr, "stderr", &mut streams.stderr, &mut told.stderr),
        ];
        for (_, name, stream, into) in each.into_iter().filter(|(wanted, ..)| *wanted) {
            let count = stream.data.len().min(room);
            into.extend(stream.data.drain(..count));
            room -= count;
            if stream.data.is_empty() && stream.ended && !stream.end_told {
                stream.end_told = true;
                told.ended.push(name);
            }
            whole &= stream.end_told;
        }
        if whole {
            told.exit = streams.exit;
            streams.done_told = told.exit.is_some();
        }
        self.room.notify_waiters();
        let something = room < wanted.bytes || !told.ended.is_empty() || told.exit.is_some();
        Ok(something.then_some(told))
    }
}

/// Reads a stream to its end.
pub(super) async fn read(
    mut pipe: impl AsyncRead + Unpin,
    output: std::sync::Arc<Output>,
    stream: fn(&mut Streams) -> &mut Stream,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        loop {
            let room = output.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if stream(&mut output.streams()).data.len() < MOST {
                break;
            }
            room.await;
        }
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => stream(&mut output.streams()).data.extend_from_slice(&buffer[..count]),
        }
        output.changed.notify_waiters();
    }
    stream(&mut output.streams()).ended = true;
    output.changed.notify_waiters();
}
