//! What is refused: the message says why, and the store is as before to the byte.

use images::{Error, ImportFormat, Limits, RegistryAuth};

use super::content::{Built, Item, Layer, Packing, disk_file, qcow2, raw_disk, run, tarball};
use super::registry::{Access, Registry};
use super::{Scratch, plain};

/// Pulls an image that must be refused, and returns the message.
async fn refused(registry: &Registry, scratch: &Scratch, case: &str, built: &Built) -> String {
    let reference = registry.push("bad/image", case, built).await;
    let before = scratch.inventory();
    let pulled = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await;
    let error = pulled.expect_err(case);
    assert!(matches!(error, Error::Refused(_)), "{case}: {error:?}");
    assert!(!error.retryable());
    assert_eq!(scratch.inventory(), before, "{case} left something");
    error.to_string()
}

/// A qcow2 disk with bytes replaced.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut disk = qcow2(1);
    for (at, bytes) in patches {
        disk[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    disk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_name_other_files_or_need_a_key() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name).display().to_string();
    disk_file(&files.path().join("base.qcow2"), "qcow2", &[], 3);
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &at("base.qcow2"), "-F", "qcow2", &at("overlay")]);
    let json = format!("json:{{\"driver\":\"qcow2\",\"file.filename\":\"{}\"}}", at("base.qcow2"));
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &json, "-F", "qcow2", &at("json")]);
    let data = format!("data_file={}", at("data.raw"));
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &data, &at("external"), "2M"]);
    let aes = "encrypt.format=aes,encrypt.key-secret=key";
    let secret = ["--object", "secret,id=key,data=open"];
    let mut encrypted = vec!["create", "-q", "-f", "qcow2"];
    encrypted.extend(secret);
    let (aes_path, aes_size) = (at("aes"), "2M");
    encrypted.extend(["-o", aes, &aes_path, aes_size]);
    run("qemu-img", &encrypted);
    std::fs::write(at("luks"), patched(&[(32, &2_u32.to_be_bytes())])).unwrap();
    let mut luks = raw_disk(1 << 20, 8);
    luks[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
    std::fs::write(at("luks.raw"), luks).unwrap();
    for (file, path, part) in [
        ("overlay", "disk/a.qcow2", "stands on a backing file"),
        ("json", "disk/a.qcow2", "stands on a `json:` reference"),
        ("external", "disk/a.qcow2", "external data file"),
        ("aes", "disk/a.qcow2", "encrypted (AES)"),
        ("luks", "disk/a.qcow2", "encrypted (LUKS)"),
        ("luks.raw", "disk/a.raw", "encrypted (LUKS header)"),
        ("luks.raw", "disk/a.img", "encrypted (LUKS header)"),
    ] {
        let content = std::fs::read(at(file)).unwrap();
        let message = refused(&registry, &scratch, file, &Built::of(path, &content, Packing::Gzip)).await;
        assert!(message.contains(part) && message.contains("/disk/a."), "{file}: {message}");

        // The same file is no better when it is imported.
        let before = scratch.inventory();
        let format = if file == "luks.raw" { ImportFormat::Raw } else { ImportFormat::Qcow2 };
        let imported = scratch.store.import(at(file).as_ref(), format, "bad", |_| {}).await;
        let error = imported.expect_err(file);
        assert!(matches!(error, Error::Refused(_)) && error.to_string().contains(part), "{file}: {error}");
        assert_eq!(scratch.inventory(), before, "{file} left something");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_and_unknown_disks() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let good = qcow2(1);
    for (case, path, disk, part) in [
        ("corrupt", "disk/a.qcow2", patched(&[(72, &2_u64.to_be_bytes())]), "marked corrupt"),
        (
            "future",
            "disk/a.qcow2",
            patched(&[(72, &(1_u64 << 17).to_be_bytes())]),
            "incompatible bits 0x20000",
        ),
        (
            "key",
            "disk/a.qcow2",
            patched(&[(112, &0x0537_be77_u32.to_be_bytes())]),
            "encryption header (LUKS)",
        ),
        (
            "data",
            "disk/a.qcow2",
            patched(&[(112, &0x4441_5441_u32.to_be_bytes())]),
            "names an external data file",
        ),
        ("version", "disk/a.qcow2", patched(&[(4, &9_u32.to_be_bytes())]), "version 9 is not known"),
        ("clusters", "disk/a.qcow2", patched(&[(20, &40_u32.to_be_bytes())]), "cluster of 2^40 bytes"),
        (
            "table",
            "disk/a.qcow2",
            patched(&[(40, &(1_u64 << 60).to_be_bytes())]),
            "qemu-img does not accept it",
        ),
        (
            "huge",
            "disk/a.qcow2",
            patched(&[(24, &(1_u64 << 50).to_be_bytes())]),
            "passes the limit of 1073741824 bytes",
        ),
        ("header", "disk/a.qcow2", good[..60].to_vec(), "header is truncated"),
        ("short", "disk/a.qcow2", good[..good.len() / 2].to_vec(), "qemu-img does not accept it"),
        ("text", "disk/a.qcow2", b"hello".repeat(1000), "is none: it does not begin with qcow2's signature"),
        ("sniffed", "disk/a.img", b"hello".repeat(1000), "is no disk image"),
        ("odd", "disk/a.raw", vec![1; 1000], "no whole number of 512-byte sectors"),
        ("empty", "disk/a.raw", Vec::new(), "the disk is empty"),
    ] {
        let message = refused(&registry, &scratch, case, &Built::of(path, &disk, Packing::Plain)).await;
        assert!(message.contains(part), "{case}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_that_are_none() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let disk = raw_disk(1 << 20, 5);
    let of = |items: &[Item<'_>]| Built {
        layers: vec![Layer::new(&tarball(items), Packing::Gzip)],
        ..Built::default()
    };
    let whole = tarball(&[Item::File("disk/a.raw", &disk)]);
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    let zipped = Layer::new(&whole, Packing::Gzip).blob;
    let as_layer = |blob: Vec<u8>| Built {
        layers: vec![Layer::forged(blob, &super::content::digest(&whole))],
        ..Built::default()
    };
    for (case, built, part) in [
        ("parent", of(&[Item::File("disk/../../etc/passwd", &disk)]), "leaves the image by `..`"),
        ("absolute", of(&[Item::File("/disk/a.raw", &disk)]), "is absolute"),
        ("symlink", of(&[Item::Link("disk/a.raw", "/etc/shadow")]), "no regular file but a symbolic link"),
        ("hardlink", of(&[Item::HardLink("disk/a.raw", "etc/shadow")]), "no regular file but a hard link"),
        ("folder", of(&[Item::Link("disk", "/etc")]), "no folder but a symbolic link"),
        ("nothing", of(&[Item::File("bin/sh", b"#!")]), "has no disk"),
        (
            "several",
            of(&[Item::File("disk/a.raw", &disk), Item::File("disk/b.raw", &disk)]),
            "several files under /disk (a.raw, b.raw)",
        ),
        (
            "text",
            Built { layers: vec![Layer::new(b"not a tar", Packing::Plain)], ..Built::default() },
            "truncated",
        ),
        (
            "noise",
            Built { layers: vec![Layer::new(&[b'x'; 4096], Packing::Plain)], ..Built::default() },
            "is no tar archive",
        ),
        (
            "checksum",
            Built { layers: vec![Layer::new(&damaged, Packing::Zstd)], ..Built::default() },
            "checksum is wrong",
        ),
        (
            "truncated",
            Built { layers: vec![Layer::new(&whole[..whole.len() / 2], Packing::Plain)], ..Built::default() },
            "it is truncated",
        ),
        ("unzipped", as_layer(zipped[..zipped.len() / 2].to_vec()), "is no disk image's layer"),
        (
            "forged",
            as_layer(tarball(&[Item::File("disk/a.raw", &raw_disk(1 << 20, 6))])),
            "the image is damaged or forged",
        ),
        (
            "label",
            Built::of("disk/a.raw", &disk, Packing::Gzip).label("io.infranetes.colour", "red"),
            "label io.infranetes.colour cannot be used: there is no such fact",
        ),
        (
            "size",
            Built::of("disk/a.raw", &disk, Packing::Gzip).label("io.infranetes.disk-gib", "2"),
            "its label io.infranetes.disk-gib: its virtual size of 2147483648 bytes passes the limit of 1073741824 bytes",
        ),
    ] {
        let message = refused(&registry, &scratch, case, &built).await;
        assert!(message.contains(part), "{case}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_disks_that_are_too_large() {
    let limits = Limits { virtual_size_bytes: 8 << 20, unpacked_bytes: 16 << 20 };
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::with(limits).await;
    let zeros = vec![0; 64 << 20];
    for packing in [Packing::Gzip, Packing::Zstd] {
        // One file that says how long it is, and endless zeros after the archive.
        let told = Built::of("disk/a.qcow2", &zeros, packing);
        let message = refused(&registry, &scratch, &format!("told-{}", packing as u8), &told).await;
        assert!(message.contains("passes the limit of 16777216 unpacked bytes"), "{message}");
        let mut archive = tarball(&[Item::File("disk/a.raw", &raw_disk(1 << 20, 1))]);
        archive.extend_from_slice(&zeros);
        let trailing = Built { layers: vec![Layer::new(&archive, packing)], ..Built::default() };
        let message = refused(&registry, &scratch, &format!("trailing-{}", packing as u8), &trailing).await;
        assert!(message.contains("passes the limit of 16777216 unpacked bytes"), "{message}");
    }
    let large = Built::of("disk/a.raw", &raw_disk(12 << 20, 1), Packing::Gzip);
    let message = refused(&registry, &scratch, "large", &large).await;
    assert!(
        message.contains("virtual size of 12582912 bytes passes the limit of 8388608 bytes"),
        "{message}"
    );
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("large.vdi");
    run("qemu-img", &["create", "-q", "-f", "vdi", file.to_str().unwrap(), "1G"]);
    let before = scratch.inventory();
    let error = scratch.store.import(&file, ImportFormat::Vdi, "large", |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("virtual size of 1073741824 bytes passes the limit"), "{error}");
    assert_eq!(scratch.inventory(), before);
}
