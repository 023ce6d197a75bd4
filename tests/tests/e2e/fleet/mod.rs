//! Pods on machines that run already. The machine is a real SSH server with a network, processes and names of its own.

mod commands;
mod kills;
pub(crate) mod logins;
pub(crate) mod returns;
mod rules;
mod six;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use proto::runtime::v1::{self as cri, ContainerConfig, ContainerState, Mount};
use tempfile::TempDir;
use tests::{Inventory, Machine, Node, Options, Speaks};

use crate::client::{Client, container, pod, spec};

pub(crate) const IMAGE: &str = "fleet/web-1";
pub(crate) const HANDLER: &str = "vm-fleet";
/// Where the machine's network is.
const NETWORK: &str = "192.0.2";
/// What else its entry says.
const MORE: &str = "labels = { rack = \"b2\" }\nlog = \"file:/run/app.log\"\nanswer-within-seconds = 20\n";
/// How long it may take until the daemon knows that a machine has nothing of its pods.
const PAID: Duration = Duration::from_secs(10);

/// A node with a fleet, and the one machine of it.
pub(crate) struct Setup {
    pub(crate) node: Node,
    pub(crate) client: Client,
    pub(crate) machine: Machine,
    pub(crate) folder: TempDir,
}

impl Setup {
    async fn ready() -> Self {
        Self::of(Speaks::Ssh).await
    }

    /// The same, with a machine that speaks this.
    pub(crate) async fn of(speaks: Speaks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("fleet.toml"), "").unwrap();
        let mut options = Options::from_env().expect("the tests' environment");
        options.machines = false;
        options.registry = None;
        options.config = format!(
            "[handlers.vm]\nprovider = \"qemu\"\n[handlers.{HANDLER}]\nprovider = \"fleet\"\n\
             [providers.fleet]\nkind = \"fleet\"\ninventory = \"{}/fleet.toml\"\n[network]\nmode = \"builtin\"\n\
             subnets = [\"10.89.0.0/16\", \"fd00:89::/64\"]\n{}",
            folder.path().display(),
            rules::text(&folder.path().join("key"))
        );
        let node = tokio::task::block_in_place(|| Node::start(options)).expect("a node");
        let client = Client::connect(&node.socket()).await;
        let machine = Machine::beside(node.namespace(), NETWORK, speaks, &folder.path().join("key"));
        let setup = Self { node, client, machine, folder };
        // The daemon reads it anew.
        setup.list(setup.machine.proof(), "");
        setup
    }

    /// Waits until the daemon has no session to the machine any more: `WinRM` has no connection that ends with a boot.
    async fn is_missed(&mut self, id: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let ran = self.client.exec(id, &["true"], 1).await;
            if ran.as_ref().is_err_and(|error| error.message().contains("is still silent")) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "it is not missed: {ran:?}");
        }
    }

    /// Writes the inventory: the machine, known by this proof.
    pub(crate) fn list(&self, proof: &str, more: &str) {
        self.write(&format!("[[machine]]\nname = \"web-1\"\n{}{MORE}{more}", self.entry(proof)));
    }

    /// How the machine is reached, known by this proof.
    pub(crate) fn entry(&self, proof: &str) -> String {
        self.machine.entry(proof, &self.folder.path().join("key"))
    }

    /// Writes the inventory.
    pub(crate) fn write(&self, text: &str) {
        let (new, path) = (self.folder.path().join("new"), self.folder.path().join("fleet.toml"));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// A pod whose container is the machine, started.
    pub(crate) async fn start(&mut self, name: &str) -> (String, String) {
        let pod = self.client.run_pod_by(&pod(name, &self.node.pod_logs()), HANDLER).await.unwrap();
        let id = self.client.create(&pod, "machine", IMAGE).await.unwrap();
        self.client.start(&id).await.unwrap();
        (pod, id)
    }

    /// Lays a Secret out as the kubelet does; answers its path.
    pub(crate) fn secret(&self, uid: &str, content: &str) -> PathBuf {
        secret(&self.node, uid, content)
    }

    pub(crate) async fn restart_daemon(&mut self) {
        tokio::task::block_in_place(|| self.node.kill_and_restart_daemon()).unwrap();
        self.client = Client::connect(&self.node.socket()).await;
    }

    pub(crate) async fn remove(&mut self, pod: &str) {
        self.client.stop_pod(pod).await.unwrap();
        self.client.remove_pod(pod).await.unwrap();
    }

    /// Waits until the node has nothing of its pods, nor owes anything of them.
    pub(crate) fn nothing_is_left(&self, before: &Inventory) {
        let deadline = Instant::now() + PAID;
        loop {
            let left = self.node.inventory().unwrap().beyond(before);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{left:?}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Whether an address shows the machine's page.
    pub(crate) fn shows_page(&self, address: &str) -> bool {
        String::from_utf8_lossy(&self.fetch(address).stdout).contains(&self.machine.page())
    }

    fn fetch(&self, address: &str) -> Output {
        let url = format!("http://{address}/");
        let mut command = self.node.namespace().command("timeout");
        command.args(["10", "busybox", "wget", "-q", "-O", "-", &url]).output().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_runs_is_adopted_and_given_back() {
    crate::within(360, adopted(Speaks::Ssh)).await;
}

pub(crate) async fn adopted(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    let id = setup.client.pull(IMAGE).await.unwrap();
    assert_eq!(setup.client.pull("fleet/web-1:latest").await.unwrap(), id);
    let known = |name: &str| cri::ImageStatusRequest { image: Some(spec(name)), verbose: false };
    for name in [IMAGE, "fleet/web-1:latest", &id] {
        let image = setup.client.images.image_status(known(name)).await.unwrap().into_inner().image.unwrap();
        assert!(image.pinned && image.size > 0 && image.id == id, "{name}: {image:?}");
    }
    let all = setup.client.images.list_images(cri::ListImagesRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.images[0].repo_tags, ["fleet/web-1:latest"]);
    let unknown = setup.client.pull("fleet/nobody").await.unwrap_err();
    assert!(unknown.message().contains("[[machine]]"), "{unknown}");

    let mut config = pod("first", &setup.node.pod_logs());
    config.hostname = "first-pod".into();
    config.dns_config = Some(cri::DnsConfig { servers: vec!["10.96.0.10".into()], ..Default::default() });
    let pod_id = setup.client.run_pod_by(&config, HANDLER).await.unwrap();
    let address = setup.client.pod_status(&pod_id).await.unwrap().network.unwrap().ip;
    let machine = setup.client.create(&pod_id, "machine", IMAGE).await.unwrap();
    assert!(!setup.shows_page(&address), "nothing is forwarded to a machine that is not in use");
    setup.client.start(&machine).await.unwrap();
    let status = setup.client.status(&machine).await.unwrap();
    assert_eq!((status.state, status.image_ref), (i32::from(ContainerState::ContainerRunning), id.clone()));

    // It is the pod now.
    let output = setup.client.output(&machine, &["sh", "-c", "hostname; cat /etc/resolv.conf"]).await;
    assert_eq!(output, "first-pod\nnameserver 10.96.0.10");
    let answer = setup.client.exec(&machine, &["sh", "-c", "echo err >&2; exit 7"], 30).await.unwrap();
    assert_eq!((answer.exit_code, &answer.stderr[..]), (7, &b"err\n"[..]));
    assert!(setup.shows_page(&address), "the pod IP leads to the machine");
    setup.client.output(&machine, &["sh", "-c", "echo a line of the log >>/run/app.log"]).await;
    let log = setup.node.pod_logs().join("first/machine/0.log");
    setup.client.logged(&machine, &log, "a line of the log").await;

    // A process beside it, with a volume.
    let secret = setup.secret("uid-first", "a secret");
    let process = setup.client.create_with(&pod_id, process(IMAGE, &secret)).await.unwrap();
    setup.client.start(&process).await.unwrap();
    let log = setup.node.pod_logs().join("first/process/0.log");
    setup.client.logged(&process, &log, "it has a secret").await;

    // It serves one pod at a time.
    let second = setup.client.run_pod_by(&pod("second", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let refusal = setup.client.create(&second, "machine", IMAGE).await.unwrap_err();
    assert!(refusal.message().contains("\"web-1\" of the fleet is adopted by"), "{refusal}");
    // And only by the handler whose it is.
    let other = setup.client.run_pod(&pod("other", &setup.node.pod_logs())).await.unwrap();
    let refusal = setup.client.create(&other, "machine", IMAGE).await.unwrap_err();
    assert!(refusal.message().contains("runtimeClassName"), "{refusal}");
    setup.remove(&other).await;

    // kill -9: nothing of it changes.
    setup.restart_daemon().await;
    for container in [&machine, &process] {
        let state = setup.client.status(container).await.unwrap().state;
        assert_eq!(state, i32::from(ContainerState::ContainerRunning));
    }
    let waiting = setup.client.wait_for(&machine, 30, |_| true).await;
    assert_eq!(waiting.exit_code, 0);
    let output = said(&mut setup.client, &machine, &["hostname"]).await;
    assert_eq!(output, "first-pod");
    assert!(setup.shows_page(&address));
    setup.client.output(&process, &["sh", "-c", "echo still here >>/run/said"]).await;
    setup.client.logged(&process, &log, "still here").await;
    let refusal = setup.client.create(&second, "machine", IMAGE).await.unwrap_err();
    assert!(refusal.message().contains("adopted by"), "{refusal}");

    // It is given back as it was, but for what was written to its own files.
    setup.client.stop(&process, 10).await.unwrap();
    setup.client.stop(&machine, 30).await.unwrap();
    let ended = setup.client.status(&machine).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    assert!(ended.message.contains("runs on"), "{}", ended.message);
    assert!(!setup.shows_page(&address), "a released machine is no pod");
    setup.machine.says("rm /run/app.log /run/said");
    setup.machine.becomes(&machine_before);

    // The other pod may have it now; nothing was stopped first here.
    let machine = setup.client.create(&second, "machine", IMAGE).await.unwrap();
    setup.client.start(&machine).await.unwrap();
    assert_eq!(setup.client.output(&machine, &["cat", "/root/kept"]).await, "kept");
    setup.remove(&pod_id).await;
    setup.remove(&second).await;
    setup.machine.says("rm /root/kept");
    setup.machine.becomes(&machine_before);
    assert_eq!(setup.node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}

/// Lays a Secret out as the kubelet does; answers its path.
pub(crate) fn secret(node: &Node, uid: &str, content: &str) -> PathBuf {
    let volume = node.kubelet().join(format!("pods/{uid}/volumes/kubernetes.io~secret/login"));
    fs::create_dir_all(volume.join("..1")).unwrap();
    fs::write(volume.join("..1/key"), content).unwrap();
    symlink("..1", volume.join("..data")).unwrap();
    symlink("..data/key", volume.join("key")).unwrap();
    volume
}

/// A process that has a Secret, and says whatever is written to a file.
pub(crate) fn process(image: &str, secret: &std::path::Path) -> ContainerConfig {
    let script = "echo kept >/root/kept; grep -q 'a secret' /run/app/key && echo it has a secret; \
                  true >/run/said; exec tail -f /run/said";
    let mount = Mount {
        container_path: "/run/app".into(),
        host_path: secret.display().to_string(),
        readonly: true,
        ..Mount::default()
    };
    ContainerConfig {
        command: ["sh", "-c", script].map(str::to_owned).into(),
        mounts: vec![mount],
        ..container("process", image)
    }
}

/// What a command prints as soon as the guest answers.
pub(crate) async fn said(client: &mut Client, id: &str, command: &[&str]) -> String {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match client.exec(id, command, 20).await {
            Ok(answer) => return String::from_utf8_lossy(&answer.stdout).trim().to_owned(),
            Err(error) => {
                let status = client.status(id).await.unwrap();
                let ended = status.state == i32::from(ContainerState::ContainerExited);
                assert!(!ended && tokio::time::Instant::now() < deadline, "{error}: {}", status.message);
            }
        }
        // The protocol offers no event for it.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_gone_or_another_one_says_so() {
    crate::within(360, gone(Speaks::Ssh)).await;
}

pub(crate) async fn gone(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let before = setup.node.inventory().unwrap();
    let machine_before = setup.machine.state();

    // It fails while it is in use, and boots again in time: it is given what its pod asks for anew.
    let (pod_id, id) = setup.start("failing").await;
    setup.machine.fail();
    setup.is_missed(&id).await;
    setup.machine.boot();
    assert_eq!(said(&mut setup.client, &id, &["hostname"]).await, "failing");
    // It fails for good.
    setup.machine.fail();
    let ended = setup.client.wait_for_end(&id, 120).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (255, "MachineGone"), "{}", ended.message);
    assert!(ended.message.contains("infranetes fleet check web-1"), "{}", ended.message);
    setup.remove(&pod_id).await;

    // It is another one than the entry pins, where something shows that.
    setup.machine.boot();
    if !setup.machine.proof().is_empty() {
        setup.list(&setup.machine.another_proof(), "");
        let (pod_id, id) = setup.start("another").await;
        let ended = setup.client.wait_for_end(&id, 30).await;
        let why = (ended.exit_code, ended.reason.as_str());
        assert_eq!(why, (126, "GuestIdentityMismatch"), "{}", ended.message);
        assert!(ended.message.contains("correct the entry's `"), "{}", ended.message);
        setup.remove(&pod_id).await;
    }

    // Another node has it.
    let proof = setup.machine.proof().to_owned();
    setup.list(&proof, "");
    setup.machine.says("echo other-node-1 c1 >/run/infranetes-lent.holder");
    let pod_id = setup.client.run_pod_by(&pod("late", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let id = setup.client.create(&pod_id, "machine", IMAGE).await.unwrap();
    setup.client.start(&id).await.unwrap();
    let ended = setup.client.wait_for_end(&id, 30).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (128, "StartError"), "{}", ended.message);
    assert!(ended.message.contains("in use by another node (other-node-1 c1)"), "{}", ended.message);
    setup.remove(&pod_id).await;
    assert_eq!(setup.machine.says("cat /run/infranetes-lent.holder"), "other-node-1 c1");
    setup.machine.says("rm /run/infranetes-lent.holder");

    // An entry that proves nothing, and one that went: each is refused by name, before anything is done.
    let pod_id = setup.client.run_pod_by(&pod("unproven", &setup.node.pod_logs()), HANDLER).await.unwrap();
    setup.list(&proof, "[[machine]]\nname = \"bare\"\naddress = \"192.0.2.3\"\n");
    let refusal = setup.client.create(&pod_id, "machine", "fleet/bare").await.unwrap_err();
    assert!(refusal.message().contains("`host-keys`"), "{refusal}");
    setup.remove(&pod_id).await;
    setup.machine.becomes(&machine_before);
    setup.nothing_is_left(&before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_shut_down_where_its_entry_allows_that() {
    crate::within(120, shut_down(Speaks::Ssh)).await;
}

pub(crate) async fn shut_down(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let before = setup.node.inventory().unwrap();
    setup.list(setup.machine.proof(), "power-off = true\n");
    let (pod_id, id) = setup.start("last").await;
    setup.client.stop(&id, 30).await.unwrap();
    let ended = setup.client.status(&id).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    assert!(ended.message.contains("may have been shut down"), "{}", ended.message);
    setup.machine.ends();
    setup.remove(&pod_id).await;
    assert_eq!(setup.node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_processes_and_one_that_starts_again_have_the_machine() {
    crate::within(240, again(Speaks::Ssh)).await;
}

pub(crate) async fn again(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    // The machine is nobody's container, and given back with the pod, with the process that nobody has stopped.
    let secret = setup.secret("uid-processes", "a secret");
    let pod_id = setup.client.run_pod_by(&pod("processes", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let id = setup.client.create_with(&pod_id, process(IMAGE, &secret)).await.unwrap();
    setup.client.start(&id).await.unwrap();
    let log = setup.node.pod_logs().join("processes/process/0.log");
    setup.client.logged(&id, &log, "it has a secret").await;
    assert!(setup.machine.says("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("tail -f /run/said"));
    setup.remove(&pod_id).await;
    setup.machine.says("rm /run/said /root/kept");
    setup.machine.becomes(&machine_before);

    // A container that ended is started again in its pod.
    let (pod_id, first) = setup.start("again").await;
    let address = setup.client.pod_status(&pod_id).await.unwrap().network.unwrap().ip;
    setup.client.stop(&first, 10).await.unwrap();
    assert!(!setup.shows_page(&address));
    let mut second = container("machine", IMAGE);
    second.metadata = Some(cri::ContainerMetadata { name: "machine".into(), attempt: 1 });
    let second = setup.client.create_with(&pod_id, second).await.unwrap();
    setup.client.start(&second).await.unwrap();
    assert_eq!(setup.client.output(&second, &["hostname"]).await, "again");
    assert!(setup.shows_page(&address));
    setup.remove(&pod_id).await;
    setup.machine.becomes(&machine_before);
    assert_eq!(setup.node.inventory().unwrap().beyond(&before), Vec::<String>::new());
}
