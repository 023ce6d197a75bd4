//! A machine that runs already: beside the node, with a network, processes, a host name and mounts of its own, an SSH server
//! that lets in whoever has the key, and a web page.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::Namespace;
use transports::generate_key;

/// Where it is, beside the node.
pub(super) const ADDRESS: &str = "192.0.2.2";
/// What it calls itself.
const HOST_NAME: &str = "grandfather";
/// What it answers to whoever asks for its page.
pub(super) const PAGE: &str = "a page of the machine";
/// How long it may take to answer.
const START: Duration = Duration::from_secs(20);

/// How long the guard of a process's last output may live.
const LAST_OUTPUT: Duration = Duration::from_secs(20);

/// What it runs. Whatever it writes outside of its home is in memory of its own.
const INIT: &str = r#"set -e
hostname "$2"
mount --bind "$1/home" /root
mount --bind "$1/resolv.conf" /etc/resolv.conf
for f in /run /var/lib; do mount -t tmpfs tmpfs "$f"; done
mkdir -p /run/sshd
busybox httpd -p 80 -h "$1/www"
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
"#;

/// The machine; it ends with this value.
pub(super) struct Machine {
    folder: TempDir,
    namespace: Namespace,
    child: Option<Child>,
    pub(super) host_key: String,
}

impl Machine {
    /// Makes a machine beside a node and waits until it answers. Its key is written to `key`.
    pub(super) fn beside(node: &Namespace, key: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
        let namespace = Namespace::create(&format!("fleet-{}", node.name())).unwrap();
        let (own, node) = (namespace.name(), node.name());
        for line in [
            format!("-n {own} link add eth0 type veth peer name outside0 netns {node}"),
            format!("-n {node} addr add 192.0.2.1/24 dev outside0"),
            format!("-n {node} link set outside0 up"),
            format!("-n {own} addr add {ADDRESS}/24 dev eth0"),
            format!("-n {own} link set eth0 up"),
        ] {
            let output = Command::new("ip").args(line.split(' ')).output().unwrap();
            assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let (host, client) = (generate_key("host").unwrap(), generate_key("client").unwrap());
        for directory in ["home", "www", "bin"] {
            fs::create_dir(path.join(directory)).unwrap();
        }
        fs::write(path.join("www/index.html"), PAGE).unwrap();
        // Its own way to power itself off, found before any of this host.
        fs::write(path.join("bin/shutdown"), "#!/bin/sh\nkill -TERM 1\n").unwrap();
        fs::set_permissions(path.join("bin/shutdown"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
        secret(&path.join("host_key"), host.private_openssh.expose());
        secret(&path.join("authorized_keys"), &client.public_openssh);
        secret(key, client.private_openssh.expose());
        let at = path.display();
        let config = format!(
            "ListenAddress {ADDRESS}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n\
             SetEnv PATH={at}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let host_key = host.public_openssh.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let mut machine = Self { folder, namespace, child: None, host_key };
        machine.boot();
        machine
    }

    /// Starts it, and waits until it answers.
    pub(super) fn boot(&mut self) {
        let path = self.folder.path();
        let mut command = self.namespace.command("unshare");
        command.args(["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-c", INIT, "sh"]).arg(path).arg(HOST_NAME);
        let log = fs::File::create(path.join("log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + START;
        let answers = || {
            let mut command = self.namespace.command("busybox");
            command.args(["nc", "-w", "5", ADDRESS, "22"]).stdin(Stdio::null());
            command.output().is_ok_and(|output| output.stdout.starts_with(b"SSH-"))
        };
        while !answers() {
            let log = || fs::read_to_string(path.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the machine does not answer: {}", log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// The configuration of its server.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("sshd_config")
    }

    /// Ends it, as if its power had failed.
    pub(super) fn fail(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until it has powered itself off.
    pub(super) fn ends(&mut self) {
        let deadline = Instant::now() + START;
        let child = self.child.as_mut().expect("it runs");
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it runs on");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        self.child = None;
    }

    /// What a command prints that is run on the machine itself.
    pub(super) fn says(&self, script: &str) -> String {
        let unshare = self.child.as_ref().expect("it runs").id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
        let first = children.split_whitespace().next().expect("its first process");
        let output = Command::new("nsenter")
            .args(["--target", first, "--mount", "--uts", "--net", "--pid", "sh", "-c", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until it is as it was: the guard of a process's last output, or of a log, lives seconds longer.
    pub(super) fn becomes(&self, state: &str) {
        let deadline = Instant::now() + LAST_OUTPUT;
        while self.state() != state {
            assert!(Instant::now() < deadline, "it is not as it was:\n{}\nbut\n{state}", self.state());
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// What a pod may leave on it: names, mounts, processes, files.
    pub(super) fn state(&self) -> String {
        self.says(
            "hostname; cat /etc/resolv.conf; cut -d' ' -f2 /proc/mounts | grep -v netns | sort; ls -A /run /var/lib; \
             ps -e -o args= | grep -v -e '^sshd' -e '^ps ' -e '^sh -c' -e '^sort' -e '^grep' -e '^ls' -e '^cut' -e '^cat'",
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.fail();
    }
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
