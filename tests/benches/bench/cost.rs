//! What a process costs its node, from `/proc`.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// The unit of the times in `/proc/PID/stat`, in the binary interface of Linux.
const TICK: Duration = Duration::from_millis(10);

/// The memory that it holds, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// How long it has run on any processor, in user mode and in the kernel.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses that may contain anything.
    let fields = stat.rsplit_once(')').context("its stat has no name")?.1;
    let ticks: Vec<u32> =
        fields.split_ascii_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(TICK * ticks.iter().sum::<u32>())
}
