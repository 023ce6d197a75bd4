//! `Create`: a shell.
//!
//! Happy path: the quota of the user has room, and the shell is told with the selector by which it is asked for.
//! `WINRS_NOPROFILE` and `WINRS_CODEPAGE` are taken and change nothing: there is no profile, and what runs writes what it writes.
//! Failure paths: no room, an option nobody knows, a duration that is none, an id that is there already.

use super::Context;
use crate::envelope::{Answer, CMD, Child as _, Request, SHELL, TRANSFER, escape, guid};
use crate::fault::Fault;
use crate::shell::Definition;

/// The options of a shell.
const OPTIONS: &[&str] = &["WINRS_NOPROFILE", "WINRS_CODEPAGE"];

pub(super) fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    request.options_among(OPTIONS)?;
    let asked = request.element(SHELL, "Shell")?;
    let variables = asked.child(SHELL, "Environment").into_iter().flat_map(|environment| {
        environment.children().filter(|node| node.has_tag_name((SHELL, "Variable"))).map(|variable| {
            let name = variable.attribute("Name").unwrap_or_default().to_owned();
            (name, variable.text().unwrap_or_default().to_owned())
        })
    });
    let definition = Definition {
        id: asked.attribute("ShellId").map_or_else(guid, str::to_owned),
        owner: context.user.clone(),
        client: context.client,
        environment: variables.collect(),
        directory: asked.text_of(SHELL, "WorkingDirectory").filter(|directory| !directory.is_empty()),
        idle_timeout: asked
            .duration_of(SHELL, "IdleTimeOut")?
            .unwrap_or(context.shared.options.limits.idle_timeout),
        lifetime: asked.duration_of(SHELL, "Lifetime")?,
        input: asked.text_of(SHELL, "InputStreams").unwrap_or_else(|| "stdin".to_owned()),
        output: asked.text_of(SHELL, "OutputStreams").unwrap_or_else(|| "stdout stderr".to_owned()),
    };
    let shell = context.shared.shells.make(definition)?;
    let scheme = if context.shared.options.tls { "https" } else { "http" };
    let body = format!(
        "<x:ResourceCreated><a:Address>{scheme}://{}/wsman</a:Address><a:ReferenceParameters>\
         <w:ResourceURI>{CMD}</w:ResourceURI><w:SelectorSet><w:Selector Name=\"ShellId\">{}</w:Selector></w:SelectorSet>\
         </a:ReferenceParameters></x:ResourceCreated>{}",
        context.shared.address,
        escape(shell.id()),
        shell.describe(),
    );
    Ok(Answer::new(format!("{TRANSFER}/CreateResponse"), body))
}
