//! What a running machine uses: from `/proc`, from its overlay file, and from its balloon.
//!
//! ```text
//!   first time: query-cpus-fast -> the processors' threads (kept)      the balloon is told to ask its guest regularly
//!   each time:  guest-stats; /proc/PID/task/TID/schedstat, /proc/PID/{stat,status}; blocks of the overlay
//! ```
//!
//! Happy path: one short question on the monitor's one connection, then reads of files that never block.
//!
//! Failure paths: a monitor that is silent costs two seconds and the guest's figures, not the process's. A process
//! that ends in between makes the measurement fail: no figure is of another process that took its id. What QEMU says is
//! its guest's word at worst: a thread is only looked for within the machine's own process, and a memory figure that
//! cannot be is none.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::directory::Directory;
use super::process::Process;
use super::qmp::{Qmp, QmpError};
use crate::{GuestMemory, Result, Usage};

/// How long the monitor may take. Whoever measures has others to measure.
const ANSWER: Duration = Duration::from_secs(2);
/// How often the balloon asks its guest, in seconds.
const BALLOON_SECONDS: u32 = 10;
/// The balloon, by the id that the arguments give it.
const BALLOON: &str = "/machine/peripheral/balloon0";
/// The most virtual processors that are believed.
const MOST_THREADS: usize = 1024;
/// The unit of the times in `/proc/PID/stat`: hundredths of a second, in the binary interface of x86.
const TICK: Duration = Duration::from_millis(10);

/// Measures one machine.
#[derive(Debug)]
pub(crate) struct Meter {
    qmp: Arc<Qmp>,
    process: Arc<Process>,
    directory: Directory,
    fixed: OnceCell<Fixed>,
    balloon_asks: OnceCell<()>,
}

/// What does not change while a machine runs.
#[derive(Debug, Clone)]
struct Fixed {
    threads: Vec<u64>,
    memory_bytes: u64,
}

impl Meter {
    pub(crate) fn new(qmp: Arc<Qmp>, process: Arc<Process>, directory: Directory) -> Self {
        Self { qmp, process, directory, fixed: OnceCell::new(), balloon_asks: OnceCell::new() }
    }

    /// Measures now.
    pub(crate) async fn measure(&self) -> Result<Usage> {
        let fixed = self.fixed.get_or_try_init(|| self.fixed()).await?.clone();
        let guest_memory = match self.guest_memory().await {
            Ok(memory) => memory,
            Err(error) => {
                tracing::debug!(machine = %self.directory.id(), %error, "the balloon tells nothing");
                None
            }
        };
        let (process, overlay) = (Arc::clone(&self.process), self.directory.file("overlay.qcow2"));
        let reading = tokio::task::spawn_blocking(move || read(&process, &overlay, &fixed, guest_memory));
        let read = reading.await.map_err(io::Error::other).flatten();
        read.map_err(|error| self.directory.failed("cannot be measured", error))
    }

    async fn fixed(&self) -> Result<Fixed> {
        let failed = |error| self.directory.failed("its monitor does not tell its processors", error);
        let told = self.qmp.execute("query-cpus-fast", json!({}), ANSWER).await.map_err(failed)?;
        let spec = self.directory.work(Directory::spec).await?;
        let spec = spec.ok_or_else(|| self.directory.failure("its specification is gone"))?;
        Ok(Fixed { threads: threads(&told), memory_bytes: u64::from(spec.memory_mib) << 20 })
    }

    async fn guest_memory(&self) -> Result<Option<GuestMemory>, QmpError> {
        let of_balloon = |property: &str| json!({ "path": BALLOON, "property": property });
        let asks = async || {
            let mut every = of_balloon("guest-stats-polling-interval");
            every["value"] = BALLOON_SECONDS.into();
            self.qmp.execute("qom-set", every, ANSWER).await.map(drop)
        };
        self.balloon_asks.get_or_try_init(asks).await?;
        let told = self.qmp.execute("qom-get", of_balloon("guest-stats"), ANSWER).await?;
        Ok(guest_memory(&told))
    }
}

/// The threads of the virtual processors.
fn threads(told: &Value) -> Vec<u64> {
    let processors = told.as_array().map(Vec::as_slice).unwrap_or_default();
    processors.iter().take(MOST_THREADS).filter_map(|each| each["thread-id"].as_u64()).collect()
}

/// What the guest has told its balloon; `None` before the first time.
fn guest_memory(told: &Value) -> Option<GuestMemory> {
    let at = told["last-update"].as_u64().filter(|seconds| *seconds > 0)?;
    // What the driver does not know reads as the largest number, and no byte count has its highest bit.
    let figure = |name: &str| told["stats"][name].as_u64().filter(|value| i64::try_from(*value).is_ok());
    let memory = GuestMemory {
        at: UNIX_EPOCH.checked_add(Duration::from_secs(at))?,
        total: figure("stat-total-memory"),
        free: figure("stat-free-memory"),
        available: figure("stat-available-memory"),
        minor_faults: figure("stat-minor-faults"),
        major_faults: figure("stat-major-faults"),
    };
    memory.total.is_some().then_some(memory)
}

fn read(
    process: &Process,
    overlay: &Path,
    fixed: &Fixed,
    guest_memory: Option<GuestMemory>,
) -> io::Result<Usage> {
    let place = PathBuf::from(format!("/proc/{}", process.record.pid));
    let at = SystemTime::now();
    let mut vcpu_time = Duration::ZERO;
    for thread in &fixed.threads {
        vcpu_time += thread_time(&place.join(format!("task/{thread}")))?;
    }
    let process_time = ticks(&fs::read_to_string(place.join("stat"))?).ok_or(io::ErrorKind::InvalidData)?;
    let resident = resident(&fs::read_to_string(place.join("status"))?).ok_or(io::ErrorKind::InvalidData)?;
    let disk_bytes = fs::metadata(overlay)?.blocks() * 512;
    if process.has_ended() {
        return Err(io::Error::other("its process has ended"));
    }
    Ok(Usage {
        at,
        vcpu_time,
        process_time,
        resident_bytes: resident,
        disk_bytes,
        memory_bytes: fixed.memory_bytes,
        guest_memory,
    })
}

/// How long a thread has run: exactly where the kernel counts that, else in ticks.
fn thread_time(place: &Path) -> io::Result<Duration> {
    let exact = fs::read_to_string(place.join("schedstat")).ok();
    let exact = exact.as_deref().and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    match exact {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => Ok(ticks(&fs::read_to_string(place.join("stat"))?).ok_or(io::ErrorKind::InvalidData)?),
    }
}

/// Fields 14 and 15 of a `stat`: the time in user mode and in the kernel. The second field is a name in parentheses
/// that may contain anything.
fn ticks(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * user + TICK * system)
}

/// `VmRSS` of a `status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_behind_a_hostile_name() {
        let stat = "7 (a) R 1 (b)) S 1 7 7 0 -1 4 1 2 3 4 250 50 7 8 20 0 1 0 4242 99 1";
        assert_eq!(ticks(stat), Some(Duration::from_secs(3)));
        assert_eq!(ticks("7 (a) S 1 7 7 0 -1 4 1 2 3 4 x 50"), None);
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(resident("Name:\tVmRSS: 9 kB\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
        assert_eq!(resident("VmRSS:\t many kB\n"), None);
    }

    #[test]
    fn a_balloon_tells_what_its_driver_knows() {
        let unknown = u64::MAX;
        let told = json!({ "last-update": 100, "stats": {
            "stat-total-memory": 1000, "stat-free-memory": 400, "stat-available-memory": unknown,
            "stat-minor-faults": "many" } });
        let memory = guest_memory(&told).unwrap();
        assert_eq!(memory.at, UNIX_EPOCH + Duration::from_secs(100));
        assert_eq!((memory.total, memory.free, memory.available), (Some(1000), Some(400), None));
        assert_eq!((memory.minor_faults, memory.major_faults), (None, None));
        for nothing in [
            json!({ "last-update": 0, "stats": { "stat-total-memory": 1000 } }),
            json!({ "last-update": 100, "stats": { "stat-total-memory": unknown } }),
            json!({ "last-update": unknown, "stats": { "stat-total-memory": 1000 } }),
            json!(null),
        ] {
            assert_eq!(guest_memory(&nothing), None, "{nothing}");
        }
    }

    #[test]
    fn processors_are_told_by_their_threads() {
        assert_eq!(threads(&json!([{ "thread-id": 7 }, { "thread-id": -1 }, {}, 3])), [7]);
        assert_eq!(threads(&json!({ "thread-id": 7 })), [0_u64; 0]);
        assert_eq!(threads(&Value::from(vec![json!({ "thread-id": 1 }); 5000])).len(), MOST_THREADS);
    }
}
