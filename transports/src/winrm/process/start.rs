//! A command's start, in whichever shell takes it.
//!
//! - Happy path: the first shell does.
//! - The guest says that it has not run it, for the shell is lost, full or used up: another shell, a bounded number of
//!   times. The first that is used up has a moment to go from the guest before. It says that it never will: an error at once.
//! - Nobody knows whether it has, or its words do not tell: an error, and the command is ended in case it was.

use std::sync::Arc;

use super::super::connections::Trouble;
use super::super::fault::Fault;
use super::super::reply;
use super::Job;
use super::command::Command;
use crate::{Error, Result};

/// In how many shells a command is tried that could not be started in one.
const PLACES: usize = 5;

/// What came of a start.
pub(super) enum Start {
    /// It runs.
    Running(Command),
    /// There is no such program.
    NoProgram(Fault),
}

/// Starts a command in a place that takes it.
pub(super) async fn start(job: &Job) -> Result<Start> {
    let address = job.shells.connections.address();
    let mut last = None;
    let mut relieved = false;
    for _ in 0..PLACES {
        let mut command = Command::new(job.shells.place().await?);
        let connections = Arc::clone(command.connections());
        let request = connections.envelopes().command(
            command.shell(),
            command.id(),
            connections.options.interpreter,
            &job.line,
        );
        command.asked();
        let relief = job.shells.relief();
        let fault = match connections.ask(&request).await {
            Ok(body) => {
                let id = reply::command(&body);
                command.started(id.map_err(|why| Error::Lost(format!("{address}: {}", why.0)))?);
                return Ok(Start::Running(command));
            }
            Err(Trouble::Error(error)) => return Err(error),
            Err(Trouble::Unsent(error)) => {
                command.gone();
                return Err(error);
            }
            Err(Trouble::Fault(fault)) => fault,
        };
        if fault.no_program() {
            command.gone();
            return Ok(Start::NoProgram(fault));
        } else if fault.no_shell() || fault.used_up() {
            command.place().retire();
        } else if fault.quota() {
            command.place().full();
        } else if fault.denied() {
            command.gone();
            return Err(Error::Forbidden(format!(
                "{address}: the user may not run {}: {fault}",
                job.program
            )));
        } else if fault.refused() {
            command.gone();
            return Err(Error::Invalid(format!(
                "{address}: the guest does not run {}: {fault}",
                job.program
            )));
        } else {
            return Err(Error::Unreachable(format!(
                "{address}: the guest does not tell whether it runs {}: {fault}",
                job.program
            )));
        }
        command.gone();
        tracing::debug!(%address, shell = command.shell(), %fault, "a command goes to another shell");
        drop(command);
        // What ran in a shell counts until that is gone, which is after its last command. Waited for once: whoever has a second
        // has to hear the reason.
        if fault.used_up() && !relieved {
            relieved = true;
            relief.comes(true).await;
        }
        last = Some(fault);
    }
    let last = last.map(|fault| fault.to_string()).unwrap_or_default();
    Err(Error::Unreachable(format!("{address}: the guest gives no place to run a command: {last}")))
}
