//! A machine is its owner's again, and only its holder's until then, also where something goes wrong on the way.

use std::fs;

use super::{HANDLER, IMAGE, Setup, says_page};
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
    crate::within(120, nothing()).await;
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
    assert!(!says_page(&setup.fetch(&address)), "the pod's address leads to a machine that it has not");

    // It is never started, and its pod stops.
    let (third, _) = setup.made("third", IMAGE).await;
    setup.client.stop_pod(&third).await.unwrap();

    let (fourth, id) = setup.start("fourth").await;
    assert_eq!(setup.client.output(&id, &["hostname"]).await, "fourth");
    for pod in [&first, &second, &third, &fourth] {
        setup.remove(pod).await;
    }
    setup.machine.becomes(&machine_before);
    assert_eq!(setup.node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}
