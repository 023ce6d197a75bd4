//! Content for the tests: disks by `qemu-img`, layers by hand, images by a push over plain HTTP.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// Runs a tool; a missing one fails with the package to install.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap_or_else(|error| {
        panic!("cannot run {tool}: {error}; run `cargo xtask test`, which installs it")
    });
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The bytes of a raw disk with a boot sector, some content and zeros. `seed` makes it another disk.
pub(crate) fn raw_disk(length: usize, seed: u8) -> Vec<u8> {
    let mut disk = vec![0; length];
    for (at, byte) in disk.iter_mut().enumerate().take(200_000.min(length)).skip(4096) {
        *byte = u8::try_from((at * 31 + at / 251) % 256).unwrap().wrapping_add(seed);
    }
    disk[0] = 0xeb;
    disk[510] = 0x55;
    disk[511] = 0xaa;
    disk
}

/// A disk file in a format of `qemu-img`, with the content of [`raw_disk`].
pub(crate) fn disk_file(path: &Path, format: &str, options: &[&str], seed: u8) {
    let raw = tempfile::NamedTempFile::new().unwrap();
    raw.as_file().write_all(&raw_disk(2 << 20, seed)).unwrap();
    let (from, to) = (raw.path().to_str().unwrap(), path.to_str().unwrap());
    let mut arguments = vec!["convert", "-f", "raw", "-O", format];
    arguments.extend(options);
    arguments.extend([from, to]);
    run("qemu-img", &arguments);
}

/// The bytes of a qcow2 disk.
pub(crate) fn qcow2(seed: u8) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    disk_file(&path, "qcow2", &[], seed);
    std::fs::read(path).unwrap()
}

/// Something in a layer.
pub(crate) enum Item<'a> {
    File(&'a str, &'a [u8]),
    Folder(&'a str),
    Link(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}

/// A tar archive. Paths are written as they are, also those that no writer would write.
pub(crate) fn tarball(items: &[Item<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for item in items {
        let (path, kind, content, link) = match item {
            Item::File(path, content) => (path, EntryType::Regular, *content, None),
            Item::Folder(path) => (path, EntryType::Directory, [].as_slice(), None),
            Item::Link(path, target) => (path, EntryType::Symlink, [].as_slice(), Some(target)),
            Item::HardLink(path, target) => (path, EntryType::Link, [].as_slice(), Some(target)),
        };
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if let Some(target) = link {
            header.set_link_name(target).unwrap();
        }
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// How a layer is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A layer of an image.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) blob: Vec<u8>,
    diff_id: String,
    media_type: &'static str,
}

impl Layer {
    pub(crate) fn new(tar: &[u8], packing: Packing) -> Self {
        let (blob, media_type) = match packing {
            Packing::Plain => (tar.to_vec(), "application/vnd.oci.image.layer.v1.tar"),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).unwrap();
                (encoder.finish().unwrap(), "application/vnd.oci.image.layer.v1.tar+gzip")
            }
            Packing::Zstd => {
                (zstd::encode_all(tar, 1).unwrap(), "application/vnd.oci.image.layer.v1.tar+zstd")
            }
        };
        Self { blob, diff_id: digest(tar), media_type }
    }

    /// A blob that does not unpack to what the configuration says.
    pub(crate) fn forged(blob: Vec<u8>, diff_id: &str) -> Self {
        Self { blob, diff_id: diff_id.to_owned(), media_type: "application/vnd.oci.image.layer.v1.tar" }
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.blob)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image to push.
#[derive(Clone, Default)]
pub(crate) struct Built {
    pub(crate) layers: Vec<Layer>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) user: String,
}

impl Built {
    /// One layer with one file.
    pub(crate) fn of(path: &str, content: &[u8], packing: Packing) -> Self {
        let items = [Item::Folder("disk/"), Item::File(path, content)];
        Self { layers: vec![Layer::new(&tarball(&items), packing)], ..Self::default() }
    }

    pub(crate) fn label(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<&str> = self.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        serde_json::to_vec(&json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "User": self.user, "Labels": self.labels },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))
        .unwrap()
    }

    /// The id that it has in a store.
    pub(crate) fn id(&self) -> String {
        digest(&self.config())
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let config = self.config();
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|l| json!({ "mediaType": l.media_type, "digest": l.digest(), "size": l.blob.len() }))
            .collect();
        serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config),
                "size": config.len(),
            },
            "layers": layers,
        }))
        .unwrap()
    }
}
