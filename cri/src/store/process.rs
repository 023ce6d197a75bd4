//! What is remembered of a process in a guest. Its environment may hold secrets: no `Debug` shows a value.

use std::fmt;

use guests::process::Capabilities;
use serde::{Deserialize, Serialize};

/// A process that a container runs in the machine of its pod.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables in their order; a later one of the same name wins.
    pub env: Vec<(String, String)>,
    /// The working directory; none for the user's home or the root.
    pub working_dir: Option<String>,
    /// Whom it runs as.
    pub user: ProcessUser,
    /// What its standard input is.
    pub stdin: ProcessStdin,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The capabilities that it can have.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Whether it and its children can gain no privileges.
    pub no_new_privileges: bool,
    /// Where in the guest it leaves its last words.
    pub message_path: Option<String>,
    /// The signal that asks it to stop, without `SIG`; none for `TERM`.
    pub stop_signal: Option<String>,
}

/// Whom a process runs as; empty for the user that we log in as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUser {
    /// The user's number.
    pub uid: Option<u32>,
    /// The user's name, looked up in the guest.
    pub name: Option<String>,
    /// The primary group's number.
    pub gid: Option<u32>,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Whether the groups that the guest gives the user are left out.
    #[serde(default)]
    pub strict: bool,
}

/// What a process reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessStdin {
    /// End of file at once.
    #[default]
    Closed,
    /// What the first who attaches sends, until he is gone.
    Once,
    /// What anyone who attaches sends.
    Kept,
}

impl fmt::Debug for ProcessRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            argv,
            env,
            working_dir,
            user,
            stdin,
            tty,
            capabilities,
            no_new_privileges,
            message_path,
            stop_signal,
        } = self;
        let names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ProcessRecord")
            .field("argv", argv)
            .field("env", &names)
            .field("working_dir", working_dir)
            .field("user", user)
            .field("stdin", stdin)
            .field("tty", tty)
            .field("capabilities", capabilities)
            .field("no_new_privileges", no_new_privileges)
            .field("message_path", message_path)
            .field("stop_signal", stop_signal)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let record = ProcessRecord {
            argv: vec!["app".into()],
            env: vec![("PASSWORD".into(), "hunter2".into())],
            working_dir: None,
            user: ProcessUser::default(),
            stdin: ProcessStdin::Closed,
            tty: false,
            capabilities: Capabilities::default(),
            no_new_privileges: false,
            message_path: None,
            stop_signal: None,
        };
        let shown = format!("{record:?}");
        assert!(shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }
}
