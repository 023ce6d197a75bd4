//! An import, from a disk file of any known format to a pinned image.
//!
//! The file is opened in the format that the caller says and in no other. What depends on further files is refused
//! before and after `qemu-img` looks at it; the conversion's result goes through the same checks as a pulled disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::record::Record;
use crate::store::{NewNames, Shared, blocking, prepare};
use crate::work::Work;
use crate::{
    Error, Facts, Image, ImportFormat, LOCAL_REGISTRY, Progress, Result, Step, disk, foreign, qcow2,
    qemu_img, reference,
};

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
    let source = source(file)?;
    let shown = file.display().to_string();
    check(shared, &source, format, &shown).await?;
    progress(Step::Check, 100.0);

    let layout = shared.layout.clone();
    let work = Arc::new(blocking(move || Work::create(&layout)).await?);
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

/// The file itself, behind links, so that its path means it and nothing else.
fn source(file: &Path) -> Result<PathBuf> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Refused(format!("there is no file {}", file.display())),
        _ => Error::failed(format!("cannot read {}", file.display()), error),
    };
    let source = file.canonicalize().map_err(cannot)?;
    if source.metadata().map_err(cannot)?.is_file() {
        Ok(source)
    } else {
        Err(Error::Refused(format!("{} is no regular file; name a disk file", file.display())))
    }
}

async fn check(shared: &Arc<Shared>, source: &Path, format: ImportFormat, shown: &str) -> Result<()> {
    let opened = File::open(source).map_err(|error| Error::failed(format!("cannot read {shown}"), error))?;
    if format == ImportFormat::Qcow2 {
        qcow2::check(&opened, shown)?;
    }
    foreign::check(&opened, format, shown)?;
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
