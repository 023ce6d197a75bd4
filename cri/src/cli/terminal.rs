//! The controlling terminal, handed over to a guest and surely given back.
//!
//! It is opened anew, so that making it non-blocking does not reach the shell that shares our standard input.
//! [`RawTerminal`] puts it back as it was when it is dropped, whichever way the command ends.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::unix::AsyncFd;

/// A terminal that passes every key on.
pub(super) struct RawTerminal {
    terminal: AsyncFd<File>,
    before: Termios,
}

impl RawTerminal {
    /// Takes the controlling terminal.
    pub(super) fn take() -> anyhow::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::open("/dev/tty", flags, Mode::empty());
        let terminal: OwnedFd = opened
            .context("a console needs a terminal, and there is none; read the log with `infranetes logs`")?;
        let before = tcgetattr(&terminal).context("cannot read the terminal's modes")?;
        let mut raw = before.clone();
        raw.make_raw();
        let terminal = register(File::from(terminal)).context("cannot wait for the terminal")?;
        // From here on dropping it restores it.
        let taken = Self { terminal, before };
        tcsetattr(taken.terminal.get_ref(), OptionalActions::Flush, &raw)
            .context("cannot set the terminal's modes")?;
        Ok(taken)
    }

    /// Reads keys; 0 when the terminal is gone.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.terminal.readable().await?;
            match ready.try_io(|terminal| Ok(rustix::io::read(terminal.get_ref(), &mut *buffer)?)) {
                Ok(read) => return read,
                Err(_would_block) => {}
            }
        }
    }

    /// Its columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = tcgetwinsize(self.terminal.get_ref())?;
        Ok((size.ws_col, size.ws_row))
    }

    /// Shows bytes as they are.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.terminal.writable().await?;
            match ready.try_io(|terminal| Ok(rustix::io::write(terminal.get_ref(), bytes)?)) {
                Ok(written) => bytes = &bytes[written?..],
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

#[allow(
    deprecated,
    reason = "its successor is unsafe to call; a file stays open for as long as it is registered"
)]
fn register(terminal: File) -> io::Result<AsyncFd<File>> {
    AsyncFd::new(terminal)
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(self.terminal.get_ref(), OptionalActions::Drain, &self.before) {
            tracing::debug!(%error, "cannot restore the terminal; `stty sane` does");
        }
    }
}
