//! `Delete`: ends a shell with all that runs in it.

use super::Context;
use crate::envelope::{Answer, Request, TRANSFER};
use crate::fault::Fault;

pub(super) fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    context.shared.shells.delete(request.shell_id()?)?;
    Ok(Answer::new(format!("{TRANSFER}/DeleteResponse"), ""))
}
