//! A machine into which only a Secret of its pod leads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proto::runtime::v1::{ContainerConfig, Mount};
use tests::Speaks;

use super::{HANDLER, IMAGE, Setup};
use crate::client::{container, pod};

/// Makes the Secret, or changes it, as the kubelet does.
fn keep(volume: &Path, turn: usize, files: &[(&str, &str)]) {
    let data = volume.join(format!("..turn_{turn}"));
    fs::create_dir_all(&data).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
    }
    symlink(data.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

fn machine(volume: &Path) -> ContainerConfig {
    let mount = Mount {
        container_path: "/credential".into(),
        host_path: volume.display().to_string(),
        ..Mount::default()
    };
    ContainerConfig { mounts: vec![mount], ..container("machine", IMAGE) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_own_secret_is_the_way_in() {
    crate::within(240, by_secret(Speaks::Ssh)).await;
}

pub(crate) async fn by_secret(speaks: Speaks) {
    let mut setup = Setup::of(speaks).await;
    let (before, machine_before) = (setup.node.inventory().unwrap(), setup.machine.state());
    let secret = fs::read_to_string(setup.folder.path().join("key")).unwrap();
    let key = if speaks == Speaks::Ssh { "ssh-privatekey" } else { "password" };
    let (user, other) = (setup.machine.user(), [("username", "nobody-of-this-name"), ("password", "x")]);
    // Neither the entry's credential nor its user.
    let entry = setup.entry(setup.machine.proof());
    let kept = entry.lines().filter(|line| !line.starts_with("credential") && !line.starts_with("user"));
    let kept: Vec<&str> = kept.collect();
    setup.write(&format!("[[machine]]\nname = \"web-1\"\n{}\nanswer-within-seconds = 60\n", kept.join("\n")));
    let (well, text) = setup.fleet(&["check"]);
    assert!(well || text.contains("not proven"), "{text}");

    // Without one there is no machine.
    let plain = setup.client.run_pod_by(&pod("plain", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let refusal = setup.client.create(&plain, "machine", IMAGE).await.unwrap_err();
    assert!(refusal.message().contains("infranetes.io/credential"), "{refusal}");
    setup.remove(&plain).await;

    // One that the machine does not take is told; a better one is used without anything else being done.
    let mut config = pod("entered", &setup.node.pod_logs());
    config.annotations.insert("infranetes.io/credential".into(), "login".into());
    let pod_id = setup.client.run_pod_by(&config, HANDLER).await.unwrap();
    let volume = setup.node.kubelet().join("pods/uid-entered/volumes/kubernetes.io~secret/login");
    fs::create_dir_all(&volume).unwrap();
    keep(&volume, 1, &other);
    let id = setup.client.create_with(&pod_id, machine(&volume)).await.unwrap();
    let (mut client, started) = (setup.client.clone(), id.clone());
    let starting = tokio::spawn(async move { client.start(&started).await });
    let told = loop {
        match setup.client.exec(&id, &["true"], 2).await {
            Err(error) if error.message().contains("permission denied") => break error,
            Err(_) => {}
            Ok(answer) => panic!("it let us in: {answer:?}"),
        }
        // The protocol offers no event for it.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(!told.message().contains("nobody-of-this-name"), "a secret is never told: {told}");
    keep(&volume, 2, &[("username", user), (key, &secret)]);
    starting.await.unwrap().unwrap();
    assert_eq!(super::said(&mut setup.client, &id, &["hostname"]).await, "entered");
    let mounted = "test -e /credential || echo none; grep -c /credential /proc/mounts || true";
    assert_eq!(
        setup.client.output(&id, &["sh", "-c", mounted]).await,
        "none\n0",
        "the guest has nothing of it"
    );

    // Whoever comes later uses it, too: the next daemon, and the end.
    setup.restart_daemon().await;
    assert_eq!(super::said(&mut setup.client, &id, &["hostname"]).await, "entered");
    setup.remove(&pod_id).await;
    setup.machine.becomes(&machine_before);
    setup.nothing_is_left(&before);
}
