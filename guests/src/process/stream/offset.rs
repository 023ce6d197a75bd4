//! Places in the output of a process.

use serde::{Deserialize, Serialize};
use transports::Stream;

use crate::{Error, Result};

/// A place in both output streams of a process. Opaque to everyone but this module; safe to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset(pub String);

impl Offset {
    /// The end of what there is when the follower begins: for whoever joins a process.
    pub fn now() -> Self {
        Self("p1:-:-".into())
    }

    pub(super) fn at(places: Places) -> Self {
        Self(format!("p1:{}:{}", places.stdout, places.stderr))
    }

    /// Both places as words for the follower; `None` of them are numbers for [`Offset::now`].
    pub(super) fn parse(&self) -> Result<([String; 2], Option<Places>)> {
        let bad = || Error::Unsupported(format!("offset {:?} is not of a process", self.0));
        let fields: Vec<&str> = self.0.split(':').collect();
        let ["p1", stdout, stderr] = fields[..] else { return Err(bad()) };
        let words = [stdout.to_owned(), stderr.to_owned()];
        if (stdout, stderr) == ("-", "-") {
            return Ok((words, None));
        }
        let places =
            Places { stdout: place(stdout).ok_or_else(bad)?, stderr: place(stderr).ok_or_else(bad)? };
        Ok((words, Some(places)))
    }
}

/// What names a segment in the guest has room for.
const MAX_PLACE: u64 = 1_000_000_000_000_000;

pub(super) fn place(word: &str) -> Option<u64> {
    word.parse().ok().filter(|place| *place < MAX_PLACE)
}

/// How far both streams are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) stdout: u64,
    pub(super) stderr: u64,
}

impl Places {
    pub(super) fn of(&mut self, stream: Stream) -> &mut u64 {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_of_a_process() {
        assert_eq!(Offset::at(Places { stdout: 1, stderr: 2 }).parse().unwrap().0, ["1", "2"]);
        assert_eq!(Offset::now().parse().unwrap().1, None);
        for bad in
            ["", "p1:1", "p1:1:", "p1:-:1", "p1:1:2:3", "f1:1:2", "p1:$(id):1", "p1:1:1000000000000000"]
        {
            assert!(!Offset(bad.into()).parse().unwrap_err().retryable(), "{bad}");
        }
    }
}
