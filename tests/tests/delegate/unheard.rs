//! The delegate was never heard: the node is not ready, for it may run what nobody here knows of, unless the node has booted since.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proto::runtime::v1 as cri;
use tests::{Daemon, Options};
use tokio::task::block_in_place;
use tokio::time::Instant;
use tonic::Code;

use crate::client::{Client, pod};
use crate::mixed::{self, Mixed, Version};
use crate::{away, late};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_ready_before_its_delegate_was_heard() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let ours = client.run_pod(&pod("ours", &mixed.node.pod_logs())).await.unwrap();
        let (theirs, _) = mixed.ordinary(&mut client, "theirs", "while :; do sleep 1; done").await;
        let both = [ours.clone(), theirs.clone()];
        assert_eq!(mixed::pods(&mut client).await, both);

        // As on a node that is switched over while containerd is down.
        forget(&mut mixed);
        fs::remove_file(mark(&mixed)).unwrap();
        let kept = mixed.node.dir().join("state/delegate-config");
        fs::remove_file(&kept).unwrap();
        mixed.restart_daemon();
        client = mixed.client().await;
        assert_eq!(ready(&mut client).await, (false, "DelegateNeverHeard".to_owned()));
        assert_eq!(mixed::pods(&mut client).await, [&*ours], "ours are told all the same");
        let config = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap_err();
        assert_eq!(config.code(), Code::Unavailable, "a kubelet would keep another cgroup driver: {config}");
        mixed.start_delegate();
        back(&mut client, &both).await;
        // A kubelet that could not start asks again. Nobody waits until that is written down.
        client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap();
        let begun = Instant::now();
        while !kept.exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is not kept");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        // As after a boot of the node: what it ran before that is gone, and nothing waits for it.
        forget(&mut mixed);
        fs::write(mark(&mixed), "an earlier boot").unwrap();
        mixed.restart_daemon();
        client = mixed.client().await;
        assert_eq!(ready(&mut client).await, (true, "OneSideNotReady".to_owned()));
        let config = client.runtime.runtime_config(cri::RuntimeConfigRequest {}).await.unwrap().into_inner();
        assert!(config.linux.is_some(), "no boot changes what it expects: {config:?}");
        assert_eq!(mixed::pods(&mut client).await, [&*ours]);
        mixed.start_delegate();
        back(&mut client, &both).await;
        for pod in both {
            mixed::remove(&mut client, &pod).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waits_for_its_delegate_stops_when_it_is_told_to() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        // Its socket goes with it.
        block_in_place(|| mixed.node.daemon().terminate()).unwrap();
        forget(&mut mixed);
        let _ = fs::remove_file(mark(&mixed));
        let (node, log) = (&mixed.node, mixed.node.dir().join("early.log"));
        let binary = Options::from_env().unwrap().binary;
        let mut early =
            Daemon::start_to_die(node.namespace(), &binary, &node.config_path(), &node.socket(), &log, None)
                .unwrap();
        // It is made when the pods are back, and the delegate is waited for from then on.
        let begun = Instant::now();
        while !node.dir().join("run/delegate").exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it does not come that far: {}",
                early.printed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended = block_in_place(|| {
            early.terminate()?;
            early.wait_for_end(Duration::ZERO)
        });
        assert!(ended.unwrap().success(), "in good order: {}", early.printed());
        assert!(!node.socket().exists(), "nobody is left a socket");
    })
    .await;
}

/// Ends both sides, and what is kept of the delegate until a boot.
fn forget(mixed: &mut Mixed) {
    mixed.node.daemon().kill();
    mixed.containerd().kill();
    fs::remove_dir_all(mixed.node.dir().join("run/delegate")).unwrap();
}

/// Where it stands in which boot the delegate was heard.
fn mark(mixed: &Mixed) -> PathBuf {
    mixed.node.dir().join("state/delegate-heard")
}

/// Whether a kubelet would do anything, and why not all is well.
async fn ready(client: &mut Client) -> (bool, String) {
    let status = client.runtime.status(cri::StatusRequest { verbose: false }).await.unwrap().into_inner();
    let conditions = status.status.unwrap().conditions;
    let ready = conditions.into_iter().find(|condition| condition.r#type == "RuntimeReady").unwrap();
    (ready.status, ready.reason)
}

/// Lists until the delegate answers, as a kubelet does; then all is well.
async fn back(client: &mut Client, pods: &[String]) {
    let begun = Instant::now();
    // One that has told the one list and is late with the other has that other one fail.
    while late::listed(client).await.ok().as_deref() != Some(pods) || containers(client).await != Some(1) {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come back by itself");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    away::well(client).await;
}

/// How many containers are listed; none where the list fails.
async fn containers(client: &mut Client) -> Option<usize> {
    let listed = client.runtime.list_containers(cri::ListContainersRequest::default()).await.ok()?;
    Some(listed.into_inner().containers.len())
}
