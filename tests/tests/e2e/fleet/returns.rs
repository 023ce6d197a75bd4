//! A machine is its owner's again, and only its holder's until then, also where something goes wrong on the way.

use std::fs;

use tests::Speaks;

use super::{HANDLER, IMAGE, Setup, process};
use crate::client::pod;

impl Setup {
    /// A pod whose container is made and not started.
    async fn made(&mut self, name: &str, image: &str) -> (String, String) {
        let pod = self.client.run_pod_by(&pod(name, &self.node.pod_logs()), HANDLER).await.unwrap();
        let id = self.client.create(&pod, "machine", image).await.unwrap();
        (pod, id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_comes_to_nothing_leaves_the_machine_free() {
    crate::within(240, nothing()).await;
}

async fn nothing() {
    let mut setup = Setup::ready().await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    // It fails before anything is done to the machine: its log cannot be written.
    let (first, id) = setup.made("first", IMAGE).await;
    fs::create_dir_all(setup.node.pod_logs().join("first")).unwrap();
    fs::write(setup.node.pod_logs().join("first/machine"), "").unwrap();
    setup.client.start(&id).await.unwrap_err();

    // It fails when its address is that of the machine already: its key has gone.
    let (second, id) = setup.made("second", IMAGE).await;
    let (key, away) = (setup.folder.path().join("key"), setup.folder.path().join("away"));
    fs::rename(&key, &away).unwrap();
    let refusal = setup.client.start(&id).await.unwrap_err();
    assert!(refusal.message().contains("credential"), "{refusal}");
    fs::rename(&away, &key).unwrap();
    let address = setup.client.pod_status(&second).await.unwrap().network.unwrap().ip;
    assert!(!setup.shows_page(&address), "the pod's address leads to a machine that it has not");

    // It is never started, and its pod stops.
    let (third, _) = setup.made("third", IMAGE).await;
    setup.client.stop_pod(&third).await.unwrap();

    let (fourth, id) = setup.start("fourth").await;
    assert_eq!(setup.client.output(&id, &["hostname"]).await, "fourth");
    for pod in [&first, &second, &third, &fourth] {
        setup.remove(pod).await;
    }
    setup.machine.becomes(&machine_before);
    setup.nothing_is_left(&before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_two_entries_serves_one_pod() {
    crate::within(120, two_entries()).await;
}

async fn two_entries() {
    let mut setup = Setup::ready().await;
    let machine_before = setup.machine.state();
    let at = setup.machine.config();
    setup.machine.says(&format!(
        "ip addr add 192.0.2.3/24 dev eth0; sed 's/^ListenAddress.*/ListenAddress 192.0.2.3/' {0} >{0}.second; \
         /usr/sbin/sshd -f {0}.second",
        at.display()
    ));
    let entry = |name: &str, address: &str| {
        format!(
            "[[machine]]\nname = \"{name}\"\naddress = \"{address}\"\nhost-keys = [\"{}\"]\ncredential = {{ key-file = \"{}\" }}\n",
            setup.machine.proof(),
            setup.folder.path().join("key").display()
        )
    };
    let more = entry("web-2", "192.0.2.3") + &entry("node", "192.0.2.1");
    let host_key = setup.machine.proof().to_owned();
    setup.list(&host_key, &more);

    let (first, holder) = setup.start("first").await;
    let (second, id) = setup.made("second", "fleet/web-2").await;
    setup.client.start(&id).await.unwrap();
    let ended = setup.client.wait_for_end(&id, 30).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (128, "StartError"), "{}", ended.message);
    assert!(ended.message.contains("in use by another pod of this node"), "{}", ended.message);
    setup.remove(&second).await;
    assert_eq!(setup.client.output(&holder, &["hostname"]).await, "first", "the holder has what is its own");
    setup.remove(&first).await;

    // And nobody adopts the node itself.
    let own = setup.client.run_pod_by(&pod("own", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let refusal = setup.client.create(&own, "machine", "fleet/node").await.unwrap_err();
    assert!(refusal.message().contains("192.0.2.1 is this node itself"), "{refusal}");
    setup.remove(&own).await;
    setup.machine.becomes(&machine_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_released_without_a_word_is_given_back_later() {
    crate::within(300, late(Speaks::Ssh)).await;
}

pub(crate) async fn late(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    // The daemon dies when the pod is about to stop, and the next one has no session.
    setup.node.daemon().kill();
    let serves =
        tokio::task::block_in_place(|| setup.node.start_daemon_to_die_at("pod-stop-recorded")).unwrap();
    assert!(serves);
    setup.client = crate::client::Client::connect(&setup.node.socket()).await;
    let (pod_id, _) = setup.start("killed").await;
    let secret = setup.secret("uid-killed", "a secret");
    let id = setup.client.create_with(&pod_id, process(IMAGE, &secret)).await.unwrap();
    setup.client.start(&id).await.unwrap();
    let log = setup.node.pod_logs().join("killed/process/0.log");
    setup.client.logged(&id, &log, "it has a secret").await;
    setup.client.stop_pod(&pod_id).await.unwrap_err();
    setup.restart_daemon().await;
    setup.remove(&pod_id).await;
    setup.machine.says("rm /run/said /root/kept");
    setup.machine.becomes(&machine_before);

    // The machine is out of reach at the end, and the pod long gone when it comes back.
    let (pod_id, _) = setup.start("silent").await;
    setup.machine.says("ip link set eth0 down");
    setup.remove(&pod_id).await;
    assert_eq!(setup.machine.says("hostname"), "silent");
    let (_, text) = setup.fleet(&["ls"]);
    assert!(text.contains("to be given back"), "{text}");
    setup.machine.says("ip link set eth0 up");
    setup.machine.becomes(&machine_before);
    setup.nothing_is_left(&before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_another_node_has_by_now_is_not_shut_down() {
    crate::within(120, another_s()).await;
}

async fn another_s() {
    let mut setup = Setup::ready().await;
    let host_key = setup.machine.proof().to_owned();
    setup.list(&host_key, "power-off = true\n");
    let (pod_id, id) = setup.start("last").await;
    setup.machine.says("echo other-node-1 c1 >/run/infranetes-lent.holder");
    setup.client.stop(&id, 10).await.unwrap();
    setup.client.wait_for_end(&id, 30).await;
    setup.remove(&pod_id).await;
    assert_eq!(setup.machine.says("cat /run/infranetes-lent.holder"), "other-node-1 c1");
    assert_eq!(setup.machine.says("hostname"), "last", "what it has is not touched");
}
