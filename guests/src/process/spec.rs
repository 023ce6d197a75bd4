//! What shall run in a guest, and what of that no guest could run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::capabilities::Capabilities;
use crate::{Error, Family, Result};

/// Names a process in its guest: 1 to 63 characters of `a-z`, `0-9` and `-`, not beginning with `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessId(String);

impl ProcessId {
    /// Checks the characters and the length.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || id.len() > 63 || id.starts_with('-') || !id.bytes().all(allowed) {
            return Err(Error::Unsupported(format!(
                "process id {id:?} is not 1 to 63 characters of a-z, 0-9 and '-'"
            )));
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ProcessId {
    type Error = Error;

    fn try_from(id: String) -> Result<Self> {
        Self::new(id)
    }
}

impl From<ProcessId> for String {
    fn from(id: ProcessId) -> Self {
        id.0
    }
}

/// What shall run in the guest.
#[derive(Clone)]
pub struct ProcessSpec {
    /// Names it.
    pub id: ProcessId,
    /// The program and its arguments; not empty, anything but NUL. A program without a `/` is found by `PATH`.
    pub argv: Vec<String>,
    /// Its environment, all of it but for `PATH`, `HOME`, `PWD` and what a shell sets by itself. A name is anything but
    /// NUL and `=`, a value anything but NUL.
    pub env: Vec<(String, String)>,
    /// Where it runs; made where it is absent. `/` by default.
    pub working_dir: Option<String>,
    /// As whom.
    pub user: User,
    /// What it reads.
    pub stdin: StdinMode,
    /// Whether it has a terminal. Standard output is then all that it prints.
    pub tty: bool,
    /// What it may use.
    pub limits: Limits,
    /// Which of root's capabilities it and its children can have.
    pub capabilities: Capabilities,
    /// Whether it can never gain rights, by a set-user-id program for one.
    pub no_new_privileges: bool,
    /// An absolute path that is emptied at the start and read when it has ended.
    pub message_path: Option<String>,
    /// The signal that asks it to end, named without `SIG`. Kept for the caller: nothing here sends it by itself.
    pub stop_signal: Option<String>,
}

/// The environment may hold secrets, and so may arguments.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("id", &self.id)
            .field("program", &self.argv.first())
            .field("user", &self.user)
            .field("tty", &self.tty)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The user of a process. Nothing set: the user of the session, root where it may be that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// By number.
    pub uid: Option<u32>,
    /// By name, looked up in the guest; it wins over the number.
    pub name: Option<String>,
    /// The group; by default that of the user in the guest's list, else 0.
    pub gid: Option<u32>,
    /// Further groups, beside those that the guest's lists give the user.
    pub groups: Vec<u32>,
    /// Whether those that the guest's lists give the user are left out.
    pub strict: bool,
}

/// The standard input of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StdinMode {
    /// End of file at once.
    #[default]
    Closed,
    /// Open until [`end_stdin`](super::end_stdin).
    Once,
    /// Open as long as the process lives.
    Kept,
}

/// What a process and all that it starts may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of one processor.
    pub milli_cpus: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl ProcessSpec {
    /// Refuses what no guest could run.
    pub(super) fn check(&self, family: Family) -> Result<()> {
        let bad = |text: String| Err(Error::Unsupported(text));
        if self.argv.first().is_none_or(|program| program.is_empty() || program.starts_with('-')) {
            return bad(format!("process {} has no program, or one that begins with '-': name it", self.id));
        }
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return bad(format!("an argument of process {} holds a NUL, which no argument can", self.id));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return bad(format!(
                    "environment variable {name:?} of process {} is empty, or holds a '=' or a NUL",
                    self.id
                ));
            }
        }
        for path in [&self.working_dir, &self.message_path].into_iter().flatten() {
            // Windows' own paths are looked at where they are turned into them.
            let absolute = path.starts_with('/') || family == Family::Windows;
            if !absolute || path.contains(['\0', '\n']) {
                return bad(format!("{path:?} of process {} is not an absolute path in the guest", self.id));
            }
        }
        if let Some(name) = &self.user.name {
            let plain =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$' | b'@' | b'\\');
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
                return bad(format!("user name {name:?} of process {} is no user's name", self.id));
            }
        }
        self.capabilities.check(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        for good in ["a", "0-1", &"x".repeat(63)] {
            assert_eq!(ProcessId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a/b", "a.b", "..", "a b", &"x".repeat(64)] {
            assert!(!ProcessId::new(bad).unwrap_err().retryable(), "{bad}");
        }
    }
}
