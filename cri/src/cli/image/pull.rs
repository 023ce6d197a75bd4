//! `infranetes image pull`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use proto::runtime::v1::{AuthConfig, ImageSpec, PullImageRequest};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::super::Global;
use super::super::client::{Client, refusal};
use super::super::handler;
use super::super::output::{self, Format};
use super::super::step::Step;
use super::named;

/// The longest password in bytes.
const LONGEST_PASSWORD: u64 = 64 << 10;

/// Options of `image pull`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes image pull registry.example/legacy/app:1
  infranetes image pull registry.example/private:1 --username robot --password-stdin < token")]
pub struct PullArgs {
    /// The image.
    image: String,
    /// The runtime handler that will run it. Default: the daemon's default one, or on a mixed node its only one for
    /// machines.
    #[arg(long, default_value = "", hide_default_value = true)]
    handler: String,
    /// The user to log in to the registry as.
    #[arg(long, requires = "password_stdin")]
    username: Option<String>,
    /// Read the password or token from the standard input, where no one else sees it.
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

pub(super) async fn run(client: &Client, global: &Global, args: PullArgs) -> anyhow::Result<ExitCode> {
    let auth = match args.username {
        Some(username) => Some(AuthConfig { username, password: password().await?, ..AuthConfig::default() }),
        None => None,
    };
    let image = args.image;
    let spec = ImageSpec { runtime_handler: handler::meant(client, &args.handler).await?, ..named(&image) };
    let step = Step::begin(format!("pulling {image}"));
    let request = PullImageRequest { image: Some(spec), auth, sandbox_config: None };
    let pulled = client.images().pull_image(client.bounded(request, None)).await;
    let pulled = pulled.map_err(|status| refusal(&format!("pull {image}"), &status))?.into_inner();
    step.done(&format!("pulled {image}"));
    match global.output {
        Format::Json => output::json(&json!({ "image": image, "id": pulled.image_ref }))?,
        Format::Text => output::line(&pulled.image_ref)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn password() -> anyhow::Result<String> {
    let mut password = String::new();
    let read = tokio::io::stdin().take(LONGEST_PASSWORD).read_to_string(&mut password).await;
    read.context("cannot read the password from the standard input")?;
    let length = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(length);
    if password.is_empty() {
        bail!("the standard input has no password; write it there, as in `--password-stdin < FILE`");
    }
    Ok(password)
}
