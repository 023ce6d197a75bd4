//! An OpenSSH server on loopback with a user of its own, whose login shell is `/bin/sh` without start-up files; or for root, with
//! a `/run` of its own.
//!
//! All of it is made for one measurement and removed with it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use transports::{Credential, Identity, KeyPair, Target, generate_key};

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(10);

/// Becomes the server, with a `/run` and a home that nobody else sees.
const PRIVATE: &str =
    "mount -t tmpfs run /run && mkdir -p /run/sshd /run/home && mount --bind /run/home /root &&
exec /usr/sbin/sshd \"$@\"";

/// The server and its user.
pub(crate) struct Sshd {
    folder: TempDir,
    address: SocketAddr,
    user: String,
    host: KeyPair,
    client: KeyPair,
    child: Option<Child>,
}

impl Sshd {
    /// For a user of its own.
    pub(crate) fn start() -> Result<Self> {
        let folder = folder()?;
        let user = format!("bench{}", std::process::id());
        run(Command::new("useradd")
            .args(["-M", "-N", "-s", "/bin/sh", "-p", "*", "-d"])
            .arg(folder.path())
            .arg(&user))?;
        Self::start_for(folder, user, Command::new("/usr/sbin/sshd"))
    }

    /// For root, whose mounts are seen by nobody else and go with the server.
    pub(crate) fn start_for_root() -> Result<Self> {
        let mut server = Command::new("unshare");
        server.args(["--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh"]);
        Self::start_for(folder()?, "root".to_owned(), server)
    }

    fn start_for(folder: TempDir, user: String, mut command: Command) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut sshd = Self {
            folder,
            address,
            user,
            host: generate_key("host")?,
            client: generate_key("client")?,
            child: None,
        };
        sshd.write("host_key", sshd.host.private_openssh.expose(), "600")?;
        sshd.write("client_key", sshd.client.private_openssh.expose(), "600")?;
        sshd.write("authorized_keys", &sshd.client.public_openssh, "644")?;
        let path = sshd.folder.path().display();
        let config = format!(
            "ListenAddress {address}\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nUseDNS no\nPermitRootLogin yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
        );
        sshd.write("sshd_config", &config, "600")?;
        // Privilege separation needs this folder; a machine without a running sshd may lack it.
        std::fs::create_dir_all("/run/sshd").context("the benchmark runs as root")?;
        let log = std::fs::File::create(sshd.path("log"))?;
        command.args(["-D", "-e", "-f"]).arg(sshd.path("sshd_config")).stdin(Stdio::null()).stderr(log);
        sshd.child = Some(command.spawn().context("cannot run sshd: apt-get install openssh-server")?);
        let until = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until {
                bail!("sshd does not answer: {}", std::fs::read_to_string(sshd.path("log"))?);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(sshd)
    }

    fn write(&self, name: &str, text: &str, mode: &str) -> Result<()> {
        std::fs::write(self.path(name), text)?;
        run(Command::new("chmod").arg(mode).arg(self.path(name)))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server as our transport reaches it.
    pub(crate) fn target(&self) -> Target {
        Target {
            address: self.address,
            user: self.user.clone(),
            host_name: None,
            credentials: vec![Credential::Key(self.client.private_openssh.clone())],
            identity: Identity::Pinned(vec![self.host.public_openssh.clone()]),
            legacy_algorithms: Vec::new(),
        }
    }

    /// The user and the server, for a client of OpenSSH.
    pub(crate) fn login(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }

    /// The server as OpenSSH's client reaches it, by the control socket `master`.
    pub(crate) fn client(&self, master: &Path, further: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-S"]).arg(master);
        command.args(further).arg(self.login());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Makes the control socket: one connection that stays.
    pub(crate) fn master(&self) -> Result<PathBuf> {
        let master = self.path("master");
        let key = self.path("client_key").display().to_string();
        let known = format!("UserKnownHostsFile={}", self.path("known_hosts").display());
        let line = format!("[127.0.0.1]:{} {}\n", self.address.port(), self.host.public_openssh.trim());
        self.write("known_hosts", &line, "644")?;
        let port = self.address.port().to_string();
        let options = ["-M", "-N", "-f", "-i", &key, "-o", &known, "-p", &port];
        run(&mut self.client(&master, &options))?;
        Ok(master)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.client(&self.path("master"), &["-O", "exit"]).stderr(Stdio::null()).status();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.user != "root" {
            let _ = Command::new("userdel").arg("-f").arg(&self.user).stderr(Stdio::null()).status();
        }
    }
}

/// Where keys and configuration lie.
fn folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    run(Command::new("chmod").arg("755").arg(folder.path()))?;
    Ok(folder)
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
