//! `infranetes console`: this terminal and the machine's serial console, joined.
//!
//! ```text
//!  keys -> (Ctrl-]?) -> socket -> guest
//!  screen <-------------- socket <- guest
//! ```
//!
//! It ends by Ctrl-], by the end of the machine, or by a signal; each of them gives the terminal back as it was. The
//! guest notices none of it, and one may attach again.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::output;
use super::resolve::find;
use super::terminal::RawTerminal;

/// Ctrl-].
const DETACH: u8 = 0x1d;
/// Where the daemon tells the path of the socket.
const SOCKET_KEY: &str = "console.socket";

/// Options of `console`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  infranetes console app

Press Enter for a login prompt, Ctrl-] to leave; the machine goes on. One terminal at a time: a second one waits, silent,
until the first has left. What the guest said before is in the log.")]
pub struct ConsoleArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
}

/// Why a console ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Detached,
    MachineEnded,
    TerminalGone,
    Signalled,
}

pub(super) async fn run(client: &Client, args: &ConsoleArgs) -> anyhow::Result<ExitCode> {
    let target = find(client, &args.id).await?;
    let container = target.machine()?;
    let info = client.container_status(&container.id).await?.info;
    let Some(path) = info.get(SOCKET_KEY).map(|path| unquoted(path)) else {
        bail!(
            "pod {} has no console: its machine is {}, or is not on this node",
            target.name(),
            target.state()
        );
    };
    let socket = UnixStream::connect(&path).await.with_context(|| {
        format!(
            "cannot open the console {path} of pod {}; is its machine running, and are you root?",
            target.name()
        )
    })?;
    output::note(&format!("console of pod {}; Ctrl-] leaves", target.name()));
    let terminal = RawTerminal::take()?;
    let end = join(&terminal, socket).await;
    drop(terminal);
    output::note(match end.as_ref() {
        Ok(End::Detached) => "\nleft the console; the machine goes on",
        Ok(End::MachineEnded) => "\nthe machine ended",
        Ok(End::TerminalGone | End::Signalled) | Err(_) => "\nthe console ended",
    });
    end.map(|_| ExitCode::SUCCESS)
}

/// A path may be told as it is, or as a JSON string.
fn unquoted(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

async fn join(terminal: &RawTerminal, mut socket: UnixStream) -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (mut guest, mut to_guest) = socket.split();
    let mut said = [0; 4096];
    let keys = async {
        let mut typed = [0; 256];
        loop {
            let count = terminal.read(&mut typed).await.context("cannot read the terminal")?;
            if count == 0 {
                return anyhow::Ok(End::TerminalGone);
            }
            let (for_guest, detach) = until_detach(&typed[..count]);
            match to_guest.write_all(for_guest).await {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(End::MachineEnded),
                told => told.context("cannot write to the console")?,
            }
            if detach {
                return Ok(End::Detached);
            }
        }
    };
    let screen = async {
        loop {
            match guest.read(&mut said).await.context("cannot read the console")? {
                0 => return anyhow::Ok(End::MachineEnded),
                count => terminal.write_all(&said[..count]).await.context("cannot write to the terminal")?,
            }
        }
    };
    tokio::select! {
        end = keys => end,
        end = screen => end,
        _ = terminate.recv() => Ok(End::Signalled),
        _ = hang_up.recv() => Ok(End::Signalled),
        _ = interrupt.recv() => Ok(End::Signalled),
    }
}

/// What was typed before Ctrl-], and whether that was typed.
fn until_detach(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|key| *key == DETACH) {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_gets_what_was_typed_before() {
        assert_eq!(until_detach(b"ls\r"), (&b"ls\r"[..], false));
        assert_eq!(until_detach(b"l\x1ds"), (&b"l"[..], true));
        assert_eq!(until_detach(b"\x1d"), (&b""[..], true));
    }

    #[test]
    fn paths_come_bare_or_quoted() {
        assert_eq!(unquoted("/run/c.sock"), "/run/c.sock");
        assert_eq!(unquoted("\"/run/c.sock\""), "/run/c.sock");
    }
}
