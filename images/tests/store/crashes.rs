//! Processes that are killed in the middle of a pull or an import.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use images::{ImportFormat, RegistryAuth, Step, Store};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::content::{Built, Packing, raw_disk};
use super::proxy::{Fault, Proxy};
use super::registry::{Access, Registry};
use super::{LIMITS, Scratch, inventory, plain};

/// Tells the copy of this program what to do; without it `child` does nothing.
const ROLE: &str = "IMAGES_TEST_CHILD";

/// Not a test of its own: what the killed process runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    match words.as_slice() {
        ["pull", root, host, reference] => {
            let store = Store::open(root.as_ref(), LIMITS).await.unwrap();
            let _ = store.pull(reference, &RegistryAuth::Anonymous, &plain(host)).await;
        }
        ["import", root, file] => {
            let store = Store::open(root.as_ref(), LIMITS).await.unwrap();
            let stop = |progress: images::Progress| {
                if progress.step == Step::Publish {
                    let mut out = std::io::stdout();
                    out.write_all(b"\nconverted\n").and_then(|()| out.flush()).unwrap();
                    loop {
                        std::thread::park();
                    }
                }
            };
            let _ = store.import(file.as_ref(), ImportFormat::Raw, "killed", stop).await;
        }
        other => panic!("no such role: {other:?}"),
    }
}

fn start(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::child", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Opens the store as the next start does, and compares it with one that was never used.
async fn opens_clean(root: &Path) -> Store {
    let fresh = Scratch::new().await;
    let store = Store::open(root, LIMITS).await.unwrap();
    assert_eq!(inventory(root), fresh.inventory());
    assert!(store.list().await.unwrap().is_empty());
    store
}

fn has(root: &Path, part: &str) -> bool {
    inventory(root).iter().any(|(path, _)| path.to_string_lossy().contains(part))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_pull_leaves_a_store_that_opens_clean() {
    let registry = Registry::start(Access::Open).await;
    let built = Built::of("disk/a.raw", &raw_disk(1 << 20, 9), Packing::Plain);
    registry.push("killed/image", "1", &built).await;
    let layer = built.layers[0].digest();
    let stalled = layer.clone();
    let proxy = Proxy::start(&registry.host, move |request, before| {
        if request.path.contains(&stalled) && before == 0 { Fault::Stall(300_000) } else { Fault::None }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let reference = format!("{}/killed/image:1", proxy.host);
    let mut child = start(&format!("pull {} {} {reference}", root.display(), proxy.host));
    proxy.asked(&layer).await;
    // While it lives, another opener takes nothing away from it.
    Store::open(&root, LIMITS).await.unwrap();
    assert!(has(&root, ".part") && has(&root, ".lock"), "{:?}", inventory(&root));
    child.kill().await.unwrap();
    let store = opens_clean(&root).await;
    let image = store.pull(&reference, &RegistryAuth::Anonymous, &plain(&proxy.host)).await.unwrap();
    assert_eq!(image.id, built.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_import_leaves_a_store_that_opens_clean() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let file: PathBuf = directory.path().join("disk.raw");
    std::fs::write(&file, raw_disk(1 << 20, 2)).unwrap();
    let mut child = start(&format!("import {} {}", root.display(), file.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let converted = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line == "converted" {
                return;
            }
        }
        panic!("the import ended early");
    };
    tokio::time::timeout(Duration::from_secs(60), converted)
        .await
        .expect("the import does not come that far");
    Store::open(&root, LIMITS).await.unwrap();
    assert!(has(&root, "converted"), "{:?}", inventory(&root));
    child.kill().await.unwrap();
    let store = opens_clean(&root).await;
    store.import(&file, ImportFormat::Raw, "killed", |_| {}).await.unwrap();
}
