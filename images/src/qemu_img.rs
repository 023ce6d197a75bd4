//! `qemu-img`, run on files that may be hostile: explicit formats, absolute paths, bounds of memory, CPU time and wall
//! time, and an end with the caller.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::{Error, Result};

/// How long a look at a header may take.
const INFO_DEADLINE: Duration = Duration::from_secs(30);

/// How long the metadata of a whole disk may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// How long a conversion may take.
const CONVERT_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);

/// Address space in bytes: the largest tables that QEMU accepts fit several times.
const MEMORY: u64 = 4 << 30;

/// The most output that is kept, in bytes.
const LARGEST_OUTPUT: u64 = 1 << 20;

/// What `qemu-img info` tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Info {
    /// The format that it was opened as.
    pub(crate) format: String,
    /// What a guest sees, in bytes.
    pub(crate) virtual_size: u64,
    /// A file that this one stands on.
    pub(crate) backing_filename: Option<String>,
    /// Whether a key is needed.
    #[serde(default)]
    pub(crate) encrypted: bool,
    /// What only this format has.
    pub(crate) format_specific: Option<Specific>,
}

/// The part of `info` that differs by format.
#[derive(Debug, Deserialize)]
pub(crate) struct Specific {
    data: serde_json::Value,
}

impl Info {
    /// The names of the files with a VMDK's content.
    pub(crate) fn extents(&self) -> Vec<&str> {
        let extents =
            self.format_specific.as_ref().and_then(|specific| specific.data.get("extents")?.as_array());
        extents.into_iter().flatten().filter_map(|extent| extent.get("filename")?.as_str()).collect()
    }

    /// The name of an external data file.
    pub(crate) fn data_file(&self) -> Option<&str> {
        self.format_specific.as_ref()?.data.get("data-file")?.as_str()
    }
}

/// Opens the file's header as `format`. `name` is for the messages.
pub(crate) async fn info(path: &Path, format: &str, name: &str) -> Result<Info> {
    let mut command = bounded(INFO_DEADLINE);
    command.args(["info", "--output=json", "-U", "-f", format, "--"]).arg(path);
    let done = run(command, INFO_DEADLINE, |_| {}).await?;
    if done.code != Some(0) {
        return Err(refused(name, format, path, &done.stderr));
    }
    serde_json::from_slice(&done.stdout)
        .map_err(|source| Error::failed(format!("cannot read what qemu-img tells of {name}"), source))
}

/// Verifies the metadata of a qcow2 file. Lost clusters are no harm; everything else is.
pub(crate) async fn check(path: &Path, name: &str) -> Result<()> {
    let mut command = bounded(CHECK_DEADLINE);
    command.args(["check", "-q", "-U", "-f", "qcow2", "--"]).arg(path);
    let done = run(command, CHECK_DEADLINE, |_| {}).await?;
    match done.code {
        Some(0 | 3) => Ok(()),
        _ => Err(refused(name, "qcow2", path, &[done.stderr, done.stdout].concat())),
    }
}

/// Converts to a qcow2 file, telling how much is done in percent.
pub(crate) async fn convert(
    from: &Path,
    format: &str,
    to: &Path,
    name: &str,
    mut progress: impl FnMut(f32) + Send,
) -> Result<()> {
    let mut command = bounded(CONVERT_DEADLINE);
    command.args(["convert", "-p", "-f", format, "-O", "qcow2", "--"]).arg(from).arg(to);
    let mut text = Vec::new();
    let done = run(command, CONVERT_DEADLINE, |bytes| {
        text.extend_from_slice(bytes);
        while let Some(end) = text.iter().position(|b| matches!(b, b'\r' | b'\n')) {
            let line: Vec<u8> = text.drain(..=end).collect();
            if let Some(percent) = percent(&line) {
                progress(percent);
            }
        }
        // A line of progress is short; anything else is not waited for.
        text.truncate(256);
    })
    .await?;
    match done.code {
        Some(0) => Ok(()),
        _ => Err(refused(name, format, from, &done.stderr)),
    }
}

/// `    (12.34/100%)` is 12.34.
fn percent(line: &[u8]) -> Option<f32> {
    let line = std::str::from_utf8(line).ok()?;
    let (percent, _) = line.trim().strip_prefix('(')?.split_once('/')?;
    percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

/// The command, under `prlimit` where there is one.
fn bounded(deadline: Duration) -> Command {
    let prlimit = ["/usr/bin/prlimit", "/bin/prlimit"].into_iter().find(|path| Path::new(path).exists());
    let mut command = match prlimit {
        Some(prlimit) => {
            let mut command = Command::new(prlimit);
            command
                .arg(format!("--as={MEMORY}"))
                .arg(format!("--cpu={}", deadline.as_secs() * 2))
                .args(["--core=0", "--", "qemu-img"]);
            command
        }
        None => Command::new("qemu-img"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("LC_ALL", "C");
    command
}

struct Done {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn run(mut command: Command, deadline: Duration, seen: impl FnMut(&[u8])) -> Result<Done> {
    let mut child =
        command.spawn().map_err(|source| Error::failed("cannot run qemu-img; install qemu-utils", source))?;
    let work = async {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::join!(drain(stdout, seen), drain(stderr, |_| {}));
        let status = child.wait().await;
        (stdout, stderr, status)
    };
    let Ok((stdout, stderr, status)) = tokio::time::timeout(deadline, work).await else {
        kill(&mut child).await;
        return Err(Error::Refused(format!(
            "qemu-img did not finish within {} s; the disk is refused",
            deadline.as_secs()
        )));
    };
    let status = status.map_err(|source| Error::failed("cannot wait for qemu-img", source))?;
    Ok(Done { code: status.code(), stdout, stderr })
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "cannot kill qemu-img");
    }
}

/// Reads to the end, keeping a bounded beginning.
async fn drain(stream: Option<impl AsyncRead + Unpin>, mut seen: impl FnMut(&[u8])) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        seen(&buffer[..count]);
        if (kept.len() as u64) < LARGEST_OUTPUT {
            kept.extend_from_slice(&buffer[..count]);
        }
    }
    kept
}

/// What `qemu-img` complained of, without our paths in it.
fn refused(name: &str, format: &str, path: &Path, output: &[u8]) -> Error {
    let text = String::from_utf8_lossy(output).replace(&path.display().to_string(), "the disk");
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    Error::Refused(format!("{name}: qemu-img does not accept it as {format}: {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_nothing_else() {
        assert_eq!(percent(b"    (12.34/100%)\r"), Some(12.34));
        assert_eq!(percent(b"    (100.00/100%)\r"), Some(100.0));
        for bad in ["", "(x/100%)", "(101/100%)", "(NaN/100%)", "12/100"] {
            assert_eq!(percent(bad.as_bytes()), None, "{bad}");
        }
    }
}
