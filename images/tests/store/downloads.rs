//! Downloads that are cut, falsified, shared and cancelled.

use images::{Error, RegistryAuth};

use super::content::{Built, Item, Layer, Packing, qcow2, raw_disk, tarball};
use super::proxy::{Fault, Proxy, Request, Switch};
use super::registry::{Access, Registry};
use super::{Scratch, plain};

const ANYONE: RegistryAuth = RegistryAuth::Anonymous;

/// An image whose one layer has some length, pushed to a registry behind a proxy.
async fn behind(
    decide: impl Fn(bool, usize) -> Fault + Send + Sync + 'static,
) -> (Registry, Proxy, Built, String) {
    let registry = Registry::start(Access::Open).await;
    let built = Built::of("disk/a.raw", &raw_disk(1 << 20, 9), Packing::Plain);
    registry.push("cut/image", "1", &built).await;
    let layer = built.layers[0].digest();
    let proxy =
        Proxy::start(&registry.host, move |request, before| decide(request.path.ends_with(&layer), before))
            .await;
    let reference = format!("{}/cut/image:1", proxy.host);
    (registry, proxy, built, reference)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_download_goes_on_where_it_stopped() {
    let cut = |layer, before| if layer && before == 0 { Fault::Cut(300_000) } else { Fault::None };
    let (_registry, proxy, built, reference) = behind(cut).await;
    let scratch = Scratch::new().await;
    let image = scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap();
    assert_eq!(image.id, built.id());
    let offsets: Vec<_> = proxy.requests(&built.layers[0].digest()).iter().map(|r| r.offset).collect();
    assert_eq!(offsets, [None, Some(300_000)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_ranges_is_asked_from_the_start() {
    let cut = |layer, before| match (layer, before) {
        (true, 0 | 1) => Fault::NoRangeCut(200_000),
        (true, _) => Fault::NoRange,
        _ => Fault::None,
    };
    let (_registry, proxy, built, reference) = behind(cut).await;
    let scratch = Scratch::new().await;
    let image = scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap();
    let base = scratch.store.base(&image.id).await.unwrap();
    assert!(std::fs::read(base.path).unwrap() == raw_disk(1 << 20, 9));
    assert_eq!(proxy.requests(&built.layers[0].digest()).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_is_always_cut_fails_and_the_next_pull_goes_on_with_it() {
    let switch = Switch::new(Fault::Cut(0));
    let decided = switch.clone();
    let (registry, proxy, built, reference) = behind(move |layer, before| match (layer, before) {
        (true, 0) => Fault::Cut(100_000),
        (true, _) => decided.get(),
        _ => Fault::None,
    })
    .await;
    let scratch = Scratch::new().await;
    let error = scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert!(error.to_string().contains("the blob sha256:"), "{error}");
    let layer = built.layers[0].digest();
    let parts = || -> Vec<_> {
        let all = scratch.inventory().into_iter();
        all.filter(|(path, _)| path.to_string_lossy().ends_with(".part")).collect()
    };
    let before = parts();
    assert_eq!(before.iter().map(|(_, length)| *length).collect::<Vec<_>>(), [100_000]);
    assert!(before[0].0.to_string_lossy().contains(&layer[7..]), "{before:?}");
    switch.set(Fault::None);
    // Another image that lies about the size is in nobody's way.
    let mut forged: serde_json::Value = serde_json::from_slice(&built.manifest()).unwrap();
    forged["layers"][0]["size"] = 5_000.into();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.push_manifest("cut/image", "forged", media_type, serde_json::to_vec(&forged).unwrap()).await;
    let lying = format!("{}/cut/image:forged", proxy.host);
    let error = scratch.store.pull(&lying, &ANYONE, &plain(&proxy.host)).await.unwrap_err();
    assert!(error.to_string().contains("longer than the 5000 bytes"), "{error}");
    assert_eq!(parts(), before);
    scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap();
    assert_eq!(proxy.requests(&layer).last().unwrap().offset, Some(100_000));
    assert!(parts().is_empty(), "{:?}", parts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_are_refused_and_nothing_stays() {
    for wrong in ["/blobs/", "/manifests/"] {
        let registry = Registry::start(Access::Open).await;
        let built = Built::of("disk/a.qcow2", &qcow2(4), Packing::Zstd);
        registry.push("wrong/image", "1", &built).await;
        let proxy = Proxy::start(&registry.host, move |request, _| {
            if request.path.contains(wrong) { Fault::Corrupt } else { Fault::None }
        })
        .await;
        let scratch = Scratch::new().await;
        let before = scratch.inventory();
        let manifest = super::content::digest(&built.manifest());
        let reference = format!("{}/wrong/image@{manifest}", proxy.host);
        let error = scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("damaged or forged"), "{error}");
        assert_eq!(scratch.inventory(), before);
    }
    let corrupt = |layer, _| if layer { Fault::Corrupt } else { Fault::None };
    let (_registry, proxy, built, reference) = behind(corrupt).await;
    let scratch = Scratch::new().await;
    let before = scratch.inventory();
    let error = scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap_err();
    assert!(error.to_string().contains("damaged or forged"), "{error}");
    assert!(error.to_string().contains(&built.layers[0].digest()), "{error}");
    assert_eq!(scratch.inventory(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_pulls_at_once_are_one_download_and_ten_manifests() {
    let (_registry, proxy, built, reference) = behind(|_, _| Fault::None).await;
    let scratch = Scratch::new().await;
    let registries = plain(&proxy.host);
    let mut pulls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (store, reference, registries) = (scratch.store.clone(), reference.clone(), registries.clone());
        pulls.spawn(async move { store.pull(&reference, &ANYONE, &registries).await });
    }
    while let Some(pulled) = pulls.join_next().await {
        assert_eq!(pulled.unwrap().unwrap().id, built.id());
    }
    assert_eq!(proxy.requests("/manifests/").len(), 10);
    assert_eq!(proxy.requests(&built.layers[0].digest()).len(), 1);
    assert_eq!(scratch.store.list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_images_share_the_download_of_a_layer_and_a_cancelled_downloader_is_replaced() {
    let switch = Switch::new(Fault::Stall(100_000));
    let decided = switch.clone();
    let (registry, proxy, built, reference) =
        behind(move |layer, _| if layer { decided.get() } else { Fault::None }).await;
    // Another image of the same layer.
    let other = built.clone().label("org.example", "other");
    registry.push("cut/image", "2", &other).await;
    let second = format!("{}/cut/image:2", proxy.host);
    let scratch = Scratch::new().await;
    let start = |reference: String| {
        let (store, registries) = (scratch.store.clone(), plain(&proxy.host));
        tokio::spawn(async move { store.pull(&reference, &ANYONE, &registries).await })
    };
    let layer = built.layers[0].digest();
    let first = start(reference);
    proxy.asked(&layer).await;
    let waiting = start(second);
    // The second has its configuration, and wants the layer next.
    let config = other.id();
    proxy.asked(&config).await;
    switch.set(Fault::None);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let image = waiting.await.unwrap().unwrap();
    assert_eq!(image.id, other.id());
    assert_eq!(proxy.requests(&layer).len(), 2, "one that was cancelled, one that went on");
    assert_eq!(scratch.store.list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_stalls_holds_no_pull_from_another_and_what_is_whole_is_shared() {
    let registry = Registry::start(Access::Open).await;
    let lower = Layer::new(&tarball(&[Item::File("etc/motd", b"hello")]), Packing::Gzip);
    let mut built = Built::of("disk/a.raw", &raw_disk(1 << 20, 3), Packing::Gzip);
    built.layers.insert(0, lower);
    registry.push("shared/image", "1", &built).await;
    let [below, above] = [0, 1].map(|n: usize| built.layers[n].digest());
    let stalled = above.clone();
    let stall = move |request: &Request, _| {
        if request.path.ends_with(&stalled) { Fault::Stall(1000) } else { Fault::None }
    };
    let slow = Proxy::start(&registry.host, stall).await;
    let good = Proxy::start(&registry.host, |_, _| Fault::None).await;
    let scratch = Scratch::new().await;
    let (store, registries) = (scratch.store.clone(), plain(&slow.host));
    let reference = format!("{}/shared/image:1", slow.host);
    let held = tokio::spawn(async move { store.pull(&reference, &ANYONE, &registries).await });
    slow.asked(&above).await;
    let (reference, registries) = (format!("{}/shared/image:1", good.host), plain(&good.host));
    let pull = scratch.store.pull(&reference, &ANYONE, &registries);
    let image = tokio::time::timeout(std::time::Duration::from_secs(30), pull).await.expect("held").unwrap();
    assert_eq!(image.id, built.id());
    assert_eq!((good.requests(&below).len(), good.requests(&above).len()), (0, 1));
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
}
