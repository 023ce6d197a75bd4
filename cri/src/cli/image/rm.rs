//! `infranetes image rm`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use proto::runtime::v1::RemoveImageRequest;

use super::super::client::{Client, refusal};
use super::super::output;
use super::{named, status};

/// How long the removal of one image may take.
const REMOVAL: Duration = Duration::from_secs(120);

/// Options of `image rm`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes image rm registry.example/legacy/app:1
  infranetes image rm 0123456789ab

An image that pods are based on stays; remove them first.")]
pub struct RmArgs {
    /// The images: names, or ids of at least 12 digits.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(super) async fn run(client: &Client, args: &RmArgs) -> anyhow::Result<ExitCode> {
    // The protocol takes the removal of an absent image for done; a person wants to know of a typing mistake.
    for image in &args.images {
        status(client, image).await?;
    }
    for image in &args.images {
        let request = client.bounded(RemoveImageRequest { image: Some(named(image)) }, Some(REMOVAL));
        let removed = client.images().remove_image(request).await;
        removed.map_err(|status| refusal(&format!("remove image {image}"), &status))?;
        output::line(image)?;
    }
    Ok(ExitCode::SUCCESS)
}
