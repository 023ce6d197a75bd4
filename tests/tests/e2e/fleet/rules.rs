//! Rules of the configuration hold for the machines of a fleet, wherever such a machine is looked at.

use std::path::Path;

use super::{HANDLER, Setup};
use crate::client::pod;

/// Rules for two names: one says all that the entry does not, one what cannot be.
pub(super) fn text(key: &Path) -> String {
    format!(
        "[[image]]\npattern = \"fleet/ruled\"\n\
         facts = {{ credential = {{ key-file = \"{}\" }}, trust-on-first-use = true }}\n\
         [[image]]\npattern = \"fleet/spoilt*\"\nfacts = {{ scheme = \"http\" }}\n",
        key.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_says_of_a_machine_holds() {
    crate::within(120, ruled()).await;
}

async fn ruled() {
    let mut setup = Setup::ready().await;
    let before = setup.node.inventory().unwrap();
    setup.write("[[machine]]\nname = \"ruled\"\naddress = \"192.0.2.2\"\n");
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("first key"), "{text}");
    let (well, text) = setup.fleet(&["check", "--trust"]);
    assert!(well && text.contains("it lets us in"), "{text}");
    let pod_id = setup.client.run_pod_by(&pod("ruled", &setup.node.pod_logs()), HANDLER).await.unwrap();
    // As the kubelet names it; the rule has no tag.
    let id = setup.client.create(&pod_id, "machine", "fleet/ruled:latest").await.unwrap();
    setup.client.start(&id).await.unwrap();
    assert_eq!(setup.client.output(&id, &["hostname"]).await, "ruled");
    setup.remove(&pod_id).await;

    let entry = setup.entry(setup.machine.proof());
    setup.write(&format!("[[machine]]\nname = \"spoilt\"\n{entry}"));
    let (well, text) = setup.fleet(&["check"]);
    assert!(!well && text.contains("wrong entry") && text.contains("do not go together"), "{text}");
    let pod_id = setup.client.run_pod_by(&pod("spoilt", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let refusal = setup.client.create(&pod_id, "machine", "fleet/spoilt").await.unwrap_err();
    assert!(refusal.message().contains("do not go together"), "{refusal}");
    setup.remove(&pod_id).await;
    setup.nothing_is_left(&before);
}
