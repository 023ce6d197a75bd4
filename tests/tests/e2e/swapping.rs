//! Swaps of a volume on the node while its guest reads it: when each is there, and whether a reader ever sees a mixture.
//!
//! ```text
//!   this: two files with one number, ..data renamed --daemon--> the guest: a process reads both, prints each new number
//!                       the container's log, with the time of each line on the node <--daemon--^
//! ```
//!
//! A swap that a later one has overtaken counts as there when the later one is. What the log takes to be told is in the figures.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// What the process runs: it uses no program, so that it reads as often as it can.
pub(crate) const READER: &str = "last=
while :; do
  cd -P /etc/swapped/..data 2>/dev/null && read -r a <a && read -r b <b || continue
  if [ \"$a\" != \"$b\" ]; then echo \"mixture $a $b\"; fi
  if [ \"$a\" != \"$last\" ]; then echo \"$a\"; last=$a; fi
done 2>/dev/null";

/// Makes the volume hold the next number.
pub(crate) fn swap(volume: &Path, number: usize) {
    let (files, link) = (volume.join(format!("..{number}")), volume.join("..data_tmp"));
    fs::create_dir_all(&files).expect("a directory");
    for name in ["a", "b"] {
        fs::write(files.join(name), format!("{number}\n")).expect("a file");
    }
    let before = fs::read_link(volume.join("..data"));
    symlink(format!("..{number}"), &link).expect("a link");
    fs::rename(&link, volume.join("..data")).expect("a swap");
    if let Ok(before) = before {
        fs::remove_dir_all(volume.join(before)).expect("the old files go");
    }
}

/// What the guest has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How long each swap took to be there, in milliseconds.
    pub(crate) milliseconds: Vec<f64>,
    /// Lines of the reader that tell of a mixture.
    pub(crate) mixtures: Vec<String>,
}

/// Swaps so often, and waits until the guest has seen the last one; `None` when that takes longer than the patience.
pub(crate) async fn swaps(
    volume: &Path,
    log: &Path,
    count: usize,
    every: Duration,
    patience: Duration,
) -> Option<Seen> {
    let mut times = Vec::new();
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 1..=count {
        turns.tick().await;
        swap(volume, number);
        times.push(SystemTime::now());
    }
    let deadline = Instant::now() + patience;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let told = told(&text);
        if told.iter().any(|(_, text)| text.parse() == Ok(count)) {
            return Some(judge(&times, &told));
        }
        if Instant::now() >= deadline {
            return None;
        }
        // The log is a file of the kubelet's: who reads it looks again.
        turns.tick().await;
    }
}

/// The lines of a container's log, with their times.
fn told(log: &str) -> Vec<(SystemTime, &str)> {
    let line = |line: &'_ str| -> Option<(SystemTime, usize)> {
        let (at, rest) = line.split_once(' ')?;
        let at: Timestamp = at.parse().ok()?;
        Some((at.into(), line.len() - rest.strip_prefix("stdout F ")?.len()))
    };
    log.lines().filter_map(|text| line(text).map(|(at, from)| (at, &text[from..]))).collect()
}

fn judge(times: &[SystemTime], told: &[(SystemTime, &str)]) -> Seen {
    let numbers: Vec<(SystemTime, usize)> =
        told.iter().filter_map(|(at, text)| Some((*at, text.parse().ok()?))).collect();
    let milliseconds = times.iter().enumerate().map(|(index, swapped)| {
        let there = numbers.iter().find(|(_, number)| *number > index).map_or(*swapped, |(at, _)| *at);
        there.duration_since(*swapped).unwrap_or_default().as_secs_f64() * 1000.0
    });
    let mixtures = told.iter().filter(|(_, text)| text.starts_with("mixture"));
    Seen {
        milliseconds: milliseconds.collect(),
        mixtures: mixtures.map(|(_, text)| (*text).to_owned()).collect(),
    }
}
