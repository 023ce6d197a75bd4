//! `infranetes inspect`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::resolve::find;
use super::{json as message, output};

/// Options of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes inspect app
  infranetes inspect 3f2a | jq .container.status.state")]
pub struct InspectArgs {
    /// The pod: an id, the beginning of one, or a name.
    id: String,
}

pub(super) async fn run(client: &Client, args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let target = find(client, &args.id).await?;
    let pod = client.pod_status(&target.pod.id).await?;
    let container = match &target.container {
        Some(container) => {
            let answer = client.container_status(&container.id).await?;
            let status = answer.status.as_ref().map(message::container);
            json!({ "status": status, "info": message::info(&answer.info) })
        }
        None => Value::Null,
    };
    let status = pod.status.as_ref().map(message::pod);
    output::json(&json!({
        "pod": { "status": status, "info": message::info(&pod.info) },
        "container": container,
    }))?;
    Ok(ExitCode::SUCCESS)
}
