//! A call of `crictl` that is spoken with.

use tests::{Size, TAKE_TERMINAL, Talk};

use crate::program::Crictl;

impl Crictl<'_> {
    /// Starts a call with pipes.
    pub(crate) fn talk(&self, arguments: &[&str]) -> Talk {
        Talk::by_pipes(self.command_under(&[], arguments))
    }

    /// Starts a call on a terminal, which it controls.
    pub(crate) fn on_terminal(&self, size: Size, arguments: &[&str]) -> Talk {
        Talk::on_terminal(size, self.command_under(TAKE_TERMINAL, arguments))
    }
}
