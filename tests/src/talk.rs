//! A program that is spoken with, by pipes or on a terminal of its own.
//!
//! Happy path: it is typed to, what it shows is waited for, and at last its end. Failure paths: what is not shown in time, or does
//! not end, is a panic with what was shown last, for this is what a test says of it; a program that is left is killed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Rows and columns of a terminal.
pub type Size = (u16, u16);

/// A call that goes on; ended when dropped.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    keys: Option<File>,
    shown: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

/// What starts a program so that the terminal which it is given is its own.
pub const TAKE_TERMINAL: &[&str] = &["setsid", "--ctty"];

fn resize(screen: impl rustix::fd::AsFd, (rows, columns): Size) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(screen, size).expect("the terminal is resized");
}

/// Reads until the end, which a terminal tells as an error.
fn read(mut from: File) -> Receiver<Vec<u8>> {
    let (sender, shown) = sync_channel(1024);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    shown
}

impl Talk {
    /// Starts a command with pipes.
    pub fn by_pipes(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it runs");
        let keys = OwnedFd::from(child.stdin.take().expect("a pipe")).into();
        let shown = OwnedFd::from(child.stdout.take().expect("a pipe")).into();
        Self { child, keys: Some(keys), shown: read(shown), seen: Vec::new() }
    }

    /// Starts a command, which takes the terminal that it is given, on one of this size.
    pub fn on_terminal(size: Size, mut command: Command) -> Self {
        let screen =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("a terminal of ours");
        resize(&screen, size);
        let name = ptsname(&screen, Vec::new()).expect("a terminal with a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = File::from(rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal opens"));
        let again = || line.try_clone().expect("a descriptor");
        let child = command.stdin(again()).stdout(again()).stderr(again()).spawn().expect("it runs");
        let screen = File::from(screen);
        let keys = screen.try_clone().expect("a descriptor");
        Self { child, keys: Some(keys), shown: read(screen), seen: Vec::new() }
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        self.keys
            .as_mut()
            .expect("it is still spoken with")
            .write_all(keys.as_bytes())
            .expect("keys are taken");
    }

    /// Says that nothing more is typed.
    pub fn hangs_up(&mut self) {
        self.keys = None;
    }

    /// Changes the size of its terminal.
    pub fn resizes(&self, size: Size) {
        resize(self.keys.as_ref().expect("it is still spoken with"), size);
    }

    /// Waits until this is shown, and forgets what was shown up to its end.
    pub fn shows(&mut self, text: &str, patience: Duration) {
        assert!(self.soon_shows(text, patience), "no {text:?} within {patience:?}, only {:?}", self.text());
    }

    /// Whether this is shown in time; forgets what was shown up to its end.
    pub fn soon_shows(&mut self, text: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let found = self.seen.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.seen.drain(..at + text.len());
                return true;
            }
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(more) => self.seen.extend(more),
                Err(_) => return false,
            }
        }
    }

    /// Waits for its end; what it has shown since, and how it ended.
    pub fn ends(mut self, patience: Duration) -> (Vec<u8>, ExitStatus) {
        let deadline = Instant::now() + patience;
        loop {
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(more) => self.seen.extend(more),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it did not end within {patience:?}: {:?}", self.text())
                }
            }
        }
        let status = self.child.wait().expect("it has ended");
        (std::mem::take(&mut self.seen), status)
    }

    fn text(&self) -> String {
        let last = self.seen.len().saturating_sub(4000);
        String::from_utf8_lossy(&self.seen[last..]).into_owned()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // As `kill -9` does it: no goodbye.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
