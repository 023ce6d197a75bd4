//! The machine's process: made once, found again, and ended only when it is known to be the right one.
//!
//! The process is detached from the daemon and has the unprivileged user's identity from its start, and is born in the
//! pod's network namespace: a thread of the daemon enters the namespace, opens the tap there and makes the process, which
//! inherits the namespace. So QEMU needs neither `/dev/net/tun` nor any right over the network. QEMU's own `-daemonize`
//! is not used: it needs `setsid` and `fork`, which the seccomp sandbox refuses.
//!
//! Whether a machine runs is told by its lock: an open file, locked before the process is made and inherited by it, so
//! the kernel releases it when the process has ended, however that happened. There is no instant at which a process
//! runs without it. But a process that its guest has taken over may unlock it, and write what it likes over its command
//! line. So the process is found first by what the daemon recorded and the process cannot change: its id, its start
//! and the node's boot. Only where no such record stands (a start was interrupted) and the lock is held, all
//! processes are searched for one that has the machine's UUID in its command line and the machine's lock open; none of
//! those has ever run guest code. A signal is sent through a descriptor (pidfd) that was opened before the checks.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::thread::LinkNameSpaceType;

use super::arguments::fd;
use super::config::User;
use super::directory::{Directory, ProcessRecord};
use super::unprivileged;
use crate::{Nic, Result};

/// Takes the machine's lock; `None` while its process lives.
pub(crate) fn take_lock(directory: &Directory) -> Result<Option<OwnedFd>> {
    lock(directory, File::options().read(true).write(true).create(true).truncate(false).mode(0o600))
}

/// Whether the machine's lock is held. Makes nothing, so that this can be told on a full disk.
pub(crate) fn lock_is_held(directory: &Directory) -> Result<bool> {
    if !directory.file("lock").exists() {
        return Ok(false);
    }
    lock(directory, File::options().read(true)).map(|lock| lock.is_none())
}

fn lock(directory: &Directory, options: &fs::OpenOptions) -> Result<Option<OwnedFd>> {
    let file = options
        .open(directory.file("lock"))
        .map_err(|error| directory.failed("cannot open its lock", error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(directory.failed("cannot take its lock", error)),
    }
}

/// What a process is made of.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: std::path::PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) user: User,
    /// The group that may use the processor's virtualisation, if that group is needed.
    pub(crate) kvm_group: Option<u32>,
    /// The descriptors to pass, each with its number in the process.
    pub(crate) descriptors: Vec<(OwnedFd, i32)>,
    /// Where QEMU complains to.
    pub(crate) complaints: File,
    pub(crate) nic: Option<Nic>,
}

/// Makes the process, in the namespace of its network card. The caller's runtime reaps it.
pub(crate) async fn launch(launch: Launch) -> io::Result<tokio::process::Child> {
    let (answer, done) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    // A thread of its own, since it can never leave the namespace that it enters.
    std::thread::Builder::new().name("machine-launch".into()).spawn(move || {
        let _entered = runtime.enter();
        // Nobody waits any more when the call was cancelled; the lock then tells that the process runs.
        let _ = answer.send(launch_here(launch));
    })?;
    done.await.map_err(|_| io::Error::other("the thread that makes the process has ended"))?
}

fn launch_here(mut launch: Launch) -> io::Result<tokio::process::Child> {
    if let Some(nic) = &launch.nic {
        let tap = open_tap(nic)?;
        launch.descriptors.push((tap, fd::TAP));
    }
    let mut command = unprivileged::command(launch.user, launch.kvm_group, &[], &launch.program);
    command.args(&launch.arguments).stdout(launch.complaints.try_clone()?).stderr(launch.complaints);
    let mut command = tokio::process::Command::from(command);
    let mappings =
        launch.descriptors.into_iter().map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
    command.kill_on_drop(false).spawn()
}

/// Enters the card's namespace, for the rest of this thread's life, and opens the tap there.
fn open_tap(nic: &Nic) -> io::Result<OwnedFd> {
    let about = |what: &str, error: io::Error| {
        let place = format!("the tap {} in {}", nic.tap, nic.netns.display());
        io::Error::new(error.kind(), format!("{what} {place}: {error}"))
    };
    let namespace = File::open(&nic.netns).map_err(|error| about("cannot find", error))?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| about("cannot enter the namespace of", error.into()))?;
    // Opening would make a missing tap, which leads nowhere.
    let devices = fs::read_to_string("/proc/thread-self/net/dev")?;
    if !devices.lines().any(|line| line.trim_start().starts_with(&format!("{}:", nic.tap))) {
        return Err(about("cannot find", io::ErrorKind::NotFound.into()));
    }
    let tap = tun_rs::DeviceBuilder::new()
        .layer(tun_rs::Layer::L2)
        .name(&nic.tap)
        .offload(true)
        .build_sync()
        .map_err(|error| about("cannot open", error))?;
    tap.as_fd().try_clone_to_owned()
}

/// A process that was proved to be the machine's.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its id and start.
    pub(crate) record: ProcessRecord,
    descriptor: OwnedFd,
}

impl Process {
    /// Finds the machine's process, by what was recorded, or else among all processes while the lock is held.
    pub(crate) fn find(directory: &Directory, uuid: &str, user: User, lock_is_held: bool) -> Option<Self> {
        let recorded = directory.process().and_then(|record| Self::recorded(&record, user));
        if recorded.is_some() || !lock_is_held {
            return recorded;
        }
        let lock = fs::metadata(directory.file("lock")).ok()?;
        let lock = (lock.dev(), lock.ino());
        ids()?.find_map(|pid| {
            let process = Self::open(pid, user)?;
            belongs(pid, uuid, lock).then_some(process)
        })
    }

    /// The process that was just made. It is this daemon's child and was not reaped, so its id is its own; its command
    /// line says nothing yet, since it becomes another program twice.
    pub(crate) fn of_child(pid: i32) -> Option<Self> {
        let descriptor = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Self { record: record(pid)?, descriptor })
    }

    /// Opens the process that was recorded, if it still lives. Nothing is asked that the process could answer falsely.
    pub(crate) fn recorded(record: &ProcessRecord, user: User) -> Option<Self> {
        Self::open(record.pid, user).filter(|process| process.record == *record && !process.has_ended())
    }

    /// Opens a process by id, if it has the machines' user or is about to take it.
    pub(crate) fn open(pid: i32, user: User) -> Option<Self> {
        let descriptor = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // From here on the descriptor means one process; what /proc says may be another's only if this one has ended,
        // and then a signal to the descriptor reaches nobody.
        let owner = fs::metadata(Path::new("/proc").join(pid.to_string())).ok()?.uid();
        if owner != user.uid && owner != 0 {
            return None;
        }
        Some(Self { record: record(pid)?, descriptor })
    }

    /// Whether it is known to have ended.
    pub(crate) fn has_ended(&self) -> bool {
        let mut wanted = [PollFd::new(&self.descriptor, PollFlags::IN)];
        rustix::event::poll(&mut wanted, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended; `false` if it still runs at the deadline.
    pub(crate) async fn ended(&self, deadline: Duration) -> io::Result<bool> {
        let descriptor = super::ready::ready(self.descriptor.try_clone()?)?;
        match tokio::time::timeout(deadline, descriptor.readable()).await {
            Ok(ready) => ready.map(|_| true),
            Err(_) => Ok(false),
        }
    }
}

/// The ids of all processes.
pub(crate) fn ids() -> Option<impl Iterator<Item = i32>> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    Some(processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Whether a process has the machine's UUID in its command line, and its lock open: another state directory may have a
/// machine of the same name.
fn belongs(pid: i32, uuid: &str, lock: (u64, u64)) -> bool {
    let path = Path::new("/proc").join(pid.to_string());
    let line = fs::read(path.join("cmdline")).unwrap_or_default();
    let mut words = line.split(|&byte| byte == 0);
    if words.find(|word| word == b"-uuid").is_none() || words.next() != Some(uuid.as_bytes()) {
        return false;
    }
    let mut files = fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
    files.any(|file| fs::metadata(file.path()).is_ok_and(|file| (file.dev(), file.ino()) == lock))
}

/// What tells this process from every other one, also after a boot.
fn record(pid: i32) -> Option<ProcessRecord> {
    let start_time = start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    Some(ProcessRecord { pid, start_time, boot_id })
}

/// Field 22 of `/proc/PID/stat`. The second field is a name in parentheses that may contain anything.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The last words of QEMU's complaints, as one line.
pub(crate) fn last_words(path: &Path) -> String {
    let text = super::bound::tail(path, 4096).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(3)..].join("; ");
    words.chars().filter(|c| !c.is_control()).take(600).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_hostile_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        assert_eq!(start_time(stat), Some(4242));
        assert_eq!(start_time("7 (a"), None);
    }

    #[test]
    fn a_process_without_the_uuid_is_nobodys() {
        let here = i32::try_from(std::process::id()).unwrap();
        assert!(!belongs(here, "6b9a3d2c-0000-8000-8000-000000000000", (0, 0)));
    }

    #[test]
    fn a_recorded_process_is_known_by_its_start_and_the_boot() {
        let owner = |pid: u32| fs::metadata(format!("/proc/{pid}")).unwrap().uid();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let user = User { uid: owner(child.id()), gid: 1 };
        let true_record = record(i32::try_from(child.id()).unwrap()).unwrap();
        let earlier = ProcessRecord { start_time: true_record.start_time - 1, ..true_record.clone() };
        let other_boot = ProcessRecord { boot_id: "before".into(), ..true_record.clone() };
        assert!(Process::recorded(&earlier, user).is_none());
        assert!(Process::recorded(&other_boot, user).is_none());
        let process = Process::recorded(&true_record, user).unwrap();
        // Not reaped, and yet known to have ended.
        process.kill().unwrap();
        let mut wanted = [PollFd::new(&process.descriptor, PollFlags::IN)];
        rustix::event::poll(&mut wanted, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap();
        assert!(Process::recorded(&true_record, user).is_none());
        child.wait().unwrap();
    }
}
