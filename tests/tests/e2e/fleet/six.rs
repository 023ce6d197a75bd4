//! A machine of IPv6, on a node that has both.

use tests::Machine;

use super::{HANDLER, Setup};
use crate::client::pod;

const NODE: &str = "2001:db8::1";
const MACHINE: &str = "2001:db8::2";

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_ipv6_is_the_pods_second_address() {
    crate::within(180, six()).await;
}

async fn six() {
    let mut setup = Setup::ready().await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    has_address(&setup);
    let key = setup.folder.path().join("key");
    let entry = setup.machine.entry(setup.machine.proof(), &key);
    let entry = entry.replace(&setup.machine.address(), MACHINE);
    setup.write(&format!("[[machine]]\nname = \"six\"\n{entry}"));
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("[2001:db8::2]:22"), "{text}");

    let pod_id = setup.client.run_pod_by(&pod("first", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let network = setup.client.pod_status(&pod_id).await.unwrap().network.unwrap();
    let [second] = &network.additional_ips[..] else { panic!("{network:?}") };
    let (four, six) = (network.ip.clone(), format!("[{}]", second.ip));
    let id = setup.client.create(&pod_id, "machine", "fleet/six").await.unwrap();
    assert!(!setup.shows_page(&six), "nothing is forwarded to a machine that is not in use");
    setup.client.start(&id).await.unwrap();
    assert_eq!(setup.client.output(&id, &["hostname"]).await, "first");
    assert!(setup.shows_page(&six), "the pod's address of IPv6 leads to the machine");
    assert!(!setup.shows_page(&four), "its other one leads nowhere");

    setup.restart_daemon().await;
    assert_eq!(super::said(&mut setup.client, &id, &["hostname"]).await, "first");
    assert!(setup.shows_page(&six));
    setup.client.stop(&id, 10).await.unwrap();
    assert!(!setup.shows_page(&six), "a released machine is no pod");
    setup.remove(&pod_id).await;
    setup.machine.becomes(&machine_before);
    setup.nothing_is_left(&before);
}

/// Gives the machine and the node addresses, and a server that listens on the machine's.
fn has_address(setup: &Setup) {
    let Setup { node, machine, .. } = setup;
    let command = |words: &str| {
        let mut words = words.split(' ');
        let output = node.namespace().command(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    command(&format!("ip addr add {NODE}/64 dev {} nodad", Machine::cable(super::NETWORK)));
    machine.says(&format!(
        "ip addr add {MACHINE}/64 dev eth0 nodad; sed 's/^ListenAddress.*/ListenAddress {MACHINE}/' {0} >{0}.six; \
         /usr/sbin/sshd -f {0}.six",
        machine.config().display()
    ));
}
