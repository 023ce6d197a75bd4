//! The text of `figures.sh` as [`Figures`]. Pure; whatever the text is, the answer is bounded and no figure is wrapped.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::{Figures, FileSystem, Inodes, Memory, NetworkLink, ProcessorTime, Traffic};

/// The most interfaces that are told.
const MOST_LINKS: usize = 64;
/// The most file systems that are told.
const MOST_FILE_SYSTEMS: usize = 16;
/// The longest name of an interface, as the kernel bounds it.
const LONGEST_LINK: usize = 15;
/// The longest path of a device or of a place.
const LONGEST_PATH: usize = 256;
/// The unit of `/proc/stat`: a hundredth of a second.
const TICK_MILLISECONDS: u64 = 10;

/// Reads it all; `None` where there is no memory.
pub(super) fn figures(text: &str, at: SystemTime) -> Option<Figures> {
    let blocks = blocks(text);
    let block = |name: &str| blocks.get(name).map(Vec::as_slice).unwrap_or_default();
    let first = |name: &str| block(name).first().copied().unwrap_or_default();
    Some(Figures {
        at,
        uptime: first("uptime").split_whitespace().next().and_then(seconds),
        processor_time: processor_time(first("stat")),
        processes: first("processes").trim().parse().ok(),
        threads: first("loadavg")
            .split_whitespace()
            .nth(3)
            .and_then(|part| part.split_once('/')?.1.parse().ok()),
        memory: memory(block("meminfo"), block("faults"))?,
        links: links(block("net"), block("links")),
        file_systems: file_systems(block("blocks"), block("inodes")),
    })
}

/// The lines of each block by its name; of two of one name the first.
fn blocks(text: &str) -> HashMap<&str, Vec<&str>> {
    let mut blocks = HashMap::new();
    let mut parts = text.lines();
    let mut name = None;
    let mut lines = Vec::new();
    loop {
        let line = parts.next();
        match (line, line.and_then(|line| line.strip_prefix("= "))) {
            (Some(line), None) => lines.push(line),
            (_, next) => {
                if let Some(name) = name {
                    blocks.entry(name).or_insert(std::mem::take(&mut lines));
                }
                lines.clear();
                name = Some(next.unwrap_or_default());
            }
        }
        if line.is_none() {
            return blocks;
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// `cpu  user nice system idle iowait irq softirq ...`
fn processor_time(line: &str) -> Option<ProcessorTime> {
    let mut words = line.split_whitespace();
    if words.next() != Some("cpu") {
        return None;
    }
    let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).take(7).collect();
    let sum = |indices: &[usize]| {
        let ticks =
            indices.iter().filter_map(|index| ticks.get(*index)).fold(0_u64, |sum, n| sum.saturating_add(*n));
        Duration::from_millis(ticks.saturating_mul(TICK_MILLISECONDS))
    };
    (ticks.len() >= 4).then(|| ProcessorTime { user: sum(&[0, 1]), system: sum(&[2, 5, 6]) })
}

fn memory(meminfo: &[&str], faults: &[&str]) -> Option<Memory> {
    let of = |name: &str| {
        let line = meminfo.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let count = |name: &str| {
        faults.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let total = of("MemTotal")?;
    let free = of("MemFree")?.min(total);
    let cached = of("Cached");
    let old = || free.saturating_add(of("Buffers").unwrap_or(0)).saturating_add(cached.unwrap_or(0));
    let (all, major) = (count("pgfault"), count("pgmajfault"));
    Some(Memory {
        total,
        free,
        available: of("MemAvailable").unwrap_or_else(old).min(total),
        cached,
        anonymous: of("AnonPages"),
        mapped: of("Mapped"),
        swap_total: of("SwapTotal"),
        swap_free: of("SwapFree"),
        minor_faults: all.zip(major).map(|(all, major)| all.saturating_sub(major)),
        major_faults: major,
    })
}

fn links(net: &[&str], addresses: &[&str]) -> Vec<NetworkLink> {
    let mac = |name: &str| {
        let mut found = addresses.iter().filter_map(|line| line.split_once(' '));
        let mac = found.find(|(link, _)| *link == name)?.1.trim().to_ascii_lowercase();
        let plain = mac.len() <= 20 && mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        plain.then_some(mac)
    };
    let link = |line: &&str| {
        let (name, figures) = line.split_once(':')?;
        let name = name.trim();
        let figures: Vec<u64> = figures.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let named =
            (1..=LONGEST_LINK).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !named || name == "lo" || figures.len() < 12 {
            return None;
        }
        let traffic = |from: usize| Traffic {
            bytes: figures[from],
            packets: figures[from + 1],
            errors: figures[from + 2],
            dropped: figures[from + 3],
        };
        Some(NetworkLink { name: name.to_owned(), mac: mac(name), received: traffic(0), sent: traffic(8) })
    };
    net.iter().filter_map(link).take(MOST_LINKS).collect()
}

/// Each device once, by the first place that it is mounted at.
fn file_systems(blocks: &[&str], inodes: &[&str]) -> Vec<FileSystem> {
    let mut found: Vec<FileSystem> = Vec::new();
    for row in blocks.iter().filter_map(|line| row(line)) {
        if found.len() < MOST_FILE_SYSTEMS && !found.iter().any(|other| other.device == row.device) {
            let (Some(total), Some(used)) = (row.total.checked_mul(1024), row.used.checked_mul(1024)) else {
                continue;
            };
            let same = |other: &Row<'_>| other.device == row.device;
            let counted = inodes.iter().filter_map(|line| self::row(line)).find(same);
            let counted = counted.filter(|inodes| inodes.total > 0);
            found.push(FileSystem {
                device: row.device.to_owned(),
                place: row.place.to_owned(),
                total,
                used,
                inodes: counted.map(|inodes| Inodes { total: inodes.total, used: inodes.used }),
            });
        }
    }
    found
}

/// A line of `df -P`: device, total, used, available, capacity, place.
struct Row<'a> {
    device: &'a str,
    total: u64,
    used: u64,
    place: &'a str,
}

fn row(line: &str) -> Option<Row<'_>> {
    let path =
        |text: &&str| !text.is_empty() && text.len() <= LONGEST_PATH && !text.chars().any(char::is_control);
    let mut words = line.split_whitespace();
    let device = words.next().filter(path)?;
    let (total, used) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    // A place may hold spaces.
    let place = line.rsplit_once("% ").map(|(_, place)| place.trim()).filter(path)?;
    place.starts_with('/').then_some(Row { device, total, used, place })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    const DEBIAN: &str = include_str!("debian.txt");

    fn read(text: &str) -> Option<Figures> {
        figures(text, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn debian_tells_everything() {
        let told = read(DEBIAN).unwrap();
        assert_eq!(told.uptime, Some(Duration::from_millis(3_270_830)));
        let time = told.processor_time.unwrap();
        assert_eq!(
            (time.user, time.system),
            (Duration::from_millis(2_660_760), Duration::from_millis(701_650))
        );
        assert_eq!((told.processes, told.threads), (Some(120), Some(143)));
        let memory = &told.memory;
        assert_eq!((memory.total, memory.available), (24_684_084 << 10, 23_900_328 << 10));
        assert_eq!((memory.anonymous, memory.swap_total), (Some(186_844 << 10), Some(0)));
        assert_eq!((memory.minor_faults, memory.major_faults), (Some(156_428_176), Some(13_415)));
        let [eth0] = told.links.as_slice() else { panic!("{:?}", told.links) };
        assert_eq!((eth0.name.as_str(), eth0.mac.as_deref()), ("eth0", Some("02:fc:00:00:00:01")));
        assert_eq!((eth0.received.bytes, eth0.sent.packets, eth0.sent.dropped), (781_220_967, 15_657, 2));
        let [root, data] = told.file_systems.as_slice() else { panic!("{:?}", told.file_systems) };
        assert_eq!((root.place.as_str(), root.used), ("/", 23_378_372 << 10));
        assert_eq!(root.inodes, Some(Inodes { total: 16_777_216, used: 508_809 }));
        assert_eq!((data.place.as_str(), data.inodes), ("/srv/my data", None));
    }

    #[test]
    fn an_old_kernel_and_a_small_busybox_tell_what_they_know() {
        let text = "= uptime\n12.5 3.1\n= meminfo\nMemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 250 kB\n\
                    = blocks\nFilesystem 1024-blocks Used Available Capacity Mounted on\nrootfs 90 40 50 44% /\n\
                    = inodes\n= end\n";
        let told = read(text).unwrap();
        assert_eq!(told.memory.available, 400 << 10);
        assert_eq!((told.memory.minor_faults, told.processes, told.processor_time), (None, None, None));
        assert_eq!(told.links, []);
        assert_eq!((told.file_systems[0].total, told.file_systems[0].inodes), (90 << 10, None));
    }

    #[test]
    fn garbage_is_no_guest_and_never_a_panic() {
        for text in [
            "",
            "= ",
            "= meminfo",
            "sh: not found",
            "= meminfo\nMemTotal: x kB\nMemFree: 1 kB\n",
            "\0\u{fffd}= = =",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        // Cut anywhere, it is less or nothing.
        for end in 0..DEBIAN.len() {
            let _ = read(&DEBIAN[..end]);
        }
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let most = u64::MAX;
        let mut text = format!(
            "= uptime\n-1e400\n= stat\ncpu {most} {most} {most} {most}\n= meminfo\nMemTotal: 10 kB\n"
        );
        let _ = write!(text, "MemFree: 99 kB\nMemAvailable: 99 kB\nCached: {most} kB\n= net\n");
        let numbers = "1 ".repeat(16);
        for link in 0..1000 {
            let _ = writeln!(text, "l{link}: {numbers}");
        }
        let _ = write!(
            text,
            "{}: {numbers}\nshort: 1 2 3\n= blocks\n/dev/huge {most} 1 1 1% /huge\n",
            "x".repeat(16)
        );
        for disk in 0..1000 {
            let _ = write!(text, "/dev/d{disk} 1 1 1 1% /{disk}\n/dev/r{disk} 1 1 1 1% relative\n");
        }
        let told = read(&text).unwrap();
        assert_eq!((told.uptime, told.memory.cached), (None, None));
        assert_eq!((told.memory.free, told.memory.available), (10 << 10, 10 << 10));
        assert_eq!((told.links.len(), told.file_systems.len()), (MOST_LINKS, MOST_FILE_SYSTEMS));
        assert_eq!(told.file_systems[0].device, "/dev/d0");
        assert_eq!(told.processor_time.unwrap().user, Duration::from_millis(most));
    }
}
