//! The program `crictl`, pointed at a node's daemon.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Node;

/// `crictl` with the options that every call has. It runs in the node's namespace, where the streaming server is.
pub(crate) struct Crictl<'a> {
    program: PathBuf,
    node: &'a Node,
}

impl<'a> Crictl<'a> {
    /// The program that `cargo xtask test` has built; `None` where it could not.
    pub(crate) fn find(node: &'a Node) -> Option<Self> {
        let program = std::env::var_os("INFRANETES_CRICTL")?.into();
        Some(Self { program, node })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_under(&[], arguments)
    }

    /// The same, started by another program.
    pub(crate) fn command_under(&self, starter: &[&str], arguments: &[&str]) -> Command {
        let endpoint = format!("unix://{}", self.node.socket().display());
        let program = self.program.to_str().expect("a path without surprises");
        let words = [starter, &[program]].concat();
        let mut command = self.node.namespace().command(words[0]);
        command.args(&words[1..]);
        command.args(["-r", &endpoint, "-i", &endpoint, "-t", "300s"]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// What a call prints, or what it says of its failure.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).output().expect("crictl can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What a call prints; it must succeed.
    pub(crate) fn call(&self, arguments: &[&str]) -> String {
        self.attempt(arguments).unwrap_or_else(|error| panic!("crictl {arguments:?} failed: {error}"))
    }

    /// The JSON that a call prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.call(arguments);
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("crictl {arguments:?} printed no JSON ({error}): {printed}"))
    }

    /// Repeats a call until it succeeds.
    pub(crate) fn until(&self, patience: Duration, arguments: &[&str]) -> String {
        let deadline = Instant::now() + patience;
        loop {
            match self.attempt(arguments) {
                Ok(printed) => return printed,
                Err(error) => {
                    assert!(Instant::now() < deadline, "crictl {arguments:?} after {patience:?}: {error}");
                }
            }
            pause();
        }
    }

    /// Repeats a call until the JSON that it prints is as wanted.
    pub(crate) fn until_json(
        &self,
        patience: Duration,
        arguments: &[&str],
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let printed = self.json(arguments);
            if wanted(&printed) {
                return printed;
            }
            assert!(Instant::now() < deadline, "crictl {arguments:?} after {patience:?}: {printed}");
            pause();
        }
    }

    /// Starts a call that goes on.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Following {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("crictl runs");
        let (sender, lines) = sync_channel(1024);
        let stdout = child.stdout.take().expect("it has a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Following { child, lines, seen: Vec::new() }
    }
}

/// A call that goes on; ended when dropped.
pub(crate) struct Following {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Following {
    /// Waits for a line with this text.
    pub(crate) fn wait_for(&mut self, text: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {text:?} within {patience:?}, only: {:#?}", self.seen);
            };
            self.seen.push(line);
            if self.seen.last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    /// Waits for its end, and answers all of its lines.
    pub(crate) fn end(mut self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return std::mem::take(&mut self.seen);
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it did not end within {patience:?}: {:#?}", self.seen)
                }
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A short pause between two attempts.
#[expect(
    clippy::disallowed_methods,
    reason = "crictl has no way to wait for what happens in a guest, or for its figures"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(500));
}
