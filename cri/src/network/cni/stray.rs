//! Plugin calls that outlived the daemon that made them.
//!
//! A plugin runs on when its daemon is killed, and could add to a pod after the DEL that takes everything back. So a pod
//! whose ADD has no recorded end is first rid of them: found by the pod's id and namespace in their environment, which
//! what they start inherits, and held by a pidfd so that a number used again is never meant. They are waited for, as
//! what a plugin half did its own DEL may not understand, and killed where they do not end by themselves.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::error::{Error, Result};
use super::super::netns;

/// How often is looked again: a call that is killed may just have started another.
const ROUNDS: usize = 8;
/// How long one may take to end by itself, and then again once it is killed.
const DEADLINE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Ends every plugin call for a pod.
pub(in super::super) async fn end(id: &str) -> Result<()> {
    for _ in 0..ROUNDS {
        let found =
            find(id).map_err(|error| Error::failed("cannot look at the processes in /proc", error))?;
        if found.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            pod = id,
            count = found.len(),
            "ending the CNI calls that a killed daemon left running"
        );
        let ended = tokio::task::spawn_blocking(move || found.iter().try_for_each(finish)).await;
        ended
            .map_err(std::io::Error::other)
            .and_then(|ended| ended)
            .map_err(|why| Error::failed(format!("a CNI call for pod {id} cannot be ended"), why))?;
    }
    Err(Error::said(format!("CNI calls for pod {id} start again and again"), "end what starts them"))
}

/// Lets a process end, or kills it.
fn finish(process: &OwnedFd) -> std::io::Result<()> {
    // A pidfd becomes readable when its process has ended.
    let ended = || poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&DEADLINE)).map(|ready| ready > 0);
    if ended()? {
        return Ok(());
    }
    // It may just have ended.
    let _ = pidfd_send_signal(process, Signal::KILL);
    if ended()? { Ok(()) } else { Err(std::io::ErrorKind::TimedOut.into()) }
}

fn find(id: &str) -> std::io::Result<Vec<OwnedFd>> {
    let marks = [
        format!("CNI_CONTAINERID={id}").into_bytes(),
        format!("CNI_NETNS={}", netns::path(id).display()).into_bytes(),
    ];
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        // One that has just ended is no concern.
        let Ok(process) = pidfd_open(pid, PidfdFlags::NONBLOCK) else { continue };
        if runs_for(&entry.path(), &marks) {
            found.push(process);
        }
    }
    Ok(found)
}

fn runs_for(process: &Path, marks: &[Vec<u8>]) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    marks.iter().all(|mark| environment.split(|byte| *byte == 0).any(|one| one == mark))
}
