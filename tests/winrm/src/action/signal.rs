//! `Signal`: interrupts a process, or ends it.
//!
//! `ctrl_c` and `ctrl_break` reach the process, which may go on or end with `0xC000013A`. `terminate` kills all of its
//! processes, lets a waiting `Receive` go with fault 995, and forgets the command; clients send it, too, for one that is done.

use super::Context;
use crate::envelope::{Answer, Child as _, Request, SHELL};
use crate::fault::Fault;

pub(super) fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    let shell = context.shared.shells.find(request.shell_id()?)?;
    let _used = shell.used();
    let asked = request.element(SHELL, "Signal")?;
    let id = asked.attribute("CommandId").unwrap_or_default();
    let process = shell.command(id)?;
    let code = asked.text_of(SHELL, "Code").unwrap_or_default();
    // Windows' own client writes the first form, some clients the second.
    let name = code.strip_prefix(SHELL).and_then(|rest| rest.strip_prefix("/signal/")).unwrap_or(&code);
    match name {
        "ctrl_c" | "ctrl_break" => process.interrupt(),
        "terminate" | "Terminate" => {
            process.terminate();
            shell.forget(id);
        }
        other => return Err(Fault::schema(format!("There is no signal {other}."))),
    }
    Ok(Answer::new(format!("{SHELL}/SignalResponse"), "<rsp:SignalResponse/>"))
}
