//! Who bases a machine on an image: a file for each holder in the image's `leases` directory.
//!
//! Leases are durable, so that a daemon which was killed finds its own again. They are taken, given back and counted
//! under the store's lock: a lease and a removal never pass each other.

use std::fs::{self, File};
use std::path::Path;

use crate::layout::{Layout, sync_directory};
use crate::work::entries;
use crate::{Error, Result};

/// The longest holder's name in bytes.
const LONGEST: usize = 200;

/// Adds a holder. The caller holds the store's lock and knows that the image is there.
pub(crate) fn add(layout: &Layout, hex: &str, holder: &str) -> Result<()> {
    let directory = layout.leases(hex);
    let path = directory.join(check(holder)?);
    File::create(&path)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_directory(&directory))
        .map_err(|source| Error::failed(format!("cannot write the lease {}", path.display()), source))
}

/// Takes a holder away; absent is fine.
pub(crate) fn remove(layout: &Layout, hex: &str, holder: &str) -> Result<()> {
    let directory = layout.leases(hex);
    let path = directory.join(check(holder)?);
    match fs::remove_file(&path).and_then(|()| sync_directory(&directory)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove the lease {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// The holders of an image, in order.
pub(crate) fn holders(layout: &Layout, hex: &str) -> Result<Vec<String>> {
    let mut holders: Vec<String> =
        entries(&layout.leases(hex))?.iter().filter_map(|path| name_of(path)).collect();
    holders.sort();
    Ok(holders)
}

fn name_of(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}

/// A holder's name is a file's name: letters, digits and `.-_`, not beginning with a dot.
fn check(holder: &str) -> Result<&str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if holder.is_empty() || holder.len() > LONGEST || holder.starts_with('.') || !holder.bytes().all(allowed)
    {
        return Err(Error::BadReference(format!(
            "{holder:?} cannot hold an image: a holder is 1 to {LONGEST} letters, digits, '.', '-' and '_', and does \
             not begin with '.'"
        )));
    }
    Ok(holder)
}
