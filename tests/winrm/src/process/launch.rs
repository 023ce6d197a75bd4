//! How a command line becomes a process.
//!
//! ```text
//!   skip_cmd: line --CommandLineToArgvW--> argv --> program of this machine
//!   else:     cmd /c line --> wine
//! ```
//!
//! Each is the leader of a process group of its own, so that all that it starts can be ended. A program is looked for on the
//! `PATH` of its shell.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::arguments;
use super::wine::{CodeFile, Wine};
use crate::fault::Start;
use crate::shell::Definition;

/// A line to run.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) text: String,
    /// Without `cmd`.
    pub(crate) skip_cmd: bool,
}

impl CommandLine {
    /// Starts it with the environment and in the directory of a shell.
    pub(super) fn start(
        &self,
        shell: &Definition,
        wine: Option<&Wine>,
    ) -> Result<(Child, Option<CodeFile>), Start> {
        let wine = wine.filter(|_| !self.skip_cmd);
        let (mut command, code) = match wine {
            Some(wine) => wine
                .command(&self.text)
                .map(|(command, code)| (command, Some(code)))
                .or(Err(Start::NoQuota))?,
            // There is no `cmd`.
            None if !self.skip_cmd => return Err(Start::NoFile),
            None => {
                let argv = arguments::split(&self.text);
                let (program, arguments) = argv.split_first().ok_or(Start::NoFile)?;
                let mut command = Command::new(program);
                command.args(arguments);
                (command, None)
            }
        };
        if let Some(directory) = &shell.directory {
            let directory = wine.map_or_else(|| PathBuf::from(directory), |wine| wine.directory(directory));
            if !directory.is_dir() {
                return Err(Start::NoDirectory);
            }
            command.current_dir(directory);
        }
        command
            .envs(shell.environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => Start::Denied,
            std::io::ErrorKind::ArgumentListTooLong => Start::TooLong,
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory => Start::NoQuota,
            _ => Start::NoFile,
        })?;
        Ok((child, code))
    }
}
