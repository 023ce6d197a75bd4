//! A client of QEMU's machine protocol (QMP): lines of JSON over a Unix socket.
//!
//! [`Qmp::connect`] reads the greeting, negotiates, and leaves one task reading. Replies are matched to commands by id;
//! events go to a callback that must not block. A socket serves one client at a time: a second one would hang, so the
//! daemon keeps to one socket and people use another.
//!
//! Failure paths: the process behind the socket runs a hostile guest and may be taken over by it. A line has a bound,
//! every command a deadline, a reply nobody waits for is dropped. Whatever breaks the protocol closes the connection:
//! [`Qmp::closed`] tells, and every waiting command fails.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The longest line that is read, in bytes. The longest honest replies are a few kilobytes.
const LINE_LIMIT: u64 = 1 << 20;

/// What went wrong between the daemon and a machine's monitor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    /// The socket failed, or the process behind it has gone.
    #[error("the connection to the machine's monitor failed")]
    Io(#[from] io::Error),
    /// The connection was closed before the answer came.
    #[error("the machine's monitor closed the connection")]
    Closed,
    /// No answer came in time.
    #[error("the machine's monitor did not answer {0} within {1:?}")]
    Deadline(String, Duration),
    /// The answer is not the protocol.
    #[error("the machine's monitor broke the protocol: {0}")]
    Protocol(&'static str),
    /// The command was refused.
    #[error("the machine's monitor refused {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's words, cut to a line.
        reason: String,
    },
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// An open connection. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Qmp {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    next_id: AtomicU64,
    closed: watch::Receiver<bool>,
    reader: JoinHandle<()>,
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Qmp {
    /// Connects to the socket at `path` and negotiates within `deadline`. `on_event` is called with each event's name
    /// and its data, in order, from the reading task.
    pub(crate) async fn connect(
        path: &Path,
        deadline: Duration,
        on_event: impl FnMut(&str, &Value) + Send + 'static,
    ) -> Result<Self, QmpError> {
        let opening = async {
            let (read, writer) = UnixStream::connect(path).await?.into_split();
            let mut read = BufReader::new(read);
            let greeting = read_line(&mut read).await?.ok_or(QmpError::Closed)?;
            if greeting.get("QMP").is_none() {
                return Err(QmpError::Protocol("the greeting is missing"));
            }
            let waiting = Waiting::default();
            let (closing, closed) = watch::channel(false);
            let task = read_all(read, Arc::clone(&waiting), on_event, closing);
            let qmp = Self {
                writer: tokio::sync::Mutex::new(writer),
                waiting,
                next_id: AtomicU64::new(0),
                closed,
                reader: tokio::spawn(task),
            };
            qmp.execute("qmp_capabilities", json!({}), deadline).await?;
            Ok(qmp)
        };
        tokio::time::timeout(deadline, opening)
            .await
            .unwrap_or_else(|_| Err(QmpError::Deadline("its greeting".into(), deadline)))
    }

    /// Runs one command and waits for its result.
    pub(crate) async fn execute(
        &self,
        command: &str,
        arguments: Value,
        deadline: Duration,
    ) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).insert(id, reply);
        if *self.closed.borrow() {
            lock(&self.waiting).remove(&id);
            return Err(QmpError::Closed);
        }
        let exchange = async {
            self.writer.lock().await.write_all(line.as_bytes()).await?;
            answer.await.map_err(|_| QmpError::Closed)
        };
        let answer = tokio::time::timeout(deadline, exchange).await;
        lock(&self.waiting).remove(&id);
        let mut answer = answer.map_err(|_| QmpError::Deadline(command.into(), deadline))??;
        if let Some(error) = answer.get("error") {
            let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason was given");
            let reason = reason.chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(QmpError::Refused { command: command.into(), reason });
        }
        Ok(answer.get_mut("return").map(Value::take).unwrap_or_default())
    }

    /// Returns when the connection has ended, at once if it has.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.clone();
        // An error means that the reading task has gone, which says the same.
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Value>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_all(
    mut read: impl AsyncBufRead + Unpin,
    waiting: Waiting,
    mut on_event: impl FnMut(&str, &Value),
    closing: watch::Sender<bool>,
) {
    loop {
        match read_line(&mut read).await {
            Ok(Some(message)) => {
                if let Some(event) = message.get("event").and_then(Value::as_str) {
                    on_event(event, message.get("data").unwrap_or(&Value::Null));
                } else if let Some(id) = message.get("id").and_then(Value::as_u64)
                    && let Some(reply) = lock(&waiting).remove(&id)
                {
                    // Nobody waits any more after a deadline.
                    let _ = reply.send(message);
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "the connection to a machine's monitor ended");
                break;
            }
        }
    }
    closing.send_replace(true);
    lock(&waiting).clear();
}

async fn read_line(read: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Value>, QmpError> {
    let mut line = Vec::new();
    read.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(QmpError::Protocol("a line is too long or was cut"));
    }
    serde_json::from_slice(&line).map(Some).map_err(|_| QmpError::Protocol("a line is not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// How long what is expected may take on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn serve(lines: Vec<u8>) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&lines).await;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        });
        (dir, path)
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (_dir, path) = serve(vec![b'x'; 3 << 20]);
        let error = Qmp::connect(&path, PATIENCE, |_, _| {}).await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_monitor_meets_the_deadline() {
        let (_dir, path) = serve(Vec::new());
        let error = Qmp::connect(&path, Duration::from_millis(50), |_, _| {}).await.unwrap_err();
        assert!(matches!(error, QmpError::Deadline(..)), "{error}");
    }

    #[tokio::test]
    async fn answers_are_matched_by_id_and_events_are_told() {
        let script = concat!(
            "{\"QMP\":{}}\n",
            "{\"return\":{},\"id\":99}\n",
            "{\"event\":\"RESET\",\"data\":{\"guest\":true}}\n",
            "{\"return\":{},\"id\":0}\n",
            "{\"error\":{\"desc\":\"no such thing\"},\"id\":1}\n"
        );
        let (_dir, path) = serve(script.into());
        let (seen, mut events) = watch::channel(String::new());
        let qmp = Qmp::connect(&path, PATIENCE, move |name, data| {
            seen.send_replace(format!("{name} {data}"));
        })
        .await
        .unwrap();
        assert_eq!(*events.borrow_and_update(), "RESET {\"guest\":true}");
        // The answer with id 1 came before anybody asked: it must not be taken for a later question's.
        let late = qmp.execute("x", json!({}), Duration::from_millis(50)).await;
        assert!(late.is_err());
    }

    #[tokio::test]
    async fn what_is_not_json_closes_the_connection() {
        let (_dir, path) = serve(b"{\"QMP\":{}}\n{\"return\":{},\"id\":0}\nhello\n".to_vec());
        let qmp = Qmp::connect(&path, PATIENCE, |_, _| {}).await.unwrap();
        tokio::time::timeout(PATIENCE, qmp.closed()).await.unwrap();
        assert!(matches!(qmp.execute("x", json!({}), PATIENCE).await, Err(QmpError::Closed)));
    }
}
