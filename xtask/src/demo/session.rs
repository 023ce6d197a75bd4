//! What the demo shows: titles, commands with their output, and the time of each step.

use std::process::Command;
use std::time::{Duration, Instant};

use ::tests::{Node, interrupt};
use anyhow::{Result, bail};

use crate::progress::{self, Step};
use crate::{run, tree};

/// How many lines of a long output are shown at its beginning, and how many at its end.
const ENDS: usize = 8;
/// How wide a line may be.
const WIDTH: usize = 150;

/// A demo under way.
pub(super) struct Session {
    node: Option<Node>,
    done: Vec<(String, Duration)>,
    current: Option<(String, Instant)>,
}

/// What a command has printed.
pub(super) struct Printed {
    pub(super) lines: Vec<String>,
}

impl Printed {
    /// Whether a line has this text.
    pub(super) fn has(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Session {
    pub(super) fn new(node: Node) -> Self {
        Self { node: Some(node), done: Vec::new(), current: None }
    }

    /// The node that the demo runs on.
    pub(super) fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("the node lives as long as the steps do")
    }

    /// Begins a step, and ends the one before.
    pub(super) fn begin(&mut self, title: &str) {
        self.end();
        progress::line(&format!("\n{}. {title}", self.done.len() + 1));
        self.current = Some((title.to_owned(), Instant::now()));
    }

    /// Ends the step that is under way.
    pub(super) fn end(&mut self) {
        if let Some((title, began)) = self.current.take() {
            progress::line(&format!("   ({:.1} s)", began.elapsed().as_secs_f64()));
            self.done.push((title, began.elapsed()));
        }
    }

    /// Runs `infranetes`, shows it with its output, and fails if it does.
    pub(super) fn infranetes(&mut self, arguments: &[&str]) -> Result<Printed> {
        let (shown, mut command) = self.command_line(arguments);
        run_shown(&shown, &mut command)
    }

    /// The same without showing it.
    pub(super) fn silently(&mut self, arguments: &[&str]) -> Result<Printed> {
        let (_, mut command) = self.command_line(arguments);
        let printed = run::output(&mut command)?;
        Ok(Printed { lines: printed.lines().map(str::to_owned).collect() })
    }

    fn command_line(&mut self, arguments: &[&str]) -> (String, Command) {
        let socket = self.node().socket();
        let mut command = Command::new(tree::daemon());
        command.arg("--endpoint").arg(format!("unix://{}", socket.display())).args(arguments);
        let shown: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
        (format!("infranetes {}", shown.join(" ")), command)
    }

    /// Runs a program in the node's network namespace, and shows it with its output.
    pub(super) fn on_the_node(&mut self, program: &str, arguments: &[&str]) -> Result<Printed> {
        let mut command = self.node().namespace().command(program);
        let name = self.node().namespace().name().to_owned();
        let shown: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
        let shown = format!("nsenter --net=/run/netns/{name} {program} {}", shown.join(" "));
        run_shown(&shown, command.args(arguments))
    }

    /// Asks again and again until the answer is there; fails at the deadline.
    pub(super) fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let mut waiting = Step::wait(what);
        let began = Instant::now();
        loop {
            interrupt::check()?;
            let error = match ask(self) {
                Ok(Some(answer)) => {
                    waiting.wipe();
                    return Ok(answer);
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if began.elapsed() > patience {
                waiting.wipe();
                let error = error.unwrap_or_else(|| anyhow::anyhow!("it did not happen"));
                return Err(error.context(format!("{what}: not within {} s", patience.as_secs())));
            }
            waiting.tick("");
            run::pause();
        }
    }

    /// Shows the end of the daemon's log.
    pub(super) fn show_daemon_log(&mut self) {
        let printed = std::fs::read_to_string(self.node().log()).unwrap_or_default();
        let lines: Vec<_> = printed.lines().collect();
        progress::line("\nthe daemon's last lines:");
        for line in &lines[lines.len().saturating_sub(30)..] {
            progress::line(&format!("  | {line}"));
        }
    }

    /// Ends and removes the node and all that is on it.
    pub(super) fn clean_up(&mut self) {
        self.end();
        let Some(node) = self.node.take() else { return };
        progress::line("");
        let step = Step::begin("cleaning up: daemon, registry, machines, namespaces, files");
        drop(node);
        step.end("done");
    }

    /// What took how long.
    pub(super) fn summary(&self) {
        progress::line("");
        for (number, (title, took)) in self.done.iter().enumerate() {
            progress::line(&format!("{:>3}. {title:<66} {:>6.1} s", number + 1, took.as_secs_f64()));
        }
        progress::line("");
    }
}

/// Tells something.
pub(super) fn say(text: &str) {
    progress::line(&format!("   {text}"));
}

/// Runs a program on the machine, and shows it with its output.
pub(super) fn program(program: &str, arguments: &[&str]) -> Result<Printed> {
    let shown: Vec<_> = arguments.iter().map(|argument| quoted(argument)).collect();
    let mut command = Command::new(program);
    run_shown(&format!("{program} {}", shown.join(" ")), command.args(arguments))
}

/// Runs a command, and shows it with its output; fails if it does.
fn run_shown(shown: &str, command: &mut Command) -> Result<Printed> {
    progress::line(&format!("   $ {shown}"));
    let mut waiting = Step::wait("it runs");
    let mut lines = Vec::new();
    let status = run::lines(command, run::Silent::Ends, |event| match event {
        run::Event::Line(line) => {
            if lines.len() < ENDS {
                waiting.above(&output(line));
            }
            lines.push(line.to_owned());
        }
        run::Event::Quiet(begun) | run::Event::Ended(begun) => waiting.tick(begun),
    })?;
    waiting.wipe();
    if lines.len() > ENDS {
        let rest = &lines[ENDS..];
        let hidden = rest.len().saturating_sub(ENDS);
        if hidden > 0 {
            progress::line(&format!("     ... {hidden} more lines ..."));
        }
        rest[hidden..].iter().for_each(|line| progress::line(&output(line)));
    }
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(Printed { lines })
}

/// A line of a command's output: nothing in it steers the terminal.
fn output(line: &str) -> String {
    let text: String = line.chars().filter(|c| !c.is_control() || *c == '\t').take(WIDTH).collect();
    format!("     {text}")
}

/// An argument as a person would type it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{output, quoted};

    #[test]
    fn a_shown_command_can_be_typed() {
        assert_eq!(quoted("--tail=3"), "--tail=3");
        assert_eq!(quoted("ps ax | head"), "'ps ax | head'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn output_steers_no_terminal() {
        assert_eq!(output("a\u{1b}[2Jb"), "     a[2Jb");
    }
}
