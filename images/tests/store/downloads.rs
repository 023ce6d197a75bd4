//! Downloads that are cut, falsified, shared and cancelled.

use images::{Error, RegistryAuth};

use super::content::{Built, Packing, qcow2, raw_disk};
use super::proxy::{Fault, Proxy, Switch};
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
    let (_registry, proxy, built, reference) = behind(move |layer, before| match (layer, before) {
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
    let part = scratch.root().join("blobs").join(format!("{}.part", &layer[7..]));
    assert_eq!(part.metadata().unwrap().len(), 100_000);
    switch.set(Fault::None);
    scratch.store.pull(&reference, &ANYONE, &plain(&proxy.host)).await.unwrap();
    assert_eq!(proxy.requests(&layer).last().unwrap().offset, Some(100_000));
    assert!(!part.exists());
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
