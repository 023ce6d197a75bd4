//! A daemon killed at any moment.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

const DAEMON: &str = "NETWORK_TEST_DAEMON";

#[tokio::test]
async fn a_kill_at_each_record_is_finished_or_undone() {
    on_a_node!("a_kill_at_each_record_is_finished_or_undone");
    let state = tempfile::tempdir().unwrap();
    let network = builtin(state.path(), &["10.89.0.0/24"]);
    cycle(&network, "warm").await;
    let before = inventory(state.path());
    let request = pod("cut");
    for step in 0..5 {
        for finish in [true, false] {
            let whole = network.attach(&request).await.unwrap();
            let mut entry = super::super::cache::load(network.cache(), &request.id).unwrap().unwrap();
            // The record as it was when the daemon died; the effects went further.
            entry.joined = step > 3;
            if step < 3 {
                // The join, which empties eth0, only ever follows this record.
                super::super::tap::restore(&request.id, entry.result.as_ref().unwrap()).await.unwrap();
                entry.attachment = None;
            }
            if step < 2 {
                entry.result = None;
            }
            super::super::cache::save(network.cache(), &entry).unwrap();
            if step == 2 || step == 4 {
                super::super::netns::remove(&request.id).await.unwrap();
                // The kernel removes what was in it a moment later, and its other end with it.
                let removed = Instant::now();
                while inventory(state.path()).1 != before.1 {
                    assert!(removed.elapsed() < Duration::from_secs(20), "links are left");
                }
            }
            let again = builtin(state.path(), &["10.89.0.0/24"]);
            assert_eq!(again.list().await.unwrap().iter().filter(|id| **id == request.id).count(), 1);
            if finish {
                let second = again.attach(&request).await.unwrap();
                assert_eq!(second.addresses.len(), 1);
                if step == 3 {
                    assert_eq!(second, whole);
                }
            }
            again.detach(&request.id).await.unwrap();
            assert_eq!(inventory(state.path()), before, "cut at step {step}, finished: {finish}");
        }
    }
}

/// The part of the daemon: attaches a pod, and is killed while it does.
#[tokio::test]
async fn daemon_to_be_killed() {
    let Some(state) = std::env::var_os(DAEMON) else { return };
    let request = PodNetworkRequest { id: std::env::var("POD").unwrap(), ..pod("cut") };
    let _ = configured(Path::new(&state)).attach(&request).await;
}

/// Starts a daemon that attaches, and kills it as soon as one of its plugins says that it is there.
async fn killed_in_add(configured: &Configured, id: &str) {
    let fifo = configured.path().join("reached");
    run("mkfifo", &[fifo.to_str().unwrap()]);
    let daemon = std::env::current_exe().unwrap();
    let mut daemon = Command::new(daemon);
    let mut daemon = daemon
        .args(["--exact", "--nocapture"])
        .env(DAEMON, configured.path())
        .env("POD", id)
        .process_group(0);
    let name = concat!(module_path!(), "::daemon_to_be_killed");
    daemon = daemon.arg(name.split_once("::").unwrap().1);
    let mut daemon = daemon.spawn().unwrap();
    let there = tokio::time::timeout(Duration::from_secs(60), read(fifo.clone())).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(there.expect("the plugin never ran").unwrap().unwrap(), "there\n");
    std::fs::remove_file(fifo).unwrap();
}

/// Whether anything runs that was started for a pod's plugins.
fn runs(id: &str) -> bool {
    let mark = format!("CNI_CONTAINERID={id}");
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&mark)
    })
}

fn list(data: &Path, ipam: &str, last: &str) -> serde_json::Value {
    json!({ "cniVersion": "1.0.0", "name": "infranetes", "plugins": [
        { "type": "bridge", "bridge": "test0", "isGateway": true, "ipMasq": true,
          "ipam": { "type": ipam, "subnet": "10.89.0.0/24", "dataDir": data } },
        { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        { "type": last },
    ]})
}

#[tokio::test]
async fn a_kill_between_plugins_frees_the_address_that_nobody_recorded() {
    on_a_node!("a_kill_between_plugins_frees_the_address_that_nobody_recorded");
    let state = tempfile::tempdir().unwrap();
    let data = state.path().join("addresses");
    let configured = Configured::new("10-a.conflist", &list(&data, "host-local", "stall"));
    let said = configured.path().join("reached");
    configured.plugin(
        "stall",
        &format!("[ $CNI_COMMAND = DEL ] && exit 0\necho there > {}\nexec sleep 1000", said.display()),
    );
    let network = configured.network();
    let before = inventory(state.path());
    let id = pod("cut").id;
    killed_in_add(&configured, &id).await;
    assert_eq!(reserved(&data.join("infranetes")).len(), 1, "the address is taken");
    assert!(runs(&id), "the plugin outlives its daemon");
    assert_eq!(network.list().await.unwrap(), [id.as_str()]);
    network.detach(&id).await.unwrap();
    assert!(!runs(&id));
    assert!(network.list().await.unwrap().is_empty());
    let after = inventory(state.path());
    assert_eq!(after.2, Vec::<String>::new());
    // The bridge stays, and the masquerading chain's frame.
    assert!(!after.0.contains("8080") && !after.0.contains("10.89."), "{}", after.0);
    assert_eq!(after.1, before.1 + 1);
}

#[tokio::test]
async fn a_kill_inside_a_plugin_leaves_nothing_that_goes_on() {
    on_a_node!("a_kill_inside_a_plugin_leaves_nothing_that_goes_on");
    let state = tempfile::tempdir().unwrap();
    let data = state.path().join("addresses");
    let configured = Configured::new("10-a.conflist", &list(&data, "slow-local", "portmap"));
    let said = configured.path().join("reached");
    // The real one, which waits for its lock as the test holds it: the bridge is half way then.
    configured.plugin(
        "slow-local",
        &format!("[ $CNI_COMMAND = ADD ] && echo there > {}\nexec /usr/lib/cni/host-local", said.display()),
    );
    let network = configured.network();
    std::fs::create_dir_all(data.join("infranetes")).unwrap();
    for turn in 0..5 {
        let id = pod(&format!("half{turn}")).id;
        let lock = std::fs::File::create(data.join("infranetes/lock")).unwrap();
        lock.lock().unwrap();
        killed_in_add(&configured, &id).await;
        assert!(runs(&id), "the plugin outlives its daemon");
        drop(lock);
        network.detach(&id).await.unwrap();
        assert!(!runs(&id));
        let (rules, links, addresses) = inventory(state.path());
        assert_eq!(addresses, Vec::<String>::new());
        assert!(!rules.contains("8080") && !rules.contains("10.89."), "{rules}");
        assert_eq!(links, 2, "loopback and the bridge");
    }
}
