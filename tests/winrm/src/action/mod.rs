//! What can be asked for: a file for each action.
//!
//! ```text
//!   Create -> Command -> Receive* (Send, Signal) -> Signal terminate -> Delete
//! ```

mod command;
mod create;
mod delete;
mod get;
mod identify;
mod receive;
mod send;
mod signal;

use std::net::IpAddr;
use std::sync::Arc;

use crate::envelope::{Answer, CMD, IDENTITY, Request, SHELL, TRANSFER};
use crate::fault::Fault;
use crate::server::Shared;

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Who is there.
    Identify,
    /// Tells a shell, or the configuration.
    Get,
    /// Makes a shell.
    Create,
    /// Starts a process in a shell.
    Command,
    /// Writes to its standard input.
    Send,
    /// Waits for its output, or its end.
    Receive,
    /// Interrupts it, or ends it.
    Signal,
    /// Ends a shell with all that runs in it.
    Delete,
}

impl Action {
    /// What a request asks for.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, Fault> {
        let Some(action) = &request.action else {
            return request.element(IDENTITY, "Identify").map(|_| Self::Identify);
        };
        let transfer = action.strip_prefix(TRANSFER).and_then(|rest| rest.strip_prefix('/'));
        let shell = action.strip_prefix(SHELL).and_then(|rest| rest.strip_prefix('/'));
        match (transfer, shell) {
            (Some("Get"), _) => Ok(Self::Get),
            (Some("Create"), _) => Ok(Self::Create),
            (Some("Delete"), _) => Ok(Self::Delete),
            (_, Some("Command")) => Ok(Self::Command),
            (_, Some("Send")) => Ok(Self::Send),
            (_, Some("Receive")) => Ok(Self::Receive),
            (_, Some("Signal")) => Ok(Self::Signal),
            _ => Err(Fault::no_action(action)),
        }
    }

    /// Carries a request out.
    pub(crate) async fn perform(self, request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
        if !matches!(self, Self::Identify | Self::Get) && request.resource != CMD {
            return Err(Fault::no_resource(&request.resource));
        }
        match self {
            Self::Identify => Ok(identify::perform()),
            Self::Get => get::perform(request, context),
            Self::Create => create::perform(request, context),
            Self::Command => command::perform(request, context),
            Self::Send => send::perform(request, context).await,
            Self::Receive => receive::perform(request, context).await,
            Self::Signal => signal::perform(request, context),
            Self::Delete => delete::perform(request, context),
        }
    }
}

/// From where a request comes.
pub(crate) struct Context<'a> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) user: String,
    pub(crate) client: IpAddr,
    /// What was taken out of the envelope before it was read.
    pub(crate) long_text: &'a str,
}
