//! A guest's names and volumes are its pod's, whatever its DHCP client does, and are put back after a reboot from inside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use proto::runtime::v1::{DnsConfig, Mount};
use tests::Node;

use crate::client::{Client, container, pod};

/// How long a guest may take to be back, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);
const BOOT_ID: [&str; 2] = ["cat", "/proc/sys/kernel/random/boot_id"];
/// What the pod asks for, and how the guest shows it: `/etc/hosts` has an alias, a volume has a file.
const LOOK: &str = "cat /etc/resolv.conf /proc/sys/kernel/hostname /etc/hostname /etc/hosts /etc/app/key";
const WANTED: &str = "nameserver 192.0.2.53\nsearch svc.example\noptions ndots:3\ntold-by-pod\ntold-by-pod\n\
                      192.0.2.7 alias.example\nof the cluster";

struct Guest {
    node: Node,
    client: Client,
    id: String,
}

impl Guest {
    async fn boot(name: &str) -> Self {
        let (node, mut client) = crate::node_with("[timeouts]\nstart-wait-seconds = 110").await;
        let image = format!("{}/guests/{name}:latest", node.registry());
        client.pull(&image).await.unwrap();
        let mut config = pod("names", &node.pod_logs());
        config.hostname = "told-by-pod".into();
        config.annotations.insert("infranetes.io/on-reset".into(), "continue".into());
        config.dns_config = Some(DnsConfig {
            servers: vec!["192.0.2.53".into()],
            searches: vec!["svc.example".into()],
            options: vec!["ndots:3".into()],
        });
        let of_pod = node.kubelet().join("pods/uid-names");
        let volume = of_pod.join("volumes/kubernetes.io~configmap/config");
        fs::create_dir_all(volume.join("..1")).unwrap();
        fs::write(volume.join("..1/key"), "of the cluster\n").unwrap();
        symlink("..1", volume.join("..data")).unwrap();
        fs::write(of_pod.join("etc-hosts"), "192.0.2.7 alias.example\n").unwrap();
        let pod_id = client.run_pod(&config).await.unwrap();
        let mut machine = container("machine", &image);
        for (from, to) in [(volume, "/etc/app"), (of_pod.join("etc-hosts"), "/etc/hosts")] {
            let host_path = from.display().to_string();
            machine.mounts.push(Mount { container_path: to.into(), host_path, ..Mount::default() });
        }
        let id = client.create_with(&pod_id, machine).await.unwrap();
        client.start(&id).await.unwrap();
        // A slow node may need longer than the start waits.
        client.exec(&id, &["true"], 0).await.unwrap();
        Self { node, client, id }
    }

    /// What the guest shows; an error counts as something else.
    async fn shown(&mut self) -> String {
        match self.client.exec(&self.id, &["sh", "-c", LOOK], 20).await {
            Ok(answer) => String::from_utf8_lossy(&answer.stdout).trim().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Boots the guest anew from inside; returns when it answers again.
    async fn reboot(&mut self) {
        let before = self.client.output(&self.id, &BOOT_ID).await;
        let _ = self.client.exec(&self.id, &["reboot"], 5).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.client.exec(&self.id, &BOOT_ID, 5).await {
                Ok(answer) if answer.stdout.trim_ascii() != before.as_bytes() => return,
                other => assert!(Instant::now() < deadline, "it does not come back: {other:?}"),
            }
            // The protocol offers no event for it.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Boots the guest, has its DHCP client do its work once more, and boots it anew from inside.
async fn names_hold(image: &str, renew: &str) {
    let mut guest = Guest::boot(image).await;
    assert_eq!(guest.shown().await, WANTED, "after the boot");
    let renewed = guest.client.exec(&guest.id, &["sh", "-c", renew], 60).await.unwrap();
    let said = String::from_utf8_lossy(&[renewed.stdout, renewed.stderr].concat()).into_owned();
    assert_eq!(renewed.exit_code, 0, "{said}");
    assert_eq!(guest.shown().await, WANTED, "after the lease was asked for again: {said}");
    guest.reboot().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // They are set soon after the guest's first answer.
        let shown = guest.shown().await;
        if shown == WANTED {
            return;
        }
        assert!(Instant::now() < deadline, "after a reboot from inside it still is: {shown}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_that_no_daemon_saw_is_found() {
    crate::within(480, unseen_reboot()).await;
}

async fn unseen_reboot() {
    let mut guest = Guest::boot("mini").await;
    let before = guest.client.output(&guest.id, &BOOT_ID).await;
    // The guest does it once the daemon is gone, and with that every connection to its port 22.
    let talks = "cat /proc/net/tcp /proc/net/tcp6 | grep -q ':0016 [0-9A-F]*:[0-9A-F]* 01 '";
    let later =
        format!("setsid sh -c \"while {talks}; do sleep 0.2; done; reboot\" >/dev/null 2>&1 </dev/null &");
    guest.client.output(&guest.id, &["sh", "-c", &later]).await;
    tokio::task::block_in_place(|| guest.node.daemon().kill());
    let consoles = guest.node.dir().join("state/machines/qemu");
    let deadline = Instant::now() + PATIENCE;
    while boots(&consoles) < 2 {
        assert!(Instant::now() < deadline, "the guest does not boot anew");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    tokio::task::block_in_place(|| guest.node.start_daemon()).unwrap();
    guest.client = Client::connect(&guest.node.socket()).await;
    assert_eq!(guest.client.output(&guest.id, &["sh", "-c", LOOK]).await, WANTED, "at its first answer");
    assert_ne!(guest.client.output(&guest.id, &BOOT_ID).await, before);
}

/// How often the one machine of a node has come up, as its console tells.
fn boots(machines: &Path) -> usize {
    let machine = fs::read_dir(machines).unwrap().flatten().next().unwrap().path();
    fs::read_to_string(machine.join("console.log")).unwrap_or_default().matches("mini: boot is done").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_hold_beside_udhcpc() {
    let renew = "udhcpc -i eth0 -n -q -S -O mtu -O hostname -O search -s /etc/udhcpc.sh";
    crate::within(480, names_hold("mini", renew)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_hold_beside_dhclient() {
    crate::within(800, names_hold("sysvinit", "dhclient -1 -v eth0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_hold_beside_systemd() {
    let renew = "networkctl renew eth0 && systemctl restart systemd-resolved";
    crate::within(800, names_hold("systemd", renew)).await;
}
