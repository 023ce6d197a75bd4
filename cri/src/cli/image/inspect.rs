//! `infranetes image inspect`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::super::client::Client;
use super::super::{json as message, output};
use super::status;

/// Options of `image inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  infranetes image inspect registry.example/legacy/app:1 | jq .info.info.facts")]
pub struct InspectArgs {
    /// The image: a name, or an id of at least 12 digits.
    image: String,
}

pub(super) async fn run(client: &Client, args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let told = status(client, &args.image).await?;
    let image = told.image.as_ref().map(message::image);
    output::json(&json!({ "image": image, "info": message::info(&told.info) }))?;
    Ok(ExitCode::SUCCESS)
}
