//! Speaking with the program of a copy: its answers, what it is given, how it ends.
//!
//! Everything that it says is bounded. Where it ends without the answer that is waited for, its own words are the error.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use transports::{Exit, Process, Session, Stream};

use super::program::Program;
use crate::{Error, Result};

/// The longest line of an answer, in bytes.
const LINE: usize = 200;
/// How much is kept of what it complains of, in bytes.
const COMPLAINT: usize = 512;
/// The code of a program that is not there, or lacks one.
const LACKING: i32 = 127;

/// A program in the guest that receives or gives a file.
pub(super) struct Talk {
    process: Process,
    input: Option<mpsc::Sender<Bytes>>,
    /// What came after the line that was read last.
    held: Bytes,
    complaint: Vec<u8>,
    /// The file, for people.
    path: String,
}

impl Talk {
    pub(super) async fn begin(session: &dyn Session, program: &Program, path: &str) -> Result<Self> {
        let mut process = session.stream(program.command.clone()).await?;
        let input = process.stdin.take();
        if let Some(input) = &input
            && !program.preamble.is_empty()
        {
            // There is room for it; where the program has ended already, it is told why.
            let _ = input.try_send(program.preamble.clone());
        }
        Ok(Self { process, input, held: Bytes::new(), complaint: Vec::new(), path: path.to_owned() })
    }

    /// Gives it bytes. False where it takes no more.
    pub(super) async fn give(&self, bytes: Bytes, within: Duration) -> Result<bool> {
        let Some(input) = &self.input else { return Ok(false) };
        match timeout(within, input.send(bytes)).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(self.stalled(within)),
        }
    }

    /// It is given no more.
    pub(super) fn end_input(&mut self) {
        self.input = None;
    }

    /// The next bytes that it writes; none at the end.
    pub(super) async fn next(&mut self, within: Duration) -> Result<Option<Bytes>> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        loop {
            let output = timeout(within, self.process.output.recv()).await;
            match output.map_err(|_| self.stalled(within))? {
                Some(output) if output.stream == Stream::Stdout => return Ok(Some(output.data)),
                Some(output) => {
                    let room = COMPLAINT.saturating_sub(self.complaint.len()).min(output.data.len());
                    self.complaint.extend_from_slice(&output.data[..room]);
                }
                None => return Ok(None),
            }
        }
    }

    /// The next line that it writes.
    pub(super) async fn line(&mut self, within: Duration) -> Result<String> {
        let mut line = Vec::new();
        while let Some(mut bytes) = self.next(within).await? {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            line.extend_from_slice(&bytes.split_to(end.unwrap_or(bytes.len()).min(LINE + 1)));
            if line.len() > LINE {
                return Err(self.nonsense());
            }
            if end.is_some() {
                self.held = bytes.slice(1..);
                return String::from_utf8(line).map_err(|_| self.nonsense());
            }
        }
        self.end(within).await?;
        Err(self.nonsense())
    }

    /// The number in the next line, behind this word.
    pub(super) async fn told(&mut self, word: &str, within: Duration) -> Result<u64> {
        let line = self.line(within).await?;
        let number = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        number.and_then(|number| number.parse().ok()).ok_or_else(|| self.nonsense())
    }

    /// Waits until it has ended, as it should.
    pub(super) async fn end(&mut self, within: Duration) -> Result<()> {
        while self.next(within).await?.is_some() {}
        let exit = timeout(within, &mut self.process.exit).await.map_err(|_| self.stalled(within))?;
        let lost = |why: String| Err(Error::Session(transports::Error::Lost(why)));
        let said = String::from_utf8_lossy(&self.complaint).trim().replace(|c: char| c.is_control(), " ");
        let path = &self.path;
        match exit {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(Exit::Code(LACKING)) => {
                Err(Error::Unsupported(format!("{path} cannot be copied with the guest's means: {said}")))
            }
            Ok(Exit::Code(code)) => {
                Err(Error::Ended(format!("the guest cannot copy {path} (code {code}): {said}")))
            }
            Ok(Exit::Signal(signal)) => {
                Err(Error::Ended(format!("the guest's copy of {path} was ended by signal {signal}")))
            }
            Ok(Exit::Lost(why)) => lost(why),
            Err(_) => lost("the session was closed".into()),
        }
    }

    /// That it says what it never should.
    pub(super) fn nonsense(&self) -> Error {
        Error::Ended(format!("the guest's answer about the copy of {} makes no sense", self.path))
    }

    fn stalled(&self, within: Duration) -> Error {
        Error::Ended(format!(
            "the copy of {} made no progress within {within:?}: the next one goes on from there",
            self.path
        ))
    }
}
