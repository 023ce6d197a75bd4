//! `infranetes image import`: the one command that works on the image store itself, since the CRI has no call for it.
//!
//! The store is a directory that several processes may have open; an image appears in it at once and whole. Where no
//! directory is named, a running daemon tells its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use images::{ImportFormat, LOCAL_REGISTRY, Limits, Progress, Store};
use indicatif::{ProgressBar, ProgressStyle};
use proto::runtime::v1::{StatusRequest, StatusResponse};
use serde_json::json;

use super::super::client::{Client, refusal};
use super::super::output::{self, Format};
use super::super::{Global, view};

/// Where the daemon keeps images unless its configuration says otherwise.
const DEFAULT_ROOT: &str = "/var/lib/infranetes/images";

/// Options of `image import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  infranetes image import disk.qcow2 --name legacy/app:1
  infranetes image import export.img --name legacy/app:2 --format raw
  infranetes run infranetes.local/legacy/app:1

The format is what --format or the file's ending says; it is never guessed from the contents. Nothing but the one file
is read: an image that refers to others is refused.")]
pub struct ImportArgs {
    /// The disk file.
    file: PathBuf,
    /// The image's name and tag; pods put infranetes.local/ before it.
    #[arg(long, value_name = "NAME:TAG")]
    name: String,
    /// The file's format. Default: what its ending says.
    #[arg(long, value_enum)]
    format: Option<DiskFormat>,
    /// The image store's directory. Default: the running daemon's, otherwise /var/lib/infranetes/images.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The largest virtual disk that is accepted, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_disk_gib: u64,
}

/// The formats of disk files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiskFormat {
    /// QEMU copy on write.
    Qcow2,
    /// The bytes of the disk.
    Raw,
    #[value(help = "VMware, in one file")]
    Vmdk,
    /// Virtual PC and Azure.
    Vhd,
    /// Hyper-V.
    Vhdx,
    #[value(help = "VirtualBox")]
    Vdi,
}

impl From<DiskFormat> for ImportFormat {
    fn from(format: DiskFormat) -> Self {
        match format {
            DiskFormat::Qcow2 => Self::Qcow2,
            DiskFormat::Raw => Self::Raw,
            DiskFormat::Vmdk => Self::Vmdk,
            DiskFormat::Vhd => Self::Vhd,
            DiskFormat::Vhdx => Self::Vhdx,
            DiskFormat::Vdi => Self::Vdi,
        }
    }
}

pub(in super::super) async fn run(global: &Global, args: ImportArgs) -> anyhow::Result<ExitCode> {
    let format = format(args.format, &args.file)?;
    let root = match args.root {
        Some(root) => root,
        None => root_of_daemon(global).await?,
    };
    let bytes = args.max_disk_gib << 30;
    let store = Store::open(&root, Limits { virtual_size_bytes: bytes, unpacked_bytes: bytes })
        .await
        .with_context(|| format!("cannot open the image store {}; are you root?", root.display()))?;

    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("{msg:10} [{bar:40}] {percent:>3}% ({elapsed})") {
        bar.set_style(style.progress_chars("=> "));
    }
    let name = args
        .name
        .strip_prefix(LOCAL_REGISTRY)
        .map_or(args.name.as_str(), |rest| rest.trim_start_matches('/'));
    let imported = tokio::select! {
        imported = store.import(&args.file, format, name, |progress| show(&bar, progress)) => imported,
        told = tokio::signal::ctrl_c() => { told?; bail!("interrupted; nothing was imported") }
    };
    bar.finish_and_clear();
    let image = imported.with_context(|| format!("cannot import {}", args.file.display()))?;

    let name = image.tags.iter().find(|tag| tag.contains(name)).or(image.tags.first()).unwrap_or(&image.id);
    match global.output {
        Format::Json => {
            output::json(&json!({ "id": image.id, "tags": image.tags, "sizeBytes": image.size_bytes }))?;
        }
        Format::Text => {
            output::line(&format!("{name}  {}  {}", view::short(&image.id), view::bytes(image.size_bytes)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_message(match progress.step {
        images::Step::Check => "checking",
        images::Step::Convert => "converting",
        images::Step::Publish => "publishing",
    });
    // A step's own percents, since nobody knows how long the next one takes.
    let percent = (0..=100u8).rev().find(|percent| f32::from(*percent) <= progress.percent).unwrap_or(0);
    bar.set_position(u64::from(percent));
}

/// What was said, else what the file's ending says.
fn format(said: Option<DiskFormat>, file: &Path) -> anyhow::Result<ImportFormat> {
    if let Some(format) = said {
        return Ok(format.into());
    }
    match ImportFormat::from_extension(file) {
        Some(format) => Ok(format),
        None => bail!(
            "the ending of {} tells no format; say it with --format qcow2|raw|vmdk|vhd|vhdx|vdi",
            file.display()
        ),
    }
}

/// The directory that the running daemon tells; where none runs, the usual one.
async fn root_of_daemon(global: &Global) -> anyhow::Result<PathBuf> {
    let Ok(client) = Client::connect(global).await else { return Ok(DEFAULT_ROOT.into()) };
    let answer = client.runtime().status(client.query(StatusRequest { verbose: true })).await;
    let answer = answer.map_err(|status| refusal("ask where images are kept", &status))?.into_inner();
    images_dir(&answer).context("the daemon does not tell where it keeps images; say it with --root DIR")
}

/// The directory for images of a Status. `ImageFsInfo` does not say whose the first one is where another runtime is beside ours.
fn images_dir(status: &StatusResponse) -> Option<PathBuf> {
    let config: serde_json::Value = serde_json::from_str(status.info.get("config")?).ok()?;
    Some(config.get("imagesDir")?.as_str()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_said_or_in_the_ending() {
        assert_eq!(format(None, Path::new("a.QCOW2")).unwrap(), ImportFormat::Qcow2);
        assert_eq!(format(Some(DiskFormat::Raw), Path::new("a.qcow2")).unwrap(), ImportFormat::Raw);
        assert!(format(None, Path::new("a.img")).unwrap_err().to_string().contains("--format"));
    }

    #[test]
    fn images_are_kept_where_the_daemon_says() {
        let config = |text: &str| StatusResponse {
            info: [("config".to_owned(), text.to_owned())].into(),
            ..StatusResponse::default()
        };
        assert_eq!(images_dir(&config(r#"{"imagesDir":"/a/images"}"#)), Some("/a/images".into()));
        assert_eq!(images_dir(&config("{}")), None);
        assert_eq!(images_dir(&StatusResponse::default()), None);
    }

    #[test]
    fn progress_is_shown_in_whole_percents() {
        let bar = ProgressBar::hidden();
        show(&bar, Progress { step: images::Step::Convert, percent: 41.9 });
        assert_eq!((bar.position(), bar.message().as_str()), (41, "converting"));
        show(&bar, Progress { step: images::Step::Convert, percent: f32::NAN });
        assert_eq!(bar.position(), 0);
    }
}
