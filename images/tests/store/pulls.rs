//! Pulls that succeed.

use images::{Credential, Error, Registries, RegistryAuth};

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
            .label("io.infranetes.password", "calvin")
            .label("org.example", "kept");
        built.user = "107".to_owned();
        let tag = format!("{packing:?}").to_lowercase();
        let reference = registry.push("legacy/app", &tag, &built).await;
        let image =
            scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await.unwrap();
        assert_eq!(image.id, built.id());
        assert_eq!(image.tags, [reference.as_str()]);
        assert_eq!(image.digests, [format!("{}/legacy/app@{}", registry.host, digest(&built.manifest()))]);
        assert_eq!(image.facts.user.as_deref(), Some("admin"));
        assert_eq!(image.labels["org.example"], "kept");
        assert_eq!(image.facts.credential, Some(Credential::Password("calvin".into())));
        assert_eq!(image.facts.shown().credential, Some(Credential::Password("[redacted]".into())));
        assert!(!format!("{image:?}").contains("calvin"), "{image:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upper_layers_decide_which_disk_survives() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let (old, new) = (raw_disk(1 << 20, 1), raw_disk(1 << 20, 2));
    let layer = |items: &[Item<'_>]| Layer::new(&tarball(items), Packing::Gzip);
    let below = || layer(&[Item::Folder("disk"), Item::File("disk/old.raw", &old)]);
    for (case, layers, expected) in [
        ("kept", vec![below(), layer(&[Item::File("etc/motd", b"hello")])], &old),
        (
            "whiteout",
            vec![below(), layer(&[Item::File("disk/.wh.old.raw", b""), Item::File("disk/new.raw", &new)])],
            &new,
        ),
        (
            "opaque",
            vec![
                below(),
                layer(&[Item::File("./disk/.wh..wh..opq", b""), Item::File("./disk/new.raw", &new)]),
            ],
            &new,
        ),
        (
            "folder",
            vec![below(), layer(&[Item::File(".wh.disk", b"")]), layer(&[Item::File("disk/new.raw", &new)])],
            &new,
        ),
        ("replaced", vec![below(), layer(&[Item::File("disk/old.raw", &new)])], &new),
        (
            "returned",
            vec![
                below(),
                layer(&[Item::File("disk/.wh.old.raw", b"")]),
                layer(&[Item::File("disk/old.raw", &new)]),
            ],
            &new,
        ),
        ("beside", vec![below(), layer(&[Item::File("disk/README", b"read me")])], &old),
    ] {
        let built = Built { layers, ..Built::default() };
        let reference = registry.push("layers", case, &built).await;
        let image = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await;
        let image = image.unwrap_or_else(|error| panic!("{case}: {error}"));
        let base = scratch.store.base(&image.id).await.unwrap();
        assert_eq!(base.format, "raw");
        assert!(std::fs::read(&base.path).unwrap() == *expected, "{case}");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&base.path.metadata().unwrap());
        assert!(blocks * 512 < 512 << 10, "{case}: zeros take up space: {blocks} blocks");
    }
    let gone =
        Built { layers: vec![below(), layer(&[Item::File("disk/.wh.old.raw", b"")])], ..Built::default() };
    let reference = registry.push("layers", "gone", &gone).await;
    let error =
        scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await.unwrap_err();
    assert!(error.to_string().contains("has no disk"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_format_is_what_the_name_says_and_else_what_the_first_bytes_say() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let (raw, qcow2) = (raw_disk(1 << 20, 3), qcow2(3));
    for (path, content, format) in [
        ("disk/a.img", &raw, "raw"),
        ("disk/a.img", &qcow2, "qcow2"),
        ("disk/downloaded", &qcow2, "qcow2"),
        ("disk/downloaded", &raw, "raw"),
        ("disk/a.QCOW2", &qcow2, "qcow2"),
    ] {
        let reference = registry.push("formats", "1", &Built::of(path, content, Packing::Zstd)).await;
        let image =
            scratch.store.pull(&reference, &RegistryAuth::Anonymous, &plain(&registry.host)).await.unwrap();
        assert_eq!(scratch.store.base(&image.id).await.unwrap().format, format, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_leads_to_the_image_for_this_kind_of_machine() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let arm = Built::of("disk/a.raw", &raw_disk(1 << 20, 1), Packing::Gzip);
    let amd = Built::of("disk/a.raw", &raw_disk(1 << 20, 2), Packing::Gzip);
    registry.push("multi", "arm", &arm).await;
    registry.push("multi", "amd", &amd).await;
    let entry = |built: &Built, architecture: &str| {
        serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&built.manifest()),
            "size": built.manifest().len(),
            "platform": { "os": "linux", "architecture": architecture },
        })
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = |entries: Vec<serde_json::Value>| {
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        serde_json::to_vec(&index).unwrap()
    };
    let both = index(vec![entry(&arm, "arm64"), entry(&amd, "amd64")]);
    registry.push_manifest("multi", "both", media_type, both.clone()).await;
    let registries = plain(&registry.host);
    let by_tag = format!("{}/multi:both", registry.host);
    let by_digest = format!("{}/multi@{}", registry.host, digest(&both));
    for reference in [&by_tag, &by_digest] {
        let image = scratch.store.pull(reference, &RegistryAuth::Anonymous, &registries).await.unwrap();
        assert_eq!(image.id, amd.id());
        assert_eq!(image.digests, [by_digest.as_str()]);
    }
    registry.push_manifest("multi", "none", media_type, index(vec![entry(&arm, "arm64")])).await;
    let reference = format!("{}/multi:none", registry.host);
    let error = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &registries).await.unwrap_err();
    assert!(error.to_string().contains("no image for linux/amd64"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pull_shows_its_own_credential() {
    let registry = Registry::start(Access::Password).await;
    let scratch = Scratch::new().await;
    let reference =
        registry.push("private", "1", &Built::of("disk/a.raw", &raw_disk(1 << 20, 1), Packing::Gzip)).await;
    let registries = plain(&registry.host);
    let basic = |password: &str| RegistryAuth::Basic { username: "pilot".into(), password: password.into() };
    scratch.store.pull(&reference, &basic("s3cret"), &registries).await.unwrap();
    // That the image is in the store lets nobody else have it.
    for auth in [RegistryAuth::Anonymous, basic("wr0ng"), RegistryAuth::Bearer("t0ken".into())] {
        let error = scratch.store.pull(&reference, &auth, &registries).await.unwrap_err();
        assert!(matches!(error, Error::Denied(_)), "{error:?}");
        let text = format!("{error} {error:?}");
        assert!(text.contains("imagePullSecret"), "{text}");
        assert!(!text.contains("wr0ng") && !text.contains("t0ken"), "{text}");
    }
    let absent = format!("{}/private:2", registry.host);
    let error = scratch.store.pull(&absent, &basic("s3cret"), &registries).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_with_an_authority_of_ones_own_and_http_for_listed_hosts_alone() {
    let registry = Registry::start(Access::Tls).await;
    let scratch = Scratch::new().await;
    let built = Built::of("disk/a.raw", &raw_disk(1 << 20, 1), Packing::Gzip);
    let reference = registry.push("secure", "1", &built).await;
    let trusted = Registries { plain_http: Vec::new(), ca_files: vec![registry.ca_file()] };
    let image = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &trusted).await.unwrap();
    assert_eq!(image.id, built.id());
    let before = scratch.inventory();
    let unknown = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &Registries::default()).await;
    let error = unknown.unwrap_err();
    assert!(error.to_string().contains("ertificate"), "{error}");
    let open = Registry::start(Access::Open).await;
    let reference = open.push("open", "1", &built).await;
    let unlisted = scratch.store.pull(&reference, &RegistryAuth::Anonymous, &trusted).await;
    assert!(unlisted.unwrap_err().retryable());
    assert_eq!(open.downloads(&built.layers[0].digest()), 0);
    assert_eq!(scratch.inventory(), before);
}
