//! `infranetes fleet`: what a person on the node sees of machines that run already.

use std::process::Output;

use super::{HANDLER, IMAGE, Setup};
use crate::client::pod;

impl Setup {
    /// Runs a command of `infranetes fleet` on the node.
    pub(crate) fn fleet(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.node.infranetes();
        command.arg("fleet").args(arguments).arg("--config").arg(self.node.config_path());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        (status.success(), text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_who_has_which_machine_and_whether_it_is_well() {
    crate::within(240, commands()).await;
}

async fn commands() {
    let mut setup = Setup::ready().await;
    let (well, text) = setup.fleet(&["ls"]);
    assert!(
        well && text
            .contains("fleet/web-1   192.0.2.2:22   ssh         linux   fleet      -         rack=b2"),
        "{text}"
    );
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("ok") && text.contains("lets us in"), "{text}");

    let (pod_id, _) = setup.start("holder").await;
    let (_, text) = setup.fleet(&["ls"]);
    assert!(text.contains("default/holder"), "{text}");
    setup.remove(&pod_id).await;
    // Who holds one that was not started is told, too.
    let pod_id = setup.client.run_pod_by(&pod("reserved", &setup.node.pod_logs()), HANDLER).await.unwrap();
    setup.client.create(&pod_id, "machine", IMAGE).await.unwrap();
    let (_, text) = setup.fleet(&["ls"]);
    assert!(text.contains("default/reserved"), "{text}");
    setup.remove(&pod_id).await;

    let other = transports::generate_key("other").unwrap().public_openssh;
    setup.list(&other, "");
    let (well, text) = setup.fleet(&["check", "web-1"]);
    assert!(!well && text.contains("another machine") && text.contains("it shows SHA256:"), "{text}");
    let host_key = setup.machine.proof().to_owned();
    let key = setup.folder.path().join("key");
    setup.list(
        &host_key,
        &format!(
            "[[machine]]\nname = \"bare\"\naddress = \"192.0.2.2:2222\"\ncredential = {{ key-file = \"{}\" }}\n",
            key.display()
        ),
    );
    let (well, text) = setup.fleet(&["check", "bare"]);
    assert!(!well && text.contains("unreachable"), "nothing listens there: {text}");
    // Nothing of it is pinned: the credential is sent only to whom that is asked for.
    let entry = format!(
        "[[machine]]\nname = \"new\"\naddress = \"192.0.2.2\"\ntrust-on-first-use = true\ncredential = {{ key-file = \"{}\" }}\n",
        key.display()
    );
    std::fs::write(setup.folder.path().join("fleet.toml"), entry).unwrap();
    let (well, text) = setup.fleet(&["check", "new"]);
    assert!(
        well && text.contains("first key") && text.contains("--trust") && !text.contains("lets us in"),
        "{text}"
    );
    let (well, text) = setup.fleet(&["check", "new", "--trust"]);
    assert!(well && text.contains("no key of it is pinned, and it lets us in"), "{text}");
    let (well, text) = setup.fleet(&["check", "nobody"]);
    assert!(!well && text.contains("no inventory has a machine \"nobody\""), "{text}");
    // An address that no pod could have the machine by is none.
    let own = "[[machine]]\nname = \"own\"\naddress = \"192.0.2.1\"\ntrust-on-first-use = true\n";
    setup.list(&host_key, own);
    let (well, text) = setup.fleet(&["check", "own"]);
    assert!(!well && text.contains("192.0.2.1 is this node itself"), "{text}");
    setup.list(&host_key, "");
    setup.machine.fail();
    let (well, text) = setup.fleet(&["check", "web-1"]);
    assert!(!well && text.contains("unreachable"), "{text}");
}
