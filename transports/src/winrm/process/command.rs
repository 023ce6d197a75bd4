//! A command of the guest, as long as it may run there.
//!
//! ```text
//!   new --asked--> may run --terminate, delivered--> gone
//!                     `- dropped: the same, aside; where it cannot be delivered, the command's shell is retired
//! ```

use std::sync::Arc;

use super::super::connections::Connections;
use super::super::envelope::identifier;
use super::super::shells::Place;
use crate::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing to be ended.
    Gone,
    /// It was asked for, and may run.
    Running,
}

/// A command of the guest. Dropped while it may run, it is terminated.
pub(in crate::winrm) struct Command {
    /// Given back when the guest knows that the command is wanted no more.
    place: Option<Place>,
    id: String,
    state: State,
}

impl Command {
    pub(super) fn new(place: Place) -> Self {
        // Ours, so that a command whose answer is lost can be ended.
        Self { place: Some(place), id: identifier(), state: State::Gone }
    }

    pub(super) fn place(&self) -> &Place {
        self.place.as_ref().expect("a command has its place until it is dropped")
    }

    pub(in crate::winrm) fn connections(&self) -> &Arc<Connections> {
        self.place().connections()
    }

    pub(in crate::winrm) fn shell(&self) -> &str {
        &self.place().shell.id
    }

    pub(in crate::winrm) fn id(&self) -> &str {
        &self.id
    }

    /// It may run from now on.
    pub(super) fn asked(&mut self) {
        self.state = State::Running;
    }

    /// It runs, under this name of the guest's.
    pub(super) fn started(&mut self, id: String) {
        self.id = id;
    }

    /// There is nothing to be ended.
    pub(super) fn gone(&mut self) {
        self.state = State::Gone;
    }

    /// Tells the guest that the command is wanted no more, whether it runs or has ended.
    pub(super) async fn terminate(&mut self) -> Result<()> {
        if self.state == State::Running {
            terminate(self.place(), &self.id).await?;
            self.state = State::Gone;
        }
        Ok(())
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        let running = self.state == State::Running;
        let (Some(place), true) = (self.place.take(), running) else { return };
        // Without a runtime the whole process is ending; the guest ends what nobody asks for.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            if let Err(error) = terminate(&place, &id).await {
                tracing::debug!(address = %place.connections().address(), %error, "a command could not be terminated");
                // Its shell goes, with what may still run in it.
                place.retire();
            }
        });
    }
}

async fn terminate(place: &Place, id: &str) -> Result<()> {
    let connections = place.connections();
    connections.deliver(&connections.envelopes().terminate(&place.shell.id, id)).await
}
