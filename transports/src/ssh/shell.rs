//! What a connection's login shell is, learnt by watching it.
//!
//! ```text
//!   unknown --first command started--> asked --answers as a quiet POSIX shell does--> posix
//!                                        `---- anything else, or no answer in time ----> unknown for ever
//! ```
//!
//! - Happy path: [`ask`] runs one line beside the first command. The line splits a word, expands patterns and prints
//!   marks, and only a POSIX shell which leads its process group, with start-up files that changed nothing, prints
//!   exactly the expected bytes.
//! - Failures cost nothing: `csh` and `fish` end with an error, a shell that traces or prints by a trap gives other
//!   bytes, a server that refuses a second channel is not asked again. Commands then go by way of `/bin/sh` for ever.
//!
//! It is kept for each connection, for another one may have another login shell by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use russh::ChannelMsg;

use super::pool::Slot;
use super::preamble::GROUP;

/// How long the answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes of an answer; a shell that prints more by itself is not a quiet one.
const ANSWER_MAX_BYTES: usize = 4096;

const UNKNOWN: u8 = 0;
const ASKED: u8 = 1;
const POSIX: u8 = 2;

/// What is known of a login shell.
#[derive(Debug, Default)]
pub(super) struct LoginShell(AtomicU8);

impl LoginShell {
    /// Whether it takes a POSIX script as it is, adds nothing to its output, and leads its process group.
    pub(super) fn takes_scripts(&self) -> bool {
        self.0.load(Ordering::Relaxed) == POSIX
    }

    /// Whether nobody has asked yet; the caller has to, then.
    fn take_turn(&self) -> bool {
        self.0.compare_exchange(UNKNOWN, ASKED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Asks the login shell of a connection on which a command was started, if nobody did and a place is free.
pub(super) fn ask(slot: &Slot) {
    if slot.connection.shell.0.load(Ordering::Relaxed) != UNKNOWN {
        return;
    }
    let Some(place) = slot.beside() else { return };
    if !place.connection.shell.take_turn() {
        return;
    }
    tokio::spawn(async move {
        let question = Question::new();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, question.put(&place)).await;
        if let Ok(Some(answer)) = answer
            && question.is_answered_by(&answer)
        {
            tracing::debug!("the guest's login shell is a POSIX one");
            place.connection.shell.0.store(POSIX, Ordering::Relaxed);
        }
    });
}

/// What a shell printed on both of its streams.
#[derive(Debug, Default)]
struct Answer {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A line that only a POSIX shell understands, with a mark made for this one connection.
struct Question {
    mark: String,
}

impl Question {
    fn new() -> Self {
        Self { mark: format!("{:016x}", rand::random::<u64>()) }
    }

    /// The line. The mark is never whole in it, so that a shell which repeats it does not answer by accident.
    fn line(&self) -> String {
        let (first, second) = self.mark.split_at(8);
        // A flag: every variable exported (a), ended by an error (e, u), no patterns (f), nothing run (n), traced (v, x).
        format!(
            "_i1=; {GROUP}; _i2='a b\\!'; set -- $_i2 ''; case $- in *[aefnuvx]*) _i1=-;; esac; case $_i1 in $$|'') case \
             \"$#${{2%!}}${{3-x}}${{_i2##*a }}\" in '3b\\b\\!') _i1={first}; echo \"${{_i1}}{second} $#\"; echo \
             \"${{_i1}}{second}\" >&2; echo \"${{_i1}}{second}\";; esac;; esac"
        )
    }

    fn is_answered_by(&self, answer: &Answer) -> bool {
        answer.stdout.ends_with(format!("{0} 3\n{0}\n", self.mark).as_bytes())
            && answer.stderr.ends_with(format!("{}\n", self.mark).as_bytes())
    }

    /// Runs the line. None when it could not be run to its end.
    async fn put(&self, slot: &Slot) -> Option<Answer> {
        let connection = Arc::clone(&slot.connection);
        let mut channel = match connection.handle.channel_open_session().await {
            Ok(channel) => channel,
            Err(russh::Error::ChannelOpenFailure(_)) => {
                slot.refused();
                return None;
            }
            Err(_) => return None,
        };
        channel.exec(false, self.line()).await.ok()?;
        channel.eof().await.ok()?;
        let mut answer = Answer::default();
        // To the very end: a channel that nobody reads would stop its connection.
        let mut whole = true;
        while let Some(message) = channel.wait().await {
            let (kept, data) = match message {
                ChannelMsg::Data { data } => (&mut answer.stdout, data),
                ChannelMsg::ExtendedData { data, .. } => (&mut answer.stderr, data),
                ChannelMsg::Close => break,
                _ => continue,
            };
            whole &= kept.len() + data.len() <= ANSWER_MAX_BYTES;
            if whole {
                kept.extend_from_slice(&data);
            }
        }
        whole.then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    fn asked(command: &mut Command, before: &str) -> bool {
        let question = Question::new();
        let output = command.arg("-c").arg(format!("{before}{}", question.line())).output().expect("it runs");
        question.is_answered_by(&Answer { stdout: output.stdout, stderr: output.stderr })
    }

    /// Whether a shell of this machine that leads its group and runs `before` first answers as expected.
    fn answers(shell: &str, before: &str) -> bool {
        asked(Command::new(shell).process_group(0), before)
    }

    #[test]
    fn posix_shells_answer_and_others_do_not() {
        for shell in ["/bin/sh", "/bin/dash", "/bin/bash"] {
            assert!(answers(shell, ""), "{shell}");
        }
        for shell in ["/bin/csh", "/bin/tcsh"] {
            assert!(!answers(shell, ""), "{shell}");
        }
    }

    #[test]
    fn a_shell_with_habits_is_no_quiet_one() {
        assert!(answers("/bin/bash", "echo welcome; echo warning >&2; "));
        let habits = [
            "set -x; ",
            "set -a; ",
            "set -e; ",
            "set -u; ",
            "set -f; ",
            "IFS=; ",
            "trap 'echo x' DEBUG; ",
            "trap 'echo x' EXIT; ",
        ];
        for habit in habits {
            assert!(!answers("/bin/bash", habit), "{habit}");
        }
    }

    #[test]
    fn a_shell_in_the_group_of_another_is_seen() {
        assert!(!asked(&mut Command::new("/bin/sh"), ""));
    }

    #[test]
    fn the_mark_is_not_in_the_question() {
        let question = Question::new();
        assert!(!question.line().contains(&question.mark));
    }
}
