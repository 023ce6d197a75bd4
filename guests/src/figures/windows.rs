//! What a guest with Windows says of itself, by its performance counters and WMI.
//!
//! Happy path: one script prints a line for each figure; counters of processors are summed over all of them. Failure paths: a figure
//! that Windows does not tell is absent; a guest that tells no memory is an error.

use std::time::{Duration, SystemTime};

use transports::Session;

use super::{Figures, FileSystem, LONGEST_ANSWER, Memory, NetworkLink, ProcessorTime, Traffic};
use crate::powershell::{bounds, decoded, run};
use crate::{Error, Result};

/// How long a guest may take: the first look at its counters loads them all.
const DEADLINE: Duration = Duration::from_secs(25);
/// The most interfaces that are told.
const MOST_LINKS: usize = 64;
/// The most file systems that are told.
const MOST_FILE_SYSTEMS: usize = 16;
/// The longest name of an interface in characters.
const LONGEST_LINK: usize = 64;

const SCRIPT: &str = include_str!("figures.ps1");

/// Asks a guest.
pub(super) async fn figures(session: &dyn Session) -> Result<Figures> {
    let at = SystemTime::now();
    let text = format!("{SCRIPT}say 'D'\n");
    let said = run(session, &text, &[], &[], bounds(DEADLINE, LONGEST_ANSWER)).await?;
    parse(&said.done()?, at)
        .ok_or_else(|| Error::Unsupported("the guest's Windows does not tell its memory".into()))
}

/// Reads it all; `None` where there is no memory.
fn parse(lines: &[String], at: SystemTime) -> Option<Figures> {
    let mut memory = None;
    let mut figures = Figures {
        at,
        uptime: None,
        processor_time: None,
        processes: None,
        threads: None,
        memory: Memory::default(),
        links: Vec::new(),
        file_systems: Vec::new(),
    };
    let mut swap = None;
    let mut disks = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["uptime", seconds] => figures.uptime = number(seconds).map(Duration::from_secs),
            ["cpu", user, system] => {
                let time = |word| number(word).map(|units| Duration::from_nanos(units.saturating_mul(100)));
                figures.processor_time =
                    time(user).zip(time(system)).map(|(user, system)| ProcessorTime { user, system });
            }
            ["processes", processes, threads] => {
                (figures.processes, figures.threads) = (number(processes), number(threads));
            }
            ["memory", total, free, available, cached, faults] => {
                memory = number(total).zip(number(available)).map(|(total, available)| Memory {
                    total,
                    free: number(free).unwrap_or(available),
                    available,
                    cached: number(cached),
                    major_faults: number(faults),
                    ..Memory::default()
                });
            }
            ["swap", total, free] => swap = Some((number(total), number(free))),
            ["link", name, mac, ref counts @ ..] if figures.links.len() < MOST_LINKS => {
                figures.links.extend(link(name, mac, counts));
            }
            ["disk", first, device, total, free] if disks.len() < MOST_FILE_SYSTEMS => {
                disks.extend(file_system(device, total, free).map(|disk| (first.to_owned(), disk)));
            }
            _ => {}
        }
    }
    // That of the system first, the others by their letters.
    disks.sort_by(|(one, a), (other, b)| (one, &a.place).cmp(&(other, &b.place)));
    figures.file_systems = disks.into_iter().map(|(_, disk)| disk).collect();
    figures.memory = memory?;
    (figures.memory.swap_total, figures.memory.swap_free) = swap.unwrap_or_default();
    Some(figures)
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok()
}

fn link(name: &str, mac: &str, counts: &[&str]) -> Option<NetworkLink> {
    let name = String::from_utf8(decoded(name)?).ok()?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_LINK).collect();
    let is_mac = mac.len() == 17 && mac.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    let counts: Vec<u64> = counts.iter().map_while(|word| number(word)).collect();
    let traffic = |counts: &[u64]| match *counts {
        [bytes, packets, errors, dropped] => Some(Traffic { bytes, packets, errors, dropped }),
        _ => None,
    };
    Some(NetworkLink {
        name,
        mac: is_mac.then(|| mac.to_ascii_lowercase()),
        received: traffic(counts.get(..4)?)?,
        sent: traffic(counts.get(4..)?)?,
    })
}

fn file_system(device: &str, total: &str, free: &str) -> Option<FileSystem> {
    let total = number(total)?;
    let is_drive = matches!(device.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    is_drive.then(|| FileSystem {
        device: device.to_owned(),
        place: format!("{device}\\"),
        total,
        used: total.saturating_sub(number(free).unwrap_or(total)),
        inodes: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_figures() {
        let text = "uptime 3600\ncpu 10000000 25000000\nprocesses 41 512\n\
                    memory 4294496256 1000 2000 3000 17\nswap 1024 512\n\
                    link UmVkIEhhdCBWaXJ0SU8gRXRoZXJuZXQgQWRhcHRlcg== 52:54:00:AA:BB:01 1 2 3 4 5 6 7 8\n\
                    disk 1 D: 100 40\ndisk 0 C: 1000 400";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = SystemTime::now();
        let told = parse(&lines, at).unwrap();
        assert_eq!(told.uptime, Some(Duration::from_secs(3600)));
        let time = ProcessorTime { user: Duration::from_secs(1), system: Duration::from_millis(2500) };
        assert_eq!(told.processor_time, Some(time));
        assert_eq!((told.processes, told.threads), (Some(41), Some(512)));
        let Memory { total, free, available, cached, swap_free, .. } = told.memory;
        assert_eq!(
            (total, free, available, cached, swap_free),
            (4_294_496_256, 1000, 2000, Some(3000), Some(512))
        );
        let [link] = &told.links[..] else { panic!("{:?}", told.links) };
        assert_eq!(
            (&link.name[..], link.mac.as_deref()),
            ("Red Hat VirtIO Ethernet Adapter", Some("52:54:00:aa:bb:01"))
        );
        assert_eq!((link.received.bytes, link.sent.dropped), (1, 8));
        let disks: Vec<_> =
            told.file_systems.iter().map(|disk| (&disk.place[..], disk.total, disk.used)).collect();
        assert_eq!(disks, [("C:\\", 1000, 600), ("D:\\", 100, 60)]);
    }

    #[test]
    fn what_is_no_figure_is_absent() {
        let lines: Vec<String> =
            ["cpu x 1", "link ? y 1", "disk 0 /dev/sda 1 2", "memory 5 x 3 x x", "other"]
                .map(str::to_owned)
                .to_vec();
        let told = parse(&lines, SystemTime::now()).unwrap();
        assert_eq!((told.processor_time, told.links.len(), told.file_systems.len()), (None, 0, 0));
        assert_eq!((told.memory.total, told.memory.free, told.memory.cached), (5, 3, None));
        assert_eq!(parse(&lines[..1], SystemTime::now()), None);
    }
}
