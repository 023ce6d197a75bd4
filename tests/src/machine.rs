//! A machine that runs already: beside the node, with a network, processes, a host name and mounts of its own, a server that lets
//! in whoever has the secret, and a web page.
//!
//! ```text
//!   beside: namespace, a cable to the node -> boot: its own mounts, names, processes -> its server answers
//!   drop:   all its processes, and the namespace
//! ```
//!
//! Which protocol its server speaks is all in which two of them differ. Failure paths: what cannot be done is a panic, for this is
//! what a test says of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::namespace::{Namespace, run};
use crate::node::from_env;

/// What it calls itself.
const HOST_NAME: &str = "grandfather";
/// How long it may take to answer.
const START: Duration = Duration::from_secs(20);
/// How long the guard of a process's last output may live.
const LAST_OUTPUT: Duration = Duration::from_secs(20);
/// How long what a killed daemon has begun may go on where nothing tells the machine that its session is over.
const ABANDONED: Duration = Duration::from_secs(90);
/// The user that it knows by a password.
const USER: &str = "Administrator";

/// How its programs of Windows are run; the prefix of wine is mounted beside them.
const WINE: &str = "#!/bin/sh\nexec env WINEPREFIX=\"${0%/bin/*}/wine\" WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= wine";
/// What it runs. Whatever it writes outside of its home is in memory of its own. Its first process ends it when it is told to,
/// and takes in the children that others leave.
const INIT: &str = r#"set -e
hostname "$2"
if [ "$WINE_PREFIX" ]; then mount --bind "$WINE_PREFIX" "$1/wine"; fi
mount --bind "$1/home" /root
mount --bind "$1/resolv.conf" /etc/resolv.conf
for f in /run /var/lib; do mount -t tmpfs tmpfs "$f"; done
mkdir -p /run/sshd
busybox httpd -p 80 -h "$1/www"
export PATH="$1/bin:$PATH" HOME=/root
cd /
shift 2
"$@" &
trap 'exit 0' TERM
wait $!
"#;

/// What a machine's server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// SSH.
    Ssh,
    /// `WinRM` over HTTPS, with the password as it is.
    Https,
    /// `WinRM` over HTTP, where each message is sealed.
    Http,
    /// The same, of a machine whose programs are those of Windows, as far as wine has them.
    Wine,
}

/// The machine; it ends with this value.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    namespace: Namespace,
    child: Option<Child>,
    speaks: Speaks,
    network: String,
    /// What proves which machine it is; empty where nothing does.
    proof: String,
}

impl Machine {
    /// Makes a machine beside a node, on a network of 256 addresses of its own (`192.0.2`), and waits until it answers. What
    /// lets the node in is written to `secret`.
    pub fn beside(node: &Namespace, network: &str, speaks: Speaks, secret: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).expect("a mode");
        let name = network.replace('.', "-");
        let namespace = Namespace::create(&format!("m-{name}-{}", node.name())).expect("a namespace");
        let (own, node, cable) = (namespace.name(), node.name(), Self::cable(network));
        for line in [
            format!("-n {own} link add eth0 type veth peer name {cable} netns {node}"),
            format!("-n {node} addr add {network}.1/24 dev {cable}"),
            format!("-n {node} link set {cable} up"),
            format!("-n {own} addr add {network}.2/24 dev eth0"),
            format!("-n {own} link set eth0 up"),
        ] {
            run(Command::new("ip").args(line.split(' '))).expect("a cable");
        }
        for directory in ["home", "www", "bin", "wine"] {
            fs::create_dir(path.join(directory)).expect("a folder");
        }
        write(&path.join("www/index.html"), &format!("a page of the machine {network}"), 0o644);
        // Its own way to power itself off, found before any of this host.
        write(&path.join("bin/shutdown"), "#!/bin/sh\nkill -TERM 1\n", 0o755);
        if speaks == Speaks::Wine {
            for program in ["cmd.exe", "reg.exe", "powershell.exe"] {
                write(&path.join("bin").join(program), &format!("{WINE} {program} \"$@\"\n"), 0o755);
            }
        }
        write(&path.join("resolv.conf"), "nameserver 192.0.2.53\n", 0o644);
        let network = network.to_owned();
        let mut machine = Self { folder, namespace, child: None, speaks, network, proof: String::new() };
        match speaks {
            Speaks::Ssh => machine.make_keys(secret),
            Speaks::Https | Speaks::Http | Speaks::Wine => {
                write(&machine.path("password"), "pass wörd 1", 0o600);
                fs::copy(machine.path("password"), secret).expect("a copy");
            }
        }
        machine.boot();
        machine
    }

    /// The name of the node's end of the cable to a machine on this network.
    pub fn cable(network: &str) -> String {
        format!("m-{}", network.replace('.', "-"))
    }

    fn make_keys(&mut self, secret: &Path) {
        let key = |name: &str| {
            let path = self.path(name);
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
                .arg(&path))
            .expect("a key");
            fs::read_to_string(path.with_extension("pub")).expect("a public key").trim().to_owned()
        };
        let host = key("host_key");
        write(&self.path("authorized_keys"), &key("client_key"), 0o600);
        fs::copy(self.path("client_key"), secret).expect("a copy");
        let at = self.folder.path().display();
        let config = format!(
            "ListenAddress {}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n\
             SetEnv PATH={at}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
            self.address()
        );
        write(&self.config(), &config, 0o644);
        self.proof = host;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What its server speaks.
    pub fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// Where it is, beside the node.
    pub fn address(&self) -> String {
        format!("{}.2", self.network)
    }

    /// What it answers to whoever asks for its page.
    pub fn page(&self) -> String {
        format!("a page of the machine {}", self.network)
    }

    /// What proves which machine it is; empty where nothing does.
    pub fn proof(&self) -> &str {
        &self.proof
    }

    /// What would prove another machine.
    pub fn another_proof(&self) -> String {
        match self.speaks {
            Speaks::Ssh => format!("SHA256:{}", "B".repeat(43)),
            _ => format!("SHA256:{}", "b".repeat(64)),
        }
    }

    /// The keys of an inventory's entry that say how it is reached, as one that proves this; its secret is in `secret`.
    pub fn entry(&self, proof: &str, secret: &Path) -> String {
        let (address, secret) = (self.address(), secret.display());
        let winrm = format!(
            "address = \"{address}\"\ntransport = \"winrm\"\nuser = \"{USER}\"\ncredential = {{ password-file = \"{secret}\" }}\n"
        );
        match self.speaks {
            Speaks::Ssh => {
                format!(
                    "address = \"{address}\"\ncredential = {{ key-file = \"{secret}\" }}\nhost-keys = [\"{proof}\"]\n"
                )
            }
            Speaks::Https => format!("{winrm}authentication = \"basic\"\ncertificates = [\"{proof}\"]\n"),
            Speaks::Http => format!("{winrm}scheme = \"http\"\ntrust-on-first-use = true\n"),
            Speaks::Wine => {
                format!("{winrm}scheme = \"http\"\ntrust-on-first-use = true\nos = \"windows\"\n")
            }
        }
    }

    /// The program of its server with its arguments.
    fn server(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let at = |name: &str| self.path(name).display().to_string();
        let peer =
            || from_env("INFRANETES_WINRM_PEER").expect("the tests' environment").display().to_string();
        let (address, password) = (self.address(), at("password"));
        match self.speaks {
            Speaks::Ssh => words(&["/usr/sbin/sshd", "-D", "-e", "-f", &at("sshd_config")]),
            Speaks::Https => words(&[
                &peer(),
                "--listen",
                &format!("{address}:5986"),
                "--certificate",
                &at("certificate"),
                "--offer",
                "basic",
                "--user",
                USER,
                "--password-file",
                &password,
            ]),
            Speaks::Http => words(&[
                &peer(),
                "--listen",
                &format!("{address}:5985"),
                "--user",
                USER,
                "--password-file",
                &password,
            ]),
            Speaks::Wine => words(&[
                &peer(),
                "--listen",
                &format!("{address}:5985"),
                "--user",
                USER,
                "--password-file",
                &password,
                "--wine-prefix",
                &at("wine"),
            ]),
        }
    }

    /// Starts it, and waits until it answers.
    pub fn boot(&mut self) {
        let mut command = self.namespace.command("unshare");
        command.args(["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "sh", "-c", INIT, "sh"]).arg(self.folder.path()).arg(HOST_NAME);
        let log = fs::File::create(self.path("log")).expect("a log");
        if self.speaks == Speaks::Wine {
            command.env("WINE_PREFIX", from_env("INFRANETES_WINE_PREFIX").expect("the tests' environment"));
        }
        command.args(self.server()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("it is started");
        let told = child.stdout.take().expect("a pipe");
        self.child = Some(child);
        match self.speaks {
            Speaks::Ssh => self.wait_for_banner(),
            Speaks::Https | Speaks::Http | Speaks::Wine => {
                // Its server tells when it listens, where, and its certificate's fingerprint.
                let mut line = String::new();
                BufReader::new(told).read_line(&mut line).expect("a line");
                assert!(line.starts_with("http"), "the machine does not answer: {}", self.log());
                line.split_whitespace().nth(1).unwrap_or_default().clone_into(&mut self.proof);
            }
        }
    }

    fn wait_for_banner(&self) {
        let deadline = Instant::now() + START;
        let answers = || {
            let mut command = self.namespace.command("busybox");
            command.args(["nc", "-w", "5", &self.address(), "22"]).stdin(Stdio::null());
            command.output().is_ok_and(|output| output.stdout.starts_with(b"SSH-"))
        };
        while !answers() {
            assert!(Instant::now() < deadline, "the machine does not answer: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What its server has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where its certificate is, where it has one.
    pub fn certificate(&self) -> PathBuf {
        self.path("certificate")
    }

    /// The user that it lets in.
    pub fn user(&self) -> &'static str {
        match self.speaks {
            Speaks::Ssh => "root",
            Speaks::Https | Speaks::Http | Speaks::Wine => USER,
        }
    }

    /// What is on its disk C:, where it has one.
    pub fn drive_c(&self) -> PathBuf {
        from_env("INFRANETES_WINE_PREFIX").expect("the tests' environment").join("drive_c")
    }

    /// The configuration of its server, where that has one.
    pub fn config(&self) -> PathBuf {
        self.path("sshd_config")
    }

    /// Ends it, as if its power had failed.
    pub fn fail(&mut self) {
        let first = self.first();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // It ends after all the others; until then they hold their ports.
        let Some(stat) = first.map(|first| format!("/proc/{first}/stat")) else { return };
        let deadline = Instant::now() + START;
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) && Instant::now() < deadline
        {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// The process id of its first process, where it runs.
    fn first(&self) -> Option<String> {
        let unshare = self.child.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// Waits until it has powered itself off.
    pub fn ends(&mut self) {
        let deadline = Instant::now() + START;
        let child = self.child.as_mut().expect("it runs");
        while child.try_wait().expect("it is asked").is_none() {
            assert!(Instant::now() < deadline, "it runs on");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        self.child = None;
    }

    /// What a command prints that is run on the machine itself.
    pub fn says(&self, script: &str) -> String {
        let first = self.first().expect("it runs");
        let mut command = Command::new("nsenter");
        command.args(["--target", &first, "--mount", "--uts", "--net", "--pid", "sh", "-c", script]);
        run(&mut command).expect("the machine obeys").trim().to_owned()
    }

    /// Waits until it is as it was: the guard of a process's last output, or of a log, lives longer.
    pub fn becomes(&self, state: &str) {
        let patience = if self.speaks == Speaks::Ssh { LAST_OUTPUT } else { ABANDONED };
        let deadline = Instant::now() + patience;
        while self.state() != state {
            assert!(Instant::now() < deadline, "it is not as it was:\n{}\nbut\n{state}", self.state());
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// What a pod may leave on it: names, mounts, processes, files.
    pub fn state(&self) -> String {
        self.says(
            "hostname; cat /etc/resolv.conf; cut -d' ' -f2 /proc/mounts | grep -v netns | sort; ls -A /run /var/lib; \
             ps -e -o args= | grep -v -e '^sshd' -e winrm-peer -e '^ps ' -e '^sh -c' -e '^sort' -e '^grep' -e '^ls' -e '^cut' -e '^cat'",
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.fail();
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
