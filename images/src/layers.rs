//! From the layers of an image to the one disk file that is left under `/disk`.
//!
//! The layers are read from the topmost down: what an upper layer has or deletes (whiteouts) hides what a lower one
//! has, so nothing is written that does not survive. Each layer is unpacked as a stream through three counters: the
//! limit of unpacked bytes over all layers, the digest that the configuration names, and the caller's patience.
//!
//! A layer is refused where a path leaves the image (`..`, absolute), where something under `/disk` is a link or no
//! regular file, where it is truncated, or where its unpacked digest is another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::tarball::{Entry, Tarball};
use crate::{Error, Limits, Result, sparse};

/// The folder of an image in which the disk is.
const FOLDER: &str = "disk";

/// The most files and whiteouts under `/disk` that are remembered. One file is what an image has.
const MOST_NAMES: usize = 256;

/// A verified blob that is a layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
    /// The digest of what it unpacks to.
    pub(crate) diff_id: String,
}

/// The disk file that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Its name in the image, without the folder.
    pub(crate) name: String,
}

/// Unpacks the layers, given from the lowest to the topmost, into an empty directory. Blocks; stops soon after
/// `cancelled` is set.
pub(crate) fn unpack(layers: &[Layer], into: &Path, limits: Limits, cancelled: &AtomicBool) -> Result<Found> {
    let mut seen = Seen::default();
    let mut left = limits.unpacked_bytes;
    for layer in layers.iter().rev() {
        left = unpack_layer(layer, into, &mut seen, left, limits, cancelled)?;
    }
    choose(seen.files)
}

/// What the layers above have decided.
#[derive(Default)]
struct Seen {
    /// Whether they hide everything below.
    all_hidden: bool,
    hidden: BTreeSet<String>,
    files: BTreeMap<String, PathBuf>,
    written: usize,
}

fn unpack_layer(
    layer: &Layer,
    into: &Path,
    seen: &mut Seen,
    left: u64,
    limits: Limits,
    cancelled: &AtomicBool,
) -> Result<u64> {
    let file = File::open(&layer.path)
        .map_err(|source| Error::failed(format!("cannot read the layer {}", layer.digest), source))?;
    let stream =
        decompressed(BufReader::with_capacity(256 << 10, file)).map_err(|error| layer_error(layer, error))?;
    let mut meter = Meter { stream, left, exceeded: false, hash: Sha256::new(), cancelled };
    let result = read_entries(Tarball::new(&mut meter), layer, into, seen, left);
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::failed("the unpacking was cancelled", "the caller went away"));
    }
    if meter.exceeded {
        return Err(too_large(layer, limits));
    }
    match result {
        Ok(()) => {}
        Err(Stop::Refused(why)) => {
            return Err(Error::Refused(format!("the layer {}: {why}", layer.digest)));
        }
        Err(Stop::TooLarge) => return Err(too_large(layer, limits)),
        Err(Stop::Io(error)) => return Err(layer_error(layer, error)),
    }
    let found = format!("sha256:{}", hex::encode(meter.hash.finalize()));
    if found != layer.diff_id {
        return Err(Error::Refused(format!(
            "the layer {} unpacks to {found}, but the configuration says {}; the image is damaged or forged",
            layer.digest, layer.diff_id
        )));
    }
    Ok(meter.left)
}

fn too_large(layer: &Layer, limits: Limits) -> Error {
    Error::Refused(format!(
        "the layer {} passes the limit of {} unpacked bytes for an image; raise the limit of the unpacked size in the \
         configuration if it is meant",
        layer.digest, limits.unpacked_bytes
    ))
}

/// A failure of this node's files may pass; what the content itself says will not.
fn layer_error(layer: &Layer, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::failed(format!("cannot unpack the layer {}", layer.digest), error);
    }
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
        _ => error.to_string(),
    };
    Error::Refused(format!("the layer {} is no disk image's layer: {why}", layer.digest))
}

/// Why the reading of a layer ended early.
enum Stop {
    Refused(String),
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_entries(
    mut archive: Tarball<impl Read>,
    layer: &Layer,
    into: &Path,
    seen: &mut Seen,
    limit: u64,
) -> Result<(), Stop> {
    let mut hides_all = false;
    let mut hides = BTreeSet::new();
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut entries = 0_u64;
    while let Some(entry) = archive.next()? {
        entries += 1;
        if entry.size > limit {
            return Err(Stop::TooLarge);
        }
        let components = components(&entry)?;
        let parts: Vec<&str> = components.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [".wh.disk" | ".wh..wh..opq"] | [FOLDER, ".wh..wh..opq"] => hides_all = true,
            [FOLDER] if entry.kind.is_dir() => {}
            [FOLDER] => return Err(Stop::Refused(format!("/{FOLDER} is no folder but {}", kind(&entry)))),
            [FOLDER, name] if name.starts_with(".wh.") || entry.kind.is_dir() => {
                hides.insert(name.strip_prefix(".wh.").unwrap_or(name).to_owned());
            }
            [FOLDER, name] => {
                if !matches!(entry.kind, EntryType::Regular | EntryType::Continuous) || entry.gnu_sparse {
                    return Err(Stop::Refused(format!(
                        "/{FOLDER}/{name} is no regular file but {}",
                        kind(&entry)
                    )));
                }
                if let Some(replaced) = files.remove(*name) {
                    fs::remove_file(replaced)?;
                }
                if !seen.all_hidden && !seen.hidden.contains(*name) {
                    let path = into.join(format!("file-{}", seen.written));
                    seen.written += 1;
                    let mut file = File::create_new(&path)?;
                    sparse::copy(&mut archive, &mut file, entry.size)?;
                    files.insert((*name).to_owned(), path);
                }
            }
            _ => {}
        }
        if hides.len() + files.len() + seen.hidden.len() > MOST_NAMES {
            return Err(Stop::Refused(format!("it has more than {MOST_NAMES} files under /{FOLDER}")));
        }
    }
    archive.finish()?;
    if entries == 0 {
        tracing::debug!(layer = layer.digest, "an empty layer");
    }
    seen.all_hidden |= hides_all;
    seen.hidden.extend(hides);
    seen.hidden.extend(files.keys().cloned());
    seen.files.extend(files);
    Ok(())
}

/// The parts of an entry's path, without `.` and empty ones. A path that is not UTF-8 has none under `/disk`.
fn components(entry: &Entry) -> Result<Vec<String>, Stop> {
    let path = String::from_utf8_lossy(&entry.path);
    let shown = || path.chars().take(120).collect::<String>();
    if path.starts_with('/') {
        return Err(Stop::Refused(format!(
            "the path {:?} is absolute; a layer's paths are relative",
            shown()
        )));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Stop::Refused(format!("the path {:?} leaves the image by `..`", shown())));
    }
    if path.contains('\0') {
        return Err(Stop::Refused(format!("the path {:?} has a zero byte", shown())));
    }
    Ok(path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect())
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        _ if entry.gnu_sparse => "a sparse entry of GNU tar's own kind; pack it without `--sparse`",
        EntryType::Regular | EntryType::Continuous => "a file",
        _ => "an entry of an unknown kind",
    }
}

/// The one disk among the files that survived.
fn choose(files: BTreeMap<String, PathBuf>) -> Result<Found> {
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let is_disk = |name: &&&str| {
        let extension =
            Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        ["qcow2", "raw", "img"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    let disks: Vec<&&str> = names.iter().filter(is_disk).collect();
    let chosen = match (names.as_slice(), disks.as_slice()) {
        (_, [one]) => (**one).to_owned(),
        ([one], _) => (*one).to_owned(),
        ([], _) => {
            return Err(Error::Refused(format!(
                "the image has no disk: put one *.qcow2, *.raw or *.img file into /{FOLDER}, or name a virtual machine's \
                 image instead of a container's"
            )));
        }
        _ => {
            let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            return Err(Error::Refused(format!(
                "the image has several files under /{FOLDER} ({shown}); leave one disk"
            )));
        }
    };
    let mut files = files;
    let path = files.remove(&chosen).unwrap_or_default();
    Ok(Found { path, name: format!("/{FOLDER}/{chosen}") })
}

/// The stream behind the compression that its first bytes show.
fn decompressed<'a>(mut stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let head = stream.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(stream)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Ok(Box::new(zstd::Decoder::with_buffer(stream)?))
    } else {
        Ok(Box::new(stream))
    }
}

/// Counts and hashes what comes out of the decompression, and ends it in time.
struct Meter<'a> {
    stream: Box<dyn Read + 'a>,
    left: u64,
    exceeded: bool,
    hash: Sha256,
    cancelled: &'a AtomicBool,
}

impl Read for Meter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let count = self.stream.read(buffer)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.exceeded = true;
            return Err(io::Error::other("too large"));
        };
        self.left = left;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
