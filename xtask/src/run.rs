//! Running other programs with their progress visible.
//!
//! ```text
//!   spawn -> (line | a moment passed)* -> the pipe ended -> exit status
//! ```
//!
//! A line that is begun and not ended is told, too: a program of tests names what it does before it says how that went.
//!
//! Failure paths: a program that is not there is named with the reason it was wanted for; one that fails shows the last
//! lines it wrote; one that is silent for longer than its limit is ended, or, where it runs others in turn, the one of those
//! that is silent, and it goes on. One that runs when a person asks for the end (see [`tests::interrupt`]) is ended with all
//! that it has started.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use ::tests::interrupt;
use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group,
};

use crate::progress::{self, Step};

/// How many lines a failing program's output is shown by.
const SHOWN: usize = 60;
/// How long a program may be silent.
pub(crate) const SILENCE: Duration = Duration::from_secs(15 * 60);
/// How often a silent program is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// How long a program that is to end may take, with all that it has started and removes on its way.
const END: Duration = Duration::from_secs(30);

/// Runs a program as a step; each line it writes is the step's progress. An error if it fails.
pub(crate) fn step(title: &str, command: &mut Command) -> Result<()> {
    let mut step = Step::begin(title);
    let mut kept: Vec<String> = Vec::new();
    let status = lines(command, Silent::Ends, |event| match event {
        Event::Line(line) => {
            step.say(line);
            kept.push(line.to_owned());
            if kept.len() > SHOWN {
                kept.remove(0);
            }
        }
        Event::Quiet(begun) | Event::Ended(begun) => step.tick(begun),
    })?;
    if status.success() {
        step.end("done");
        return Ok(());
    }
    step.end("failed");
    for line in &kept {
        progress::line(&format!("  | {line}"));
    }
    bail!("{title} failed ({status}): see the lines above")
}

/// What a program does.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// It wrote a line.
    Line(&'a str),
    /// A moment passed without one; this much of the next one is written.
    Quiet(&'a str),
    /// What it runs was silent for too long, at this line, and is ended.
    Ended(&'a str),
}

/// What happens to a program that is silent for too long.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Silent {
    /// It is ended.
    Ends,
    /// It runs others in turn: the one that it runs is ended if it is silent for longer than this.
    GoesOn(Duration),
}

/// Runs a program and hands on each line of its output and errors as it comes, and each moment without one.
pub(crate) fn lines(
    command: &mut Command,
    silent: Silent,
    mut each: impl FnMut(Event<'_>),
) -> Result<ExitStatus> {
    let patience = if let Silent::GoesOn(patience) = silent { patience } else { SILENCE };
    let name = command.get_program().to_string_lossy().into_owned();
    // One pipe for both, so that the lines stay in the order in which they are written.
    let (pipe, end) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(end.try_clone().context("cannot share a pipe")?).stderr(end);
    let child = command.process_group(0).spawn();
    // Our copies of the pipe's end would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child =
        Running(child.with_context(|| {
            format!("cannot run {name}: is it installed? `cargo xtask setup` installs it")
        })?);
    let (sender, receiver) = sync_channel(256);
    forward(pipe, sender);
    let mut heard = Instant::now();
    let mut begun = Vec::new();
    loop {
        interrupt::check()?;
        match receiver.recv_timeout(LOOK) {
            Ok(written) => {
                heard = Instant::now();
                begun.extend(written);
                if begun.ends_with(b"\n") {
                    each(Event::Line(&text(&begun)));
                    begun.clear();
                }
            }
            // What it has left behind may hold the pipe.
            Err(RecvTimeoutError::Timeout)
                if heard.elapsed() > END && matches!(child.0.try_wait(), Ok(Some(_))) =>
            {
                break;
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > patience => {
                let minutes = patience.as_secs() / 60;
                let runs = match silent {
                    Silent::GoesOn(_) => child.others_of_its_group(),
                    Silent::Ends => Vec::new(),
                };
                if !runs.is_empty() {
                    each(Event::Ended(&text(&begun)));
                    end_all(&runs);
                    heard = Instant::now();
                    continue;
                }
                bail!(
                    "{name} wrote nothing for {minutes} minutes and was ended; it was at {:?}",
                    text(&begun)
                );
            }
            Err(RecvTimeoutError::Timeout) => each(Event::Quiet(&text(&begun))),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if !begun.is_empty() {
        each(Event::Line(&text(&begun)));
    }
    child.0.wait().with_context(|| format!("cannot wait for {name}"))
}

/// Begins to run a program beside whatever else is done, of which nothing is shown.
pub(crate) fn beside(command: &mut Command) -> Result<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    Ok(Running(command.spawn().with_context(|| format!("cannot run {name}"))?))
}

/// A program that ends with us, and all that it has started.
pub(crate) struct Running(Child);

impl Running {
    /// What it has started, and that has started, but for what has a group of its own.
    fn others_of_its_group(&self) -> Vec<Pid> {
        let group = self.0.id().to_string();
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let others = ids.filter(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // Behind the name: the state, the parent, the group.
            let group_of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
            *id != group && group_of == Some(&group)
        });
        others.filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
    }
}

/// Asks programs to end, and makes those end that do not.
fn end_all(programs: &[Pid]) {
    let signal = |signal| {
        for program in programs {
            // One that has ended needs no end.
            let _ = kill_process(*program, signal);
        }
    };
    signal(Signal::TERM);
    let asked = Instant::now();
    while programs.iter().any(|program| test_kill_process(*program).is_ok()) && asked.elapsed() < END {
        pause();
    }
    signal(Signal::KILL);
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let Some(group) = group.filter(|_| matches!(self.0.try_wait(), Ok(None))) else { return };
        // A group that has ended by itself needs no end.
        let _ = kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        // `cargo` ends before the program that it runs.
        let mut runs = || matches!(self.0.try_wait(), Ok(None)) || test_kill_process_group(group).is_ok();
        while runs() && asked.elapsed() < END {
            pause();
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A short pause between two looks at something that tells nobody when it changes.
#[expect(clippy::disallowed_methods, reason = "another program's state has no event to wait for")]
pub(crate) fn pause() {
    std::thread::sleep(LOOK);
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned()
}

/// Hands on what is written, until the pipe ends: a line with its end, or what there is of one.
fn forward(pipe: impl Read + Send + 'static, to: SyncSender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        loop {
            let piece = match reader.fill_buf() {
                Ok([]) => return,
                Ok(bytes) => {
                    let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
                    bytes[..end].to_vec()
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            reader.consume(piece.len());
            if to.send(piece).is_err() {
                return;
            }
        }
    });
}

/// The output of a short program; an error with what it wrote to its standard error if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}: is it installed? `cargo xtask setup` installs it"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_runs_is_ended_when_it_is_silent_and_the_program_goes_on() {
        let mut told = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf begun; sh -c 'sleep 1000 & wait'; echo; echo on"]);
        let status = lines(&mut shell, Silent::GoesOn(Duration::from_secs(3)), |event| match event {
            Event::Line(line) => told.push(line.to_owned()),
            Event::Ended(begun) => told.push(format!("ended at {begun}")),
            Event::Quiet(_) => {}
        });
        assert!(status.unwrap().success());
        // A shell may say itself what became of it.
        assert_eq!((told[0].as_str(), told[told.len() - 1].as_str()), ("ended at begun", "on"), "{told:?}");
    }
}
