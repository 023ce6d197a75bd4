//! `cargo xtask guest`: disk images of sample guests.
//!
//! Happy path: an image is built by its recipe (`guests/NAME.sh`) from the packages of the host's own distribution, kept in
//! the cache by the content of that recipe, and linked from `target/guests/NAME`. Beside `NAME.qcow2` stand
//! `NAME.hostkey.pub` (the public host keys, where the image has its own), `NAME.key` (a key that logs in as root, where
//! it takes one) and `NAME.facts` (its labels). The root of containers is built the same way, and is `NAME.tar`.
//! Failure paths: a recipe that fails shows its last lines and leaves nothing in the cache.

mod check;
mod facts;
mod http;
mod layer;
mod published;
mod push;
mod recipe;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::{progress, setup, tree};

/// The guests, in the order in which they are built: what boots fastest first.
pub(crate) const NAMES: [&str; 5] = ["mini", "dropbear", "systemd", "sysvinit", "cloud"];
/// The guest that stands in for the container images of critest.
pub(crate) const CRITEST: &str = "critest";
/// No guest: the root of the container images of critest, for a runtime that runs containers.
pub(crate) const CONTAINERS: &str = "containers";
/// What is built only if it is named.
const NAMED: [&str; 2] = [CRITEST, CONTAINERS];

/// Arguments of `cargo xtask guest`.
#[derive(clap::Args)]
#[command(after_help = "Guests:
  mini      busybox and OpenSSH: boots in seconds; key or password; DHCP; /var/log/app.log
  dropbear  busybox and dropbear: password only, no SFTP, no bash; /var/log/messages
  systemd   a legacy machine: systemd, OpenSSH, a web service that logs to the journal; DHCP
  sysvinit  System V init, password only, dhclient, SATA and e1000 drivers; /var/log/messages
  cloud     as the distribution's cloud images are, with cloud-init
  critest   what stands in for the container images of critest; built if it is named

No guest, and built if it is named:
  containers  the same container images for a runtime that runs containers

Examples:
  cargo xtask guest mini
  cargo xtask guest --check mini dropbear
  cargo xtask guest --push 127.0.0.1:5000")]
pub(crate) struct Arguments {
    /// The guests to build; all but critest if none is named.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(NAMES.into_iter().chain(NAMED)))]
    names: Vec<String>,
    /// Boot each one and log in to it.
    #[arg(long)]
    check: bool,
    /// Push them as containerDisks to a registry that speaks plain HTTP, as `HOST:PORT/guests/NAME:latest`; critest and
    /// containers under the names that they stand in for.
    #[arg(long, value_name = "HOST:PORT")]
    push: Option<String>,
}

/// An image that was built.
pub(crate) struct Image {
    pub(crate) name: String,
    /// The folder it stands in with what belongs to it.
    folder: PathBuf,
}

impl Image {
    /// The disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.beside("qcow2")
    }

    /// Whether it is the root of containers, and no machine's disk.
    fn is_root(&self) -> bool {
        self.name == CONTAINERS
    }

    /// What it consists of: the disk, or the tar of the root.
    fn file(&self) -> PathBuf {
        self.beside(if self.is_root() { "tar" } else { "qcow2" })
    }

    /// What tells it from an image of the same name and other content.
    pub(crate) fn content(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The names under which it is published, and what is said there.
    pub(crate) fn published(&self) -> String {
        format!("{:?}", published::of(&self.name))
    }

    /// A file that belongs to it.
    pub(crate) fn beside(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

/// The folder that links to the images of this source tree: `NAME/NAME.qcow2`.
pub(crate) fn folder() -> PathBuf {
    tree::target().join("guests")
}

/// Runs the command.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let names: Vec<&str> = if arguments.names.is_empty() {
        NAMES.to_vec()
    } else {
        arguments.names.iter().map(String::as_str).collect()
    };
    let mut groups = vec![setup::Group::Guest];
    if arguments.check {
        if names.contains(&CONTAINERS) {
            bail!("{CONTAINERS} is no guest and boots nowhere: leave it out of what is checked");
        }
        groups.push(setup::Group::Run);
    }
    setup::packages(&groups)?;
    let images = names.iter().map(|name| build(name)).collect::<Result<Vec<_>>>()?;
    for image in &images {
        if arguments.check {
            check::check(image)?;
        }
        if let Some(registry) = &arguments.push {
            push::push(image, registry)?;
        }
    }
    for image in &images {
        progress::line(&format!("{} {}", image.name, image.file().display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The image of a guest, built if it is not in the cache.
pub(crate) fn build(name: &str) -> Result<Image> {
    if !NAMES.contains(&name) && !NAMED.contains(&name) {
        bail!("there is no guest {name}: there are {} and {}", NAMES.join(", "), NAMED.join(", "));
    }
    let folder = recipe::build(name)?;
    link(name, &folder)?;
    Ok(Image { name: name.to_owned(), folder })
}

/// Links `target/guests/NAME` to the built image; another run may do the same at this moment.
fn link(name: &str, to: &Path) -> Result<()> {
    let links = folder();
    std::fs::create_dir_all(&links).with_context(|| format!("cannot make {}", links.display()))?;
    let new = links.join(format!(".{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(to, &new).with_context(|| format!("cannot make {}", new.display()))?;
    let link = links.join(name);
    std::fs::rename(&new, &link).with_context(|| format!("cannot make {}", link.display()))
}
