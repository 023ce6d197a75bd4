//! Runs one command with a deadline and bounded output; its whole process group dies when it is late or given up.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::error::{Error, Result};

const OUTPUT_BYTES: u64 = 1 << 20;

pub(super) struct Output {
    pub(super) status: std::process::ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Runs to the end, or fails at the deadline.
pub(super) async fn run(
    program: &Path,
    args: &[&str],
    env: &[(&str, String)],
    stdin: &[u8],
    deadline: Duration,
) -> Result<Output> {
    let name = program.display();
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().map(|(key, value)| (key, value)));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| {
        Error::failed(format!("cannot run {name}; install it or correct its path"), source)
    })?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.and_then(rustix::process::Pid::from_raw));
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // A command that does not read its input says why by its exit.
            let _ = input.write_all(stdin).await;
        }
    };
    let all = async {
        let ((), stdout, stderr) = tokio::join!(feed, bounded(out), bounded(err));
        (child.wait().await, stdout, stderr)
    };
    let (status, stdout, stderr) = tokio::time::timeout(deadline, all).await.map_err(|_| {
        Error::said(
            format!("{name} {} did not end within {} s", args.join(" "), deadline.as_secs()),
            "it was killed",
        )
    })?;
    let status = status.map_err(|source| Error::failed(format!("cannot wait for {name}"), source))?;
    group.0 = None;
    Ok(Output { status, stdout, stderr: String::from_utf8_lossy(&stderr).trim().to_owned() })
}

async fn bounded(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read so far is used; the exit status tells the rest.
        let _ = from.take(OUTPUT_BYTES).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Runs a tool that must succeed.
pub(super) async fn tool(program: &str, args: &[&str], stdin: &str) -> Result<Vec<u8>> {
    let output = run(Path::new(program), args, &[], stdin.as_bytes(), Duration::from_secs(20)).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::said(format!("{program} {} failed", args.join(" ")), output.stderr))
}
