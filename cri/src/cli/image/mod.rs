//! `infranetes image`: the images on this node.

pub(super) mod import;
mod inspect;
mod ls;
mod pull;
mod rm;

use std::process::ExitCode;

use clap::Subcommand;
use proto::runtime::v1::{ImageSpec, ImageStatusRequest, ImageStatusResponse};

use super::Global;
use super::client::{Client, refusal};

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List the images on this node.
    #[command(after_help = "Examples:
  infranetes image ls
  infranetes -o json image ls | jq -r '.[].id'")]
    Ls,
    /// Bring an image from its registry to this node.
    Pull(pull::PullArgs),
    /// Remove images from this node.
    Rm(rm::RmArgs),
    /// Tell all that is known of an image, as JSON.
    Inspect(inspect::InspectArgs),
    /// Make a disk file an image of this node.
    Import(import::ImportArgs),
}

pub(super) async fn run(client: &Client, global: &Global, command: ImageCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImageCommand::Ls => ls::run(client, global).await,
        ImageCommand::Pull(args) => pull::run(client, global, args).await,
        ImageCommand::Rm(args) => rm::run(client, &args).await,
        ImageCommand::Inspect(args) => inspect::run(client, &args).await,
        ImageCommand::Import(args) => import::run(global, args).await,
    }
}

fn named(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), user_specified_image: image.to_owned(), ..ImageSpec::default() }
}

/// An image that has to be on this node, with what the daemon tells beyond the protocol.
async fn status(client: &Client, image: &str) -> anyhow::Result<ImageStatusResponse> {
    let request = client.query(ImageStatusRequest { image: Some(named(image)), verbose: true });
    let answer = client.images().image_status(request).await;
    let answer = answer.map_err(|status| refusal(&format!("ask for image {image}"), &status))?.into_inner();
    if answer.image.is_none() {
        anyhow::bail!("image {image} is not on this node; `infranetes image ls` lists those that are");
    }
    Ok(answer)
}
