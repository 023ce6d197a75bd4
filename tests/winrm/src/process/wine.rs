//! `cmd`, as Debian's wine has it.
//!
//! ```text
//!   cmd (delayed expansion) -> cmd /c LINE -> exit code as 32 bits -> a file
//! ```
//!
//! A Unix exit status has 8 bits, so an outer `cmd` writes the inner one's exit code down. The line reaches it in a variable
//! that is expanded after parsing, so the outer `cmd` understands nothing of it.
//!
//! - Happy path: one `cmd` is idle as long as the server lives, so that wine's services run and a command starts in a tenth
//!   of a second instead of two.
//! - Failures: no wine, or a prefix that cannot be made, is an error when the server starts.
//! - What differs from Windows: the variables of this file are in the environment of the line, and `chcp` has no console to
//!   change, so that text other than ASCII comes in Windows-1252 whatever `WINRS_CODEPAGE` says.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const CMD: &str = r"C:\windows\system32\cmd.exe";
const OUTER: &str = "cmd /v:off /c !WINRM_PEER_LINE!&echo !ERRORLEVEL!>!WINRM_PEER_CODE!";

/// A wine whose services run.
#[derive(Debug)]
pub(crate) struct Wine {
    prefix: PathBuf,
    /// Killed with the server.
    _idle: Child,
}

impl Wine {
    /// Makes the prefix if it is not there, and an idle `cmd` in it.
    pub(crate) async fn start(prefix: &Path) -> Result<Self> {
        if !prefix.join("system.reg").exists() {
            std::fs::create_dir_all(prefix)
                .with_context(|| format!("cannot make the wine prefix {}", prefix.display()))?;
            let made = wine(prefix).args(["wineboot", "--init"]).stdout(Stdio::null()).status().await;
            if !made.context("cannot run wine: is the package `wine` installed?")?.success() {
                bail!("wine cannot make a prefix in {}", prefix.display());
            }
        }
        let mut idle = wine(prefix)
            .args([CMD, "/c", "echo ready& pause"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run wine: is the package `wine` installed?")?;
        let Some(stdout) = idle.stdout.as_mut() else { unreachable!("a pipe was asked for") };
        let line = BufReader::new(stdout).lines().next_line().await?;
        if line.as_deref() != Some("ready") {
            bail!("wine cannot run cmd in {}: it said {line:?}", prefix.display());
        }
        Ok(Self { prefix: prefix.to_owned(), _idle: idle })
    }

    /// What runs a line, and where its exit code is to be read.
    pub(super) fn command(&self, line: &str) -> std::io::Result<(Command, CodeFile)> {
        let code = CodeFile(NamedTempFile::with_prefix("winrm-peer-")?);
        let mut command = wine(&self.prefix);
        command
            .args([CMD, "/v:on", "/c", OUTER])
            .env("WINRM_PEER_LINE", line)
            .env("WINRM_PEER_CODE", format!("Z:{}", code.0.path().display()).replace('/', "\\"));
        Ok((command, code))
    }

    /// A directory of Windows as one of this machine.
    pub(super) fn directory(&self, directory: &str) -> PathBuf {
        let mut path = self.prefix.join("dosdevices");
        for part in directory.split(['\\', '/']).filter(|part| !part.is_empty()) {
            path.push(if part.ends_with(':') { part.to_lowercase() } else { part.to_owned() });
        }
        path
    }
}

/// Where the outer `cmd` writes the exit code of the inner one.
#[derive(Debug)]
pub(super) struct CodeFile(NamedTempFile);

impl CodeFile {
    /// The exit code; `None` where the command was killed before it was written.
    pub(super) fn read(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.0.path()).ok()?;
        text.trim().parse::<i32>().ok().map(i32::cast_unsigned)
    }
}

/// Wine, of which nothing is inherited but where programs are.
fn wine(prefix: &Path) -> Command {
    let mut command = Command::new("wine");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", prefix)
        .env("WINEPREFIX", prefix)
        .env("WINEDEBUG", "-all")
        // Neither asks for a download.
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
        .env("LC_ALL", "C.UTF-8");
    command
}
