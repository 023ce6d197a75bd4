//! An import, from a disk file of any known format to a pinned image.
//!
//! ```text
//!   file --opened once, first look--> copy in the work directory --checks--> converted --checks--> publish
//! ```
//!
//! The file is opened once and copied, so that what is checked is what is converted, whatever its owner does to the
//! path or the content meanwhile. It is read in the format that the caller says and in no other. What depends on further
//! files is refused before and after `qemu-img` looks at it; the conversion's result goes through the same checks as a
//! pulled disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::record::Record;
use crate::store::{NewNames, Shared, blocking, prepare};
use crate::work::Work;
use crate::{
    Error, Facts, Image, ImportFormat, LOCAL_REGISTRY, Limits, Progress, Result, Step, disk, foreign, qcow2,
    qemu_img, reference, sparse,
};

/// How much is copied between two looks at whether the caller is still there, in bytes.
const COPIED_AT_ONCE: u64 = 64 << 20;

/// Imports a file under a name.
pub(crate) async fn import(
    shared: &Arc<Shared>,
    file: &Path,
    format: ImportFormat,
    name: &str,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Image> {
    let mut progress = |step, percent| progress(Progress { step, percent });
    let name = local_name(name)?;
    progress(Step::Check, 0.0);
    let shown = file.display().to_string();
    let opened = open(file)?;
    look(&opened, format, &shown, shared.limits)?;
    let layout = shared.layout.clone();
    let work = Arc::new(blocking(move || Work::create(&layout)).await?);
    let source = copied(opened, &work, &shown, |percent| progress(Step::Check, percent)).await?;
    check(shared, &source, format, &shown).await?;
    progress(Step::Check, 100.0);

    let converted = work.path().join("converted");
    let report = |percent| progress(Step::Convert, percent);
    qemu_img::convert(&source, format.qemu_name(), &converted, &shown, report).await?;

    progress(Step::Publish, 0.0);
    let checked = disk::check(&converted, disk::Format::Qcow2, &shown, shared.limits).await?;
    let held = Arc::clone(&work);
    let directory = blocking(move || {
        let record = Record {
            id: digest(&converted)?,
            format: disk::Format::Qcow2.name().to_owned(),
            virtual_size_bytes: checked.virtual_size_bytes,
            size_bytes: checked.size_bytes,
            pinned: true,
            config_user: None,
            facts: Facts::default(),
            labels: std::collections::BTreeMap::new(),
            layers: Vec::new(),
            created_at: SystemTime::now(),
        };
        prepare(held.path(), &converted, &record)
    })
    .await?;
    let image = shared.publish(work, directory, NewNames { tag: Some(name), digest: None }).await?;
    progress(Step::Publish, 100.0);
    Ok(image)
}

/// `legacy/app:1` is `infranetes.local/legacy/app:1`; the whole form may be given too.
fn local_name(name: &str) -> Result<String> {
    let short = name.strip_prefix(LOCAL_REGISTRY).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let parsed = reference::parse(&format!("{LOCAL_REGISTRY}/{short}"))?;
    if parsed.digest().is_some() {
        return Err(Error::BadReference(format!(
            "{name:?} has a digest; an import is named by a tag: {LOCAL_REGISTRY}/NAME:TAG"
        )));
    }
    Ok(reference::full(&parsed))
}

/// Opens a regular file, and never waits for another kind.
fn open(file: &Path) -> Result<File> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Refused(format!("there is no file {}", file.display())),
        _ => Error::failed(format!("cannot read {}", file.display()), error),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened =
        File::from(rustix::fs::open(file, flags, Mode::empty()).map_err(|errno| cannot(errno.into()))?);
    if opened.metadata().map_err(cannot)?.is_file() {
        Ok(opened)
    } else {
        Err(Error::Refused(format!("{} is no regular file; name a disk file", file.display())))
    }
}

/// Refuses by the file's own bytes what may not be.
fn look(file: &File, format: ImportFormat, shown: &str, limits: Limits) -> Result<()> {
    match format {
        ImportFormat::Qcow2 => disk::within(qcow2::check(file, shown)?, limits, shown),
        ImportFormat::Raw => {
            let failed = |source| Error::failed(format!("cannot read {shown}"), source);
            disk::within(file.metadata().map_err(failed)?.len(), limits, shown)
        }
        _ => foreign::check(file, format, shown),
    }
}

/// Copies the file into the work directory, telling how much is done in percent.
#[expect(clippy::cast_precision_loss, reason = "a percentage")]
async fn copied(
    file: File,
    work: &Arc<Work>,
    shown: &str,
    mut report: impl FnMut(f32) + Send,
) -> Result<PathBuf> {
    let path = work.path().join("source");
    let (shown, target) = (shown.to_owned(), path.clone());
    let failed = move |source| Error::failed(format!("cannot copy {shown}"), source);
    let copy = File::create_new(&target).map_err(&failed)?;
    let length = file.metadata().map_err(&failed)?.len();
    copy.set_len(length).map_err(&failed)?;
    let (file, copy) = (Arc::new(file), Arc::new(copy));
    let mut at = 0;
    loop {
        let (from, to, held, failed) =
            (Arc::clone(&file), Arc::clone(&copy), Arc::clone(work), failed.clone());
        let next = blocking(move || {
            let next = sparse::copy_next(&from, &to, at, COPIED_AT_ONCE, length).map_err(failed);
            drop(held);
            next
        });
        let Some(next) = next.await? else { return Ok(path) };
        at = next;
        report(at as f32 / length as f32 * 100.0);
    }
}

async fn check(shared: &Arc<Shared>, source: &Path, format: ImportFormat, shown: &str) -> Result<()> {
    let opened = File::open(source).map_err(|error| Error::failed(format!("cannot read {shown}"), error))?;
    look(&opened, format, shown, shared.limits)?;
    if format == ImportFormat::Raw {
        disk::check(source, disk::Format::Raw, shown, shared.limits).await?;
        return Ok(());
    }
    let info = qemu_img::info(source, format.qemu_name(), shown).await?;
    disk::sound(&info, format.qemu_name(), shown)?;
    disk::within(info.virtual_size, shared.limits, shown)?;
    let elsewhere = info.extents().into_iter().find(|extent| Path::new(extent) != source);
    match elsewhere {
        Some(extent) => Err(Error::Refused(format!(
            "{shown}: the vmdk has an extent in another file ({extent:?}); export it as one file"
        ))),
        None => Ok(()),
    }
}

fn digest(path: &Path) -> Result<String> {
    let failed = |source| Error::failed("cannot read the converted disk", source);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(format!("sha256:{}", hex::encode(hash.finalize())));
        }
        hash.update(&buffer[..count]);
    }
}
