//! `Send`: standard input of a process.
//!
//! It is answered when the process has taken it, and refused when the process takes no more.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Context;
use crate::envelope::{Answer, Child as _, Request, SHELL};
use crate::fault::Fault;

pub(super) async fn perform(request: &Request<'_>, context: &Context) -> Result<Answer, Fault> {
    let shell = context.shared.shells.find(request.shell_id()?)?;
    let _used = shell.used();
    let mut pieces = Vec::new();
    let sent = request.element(SHELL, "Send")?;
    for stream in sent.children().filter(|node| node.has_tag_name((SHELL, "Stream"))) {
        if stream.attribute("Name") != Some("stdin") {
            return Err(Fault::schema("There is no input stream but stdin."));
        }
        let text: String =
            stream.text().unwrap_or_default().chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let data = BASE64_STANDARD.decode(text).map_err(|_| Fault::schema("A stream is not base64."))?;
        pieces.push((stream.attribute("CommandId").unwrap_or_default().to_owned(), data, stream.flag("End")));
    }
    for (command, data, end) in pieces {
        shell.command(&command)?.write(&data, end).await?;
    }
    Ok(Answer::new(format!("{SHELL}/SendResponse"), "<rsp:SendResponse/>"))
}
