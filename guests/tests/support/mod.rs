//! A session that runs commands on this machine, without a login: for what a log looks like in the guest, not for how it
//! travels. The shell is chosen, so that other families' tools are tried too.

// Also built as a private module of another crate's tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use transports::{Command, Error, Exit, Output, Process, Result, Session, Stdin, Stream};

/// Runs commands with this search path; empty: the machine's own.
#[derive(Debug, Default, Clone)]
pub struct LocalSession {
    pub path: Option<PathBuf>,
    /// What runs the commands, such as `nsenter` and its arguments; empty: nothing.
    pub through: Vec<String>,
}

async fn pump(mut from: impl AsyncRead + Unpin, stream: Stream, to: mpsc::Sender<Output>) {
    let mut buffer = vec![0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.send(Output { stream, data: Bytes::copy_from_slice(&buffer[..n]) }).await.is_err() {
            break;
        }
    }
}

#[async_trait::async_trait]
impl Session for LocalSession {
    async fn exec(&self, command: Command) -> Result<Process> {
        let argv: Vec<String> = self.through.iter().chain(&command.argv).cloned().collect();
        let program = self.path.as_ref().map_or_else(|| argv[0].clone().into(), |path| path.join(&argv[0]));
        let mut started = tokio::process::Command::new(program);
        if let Some(path) = &self.path {
            started.env("PATH", path);
        }
        let mut child = started
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut input = child.stdin.take().unwrap();
        let (stdin, mut from_caller) = mpsc::channel::<Bytes>(1);
        let bytes = match &command.stdin {
            Stdin::Bytes(bytes) => bytes.clone(),
            _ => Bytes::new(),
        };
        let stdin = matches!(command.stdin, Stdin::Piped).then_some(stdin);
        tokio::spawn(async move {
            let _ = input.write_all(&bytes).await;
            while let Some(data) = from_caller.recv().await {
                let _ = input.write_all(&data).await;
            }
        });
        let (sender, output) = mpsc::channel(4);
        let (told, exit) = oneshot::channel();
        let (guard, dropped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let group = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
            let work = async {
                tokio::join!(
                    pump(stdout, Stream::Stdout, sender.clone()),
                    pump(stderr, Stream::Stderr, sender)
                );
                let status = child.wait().await;
                status.ok().and_then(|status| status.code())
            };
            tokio::select! {
                code = work => drop(told.send(code.map_or(Exit::Lost("signal".into()), Exit::Code))),
                _ = dropped => {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                    let _ = child.wait().await;
                }
            }
        });
        Ok(Process { stdin, output, exit, guard: Some(guard) })
    }

    async fn closed(&self) -> Error {
        std::future::pending().await
    }
}
