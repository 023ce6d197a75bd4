//! The kinds of guests: each is pulled, booted, entered, read and shut down, unmodified.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use proto::runtime::v1::{ContainerState, DnsConfig, PodSandboxConfig, PodSandboxStatusRequest};
use tests::Node;

use crate::client::{Client, pod};

/// The packets on the pod network are smaller than usual, which every guest has to learn.
const NODE: &str = "[timeouts]\nstart-wait-seconds = 110\n[network]\nmode = \"builtin\"\nmtu = 1400";

/// A pod whose guest has answered.
struct Guest {
    node: Node,
    client: Client,
    pod: String,
    id: String,
    address: String,
    log: PathBuf,
}

impl Guest {
    /// Pulls the image and boots it.
    async fn boot(name: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> Self {
        Self::boot_by("", name, change).await
    }

    /// The same where further configuration says what the image needs.
    async fn boot_by(rules: &str, name: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> Self {
        let (node, mut client) = crate::node_with(&format!("{NODE}\n{rules}")).await;
        let image = format!("{}/guests/{name}:latest", node.registry());
        client.pull(&image).await.unwrap();
        let mut config = pod("legacy-pod", &node.pod_logs());
        config.dns_config = Some(DnsConfig {
            servers: vec!["192.0.2.53".into()],
            searches: vec!["svc.example".into()],
            options: vec!["ndots:3".into()],
        });
        change(&mut config);
        let pod = client.run_pod(&config).await.unwrap();
        let id = client.create(&pod, "machine", &image).await.unwrap();
        client.start(&id).await.unwrap();
        // A slow node may need longer than the start waits.
        let running = i32::from(ContainerState::ContainerRunning);
        assert_eq!(client.status(&id).await.unwrap().state, running);
        let answer = client.exec(&id, &["true"], 0).await;
        let log = node.pod_logs().join("legacy-pod/machine/0.log");
        answer
            .unwrap_or_else(|error| panic!("{error}: {}", std::fs::read_to_string(&log).unwrap_or_default()));
        let address = client.pod_status(&pod).await.unwrap().network.unwrap().ip;
        Self { node, client, pod, id, address, log }
    }

    /// What a command prints in the guest.
    async fn output(&mut self, command: &[&str]) -> String {
        self.client.output(&self.id, command).await
    }

    /// The guest has exactly the pod's address, and the network's MTU.
    async fn has_its_address(&mut self) {
        let shown = self.output(&["ip", "addr", "show", "eth0"]).await;
        assert!(shown.contains(&format!("inet {}/16", self.address)), "{}: {shown}", self.address);
        assert_eq!(shown.matches("inet ").count(), 1, "no other address: {shown}");
        assert!(shown.contains("mtu 1400"), "{shown}");
    }

    /// Its resolver has the pod's servers, domains and options, whatever its own services made of it.
    async fn resolves_names_as_asked(&mut self) {
        let file = self.output(&["cat", "/etc/resolv.conf"]).await;
        assert_eq!(file, "nameserver 192.0.2.53\nsearch svc.example\noptions ndots:3");
    }

    /// What tells it from others: its name, its machine id, its host key.
    async fn is_known_by(&mut self) -> [String; 3] {
        let key = self.output(&["sh", "-c", "cat /etc/ssh/ssh_host_ed25519_key.pub"]).await;
        [self.output(&["hostname"]).await, self.output(&["cat", "/etc/machine-id"]).await, key]
    }

    /// Waits until the container's log has a line with this.
    async fn logs(&mut self, part: &str) {
        self.client.logged(&self.id, &self.log, part).await;
    }

    /// The node reaches its web server.
    fn page(&self) -> String {
        let url = format!("http://{}/", self.address);
        let page = self.node.namespace().command("busybox").args(["wget", "-qO-", &url]).output().unwrap();
        assert!(page.status.success(), "{page:?}");
        String::from_utf8(page.stdout).unwrap()
    }

    /// Shuts down in good order and leaves nothing.
    async fn ends_well(mut self) {
        self.client.stop(&self.id, 240).await.unwrap();
        let ended = self.client.status(&self.id).await.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
        self.client.stop_pod(&self.pod).await.unwrap();
        self.client.remove_pod(&self.pod).await.unwrap();
        let left = self.node.inventory().unwrap();
        assert!(left.0.is_empty(), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_image_is_set_up_by_its_seed() {
    crate::within(900, cloud()).await;
}

async fn cloud() {
    let mut guest = Guest::boot("cloud", |config| config.hostname = "told-by-pod".into()).await;
    guest.has_its_address().await;
    assert_eq!(guest.output(&["hostname"]).await, "told-by-pod");
    let resolver = guest.output(&["cat", "/run/systemd/resolve/resolv.conf"]).await;
    assert!(resolver.contains("192.0.2.53"), "the pod's name server: {resolver}");
    assert!(resolver.contains("svc.example"), "the pod's search domain: {resolver}");
    guest.resolves_names_as_asked().await;
    // The host key is the one that was made for this pod, so the first connection was already authenticated.
    let verbose = PodSandboxStatusRequest { pod_sandbox_id: guest.pod.clone(), verbose: true };
    let told = guest.client.runtime.pod_sandbox_status(verbose).await.unwrap().into_inner().info;
    let key = guest.output(&["cut", "-d ", "-f2", "/etc/ssh/ssh_host_ed25519_key.pub"]).await;
    assert!(told["info"].contains(&key), "{key} is not in {}", told["info"]);
    assert_eq!(
        guest.output(&["sh", "-c", "ls /etc/ssh/ssh_host_*_key"]).await,
        "/etc/ssh/ssh_host_ed25519_key"
    );
    guest.logs("Started ssh.service").await;
    let first = guest.is_known_by().await;
    guest.ends_well().await;

    // Another pod of the same image is another machine in every respect.
    let mut guest = Guest::boot("cloud", |config| config.hostname = "another".into()).await;
    let second = guest.is_known_by().await;
    for (one, other) in first.iter().zip(&second) {
        assert!(!one.is_empty() && one != other, "{first:?} {second:?}");
    }
    guest.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_the_tpm_that_its_image_asks_for() {
    crate::within(300, tpm()).await;
}

async fn tpm() {
    let rule = "[[image]]\npattern = \"*/guests/mini\"\nfacts.tpm = \"2.0\"\n";
    let mut guest = Guest::boot_by(rule, "mini", |_| ()).await;
    let chip = "/sys/class/tpm/tpm0";
    assert_eq!(guest.output(&["cat", &format!("{chip}/tpm_version_major")]).await, "2");
    // What the firmware has measured of the boot loader.
    let measured = guest.output(&["cat", &format!("{chip}/pcr-sha256/4")]).await;
    assert!(measured.len() == 64 && measured.bytes().any(|digit| digit != b'0'), "{measured}");
    guest.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_systemd_guest_is_read_through_its_journal() {
    crate::within(800, systemd()).await;
}

async fn systemd() {
    let log = ("infranetes.io/log".to_owned(), "journal:legacy-app.service".to_owned());
    let mut guest = Guest::boot("systemd", |config| config.annotations.extend([log])).await;
    guest.has_its_address().await;
    assert!(guest.page().contains("hello from the legacy application"));
    guest.logs("line 3").await;
    // The web server of the unit logs each request.
    let gateway = "10.89.0.1";
    guest.logs(gateway).await;
    let resolver = guest.output(&["cat", "/run/systemd/resolve/resolv.conf"]).await;
    assert!(resolver.contains("192.0.2.53"), "the pod's name server: {resolver}");
    guest.resolves_names_as_asked().await;
    guest.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sysvinit_guest_is_entered_by_its_password() {
    crate::within(800, sysvinit()).await;
}

async fn sysvinit() {
    let mut guest = Guest::boot("sysvinit", |_| ()).await;
    guest.has_its_address().await;
    guest.resolves_names_as_asked().await;
    assert_eq!(guest.output(&["sh", "-c", "test -d /run/systemd/system || echo none"]).await, "none");
    guest.logs("batch: line ").await;
    guest.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropbear_guest_is_entered_by_its_password() {
    crate::within(300, dropbear()).await;
}

async fn dropbear() {
    let mut guest = Guest::boot("dropbear", |_| ()).await;
    guest.has_its_address().await;
    assert_eq!(guest.output(&["hostname"]).await, "legacy-pod");
    assert!(guest.page().contains("hello from dropbear"));
    guest.resolves_names_as_asked().await;
    guest.logs("app: line ").await;
    guest.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_another_host_key_is_never_entered() {
    crate::within(480, other_host_key()).await;
}

async fn other_host_key() {
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("key");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status().unwrap();
    assert!(made.success());
    let key = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let config = format!(
        "[timeouts]\nstart-wait-seconds = 5\n[[image]]\npattern = \"*/guests/mini:*\"\nfacts.host-keys = [\"{}\"]\nfacts.boot-deadline-seconds = 120",
        key.trim()
    );
    let (node, mut client) = crate::node_with(&config).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let pod_id = client.run_pod(&pod("p", &node.pod_logs())).await.unwrap();
    let id = client.create(&pod_id, "machine", &image).await.unwrap();
    client.start(&id).await.unwrap();
    let error = client.exec(&id, &["true"], 0).await.unwrap_err();
    assert!(error.message().contains("host key"), "{error}");
    let ended = client.wait_for_end(&id, 120).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (126, "GuestIdentityMismatch"), "{}", ended.message);
    assert!(ended.message.contains("host key"), "{}", ended.message);
    let text = std::fs::read_to_string(node.pod_logs().join("p/machine/0.log")).unwrap();
    assert!(text.contains("mini: boot is done"), "its console is in the log: {text}");
    assert!(!text.contains("app: line"), "nothing was read in a guest that is not the expected one: {text}");
    tokio::time::timeout(Duration::from_secs(20), client.remove_pod(&pod_id)).await.unwrap().unwrap();
}
