//! All that the command line prints goes through here.
//!
//! Results go to the standard output, what is told on the way to the standard error. A reader that hung up ends the
//! command by [`ReaderGone`], which the caller takes for success, as `cat` and `ls` do.

use std::io::{self, Write};

use anyhow::Context as _;
use serde_json::Value;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Text,
    /// JSON.
    Json,
}

/// Whoever read our output hung up.
#[derive(Debug)]
pub(super) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of the output hung up")
    }
}

impl std::error::Error for ReaderGone {}

/// Prints bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints bytes as they are to the standard error.
pub(super) fn error_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    written(io::stderr().lock().write_all(bytes))
}

/// Prints a line.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints JSON, indented.
pub(super) fn json(value: &Value) -> anyhow::Result<()> {
    line(&format!("{value:#}"))
}

/// Tells something on the way, to the standard error.
pub(super) fn note(text: &str) {
    // Nobody is there to be told that nobody listens.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells why a command failed, with all causes, in one line.
pub fn complain(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
}

fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => other.context("cannot write the output"),
    }
}
