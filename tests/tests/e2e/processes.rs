//! Containers with a command are processes in the machine of their pod.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::runtime::v1::{ContainerConfig, ContainerState, KeyValue, Mount, PodSandboxState};
use rand::Rng;
use tests::Node;
use tonic::Code;

use crate::client::{Client, container, pod};

/// How often the daemon is killed under the processes.
const KILLS: usize = 50;

/// A pod that is ready, and has no container yet.
pub(crate) struct Pod {
    pub(crate) node: Node,
    pub(crate) client: Client,
    pub(crate) image: String,
    pub(crate) id: String,
    name: &'static str,
}

impl Pod {
    pub(crate) async fn ready(name: &'static str) -> Self {
        let (node, mut client) = crate::node_with("[timeouts]\nstart-wait-seconds = 110").await;
        let image = format!("{}/guests/mini:latest", node.registry());
        client.pull(&image).await.unwrap();
        let id = client.run_pod(&pod(name, &node.pod_logs())).await.unwrap();
        Self { node, client, image, id, name }
    }

    /// A container that runs a script.
    pub(crate) fn script(&self, name: &str, script: &str) -> ContainerConfig {
        ContainerConfig {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            ..container(name, &self.image)
        }
    }

    /// Creates and starts a container; answers its id.
    pub(crate) async fn start(&mut self, config: ContainerConfig) -> String {
        let id = self.client.create_with(&self.id, config).await.unwrap();
        self.client.start(&id).await.unwrap();
        id
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.node.pod_logs().join(self.name).join(name).join("0.log")
    }

    /// Kills the daemon and starts it again.
    pub(crate) async fn restart_daemon(&mut self) {
        tokio::task::block_in_place(|| self.node.kill_and_restart_daemon()).unwrap();
        self.client = Client::connect(&self.node.socket()).await;
    }

    /// Waits until the pod is not ready any more.
    pub(crate) async fn is_spent(&mut self) {
        let not_ready = i32::from(PodSandboxState::SandboxNotready);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while self.client.pod_status(&self.id).await.unwrap().state != not_ready {
            assert!(tokio::time::Instant::now() < deadline, "the pod is still ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the pod; nothing of it is left on the node.
    pub(crate) async fn remove(mut self) {
        self.client.stop_pod(&self.id).await.unwrap();
        self.client.remove_pod(&self.id).await.unwrap();
        let left = self.node.inventory().unwrap();
        assert!(left.0.is_empty(), "{left}");
    }
}

/// What a log tells of a stream, without times and tags.
pub(crate) fn told(log: &Path, stream: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let of_stream = text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix(stream));
    of_stream.map(|line| line.trim_start_matches(" F ").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_the_machine_of_their_pod() {
    crate::within(400, shared()).await;
}

async fn shared() {
    let mut pod = Pod::ready("shared").await;
    let init = pod.script("init", "echo prepared > /run/prepared; echo out; echo err >&2");
    let init = pod.start(init).await;
    let ended = pod.client.wait_for_end(&init, 60).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    assert_eq!(told(&pod.log("init"), "stdout"), ["out"]);
    assert_eq!(told(&pod.log("init"), "stderr"), ["err"]);

    // Whatever a value holds arrives as it is; the exit code and the last words come back.
    let odd = "two\nlines 'single' \"double\" $HOME `id` \\ ünï";
    let words = pod.node.kubelet().join("pods/some-uid/containers/app/1a2b3c4d");
    std::fs::create_dir_all(words.parent().unwrap()).unwrap();
    std::fs::write(&words, "").unwrap();
    let mut app = pod.script(
        "app",
        "trap 'echo stopped; printf \"last words\" > /dev/termination-log; exit 3' TERM\n\
         cat /run/prepared; pwd; printf '%s\\n' \"$ODD\"\n\
         while :; do sleep 0.2; done",
    );
    app.working_dir = "/made/for/it".into();
    app.envs.push(KeyValue { key: "ODD".into(), value: odd.as_bytes().to_vec() });
    app.annotations
        .insert("io.kubernetes.container.terminationMessagePath".into(), "/dev/termination-log".into());
    app.mounts.push(Mount {
        container_path: "/dev/termination-log".into(),
        host_path: words.display().to_string(),
        ..Mount::default()
    });
    let log = pod.log("app");
    let app = pod.start(app).await;
    let sidecar = pod.script("sidecar", "echo beside; exec sleep 1000");
    let sidecar = pod.start(sidecar).await;
    pod.client.wait_for(&app, 120, |_| told(&log, "stdout").len() >= 4).await;
    let expected: Vec<&str> = ["prepared", "/made/for/it"].into_iter().chain(odd.lines()).collect();
    assert_eq!(told(&log, "stdout"), expected);
    let listed = pod.client.list(&pod.id).await;
    assert_eq!(listed, BTreeSet::from([init.clone(), app.clone(), sidecar.clone()]), "and nothing else");
    // A name that is none in a shell's eyes is one all the same.
    let mut dotted = pod.script("dotted", "");
    dotted.command = vec!["env".into()];
    dotted.envs.push(KeyValue { key: "my.dotted-name".into(), value: b"x".to_vec() });
    let dotted = pod.start(dotted).await;
    assert_eq!(pod.client.wait_for_end(&dotted, 120).await.exit_code, 0);
    assert!(told(&pod.log("dotted"), "stdout").contains(&"my.dotted-name=x".to_owned()));
    let boot = pod.client.output(&sidecar, &["cat", "/proc/sys/kernel/random/boot_id"]).await;
    assert_eq!(pod.client.output(&app, &["cat", "/proc/sys/kernel/random/boot_id"]).await, boot);
    // A command in the container lives as its process does.
    assert_eq!(
        pod.client.output(&app, &["sh", "-c", "pwd; printf %s \"$ODD\""]).await,
        format!("/made/for/it\n{odd}")
    );

    // What does not fit the machine is refused with the reason.
    let other = format!("{}/guests/dropbear:latest", pod.node.registry());
    pod.client.pull(&other).await.unwrap();
    let mut wrong = pod.script("wrong", "true");
    wrong.image.as_mut().unwrap().image = other;
    let error = pod.client.create_with(&pod.id, wrong).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("a machine has one image"), "{error}");

    // It is asked to stop, and may take its time.
    pod.client.stop(&app, 30).await.unwrap();
    let ended = pod.client.status(&app).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (3, "Error"), "{}", ended.message);
    assert_eq!(told(&log, "stdout").last().map(String::as_str), Some("stopped"));
    // The kubelet appends what it reads here to what the exit tells.
    assert_eq!(
        (std::fs::read_to_string(&words).unwrap().as_str(), ended.message.as_str()),
        ("last words", "")
    );
    // One that does not obey is killed; one that runs is ended by its removal.
    let deaf = pod.script("deaf", "trap '' TERM; echo ready; while :; do sleep 1; done");
    let deaf = pod.start(deaf).await;
    pod.client.logged(&deaf, &pod.log("deaf"), "ready").await;
    pod.client.stop(&deaf, 1).await.unwrap();
    assert_eq!(pod.client.status(&deaf).await.unwrap().exit_code, 137);
    pod.client.remove(&sidecar).await.unwrap();
    let running = pod.script("look", "ps | grep -c '[s]leep 1000'; true");
    let look = pod.start(running).await;
    pod.client.wait_for_end(&look, 120).await;
    assert_eq!(told(&pod.log("look"), "stdout"), ["0"], "nothing of it is left in the guest");
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_container_takes_the_machine_of_its_init_containers_over() {
    crate::within(400, taken_over()).await;
}

async fn taken_over() {
    let mut pod = Pod::ready("taken").await;
    let init = pod.script("init", "echo prepared > /run/prepared");
    let init = pod.start(init).await;
    pod.client.wait_for_end(&init, 60).await;
    // Killed between the two, the daemon still knows the machine.
    let machine = pod.client.create(&pod.id, "machine", &pod.image).await.unwrap();
    pod.restart_daemon().await;
    pod.client.start(&machine).await.unwrap();
    assert_eq!(pod.client.output(&machine, &["cat", "/run/prepared"]).await, "prepared");
    let log = pod.log("machine");
    pod.client.logged(&machine, &log, "app: line 1\n").await;
    let sidecar = pod.script("sidecar", "trap 'exit 5' TERM; cat /run/prepared; while :; do sleep 0.2; done");
    let sidecar = pod.start(sidecar).await;
    pod.client.logged(&sidecar, &pod.log("sidecar"), "prepared").await;
    let error = pod.client.create(&pod.id, "second", &pod.image).await.unwrap_err();
    assert!(error.message().contains("already has a machine"), "{error}");

    // The kubelet stops them in parallel: the process has its time, then the guest shuts itself down.
    let mut other = pod.client.clone();
    let (first, second) = tokio::join!(pod.client.stop(&machine, 60), other.stop(&sidecar, 60));
    first.and(second).unwrap();
    let ended = pod.client.status(&sidecar).await.unwrap();
    assert_eq!(ended.exit_code, 5, "{}: {}", ended.reason, ended.message);
    let ended = pod.client.status(&machine).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_ends_takes_its_processes_and_its_pod_with_it() {
    crate::within(300, lost()).await;
}

async fn lost() {
    let mut pod = Pod::ready("lost").await;
    let one = pod.script("one", "exec sleep 1000");
    let one = pod.start(one).await;
    let two = pod.script("two", "sleep 1; poweroff -f; sleep 1000");
    let two = pod.start(two).await;
    for id in [&one, &two] {
        let ended = pod.client.wait_for_end(id, 60).await;
        assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "MachineEnded"), "{}", ended.message);
    }
    pod.is_spent().await;
    let again = pod.script("again", "true");
    let error = pod.client.create_with(&pod.id, again).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    pod.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_again_and_again_loses_and_repeats_no_line() {
    crate::within(800, killed()).await;
}

async fn killed() {
    let mut pod = Pod::ready("killed").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let name = format!("p{number}");
        // A line on each stream, and its own number: a second run would begin again.
        let script =
            "echo run $$; n=0; while :; do n=$((n + 1)); echo line $n; echo error $n >&2; sleep 0.3; done";
        let config = pod.script(&name, script);
        ids.push((name, pod.start(config).await));
    }
    for _ in 0..KILLS {
        let wait = rand::rng().random_range(0..800);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        pod.restart_daemon().await;
    }
    for (name, id) in &ids {
        let status = pod.client.status(id).await.unwrap();
        assert_eq!(status.state, i32::from(ContainerState::ContainerRunning), "{name}: {status:?}");
        let log = pod.log(name);
        let seen = told(&log, "stdout").len();
        pod.client.wait_for(id, 60, |_| told(&log, "stdout").len() > seen + 3).await;
        pod.client.stop(id, 0).await.unwrap();
        let mut lines = told(&log, "stdout");
        assert!(lines.remove(0).starts_with("run "), "{name}: it was started once: {lines:?}");
        let expected =
            |word: &str, count: usize| (1..=count).map(|n| format!("{word} {n}")).collect::<Vec<_>>();
        assert_eq!(lines, expected("line", lines.len()), "{name}: every line once, in order");
        let mut errors = told(&log, "stderr");
        // The shell tells that the program which it waited for was killed before itself.
        errors.pop_if(|line| line == "Killed");
        assert_eq!(errors, expected("error", errors.len()), "{name}: every line once, in order");
        assert!(errors.len() + 1 >= lines.len(), "{name}: {} of {}", errors.len(), lines.len());
    }
    pod.remove().await;
}
