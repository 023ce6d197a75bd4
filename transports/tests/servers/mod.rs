//! Real SSH servers on loopback, each with keys and a configuration of its own in a temporary folder.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "each test program uses its part")]

pub mod user;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use transports::{Credential, Identity, KeyPair, Target, generate_key};

/// A server that ends with this value.
pub struct Server {
    pub folder: TempDir,
    pub address: SocketAddr,
    pub host_key: String,
    pub client_key: KeyPair,
    /// Whom its clients log in as.
    pub user: String,
    /// What its clients have to name.
    pub legacy_algorithms: Vec<String>,
    child: Child,
    /// It is the first process of a namespace of its own.
    apart: bool,
}

impl Server {
    /// OpenSSH, with further lines for its configuration.
    pub fn openssh(extra: &str) -> Self {
        need("/usr/sbin/sshd", "openssh-server");
        Self::openssh_at(free_address(), extra)
    }

    /// OpenSSH at a given address.
    pub fn openssh_at(address: SocketAddr, extra: &str) -> Self {
        Self::openssh_within(address, extra, None)
    }

    /// OpenSSH, with mounts and processes of its own; a script prepares the mounts, and `$1` is a folder for it.
    pub fn openssh_in(prepare: &str, extra: &str) -> Self {
        need("/usr/sbin/sshd", "openssh-server");
        Self::openssh_within(free_address(), extra, Some(prepare))
    }

    fn openssh_within(address: SocketAddr, extra: &str, prepare: Option<&str>) -> Self {
        // Privilege separation needs this folder; a machine without a running sshd may lack it.
        fs::create_dir_all("/run/sshd").expect("the tests run as root");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let host = generate_key("host").unwrap();
        let client = generate_key("client").unwrap();
        write(path, "host_key", host.private_openssh.expose());
        write(path, "authorized_keys", &client.public_openssh);
        let mut config = String::new();
        writeln!(config, "{extra}").unwrap();
        writeln!(config, "ListenAddress {address}").unwrap();
        writeln!(config, "HostKey {}/host_key", path.display()).unwrap();
        writeln!(config, "AuthorizedKeysFile {}/authorized_keys", path.display()).unwrap();
        writeln!(config, "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no").unwrap();
        writeln!(config, "MaxStartups 100:30:200").unwrap();
        write(path, "sshd_config", &config);
        let log = fs::File::create(path.join("log")).unwrap();
        // An empty home folder: what this machine's root has in his start-up files is none of the tests' business.
        fs::create_dir(path.join("home")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
        let script = format!(
            "set -e\nmount --bind \"$1/home\" /root\n{}\nshift\nexec /usr/sbin/sshd \"$@\"",
            prepare.unwrap_or_default()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if prepare.is_some() {
            command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        let child = command
            .args(["/bin/sh", "-c", &script, "sh"])
            .arg(path)
            .args(["-D", "-e", "-f"])
            .arg(path.join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let (host_key, apart) = (bare(&host.public_openssh), prepare.is_some());
        Self::running(folder, address, host_key, client, child, apart)
    }

    /// Dropbear.
    pub fn dropbear() -> Self {
        Self::dropbear_with("")
    }

    /// Dropbear with further options.
    pub fn dropbear_with(options: &str) -> Self {
        need("/usr/sbin/dropbear", "dropbear-bin");
        need("/usr/bin/dropbearkey", "dropbear-bin");
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let made = Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(path.join("host_key"))
            .output()
            .expect("dropbearkey runs");
        let host_key = String::from_utf8(made.stdout)
            .unwrap()
            .lines()
            .find(|line| line.starts_with("ssh-ed25519"))
            .map(bare)
            .expect("dropbearkey prints the public key");
        let client = generate_key("client").unwrap();
        // Dropbear reads only the user's own file, in the home folder: a private mount of one is laid over it.
        let home = path.join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        write(&home.join(".ssh"), "authorized_keys", &client.public_openssh);
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(home.join(".ssh"), fs::Permissions::from_mode(0o700)).unwrap();
        let script = format!(
            "mount --bind {} /root && exec dropbear -F -E -r {}/host_key -p {address} -P '' {options}",
            home.display(),
            path.display()
        );
        let log = fs::File::create(path.join("log")).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self::running(folder, address, host_key, client, child, false)
    }

    /// A server that was started, once it answers.
    fn running(
        folder: TempDir,
        address: SocketAddr,
        host_key: String,
        client_key: KeyPair,
        child: Child,
        apart: bool,
    ) -> Self {
        let (user, legacy_algorithms) = ("root".into(), Vec::new());
        Self { folder, address, host_key, client_key, user, legacy_algorithms, child, apart }.answering()
    }

    /// Waits until it answers.
    fn answering(mut self) -> Self {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < until, "the server does not answer:\n{}", self.log());
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The process id of the listening server.
    pub fn pid(&self) -> u32 {
        // With processes of its own it is the only child of who made that namespace.
        let id = self.child.id();
        if self.apart { children(id).first().copied().unwrap_or(id) } else { id }
    }

    /// Kills the processes that serve connections, and with them the connections.
    pub fn cut(&self) {
        // Whatever has lost its parent is a child of the first process, too.
        let serves = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd")
        };
        for connection in children(self.pid()).into_iter().filter(|pid| !self.apart || serves(pid)) {
            // The connection first, so that it cannot tell how its commands ended.
            let commands = children(connection);
            signal("-KILL", connection);
            for command in commands {
                signal("-KILL", command);
            }
        }
    }

    /// Its user, by key, with the host key pinned.
    pub fn target(&self) -> Target {
        Target {
            address: self.address,
            user: self.user.clone(),
            host_name: None,
            credentials: vec![Credential::Key(self.client_key.private_openssh.clone())],
            identity: Identity::Pinned(vec![self.host_key.clone()]),
            legacy_algorithms: self.legacy_algorithms.clone(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections' own processes outlive the listener.
        self.cut();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child processes of a process.
pub fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// Sends a signal to one process.
pub fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// An address on loopback that was free a moment ago. Another one each time, for who asks for any free port meanwhile may get
/// the same.
pub fn free_address() -> SocketAddr {
    static ASKED: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Never near 127.0.0.1, which everybody else has.
    let own = Ipv4Addr::new(127, high | 1, low, ASKED.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((own, 0)).unwrap().local_addr().unwrap()
}

/// A public key without its comment.
fn bare(key: &str) -> String {
    key.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn need(program: &str, package: &str) {
    assert!(Path::new(program).exists(), "{program} is missing: apt-get install {package}");
}
