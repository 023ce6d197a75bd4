//! What a guest says of itself: memory, processes, network, file systems.
//!
//! ```text
//!   Session --figures.sh (one sh, some five processes, no rights)--> text in blocks --parse (pure)--> Figures
//! ```
//!
//! Happy path: one command over the warm session prints what Linux tells in `/proc` and what `df` tells of the file
//! systems on real devices, the root first.
//!
//! Failure paths: what a guest does not tell (an old kernel, a small busybox) is absent, never guessed. A guest that is
//! silent costs [`DEADLINE`]; one that tells no memory at all is no Linux, and an error. Everything is bounded: the
//! text, the number of links and file systems, the length of names.

mod parse;
mod windows;

use std::time::{Duration, SystemTime};

use transports::{Bounds, Command, Session, Stdin};

use crate::{Error, Family, Result, script};

/// How long a guest may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How much of its answer is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

const SCRIPT: &str = include_str!("figures.sh");

/// A guest at one moment. What it did not tell is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// When it was asked, by this node's clock.
    pub at: SystemTime,
    /// How long ago its kernel started.
    pub uptime: Option<Duration>,
    /// The time that its processors have spent on programs, and in the kernel, since the boot.
    pub processor_time: Option<ProcessorTime>,
    /// Its processes, kernel threads included.
    pub processes: Option<u64>,
    /// Its threads, those of the kernel included.
    pub threads: Option<u64>,
    /// Its memory.
    pub memory: Memory,
    /// Its network interfaces but the loopback.
    pub links: Vec<NetworkLink>,
    /// Its file systems on devices, the root first.
    pub file_systems: Vec<FileSystem>,
}

/// What processors were busy with, in the guest's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessorTime {
    /// Programs.
    pub user: Duration,
    /// The kernel, interrupts included.
    pub system: Duration,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: u64,
    /// What holds nothing at all.
    pub free: u64,
    /// What can be had without swapping. Kernels before 3.14 do not say: then what is free or caches files.
    pub available: u64,
    /// Caches of files.
    pub cached: Option<u64>,
    /// What no file backs.
    pub anonymous: Option<u64>,
    /// Files that are mapped.
    pub mapped: Option<u64>,
    /// Swap, all of it.
    pub swap_total: Option<u64>,
    /// Swap that is not used.
    pub swap_free: Option<u64>,
    /// Page faults that needed no disk, since the boot.
    pub minor_faults: Option<u64>,
    /// Page faults that read from a disk, since the boot.
    pub major_faults: Option<u64>,
}

/// A network interface; the figures count since it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkLink {
    /// Its name in the guest.
    pub name: String,
    /// Its hardware address in lower case.
    pub mac: Option<String>,
    /// What it received.
    pub received: Traffic,
    /// What it sent.
    pub sent: Traffic,
}

/// One direction of an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were broken.
    pub errors: u64,
    /// Packets that were thrown away.
    pub dropped: u64,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The device.
    pub device: String,
    /// Where it is mounted.
    pub place: String,
    /// Its size in bytes.
    pub total: u64,
    /// What is used, in bytes.
    pub used: u64,
    /// Its inodes, where it has a fixed number of them.
    pub inodes: Option<Inodes>,
}

/// The inodes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inodes {
    /// All.
    pub total: u64,
    /// Those that are used.
    pub used: u64,
}

/// Asks a guest.
pub async fn figures(session: &dyn Session, family: Family) -> Result<Figures> {
    match family {
        Family::Unix => linux(session).await,
        Family::Windows => windows::figures(session).await,
    }
}

async fn linux(session: &dyn Session) -> Result<Figures> {
    let at = SystemTime::now();
    let argv = ["sh", "-c", &script::compact(SCRIPT)].map(str::to_owned).into();
    let bounds = Bounds { timeout: Some(DEADLINE), limit_bytes: LONGEST_ANSWER };
    let told = transports::capture(session, Command { argv, stdin: Stdin::Closed }, bounds).await?;
    parse::figures(&String::from_utf8_lossy(&told.stdout), at).ok_or_else(|| {
        let said: String =
            String::from_utf8_lossy(&told.stderr).chars().filter(|c| !c.is_control()).take(200).collect();
        Error::Unsupported(format!("the guest does not tell its memory as Linux does; it said: {said}"))
    })
}
