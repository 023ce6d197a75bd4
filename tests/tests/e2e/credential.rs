//! The login of an image that a Secret of its pod holds is the daemon's, as it is at each login, and never in the guest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use proto::runtime::v1::Mount;
use tonic::{Code, Status};

use crate::client::{Client, container, pod};

/// How long a login may take on a machine that does much else: one that was refused is tried again after 15 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is known of the image is no way in.
const NODE: &str = "[timeouts]\nstart-wait-seconds = 5\n[[image]]\npattern = \"*/guests/mini:*\"\n\
                    facts.credential = { password = \"not the right one\" }";

/// Makes the Secret, or changes it, as the kubelet does.
fn keep(volume: &Path, turn: usize, password: &str) {
    let files = volume.join(format!("..turn_{turn}"));
    fs::create_dir_all(&files).unwrap();
    fs::write(files.join("password"), password).unwrap();
    symlink(files.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

/// Asks until the guest, or what is told of it, is as wanted.
async fn until(client: &mut Client, id: &str, wanted: impl Fn(&Result<i32, Status>) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.exec(id, &["true"], 2).await.map(|answer| answer.exit_code);
        if wanted(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "it still is {answer:?}");
        // What is told at once is no event to wait for.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_pod_is_the_way_in() {
    crate::within(600, way_in()).await;
}

async fn way_in() {
    let (mut node, mut client) = crate::node_with(NODE).await;
    let image = format!("{}/guests/mini:latest", node.registry());
    client.pull(&image).await.unwrap();
    let mut config = pod("entered", &node.pod_logs());
    config.annotations.insert("infranetes.io/credential".into(), "login".into());
    let pod_id = client.run_pod(&config).await.unwrap();
    let volume = node.kubelet().join("pods/uid-entered/volumes/kubernetes.io~secret/login");
    let mut machine = container("machine", &image);
    machine.mounts.push(Mount {
        container_path: "/credential".into(),
        host_path: volume.display().to_string(),
        ..Mount::default()
    });

    let missing = client.create_with(&pod_id, machine.clone()).await.unwrap_err();
    assert_eq!(missing.code(), Code::InvalidArgument);
    assert!(missing.message().contains("the Secret volume \"login\""), "{missing}");
    assert!(missing.message().contains("is not on the node"), "{missing}");

    // One that the guest does not take is told, and a better one is used without anything else being done.
    keep(&volume, 1, "out of date");
    let id = client.create_with(&pod_id, machine).await.unwrap();
    client.start(&id).await.unwrap();
    let refused = |answer: &Result<i32, Status>| {
        let told = answer.as_ref().err().map(Status::message).unwrap_or_default();
        assert!(!told.contains("out of date"), "a secret is never told: {told}");
        told.contains("permission denied") && told.contains("for user root")
    };
    until(&mut client, &id, refused).await;
    keep(&volume, 2, "infranetes\n");
    until(&mut client, &id, |answer| matches!(answer, Ok(0))).await;
    let mounted = "test -e /credential || echo none; grep -c /credential /proc/mounts || true";
    assert_eq!(client.output(&id, &["sh", "-c", mounted]).await, "none\n0", "the guest has nothing of it");

    // The login is changed in the guest and in the Secret: the next connection uses it.
    let change = "sed -i \"s|^root:[^:]*|root:$(mkpasswd -m sha512 changed)|\" /etc/shadow";
    client.output(&id, &["sh", "-c", change]).await;
    keep(&volume, 3, "changed");
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    until(&mut client, &id, |answer| matches!(answer, Ok(0))).await;

    // Without the Secret there is no way in, which is told; a pod that runs goes on.
    fs::remove_dir_all(&volume).unwrap();
    tokio::task::block_in_place(|| node.kill_and_restart_daemon()).unwrap();
    client = Client::connect(&node.socket()).await;
    let gone = |answer: &Result<i32, Status>| {
        answer.as_ref().is_err_and(|error| error.message().contains("is not on the node"))
    };
    until(&mut client, &id, gone).await;
    keep(&volume, 4, "changed");
    until(&mut client, &id, |answer| matches!(answer, Ok(0))).await;
}
