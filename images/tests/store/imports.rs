//! Imports.

use std::sync::{Arc, Mutex};

use images::{Error, ImportFormat, Step};

use super::Scratch;
use super::content::{disk_file, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_becomes_a_pinned_qcow2_with_the_same_content() {
    let scratch = Scratch::new().await;
    let files = tempfile::tempdir().unwrap();
    for (extension, qemu, options) in [
        ("qcow2", "qcow2", [].as_slice()),
        ("raw", "raw", &[]),
        ("vmdk", "vmdk", &["-o", "subformat=streamOptimized"]),
        ("vmdk", "vmdk", &["-o", "subformat=monolithicSparse"]),
        ("vhd", "vpc", &["-o", "force_size=on"]),
        ("vhdx", "vhdx", &[]),
        ("vdi", "vdi", &[]),
    ] {
        let file = files.path().join(format!("disk.{extension}"));
        disk_file(&file, qemu, options, 7);
        let format = ImportFormat::from_extension(&file).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let image = scratch
            .store
            .import(&file, format, "legacy/app:1", move |progress| record.lock().unwrap().push(progress))
            .await
            .unwrap_or_else(|error| panic!("{extension} {options:?}: {error}"));
        assert!(image.pinned);
        assert_eq!(image.tags, ["infranetes.local/legacy/app:1"]);
        let base = scratch.store.base(&image.id).await.unwrap();
        assert_eq!(base.format, "qcow2");
        run(
            "qemu-img",
            &["compare", "-f", qemu, "-F", "qcow2", file.to_str().unwrap(), base.path.to_str().unwrap()],
        );
        let seen = seen.lock().unwrap();
        let converted: Vec<f32> =
            seen.iter().filter(|p| p.step == Step::Convert).map(|p| p.percent).collect();
        assert!(converted.is_sorted() && converted.last() == Some(&100.0), "{converted:?}");
        assert_eq!(seen.last().unwrap().step, Step::Publish);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_on_other_files_or_is_something_else_is_refused() {
    let scratch = Scratch::new().await;
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    let flat = ["-o", "subformat=monolithicFlat"];
    disk_file(&at("flat.vmdk"), "vmdk", &flat, 1);
    disk_file(&at("base.vmdk"), "vmdk", &[], 1);
    let (base, child) = (at("base.vmdk").display().to_string(), at("child.vmdk").display().to_string());
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", &base, "-F", "vmdk", &child]);
    disk_file(&at("parent.vhd"), "vpc", &[], 1);
    let mut differencing = std::fs::read(at("parent.vhd")).unwrap();
    differencing[60..64].copy_from_slice(&4_u32.to_be_bytes());
    std::fs::write(at("child.vhd"), differencing).unwrap();
    let mut sparse = std::fs::read(at("base.vmdk")).unwrap();
    sparse[12..20].fill(0);
    std::fs::write(at("nocapacity.vmdk"), sparse).unwrap();
    // The header tells of no descriptor, and QEMU reads it all the same.
    let mut hidden = std::fs::read(at("child.vmdk")).unwrap();
    hidden[28..44].fill(0);
    std::fs::write(at("hidden.vmdk"), hidden).unwrap();
    let mut several = std::fs::read(at("base.vmdk")).unwrap();
    several[28..44].fill(0);
    let extent = b"\nRW 4096 FLAT \"/etc/shadow\" 0\n";
    several[1024..1024 + extent.len()].copy_from_slice(extent);
    std::fs::write(at("several.vmdk"), several).unwrap();
    for name in ["text.vmdk", "text.vhd", "text.vhdx", "text.vdi", "text.qcow2"] {
        std::fs::write(at(name), "no disk at all ".repeat(200)).unwrap();
    }
    let before = scratch.inventory();
    for (name, part) in [
        ("flat.vmdk", "extents are in other files"),
        ("child.vmdk", "stands on a parent disk"),
        ("hidden.vmdk", "stands on a parent disk"),
        ("several.vmdk", "names extents in other files"),
        ("nocapacity.vmdk", "tells no capacity"),
        ("child.vhd", "differencing disk with a parent"),
        ("text.vmdk", "called vmdk but is none"),
        ("text.vhd", "called vhd but is none"),
        ("text.vhdx", "called vhdx but is none"),
        ("text.vdi", "called vdi but is none"),
        ("text.qcow2", "called qcow2 but is none"),
        ("absent.raw", "there is no file"),
    ] {
        let format = ImportFormat::from_extension(name.as_ref()).unwrap();
        let error = scratch.store.import(&at(name), format, "bad", |_| {}).await.expect_err(name);
        assert!(matches!(error, Error::Refused(_)) && error.to_string().contains(part), "{name}: {error}");
        assert_eq!(scratch.inventory(), before, "{name} left something");
    }
    for name in ["UPPER", "../x", "a b", ""] {
        let error =
            scratch.store.import(&at("base.vmdk"), ImportFormat::Vmdk, name, |_| {}).await.expect_err(name);
        assert!(matches!(error, Error::BadReference(_)), "{name}: {error:?}");
    }
    assert_eq!(scratch.inventory(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_changed_after_the_check_is_imported_as_it_was() {
    let scratch = Scratch::new().await;
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    let (file, kept) = (at("disk.qcow2"), at("kept.qcow2"));
    disk_file(&at("secret.qcow2"), "qcow2", &[], 9);
    let (base, overlay) = (at("secret.qcow2").display().to_string(), at("overlay.qcow2"));
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &base, "-F", "qcow2", overlay.to_str().unwrap()]);
    for in_place in [true, false] {
        disk_file(&file, "qcow2", &[], 7);
        std::fs::copy(&file, &kept).unwrap();
        let (changed, overlay) = (file.clone(), overlay.clone());
        let change = move |progress: images::Progress| {
            if (progress.step, progress.percent) == (Step::Check, 100.0) {
                if !in_place {
                    std::fs::remove_file(&changed).unwrap();
                }
                std::fs::copy(&overlay, &changed).unwrap();
            }
        };
        let image = scratch.store.import(&file, ImportFormat::Qcow2, "swapped", change).await.unwrap();
        let base = scratch.store.base(&image.id).await.unwrap();
        run("qemu-img", &["compare", kept.to_str().unwrap(), base.path.to_str().unwrap()]);
    }
}
