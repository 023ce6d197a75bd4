//! Reads a log file that grows and is rotated.
//!
//! ```text
//!  open -> read to the end -> (the path is another file now?) -yes-> read the old one's rest, open the new one
//!             ^                          | no
//!             +---- an event of inotify -+
//! ```
//!
//! The watch is on the directory, since a rotation puts another file at the path. Events only wake the reader: what is
//! there to read is decided by looking at the file, so a lost or a doubled event does no harm. A file that became
//! shorter is read from its beginning.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// The longest line that is kept together; longer ones come in pieces.
const LONGEST_LINE: usize = 1 << 20;
/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A log at a path, whichever file is there.
pub(super) struct LogReader {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    inode: u64,
    read: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl LogReader {
    /// Reads the log at `path`, from the beginning of the file that is there.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    /// Hands over every line written since the last call, without its end. Whether there is a file at all.
    pub(super) fn lines(
        &mut self,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        loop {
            // Which file is at the path is looked up before the open one is read: what a writer added to it before it
            // went on with the next one is then surely seen.
            let next = self.next().with_context(|| format!("cannot open the log {}", self.path.display()))?;
            if let Some(open) = &mut self.open {
                open.lines(&mut each)
                    .with_context(|| format!("cannot read the log {}", self.path.display()))?;
                if next.is_some() {
                    open.end(&mut each)?;
                }
            }
            match next {
                Some(next) => self.open = Some(next),
                None => return Ok(self.open.is_some()),
            }
        }
    }

    /// The file at the path, where it is not the one that is open.
    fn next(&self) -> io::Result<Option<Open>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        let known = self.open.as_ref().is_some_and(|open| open.inode == inode);
        Ok((!known).then_some(Open { file, inode, read: 0, rest: Vec::new() }))
    }
}

impl Open {
    fn lines(&mut self, each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if self.file.metadata()?.len() < self.read {
            self.file.seek(SeekFrom::Start(0))?;
            self.read = 0;
            self.rest.clear();
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = match self.file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.read += count as u64;
            for part in piece[..count].split_inclusive(|byte| *byte == b'\n') {
                self.rest.extend_from_slice(part);
                if self.rest.last() == Some(&b'\n') {
                    self.rest.pop();
                    each(&self.rest)?;
                    self.rest.clear();
                } else if self.rest.len() >= LONGEST_LINE {
                    self.end(each)?;
                }
            }
        }
    }

    /// Hands over what has no end and will never get one.
    fn end(&mut self, each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if !self.rest.is_empty() {
            each(&self.rest)?;
            self.rest.clear();
        }
        Ok(())
    }
}

/// Wakes whoever waits when something happens in a directory.
pub(super) struct Watch {
    woken: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Watches the directory of `path`.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let (wake, woken) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading is no news. A full queue means that a wake-up is waiting already.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = wake.try_send(());
            }
        })
        .context("cannot use inotify")?;
        watcher
            .watch(directory, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch {}", directory.display()))?;
        Ok(Self { woken, _watcher: watcher })
    }

    /// Waits for the next event.
    pub(super) async fn changed(&mut self) {
        // The sender lives as long as the watcher, so the channel is open.
        self.woken.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    fn append(path: &Path, text: &str) {
        File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn lines(reader: &mut LogReader) -> Vec<String> {
        let mut lines = Vec::new();
        reader
            .lines(|line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            })
            .unwrap();
        lines
    }

    #[test]
    fn unfinished_lines_wait_for_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut reader = LogReader::new(&path);
        assert!(lines(&mut reader).is_empty());
        append(&path, "one\ntw");
        assert_eq!(lines(&mut reader), ["one"]);
        append(&path, "o\n");
        assert_eq!(lines(&mut reader), ["two"]);
    }

    #[test]
    fn a_rotation_loses_and_repeats_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut reader = LogReader::new(&path);
        append(&path, "one\n");
        assert_eq!(lines(&mut reader), ["one"]);
        let rotated = folder.path().join("0.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        append(&rotated, "two\n");
        append(&path, "three\n");
        assert_eq!(lines(&mut reader), ["two", "three"]);
        std::fs::write(&path, "4\n").unwrap();
        assert_eq!(lines(&mut reader), ["4"], "a file that became shorter begins anew");
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        append(&path, &"x".repeat(LONGEST_LINE + PIECE));
        let mut reader = LogReader::new(&path);
        assert_eq!(lines(&mut reader).len(), 1);
    }

    #[tokio::test]
    async fn a_change_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut watch = Watch::new(&path).unwrap();
        append(&path, "one\n");
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.expect("inotify wakes");
    }
}
