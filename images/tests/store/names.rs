//! Names that move, images that go, leases that keep them.

use std::os::unix::fs::PermissionsExt;

use images::{Error, ImportFormat, RegistryAuth, Store};

use super::content::{Built, Packing, raw_disk};
use super::registry::{Access, Registry};
use super::{LIMITS, Scratch, plain};

const ANYONE: RegistryAuth = RegistryAuth::Anonymous;

async fn import(scratch: &Scratch, seed: u8, name: &str) -> images::Image {
    let file = tempfile::Builder::new().suffix(".raw").tempfile().unwrap();
    std::fs::write(file.path(), raw_disk(1 << 20, seed)).unwrap();
    scratch.store.import(file.path(), ImportFormat::Raw, name, |_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_pushed_again_moves() {
    let registry = Registry::start(Access::Open).await;
    let scratch = Scratch::new().await;
    let registries = plain(&registry.host);
    let old = Built::of("disk/a.raw", &raw_disk(1 << 20, 1), Packing::Gzip);
    let new = Built::of("disk/a.raw", &raw_disk(1 << 20, 2), Packing::Gzip);
    let reference = registry.push("app", "latest", &old).await;
    let first = scratch.store.pull(&reference, &ANYONE, &registries).await.unwrap();
    registry.push("app", "latest", &new).await;
    let second = scratch.store.pull(&reference, &ANYONE, &registries).await.unwrap();
    assert_eq!((first.id, second.id.clone()), (old.id(), new.id()));
    let untagged = scratch.store.find(&old.id()).await.unwrap().unwrap();
    assert!(untagged.tags.is_empty());
    assert_eq!(scratch.store.list().await.unwrap().len(), 2);
    // A reference without a tag means the latest, and a digest still means the old one.
    let bare = reference.strip_suffix(":latest").unwrap();
    assert_eq!(scratch.store.find(bare).await.unwrap().unwrap().id, new.id());
    let by_digest = scratch.store.pull(&untagged.digests[0], &ANYONE, &registries).await.unwrap();
    assert_eq!(by_digest.id, old.id());
    scratch.store.remove(&old.id()).await.unwrap();
    scratch.store.remove(&reference).await.unwrap();
    assert!(scratch.store.list().await.unwrap().is_empty());
    assert_eq!(scratch.store.find(&reference).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_taken_one_by_one_and_ids_with_all_of_them() {
    let scratch = Scratch::new().await;
    let one = import(&scratch, 1, "legacy/app:1").await;
    let same = import(&scratch, 1, "infranetes.local/legacy/app:stable").await;
    assert_eq!(one.id, same.id);
    assert_eq!(same.tags, ["infranetes.local/legacy/app:1", "infranetes.local/legacy/app:stable"]);
    let local = scratch.store.pull("infranetes.local/legacy/app:1", &ANYONE, &plain("none")).await.unwrap();
    assert_eq!(local.id, one.id);
    let missing =
        scratch.store.pull("infranetes.local/legacy/other:1", &ANYONE, &plain("none")).await.unwrap_err();
    assert!(missing.to_string().contains("infranetes image import"), "{missing}");

    scratch.store.remove("infranetes.local/legacy/app:1").await.unwrap();
    let left = scratch.store.find(&one.id).await.unwrap().unwrap();
    assert_eq!(left.tags, ["infranetes.local/legacy/app:stable"]);
    scratch.store.remove("infranetes.local/legacy/app:1").await.unwrap();
    scratch.store.remove("infranetes.local/legacy/app:stable").await.unwrap();
    assert_eq!(scratch.store.find(&one.id).await.unwrap(), None);

    import(&scratch, 1, "a").await;
    import(&scratch, 1, "b").await;
    scratch.store.remove(&one.id[7..19]).await.unwrap();
    assert!(scratch.store.list().await.unwrap().is_empty());
    scratch.store.remove(&one.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_in_use_stays() {
    let scratch = Scratch::new().await;
    let image = import(&scratch, 1, "app").await;
    let store = &scratch.store;
    store.lease(&image.id, "pod-b").await.unwrap();
    store.lease(&image.id, "pod-a").await.unwrap();
    store.lease(&image.id, "pod-a").await.unwrap();
    for name in [image.id.as_str(), "infranetes.local/app:latest"] {
        let error = store.remove(name).await.unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains("is in use by pod-a, pod-b"), "{error}");
    }
    // Another process, or the same one after a kill, sees the same.
    let again = Store::open(&scratch.root(), LIMITS).await.unwrap();
    let expected = vec![(image.id.clone(), "pod-a".to_owned()), (image.id.clone(), "pod-b".to_owned())];
    assert_eq!(again.leases().await.unwrap(), expected);
    for holder in ["pod-a", "pod-b", "pod-b", "never"] {
        store.release(&image.id, holder).await.unwrap();
    }
    store.remove(&image.id).await.unwrap();
    store.release(&image.id, "pod-a").await.unwrap();
    assert!(matches!(store.lease(&image.id, "pod-a").await, Err(Error::NotFound(_))));
    assert!(matches!(store.base(&image.id).await, Err(Error::NotFound(_))));
    for holder in ["", "../x", ".hidden", "a/b"] {
        assert!(matches!(
            store.lease(&image.id, holder).await,
            Err(Error::NotFound(_) | Error::BadReference(_))
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_and_a_removal_never_pass_each_other() {
    let scratch = Scratch::new().await;
    for round in 0..20 {
        let image = import(&scratch, 1, "app").await;
        let other = Store::open(&scratch.root(), LIMITS).await.unwrap();
        let (store, id, removed_id) = (scratch.store.clone(), image.id.clone(), image.id.clone());
        let lease = tokio::spawn(async move { store.lease(&id, "pod").await });
        let remove = tokio::spawn(async move { other.remove(&removed_id).await });
        let (leased, removed) = (lease.await.unwrap(), remove.await.unwrap());
        let there = scratch.store.find(&image.id).await.unwrap().is_some();
        match (&leased, &removed) {
            (Ok(()), Err(Error::InUse { .. })) => assert!(there, "round {round}"),
            (Err(Error::NotFound(_)), Ok(())) => assert!(!there, "round {round}"),
            other => panic!("round {round}: {other:?}"),
        }
        scratch.store.release(&image.id, "pod").await.unwrap();
        scratch.store.remove(&image.id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemus_own_user_reaches_a_base_by_its_path_and_nothing_else() {
    let scratch = Scratch::new().await;
    let empty = scratch.store.usage().await.unwrap();
    let image = import(&scratch, 1, "app").await;
    let usage = scratch.store.usage().await.unwrap();
    assert!(usage.bytes >= empty.bytes + image.size_bytes && usage.inodes > empty.inodes);
    let base = scratch.store.base(&image.id).await.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&base.path), 0o444);
    let mut folder = base.path.parent().unwrap();
    while folder != scratch.root() {
        assert_eq!(mode(folder), 0o711, "{}", folder.display());
        folder = folder.parent().unwrap();
    }
    assert_eq!(mode(&scratch.root()), 0o711);
    for private in ["blobs", "work"] {
        assert_eq!(mode(&scratch.root().join(private)), 0o700);
    }
}
