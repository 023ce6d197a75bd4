//! What a machine costs its node, and what its guest tells of its memory without being logged in to.
//!
//! Figures that count (CPU time, page faults) only grow while the machine runs. Each group has the time at which it was
//! true: the guest's is older, since the guest is asked on a clock of the provider's.

use std::time::{Duration, SystemTime};

/// The figures of a running machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// When it was measured.
    pub at: SystemTime,
    /// The time that the virtual processors ran, all together: the machine's own work, that of its guest.
    pub vcpu_time: Duration,
    /// The time that the whole process ran: the virtual processors, and what it takes to emulate the rest.
    pub process_time: Duration,
    /// The node's memory that the process holds, in bytes.
    pub resident_bytes: u64,
    /// The room that what the guest wrote takes on the node's disk, in bytes.
    pub disk_bytes: u64,
    /// The memory that the machine was given, in bytes.
    pub memory_bytes: u64,
    /// What the guest's balloon driver tells; none where it has none, or has not told anything yet.
    pub guest_memory: Option<GuestMemory>,
}

/// The guest's memory by its balloon driver, in bytes. What an old driver does not know is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestMemory {
    /// When the guest told it.
    pub at: SystemTime,
    /// All that its kernel manages.
    pub total: Option<u64>,
    /// What holds nothing at all.
    pub free: Option<u64>,
    /// What can be had without swapping.
    pub available: Option<u64>,
    /// Page faults that needed no disk, since the boot.
    pub minor_faults: Option<u64>,
    /// Page faults that read from a disk, since the boot.
    pub major_faults: Option<u64>,
}
