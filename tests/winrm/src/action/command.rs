//! `Command`: a process in a shell.
//!
//! The command line is the command and its arguments, with a space between each two. With `WINRS_SKIP_CMD_SHELL` it is run as
//! it is; without, `cmd /c` runs it, which is wine's. Standard input stays open until it is told to end.
//! `WINRS_CONSOLEMODE_STDIN` is taken and changes nothing: there is no console. That a program is looked for on the `PATH` and that
//! a line which is too long is told as an error of `CreateProcess` is assumed of Windows.
//! Failure paths: a line that is too long, a program that cannot be started, a full quota.

use super::Context;
use crate::envelope::{Answer, Child as _, Request, SHELL, escape};
use crate::fault::{Fault, Start};
use crate::process::CommandLine;

/// The options of a command.
const OPTIONS: &[&str] = &["WINRS_CONSOLEMODE_STDIN", "WINRS_SKIP_CMD_SHELL"];

pub(super) fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    request.options_among(OPTIONS)?;
    let shell = context.shared.shells.find(request.shell_id()?)?;
    let asked = request.element(SHELL, "CommandLine")?;
    let mut line =
        asked.text_of(SHELL, "Command").ok_or_else(|| Fault::schema("There is no element Command."))?;
    for argument in asked.children().filter(|node| node.has_tag_name((SHELL, "Arguments"))) {
        line.push(' ');
        line.push_str(argument.text().unwrap_or_default());
    }
    if line.encode_utf16().count() > context.shared.options.limits.command_line {
        return Err(Fault::cannot_start(Start::TooLong));
    }
    let line = CommandLine { text: line, skip_cmd: request.flag("WINRS_SKIP_CMD_SHELL") };
    let id = context.shared.shells.run(&shell, asked.attribute("CommandId"), &line)?;
    let body =
        format!("<rsp:CommandResponse><rsp:CommandId>{}</rsp:CommandId></rsp:CommandResponse>", escape(&id));
    Ok(Answer::new(format!("{SHELL}/CommandResponse"), body))
}
