//! The same contract on real machines: systemd, sysvinit, and busybox with dropbear. Each boots once for all clauses.
//!
//! The images come from `cargo xtask guest NAME`; `INFRANETES_GUESTS` names the folder that holds them.

#![allow(unreachable_pub, reason = "a part of one test program")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use transports::{Credential, Identity, Secret, Session, Ssh, SshOptions, Target, Transport};

/// How long an emulated guest may take to boot, beside two others that do.
const BOOT: Duration = Duration::from_secs(480);

/// A guest that runs in a machine of its own.
pub struct Machine {
    pub target: Target,
    _process: tokio::process::Child,
}

fn image(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("INFRANETES_GUESTS")?);
    let beside =
        std::fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path().join(format!("{name}.qcow2")));
    let candidates = beside.filter(|path| path.exists());
    candidates.max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())
}

fn facts(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path.with_extension("facts")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Machine {
    /// Boots an image; `None` where it was not built.
    pub fn boot(name: &str) -> Option<Self> {
        let Some(image) = image(name) else {
            let text =
                format!("skipped: set INFRANETES_GUESTS to the folder of `cargo xtask guest {name}`\n");
            std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
            return None;
        };
        let facts = facts(&image);
        let all = |name: &str| -> Vec<String> {
            facts.iter().filter(|(fact, _)| fact == name).map(|(_, value)| value.clone()).collect()
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let process = tokio::process::Command::new("qemu-system-x86_64")
            .args([
                "-machine",
                "q35",
                "-cpu",
                "max",
                "-m",
                "512",
                "-display",
                "none",
                "-snapshot",
                "-no-reboot",
            ])
            .arg("-drive")
            .arg(format!("file={},format=qcow2,if=virtio", image.display()))
            .args(["-serial", "null", "-nic"])
            .arg(format!("user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("qemu-system-x86 is installed");
        let target = Target {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            user: all("user").remove(0),
            host_name: None,
            credentials: vec![Credential::Password(Secret::new(all("password").remove(0)))],
            identity: Identity::Pinned(all("host-keys")),
            legacy_algorithms: Vec::new(),
        };
        Some(Self { target, _process: process })
    }

    /// Connects when the guest answers.
    pub async fn connect(&self) -> Arc<dyn Session> {
        let (ssh, end) = (Ssh::new(SshOptions::default()), Instant::now() + BOOT);
        loop {
            match ssh.connect(&self.target).await {
                Ok(session) => return session.into(),
                Err(error) => assert!(error.retryable() && Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
