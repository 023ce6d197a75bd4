//! Imports.

use std::sync::{Arc, Mutex};

use images::{ImportFormat, Step};

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
