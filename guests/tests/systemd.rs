//! A real systemd guest over SSH: one unit's journal from the boot's beginning, across a lost session, and the shutdown.
//!
//! The guest's image comes from `cargo xtask guest systemd`; `INFRANETES_GUESTS` names the folder that holds it.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guests::Family;
use guests::log::{LogSource, follow};
use guests::shutdown::shut_down;
use transports::{Credential, Identity, Secret, Session, Ssh, SshOptions, Target, Transport};

/// How long an emulated guest may take to boot, and to power off.
const PATIENCE: Duration = Duration::from_secs(150);

fn image(folder: &Path) -> Option<PathBuf> {
    let beside = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path().join("systemd.qcow2"));
    let candidates = beside.chain([folder.join("systemd.qcow2")]).filter(|path| path.exists());
    candidates.max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
}

async fn connect(target: &Target) -> Arc<dyn Session> {
    let (ssh, end) = (Ssh::new(SshOptions::default()), Instant::now() + PATIENCE);
    loop {
        match ssh.connect(target).await {
            Ok(session) => return session.into(),
            Err(error) => assert!(error.retryable() && Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_of_a_unit_then_shutdown() {
    let Some(image) = std::env::var_os("INFRANETES_GUESTS").and_then(|folder| image(Path::new(&folder)))
    else {
        std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: set INFRANETES_GUESTS to the folder of `cargo xtask guest systemd`\n",
        )
        .unwrap();
        return;
    };
    let facts = std::fs::read_to_string(image.with_extension("facts")).unwrap();
    let fact = |name: &str| {
        let value = facts.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        value.unwrap_or_else(|| panic!("the image has no fact {name}")).to_owned()
    };
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let console = folder.path().join("console");
    let mut machine = tokio::process::Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-cpu", "max", "-m", "512", "-display", "none", "-snapshot", "-no-reboot"])
        .arg("-drive")
        .arg(format!("file={},format=qcow2,if=virtio", image.display()))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-nic")
        .arg(format!("user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"))
        .kill_on_drop(true)
        .spawn()
        .expect("qemu-system-x86 is installed");
    let target = Target {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        user: fact("user"),
        host_name: None,
        credentials: vec![Credential::Password(Secret::new(fact("password")))],
        identity: Identity::Pinned(fact("host-keys").split(',').map(str::to_owned).collect()),
        legacy_algorithms: Vec::new(),
    };
    let source = LogSource::parse(&fact("log"), Family::Unix).unwrap();
    let session = connect(&target).await;
    let mut first = follow(session.clone(), Family::Unix, source.clone(), None).await.unwrap();
    let mut records = Vec::new();
    let next = |stream: Option<guests::Result<_>>| stream.unwrap().unwrap();
    records.push(next(tokio::time::timeout(PATIENCE, first.next()).await.unwrap()));
    drop((first, session));
    // The whole again, and the rest after the first record: they are the same.
    let session = connect(&target).await;
    let mut whole = follow(session.clone(), Family::Unix, source.clone(), None).await.unwrap();
    let mut rest =
        follow(session.clone(), Family::Unix, source, Some(records[0].cursor.clone())).await.unwrap();
    assert_eq!(next(tokio::time::timeout(PATIENCE, whole.next()).await.unwrap()), records[0]);
    for _ in 0..2 {
        let expected = next(tokio::time::timeout(PATIENCE, whole.next()).await.unwrap());
        let resumed = next(tokio::time::timeout(PATIENCE, rest.next()).await.unwrap());
        assert!(!resumed.notice && !resumed.text.is_empty());
        assert_eq!(resumed, expected);
    }
    shut_down(&*session, Family::Unix).await.unwrap();
    let status = tokio::time::timeout(PATIENCE, machine.wait()).await.expect("the guest powers off").unwrap();
    assert!(status.success());
    // The stream ends with an error: nothing is left to wait for.
    let lost = tokio::time::timeout(Duration::from_mins(1), async {
        while let Some(record) = rest.next().await {
            if let Err(error) = record {
                return error;
            }
        }
        panic!("the stream ended without saying why");
    });
    assert!(lost.await.expect("the stream ends").retryable());
}
