//! Pulls that succeed.

use images::{Error, RegistryAuth};

use super::content::{Built, Item, Layer, Packing, digest, qcow2, raw_disk, tarball};
use super::registry::{Access, Registry};
use super::{Scratch, plain};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_disk_of_every_packing_becomes_an_image() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let disk = qcow2(packing as u8);
        let mut built = Built::of("disk/legacy.qcow2", &disk, packing)
            .label("io.infranetes.user", "admin")
            .label("org.example", "kept");
        built.user = "107".to_owned();
        let tag = format!("{packing:?}").to_lowercase();
        let reference = registry.push("legacy/app", &tag, &built).await;
        let image =
            scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await.unwrap();
        assert_eq!(image.id, built.id());
        assert_eq!(image.tags, [reference.clone()]);
        assert_eq!(image.digests, [format!("{}/legacy/app@{}", registry.host, digest(&built.manifest()))]);
        assert_eq!(image.facts.user.as_deref(), Some("admin"));
        assert_eq!(image.labels["org.example"], "kept");
        assert_eq!(image.config_user.as_deref(), Some("107"));
        assert!(!image.pinned);
        let base = scratch.store.base(&image.id).await.unwrap();
        assert_eq!((base.format.as_str(), base.virtual_size_bytes), ("qcow2", 2 << 20));
        assert!(std::fs::read(&base.path).unwrap() == disk);
        assert_eq!(scratch.store.find(&reference).await.unwrap().as_ref(), Some(&image));
        assert_eq!(scratch.store.find(&image.digests[0]).await.unwrap().as_ref(), Some(&image));
        assert_eq!(scratch.store.find(&image.id).await.unwrap().as_ref(), Some(&image));
        assert_eq!(scratch.store.find(&image.id[7..20]).await.unwrap().as_ref(), Some(&image));
    }
    assert_eq!(scratch.store.list().await.unwrap().len(), 3);
    let left: Vec<_> = scratch
        .inventory()
        .into_iter()
        .filter(|(path, _)| {
            path.starts_with("blobs") && path.as_os_str() != "blobs"
                || path.starts_with("work") && path.as_os_str() != "work"
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
