//! `Send`: standard input of a process.
//!
//! ```text
//!   the process takes it -------------> answered
//!   it takes its time --OperationTimeout--> fault TimedOut; it is written on all the same
//!                        `- more meanwhile > fault 170: busy, not looked at
//!   it takes no more -----------------> fault
//! ```
//!
//! That Windows writes on is what others have seen of it (ansible/ansible#81538), and no document tells.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Context;
use crate::envelope::{Answer, Child as _, Request, SHELL};
use crate::fault::Fault;

pub(super) async fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    let shell = context.shared.shells.find(request.shell_id()?)?;
    let _used = shell.used();
    let mut pieces = Vec::new();
    let mut long_text = Some(context.long_text);
    let sent = request.element(SHELL, "Send")?;
    for stream in sent.children().filter(|node| node.has_tag_name((SHELL, "Stream"))) {
        if stream.attribute("Name") != Some("stdin") {
            return Err(Fault::schema("There is no input stream but stdin."));
        }
        let text = stream.text().or_else(|| long_text.take()).unwrap_or_default();
        let data = BASE64_STANDARD.decode(text).or_else(|_| {
            let dense: String = text.split_ascii_whitespace().collect();
            BASE64_STANDARD.decode(dense)
        });
        let data = data.map_err(|_| Fault::schema("A stream is not base64."))?;
        pieces.push((stream.attribute("CommandId").unwrap_or_default().to_owned(), data, stream.flag("End")));
    }
    let within = request.timeout.unwrap_or(context.shared.options.limits.operation_timeout);
    for (command, data, end) in pieces {
        shell.command(&command)?.write(data, end, within).await?;
    }
    Ok(Answer::new(format!("{SHELL}/SendResponse"), "<rsp:SendResponse/>"))
}
