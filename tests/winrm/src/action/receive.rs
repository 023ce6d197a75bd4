//! `Receive`: what a process writes, and how it ends.
//!
//! ```text
//!   output there -----------------------> its pieces, Running
//!   none yet --wait--> output ----------> its pieces, Running
//!                 `--> both streams end > End of each, Done with the exit code
//!                 `--> OperationTimeout > fault TimedOut: ask again
//!                 `--> terminated ------> fault 995
//! ```
//!
//! What is left for another reply is limited by the client's `MaxEnvelopeSize`. What was told once is not told again.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;

use super::Context;
use crate::envelope::{Answer, Child as _, Request, SHELL, escape};
use crate::fault::Fault;
use crate::process::{Told, Wanted};

/// What an envelope is besides its output.
const AROUND: usize = 4096;
/// The most bytes of a piece, before it becomes base64.
const PIECE: usize = 24 * 1024;
/// The envelope that a client takes that does not say so.
const ENVELOPE: usize = 150 * 1024;

pub(super) async fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    request.options_among(&["WSMAN_CMDSHELL_OPTION_KEEPALIVE"])?;
    let shell = context.shared.shells.find(request.shell_id()?)?;
    let _used = shell.used();
    let desired = request.element(SHELL, "Receive")?.child(SHELL, "DesiredStream");
    let desired = desired.ok_or_else(|| Fault::schema("There is no element DesiredStream."))?;
    let id = desired.attribute("CommandId").unwrap_or_default().to_owned();
    let names = desired.text().unwrap_or_default();
    let asks = |name| names.split_whitespace().any(|known| known == name);
    let limits = &context.shared.options.limits;
    let envelope = request.max_envelope.unwrap_or(ENVELOPE).min(limits.envelope_bytes);
    let wanted = Wanted {
        stdout: asks("stdout"),
        stderr: asks("stderr"),
        bytes: envelope.saturating_sub(AROUND).max(64) / 4 * 3,
    };
    let timeout = request.timeout.unwrap_or(limits.operation_timeout);
    let process = shell.command(&id)?;
    let told = process.receive(wanted, timeout, &context.shared.counting).await?;
    Ok(Answer::new(format!("{SHELL}/ReceiveResponse"), body(&escape(&id), &told)))
}

fn body(id: &str, told: &Told) -> String {
    let mut body = "<rsp:ReceiveResponse>".to_owned();
    for (name, data) in [("stdout", &told.stdout), ("stderr", &told.stderr)] {
        for piece in data.chunks(PIECE) {
            let text = BASE64_STANDARD.encode(piece);
            let _ = write!(body, "<rsp:Stream Name=\"{name}\" CommandId=\"{id}\">{text}</rsp:Stream>");
        }
    }
    for name in &told.ended {
        let _ = write!(body, "<rsp:Stream Name=\"{name}\" CommandId=\"{id}\" End=\"true\"></rsp:Stream>");
    }
    let state = if told.exit.is_some() { "Done" } else { "Running" };
    let exit = told.exit.map(|code| format!("<rsp:ExitCode>{code}</rsp:ExitCode>")).unwrap_or_default();
    let _ = write!(
        body,
        "<rsp:CommandState CommandId=\"{id}\" State=\"{SHELL}/CommandState/{state}\">{exit}</rsp:CommandState>\
         </rsp:ReceiveResponse>"
    );
    body
}
