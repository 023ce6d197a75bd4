//! How machines end, and what is told of it: each end with its true reason, after the log's last line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proto::runtime::v1::{ContainerState, ContainerStatus, PodSandboxConfig};
use tests::Node;
use tonic::Code;

use crate::client::{Client, container, pod};

/// Where Linux tells the id of this boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A pod on a node, and the next attempt of its container.
struct Pod {
    node: Node,
    client: Client,
    image: String,
    id: String,
    attempt: u32,
}

impl Pod {
    /// A ready pod of a new node.
    async fn ready(node_config: &str, change: impl FnOnce(&mut PodSandboxConfig)) -> Self {
        let (node, mut client) = crate::node_with(node_config).await;
        let image = format!("{}/guests/mini:latest", node.registry());
        client.pull(&image).await.unwrap();
        let mut config = pod("p", &node.pod_logs());
        change(&mut config);
        let id = client.run_pod(&config).await.unwrap();
        Self { node, client, image, id, attempt: 0 }
    }

    /// Starts the container again, as the kubelet restarts one in place; answers its id and its log.
    async fn restart(&mut self) -> (String, PathBuf) {
        let mut config = container("machine", &self.image);
        config.metadata.as_mut().unwrap().attempt = self.attempt;
        config.log_path = format!("machine/{}.log", self.attempt);
        let log = self.node.pod_logs().join("p").join(&config.log_path);
        self.attempt += 1;
        let id = self.client.create_with(&self.id, config).await.unwrap();
        self.client.start(&id).await.unwrap();
        (id, log)
    }

    /// The emulators' process ids.
    fn machines(&self) -> Vec<i32> {
        let found = self.node.inventory().unwrap();
        let processes = found.0.iter().filter_map(|line| line.strip_prefix("process "));
        processes.map(|line| line.split_once(':').unwrap().0.parse().unwrap()).collect()
    }
}

#[track_caller]
fn ended(status: &ContainerStatus, code: i32, reason: &str) {
    assert_eq!((status.exit_code, status.reason.as_str()), (code, reason), "{}", status.message);
    assert!(status.finished_at >= status.started_at, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_is_told_with_its_reason_and_a_restart_is_fresh() {
    crate::within(400, reasons()).await;
}

async fn reasons() {
    let mut pod = Pod::ready("", |_| ()).await;

    // The guest powers itself off. Its log is whole when the end is told: it begins with the guest's first line, which
    // the daemon reads as soon as it can enter, and nothing follows later.
    let (id, log) = pod.restart().await;
    pod.client.output(&id, &["sh", "-c", "echo kept > /root/marker && sync"]).await;
    pod.client.logged(&id, &log, "app: line 1\n").await;
    let _ = pod.client.exec(&id, &["poweroff"], 10).await;
    ended(&pod.client.wait_for_end(&id, 40).await, 0, "Completed");
    let told = std::fs::read(&log).unwrap();

    // It resets itself; its root disk is a fresh one.
    let (id, _) = pod.restart().await;
    let marker = pod.client.exec(&id, &["test", "-e", "/root/marker"], 0).await.unwrap();
    assert_eq!(marker.exit_code, 1, "the file that the attempt before has written is gone");
    let _ = pod.client.exec(&id, &["reboot", "-f"], 10).await;
    ended(&pod.client.wait_for_end(&id, 40).await, 1, "GuestReset");
    assert_eq!(std::fs::read(&log).unwrap(), told, "nothing was written to the log after the end was told");

    // Its kernel panics.
    let (id, _) = pod.restart().await;
    let _ = pod.client.exec(&id, &["sh", "-c", "echo c > /proc/sysrq-trigger"], 10).await;
    ended(&pod.client.wait_for_end(&id, 40).await, 134, "GuestPanic");

    // It is stopped in good order, well within the grace period.
    let (id, _) = pod.restart().await;
    let begun = Instant::now();
    pod.client.stop(&id, 60).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(40), "it took {:?}", begun.elapsed());
    ended(&pod.client.status(&id).await.unwrap(), 0, "Completed");
    assert_eq!(pod.machines(), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_boots_is_shut_down_when_it_can_be_asked() {
    crate::within(400, early()).await;
}

async fn early() {
    let mut pod = Pod::ready("[timeouts]\nstart-wait-seconds = 1", |_| ()).await;
    let (id, _) = pod.restart().await;
    // It boots still, where processors are emulated.
    pod.client.stop(&id, 200).await.unwrap();
    ended(&pod.client.status(&id).await.unwrap(), 0, "Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_may_go_on_in_place() {
    crate::within(600, reset_in_place()).await;
}

async fn reset_in_place() {
    let annotation = ("infranetes.io/on-reset".to_owned(), "continue".to_owned());
    let ask = |config: &mut PodSandboxConfig| {
        config.annotations = BTreeMap::from([annotation]);
        sysctl(config, "kernel.shm_rmid_forced", "1");
    };
    let mut pod = Pod::ready("", ask).await;
    let (id, _) = pod.restart().await;
    let set = ["cat", "/proc/sys/kernel/shm_rmid_forced"];
    assert_eq!(pod.client.output(&id, &set).await, "1", "the pod's sysctl is set when the container runs");
    let boot = pod.client.output(&id, &["cat", BOOT_ID]).await;
    let machine = pod.machines();
    let _ = pod.client.exec(&id, &["reboot", "-f"], 5).await;
    let deadline = Instant::now() + Duration::from_secs(300);
    let again = loop {
        match pod.client.exec(&id, &["cat", BOOT_ID], 5).await {
            Ok(answer) if answer.stdout.trim_ascii() != boot.as_bytes() => break answer,
            other => assert!(Instant::now() < deadline, "it does not come back: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(again.exit_code, 0);
    // It is set once more, soon after the guest's first answer.
    while pod.client.output(&id, &set).await != "1" {
        assert!(Instant::now() < deadline, "the pod's sysctl is not set after a reset");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let status = pod.client.status(&id).await.unwrap();
    assert_eq!(status.state, i32::from(ContainerState::ContainerRunning));
    assert_eq!(pod.machines(), machine, "the machine is the same one");
    pod.client.stop(&id, 0).await.unwrap();
    ended(&pod.client.status(&id).await.unwrap(), 137, "Killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_take_a_sysctl_does_not_run() {
    crate::within(240, unfit()).await;
}

async fn unfit() {
    let mut pod = Pod::ready("", |config| sysctl(config, "kernel.no_such_thing", "1")).await;
    let mut config = container("machine", &pod.image);
    config.log_path = "machine/0.log".into();
    let id = pod.client.create_with(&pod.id, config).await.unwrap();
    // Whether the call waits for the end or not: the end tells why.
    let _ = pod.client.start(&id).await;
    let status = pod.client.wait_for_end(&id, 60).await;
    ended(&status, 128, "StartError");
    assert!(status.message.contains("its kernel has no kernel/no_such_thing"), "{}", status.message);
    assert_eq!(pod.machines(), Vec::<i32>::new());
}

fn sysctl(config: &mut PodSandboxConfig, name: &str, value: &str) {
    let linux = config.linux.get_or_insert_default();
    linux.sysctls = BTreeMap::from([(name.to_owned(), value.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_answers_explains_itself_and_a_lost_machine_is_told() {
    crate::within(400, silent()).await;
}

async fn silent() {
    // Nothing in the guest listens there.
    let config =
        "[timeouts]\nstart-wait-seconds = 1\n[[image]]\npattern = \"*/guests/mini:*\"\nfacts.port = 9";
    // A slow node takes its time until the console has said something.
    let deadline = ("infranetes.io/boot-deadline-seconds".to_owned(), "90".to_owned());
    let mut pod = Pod::ready(config, |config| config.annotations = BTreeMap::from([deadline])).await;
    let begun = Instant::now();
    let (id, log) = pod.restart().await;
    assert!(begun.elapsed() < Duration::from_secs(60), "the start does not wait for the boot");
    let status = pod.client.status(&id).await.unwrap();
    assert_eq!(status.state, i32::from(ContainerState::ContainerRunning), "it boots on as RUNNING");

    // A probe is told at once that it is too early, which the kubelet does not count.
    let begun = Instant::now();
    let error = pod.client.exec(&id, &["true"], 30).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().starts_with("guest is booting ("), "{error}");
    // A hook waits for the boot, until the deadline.
    let error = pod.client.exec(&id, &["true"], 0).await.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Unavailable), "{error}");

    let status = pod.client.wait_for_end(&id, 60).await;
    ended(&status, 124, "GuestBootTimeout");
    assert!(status.message.contains("boot deadline"), "{}", status.message);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().any(|line| line.contains(" stdout ")), "its log shows the console: {text:?}");

    // The emulator is gone without a word.
    let (id, _) = pod.restart().await;
    let machines = pod.machines();
    assert_eq!(machines.len(), 1);
    let pid = rustix::process::Pid::from_raw(machines[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    ended(&pod.client.wait_for_end(&id, 30).await, 255, "MachineLost");
}
