//! Secrets and `ConfigMaps` of a pod are files in its guest, as the kubelet laid them out on the node.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::runtime::v1::{ContainerConfig, Mount};
use tests::Node;

use crate::client::{Client, container, pod};
use crate::swapping;

/// How long a change may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);

/// A node with one pod, whose kubelet is the test.
struct Setup {
    node: Node,
    client: Client,
    image: String,
    pod: String,
}

impl Setup {
    async fn ready() -> Self {
        let (node, mut client) = crate::node_with("[timeouts]\nstart-wait-seconds = 110").await;
        let image = format!("{}/guests/mini:latest", node.registry());
        client.pull(&image).await.unwrap();
        let pod = client.run_pod(&pod("volumes", &node.pod_logs())).await.unwrap();
        Self { node, client, image, pod }
    }

    fn pod_directory(&self) -> PathBuf {
        self.node.kubelet().join("pods/some-uid")
    }

    /// Lays a volume out as the kubelet does; answers its path.
    fn volume(&self, plugin: &str, name: &str, files: &[(&str, &str, u32)]) -> PathBuf {
        let volume = self.pod_directory().join(format!("volumes/kubernetes.io~{plugin}/{name}"));
        fs::create_dir_all(volume.join("..2026_11_25")).unwrap();
        symlink("..2026_11_25", volume.join("..data")).unwrap();
        for (name, content, mode) in files {
            let file = volume.join("..2026_11_25").join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
        volume
    }

    /// Waits until the guest has this in a file.
    async fn shows(&mut self, id: &str, path: &str, content: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.client.exec(id, &["cat", path], 10).await;
            if found.as_ref().is_ok_and(|found| found.stdout == content.as_bytes()) {
                return;
            }
            assert!(Instant::now() < deadline, "{path} does not become {content:?}: {found:?}");
        }
    }

    async fn start(&mut self, config: ContainerConfig) -> String {
        let id = self.client.create_with(&self.pod, config).await.unwrap();
        self.client.start(&id).await.unwrap();
        id
    }

    fn script(&self, name: &str, script: &str) -> ContainerConfig {
        let command = ["sh", "-c", script].map(str::to_owned).into();
        ContainerConfig { command, ..container(name, &self.image) }
    }
}

/// Changes the file `key` of a volume as the kubelet does.
fn change(volume: &Path, turn: usize, key: &str) {
    let directory = format!("..turn_{turn}");
    fs::create_dir(volume.join(&directory)).unwrap();
    fs::write(volume.join(&directory).join("key"), key).unwrap();
    let before = fs::read_link(volume.join("..data")).unwrap();
    symlink(&directory, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    fs::remove_dir_all(volume.join(before)).unwrap();
}

fn mount(from: &Path, to: &str) -> Mount {
    let host_path = from.display().to_string();
    Mount { container_path: to.into(), host_path, readonly: true, ..Mount::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_finds_its_volumes() {
    crate::within(480, of_a_process()).await;
}

async fn of_a_process() {
    let mut setup = Setup::ready().await;
    let first = setup.volume("configmap", "first", &[("key", "one", 0o644)]);
    let secret = setup.volume("secret", "second", &[("key", "two", 0o440), ("other", "x", 0o644)]);
    let hosts = setup.pod_directory().join("etc-hosts");
    fs::write(&hosts, "192.0.2.7 db.example\n").unwrap();
    let part = setup.pod_directory().join("volume-subpaths/first/app/0");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, "a part").unwrap();

    // An init container's mount is gone with it: the next one has another volume there.
    let mut init =
        setup.script("init", "test \"$(cat /etc/app/key)\" = one && ! touch /etc/app/x 2>/dev/null");
    init.mounts.push(mount(&first, "/etc/app"));
    let init = setup.start(init).await;
    assert_eq!(setup.client.wait_for_end(&init, 60).await.exit_code, 0);

    let mut app = setup.script("app", "exec sleep 1000");
    app.mounts = vec![
        mount(&hosts, "/etc/hosts"),
        // Below the next one, as people may write it.
        mount(&first, "/etc/app/inner"),
        mount(&secret, "/etc/app"),
        mount(&part, "/etc/app.conf"),
    ];
    let mounts = app.mounts.clone();
    let app = setup.start(app).await;
    assert_eq!(setup.client.output(&app, &["cat", "/etc/app/key"]).await, "two");
    assert_eq!(setup.client.output(&app, &["cat", "/etc/app/inner/key"]).await, "one");
    assert_eq!(setup.client.output(&app, &["stat", "-L", "-c", "%a", "/etc/app/key"]).await, "440");
    assert_eq!(setup.client.output(&app, &["readlink", "/etc/app/key"]).await, "..data/key");
    assert_eq!(setup.client.output(&app, &["cat", "/etc/app.conf"]).await, "a part");
    assert_eq!(setup.client.output(&app, &["cat", "/etc/hosts"]).await, "192.0.2.7 db.example");
    assert_eq!(setup.client.status(&app).await.unwrap().mounts, mounts);

    // One that cannot be had is told, and the container does not start.
    let mut unfit = setup.script("unfit", "true");
    let none = setup.pod_directory().join("volumes/kubernetes.io~secret/none");
    unfit.mounts.push(mount(&none, "/etc/none"));
    let unfit = setup.client.create_with(&setup.pod, unfit).await.unwrap();
    let _ = setup.client.start(&unfit).await;
    let ended = setup.client.wait_for_end(&unfit, 60).await;
    assert_eq!((ended.exit_code, &ended.reason[..]), (128, "StartError"));
    assert!(ended.message.contains("kubernetes.io~secret/none"), "{}", ended.message);

    // With the container the image's own is back.
    let look = setup.script("look", "exec sleep 1000");
    let look = setup.start(look).await;
    setup.client.stop(&app, 5).await.unwrap();
    setup.client.remove(&app).await.unwrap();
    let left = setup
        .client
        .output(
            &look,
            &["sh", "-c", "ls -d /etc/app /etc/app.conf 2>/dev/null; grep -c db.example /etc/hosts; true"],
        )
        .await;
    assert_eq!(left, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_finds_its_volumes() {
    crate::within(360, of_a_machine()).await;
}

async fn of_a_machine() {
    machine_volumes(&mut Setup::ready().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_its_init_containers_finds_its_volumes() {
    crate::within(600, taken_over()).await;
}

async fn taken_over() {
    let mut setup = Setup::ready().await;
    let init = setup.start(setup.script("init", "echo prepared > /run/prepared")).await;
    setup.client.wait_for_end(&init, 60).await;
    let machine = machine_volumes(&mut setup).await;
    assert_eq!(setup.client.output(&machine, &["cat", "/run/prepared"]).await, "prepared");
}

/// Starts the machine's container, and looks for its volumes in the guest; answers its id.
async fn machine_volumes(setup: &mut Setup) -> String {
    let config = setup.volume("configmap", "config", &[("app.conf", "from the cluster", 0o600)]);
    let mut machine = container("machine", &setup.image);
    machine.mounts.push(mount(&config, "/etc/init.d"));
    // The account's token: a guest that cannot hold it runs all the same.
    let token = setup.pod_directory().join("volumes/kubernetes.io~projected/kube-api-access-x");
    machine.mounts.push(mount(&token, "/var/run/secrets/kubernetes.io/serviceaccount"));
    let machine = setup.start(machine).await;
    assert_eq!(
        setup.client.output(&machine, &["ls", "/etc/init.d"]).await,
        "app.conf",
        "the image's own is hidden"
    );
    assert_eq!(setup.client.output(&machine, &["cat", "/etc/init.d/app.conf"]).await, "from the cluster");
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kubelet_changes_follows() {
    crate::within(480, followed()).await;
}

async fn followed() {
    let mut setup = Setup::ready().await;
    let volume = setup.volume("configmap", "config", &[("key", "0", 0o644), ("gone", "x", 0o644)]);
    let mut app = setup.script("app", "exec sleep 1000");
    app.mounts.push(mount(&volume, "/etc/app"));
    let app = setup.start(app).await;
    setup.shows(&app, "/etc/app/key", "0").await;
    for turn in 1..=5 {
        change(&volume, turn, &turn.to_string());
        setup.shows(&app, "/etc/app/key", &turn.to_string()).await;
    }
    assert_eq!(setup.client.output(&app, &["ls", "/etc/app"]).await, "key", "what is gone is gone there too");

    // A change while no daemon runs, and one after it.
    setup.node.daemon().kill();
    change(&volume, 6, "meanwhile");
    tokio::task::block_in_place(|| setup.node.start_daemon()).unwrap();
    setup.client = Client::connect(&setup.node.socket()).await;
    setup.shows(&app, "/etc/app/key", "meanwhile").await;
    change(&volume, 7, "afterwards");
    setup.shows(&app, "/etc/app/key", "afterwards").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_share_an_empty_directory() {
    crate::within(360, shared()).await;
}

async fn shared() {
    let mut setup = Setup::ready().await;
    let empty = setup.pod_directory().join("volumes/kubernetes.io~empty-dir/scratch");
    fs::create_dir_all(&empty).unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o777)).unwrap();
    let scratch = Mount { readonly: false, ..mount(&empty, "/prepared") };
    let mut init = setup.script("init", "echo prepared >/prepared/file");
    init.mounts.push(scratch.clone());
    let init = setup.start(init).await;
    assert_eq!(setup.client.wait_for_end(&init, 60).await.exit_code, 0);
    let mut app = setup.script("app", "exec sleep 1000");
    app.mounts.push(Mount { container_path: "/elsewhere".into(), ..scratch });
    let app = setup.start(app).await;
    assert_eq!(setup.client.output(&app, &["cat", "/elsewhere/file"]).await, "prepared");
    assert_eq!(setup.client.output(&app, &["stat", "-c", "%a", "/elsewhere"]).await, "777");
    assert!(fs::read_dir(&empty).unwrap().next().is_none(), "it is the guest's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_in_the_guest_sees_a_mixture() {
    crate::within(480, swapped()).await;
}

async fn swapped() {
    const SWAPS: usize = 100;
    let mut setup = Setup::ready().await;
    let volume = setup.pod_directory().join("volumes/kubernetes.io~configmap/swapped");
    swapping::swap(&volume, 0);
    let mut reader = setup.script("reader", swapping::READER);
    reader.mounts.push(mount(&volume, "/etc/swapped"));
    setup.start(reader).await;
    let log = setup.node.pod_logs().join("volumes/reader/0.log");
    let seen = swapping::swaps(&volume, &log, SWAPS, Duration::from_millis(100), PATIENCE).await;
    let seen = seen.expect("the last swap comes to the guest");
    assert_eq!(seen.mixtures, Vec::<String>::new());
    assert_eq!(seen.milliseconds.len(), SWAPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_files_are_in_the_guest() {
    crate::within(600, thousands()).await;
}

async fn thousands() {
    const FILES: usize = 10_000;
    let mut setup = Setup::ready().await;
    let volume = setup.volume("configmap", "many", &[]);
    let lay_out = |directory: &str, changed: &str| {
        fs::create_dir_all(volume.join(directory)).unwrap();
        for number in 0..FILES {
            let content = if number == 1234 { changed.to_owned() } else { number.to_string() };
            fs::write(volume.join(directory).join(format!("file-{number}")), content).unwrap();
        }
        symlink(directory, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    lay_out("..first", "before");
    let mut app = setup.script("app", "exec sleep 1000");
    app.mounts.push(mount(&volume, "/etc/many"));
    let app = setup.start(app).await;
    setup.shows(&app, "/etc/many/file-1234", "before").await;
    assert_eq!(setup.client.output(&app, &["sh", "-c", "ls /etc/many | wc -l"]).await, FILES.to_string());
    assert_eq!(setup.client.output(&app, &["cat", "/etc/many/file-9999"]).await, "9999");
    lay_out("..second", "after");
    setup.shows(&app, "/etc/many/file-1234", "after").await;
    assert_eq!(setup.client.output(&app, &["sh", "-c", "ls /etc/many | wc -l"]).await, FILES.to_string());
}
