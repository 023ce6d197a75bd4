//! The machine's Trusted Platform Module: a process of `swtpm` beside QEMU, which talks to it over one pair of sockets.
//!
//! ```text
//!   the pair -> swtpm (one end, born in ROOT/ID/tpm) -> its record -> QEMU (the other end) --> QEMU ends -> swtpm ends
//!                   `--(no record: found by where it was born)--,       `--(QEMU never spoke to it)--,
//!                                                               `------------------------------------`--> killed
//! ```
//!
//! Happy path: it is made before QEMU for each start, and ends by itself with QEMU, however that ends. What it keeps (keys,
//! counters, what the guest has sealed) lies in a folder of the machine: it is there at the next start, and goes with the
//! root disk.
//!
//! It is trusted as little as QEMU, for it reads what the guest says: the same user without rights runs it, behind a
//! seccomp filter of its own, in a network namespace that has nothing. The folder is that user's, but no path leads there
//! for it: it is the directory that the process is born in. Another group than QEMU's keeps each QEMU from looking into it
//! by way of `/proc`.
//!
//! Failure paths: one that does not end, since its guest has taken it over or QEMU never spoke to it, is killed by what the
//! daemon recorded before any guest code ran. Where a start was interrupted before that, all processes are searched for the
//! one that was born in the folder. One that has died is not missed by the machine: the guest's TPM answers with errors, as
//! a broken one does, until the machine starts again.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use super::config::User;
use super::directory::Directory;
use super::process::{self, Process};
use super::unprivileged;
use super::watcher::kill_process;
use crate::Result;

/// What it keeps, as a folder of the machine.
const FOLDER: &str = "tpm";
/// What it complains about.
pub(crate) const LOG: &str = "tpm.log";
/// The group that owns nothing, `nogroup`.
const GROUP: u32 = 65534;
/// The number of its end of the pair.
const SOCKET: i32 = 10;
/// The version, as swtpm's own word.
const TPM_2: &str = "--tpm2";
/// How long it may take to end by itself once QEMU has ended.
const ENDING: Duration = Duration::from_secs(1);

/// Makes the process, and its record; answers the end that is QEMU's, and the process's id. For a thread that may block.
pub(crate) fn start(directory: &Directory, program: &Path, user: User) -> Result<(OwnedFd, i32)> {
    let failed = |error| directory.failed("cannot make its TPM", error);
    let user = User { gid: GROUP, ..user };
    let folder = directory.file(FOLDER);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    std::os::unix::fs::chown(&folder, Some(user.uid), Some(user.gid)).map_err(failed)?;
    let log = |options: &mut fs::OpenOptions| options.create(true).mode(0o600).open(directory.file(LOG));
    log(File::options().write(true).truncate(true)).map_err(failed)?;
    let complaints = log(File::options().append(true)).map_err(failed)?;

    let (ours, its) = UnixStream::pair().map_err(failed)?;
    let mut command = unprivileged::command(user, None, &["unshare", "--net"], program);
    command
        .args(["socket", TPM_2, "--tpmstate", "dir=.,mode=0600", "--seccomp", "action=kill"])
        .args(["--ctrl", &format!("type=unixio,clientfd={SOCKET}"), "--terminate"])
        .current_dir(&folder)
        .stdout(complaints.try_clone().map_err(failed)?)
        .stderr(complaints);
    let mut command = tokio::process::Command::from(command);
    let socket = FdMapping { parent_fd: its.into(), child_fd: SOCKET };
    command.fd_mappings(vec![socket]).map_err(|error| failed(std::io::Error::other(error)))?;
    let spawned = command.kill_on_drop(false).spawn();
    let child = spawned.map_err(|error| unprivileged::failed(directory, "cannot make its TPM", error))?;
    // The command has its end open still, and would keep it.
    drop(command);
    let process = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Process::of_child);
    reap(directory, child);
    let process =
        process.ok_or_else(|| directory.failure("the process of its TPM cannot be found in /proc"))?;
    directory.write_tpm(&process.record)?;
    Ok((ours.into(), process.record.pid))
}

/// Takes its end in, for as long as this daemon lives; the process itself lives on.
fn reap(directory: &Directory, mut child: tokio::process::Child) {
    let machine = directory.id().clone();
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await
            && !status.success()
        {
            tracing::warn!(%machine, %status, "the machine's TPM has ended; its guest has none until the next start");
        }
    });
}

/// Waits for it to end after QEMU has ended, and kills it if it does not.
pub(crate) async fn end(directory: &Directory, user: User) -> Result<()> {
    let finding = directory.work(move |directory| {
        Ok(match directory.tpm() {
            Some(record) => Process::recorded(&record, user),
            None => born_in(&directory.file(FOLDER), user),
        })
    });
    match finding.await? {
        Some(process) => kill_process(directory, &process, ENDING).await,
        None => Ok(()),
    }
}

/// The TPM whose directory this is. It has never heard a guest, so what it says of itself is true.
fn born_in(folder: &Path, user: User) -> Option<Process> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let folder = identity(folder)?;
    process::ids()?.find_map(|pid| {
        let found = Process::open(pid, user)?;
        let path = Path::new("/proc").join(pid.to_string());
        let line = fs::read(path.join("cmdline")).ok()?;
        let is_tpm = line.split(|&byte| byte == 0).any(|word| word == TPM_2.as_bytes());
        (is_tpm && identity(&path.join("cwd")) == Some(folder)).then_some(found)
    })
}
