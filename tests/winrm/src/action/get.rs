//! `Get`: a shell, or the service's configuration as far as clients ask for it.

use super::Context;
use crate::envelope::{Answer, CMD, CONFIG, Request, SHELL, TRANSFER};
use crate::fault::Fault;

pub(super) fn perform(request: &Request<'_>, context: &Context<'_>) -> Result<Answer, Fault> {
    let body = match request.resource.as_str() {
        CMD | SHELL => context.shared.shells.find(request.shell_id()?)?.describe(),
        CONFIG => configuration(context),
        other => return Err(Fault::no_resource(other)),
    };
    Ok(Answer::new(format!("{TRANSFER}/GetResponse"), body))
}

fn configuration(context: &Context<'_>) -> String {
    let limits = &context.shared.options.limits;
    format!(
        "<cfg:Config xmlns:cfg=\"{CONFIG}\"><cfg:MaxEnvelopeSizekb>{}</cfg:MaxEnvelopeSizekb>\
         <cfg:MaxTimeoutms>{}</cfg:MaxTimeoutms><cfg:Winrs><cfg:MaxProcessesPerShell>{}</cfg:MaxProcessesPerShell>\
         <cfg:MaxShellsPerUser>{}</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>",
        limits.envelope_bytes / 1024,
        limits.operation_timeout.as_millis(),
        limits.processes_per_shell,
        limits.shells_per_user,
    )
}
