//! A whole node: namespace, registry, configuration, daemon.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::containerd::Containerd;
use crate::critest::REGISTRIES;
use crate::daemon::Daemon;
use crate::interrupt;
use crate::inventory::{self, Inventory};
use crate::namespace::Namespace;
use crate::place::{PRIVATE_PORTS, Place, REGISTRY_PORT};
use crate::registry::Registry;

/// Where the kubelet keeps its pods, below the directory of a node.
const KUBELET: &str = "kubelet";
/// How long a machine's monitor may take to answer.
const MONITOR: Duration = Duration::from_secs(30);
/// How long a daemon that must not start may take to say so.
const SECOND_DAEMON: Duration = Duration::from_secs(30);

/// A containerd beside the daemon, which runs ordinary containers.
#[derive(Debug, Clone)]
pub struct Delegated {
    /// The folder of its programs.
    pub programs: PathBuf,
    /// The content of a registry that stands in for all others.
    pub registry: PathBuf,
}

impl Delegated {
    /// The one whose folder is in this variable of the environment that `cargo xtask test` sets; `None` without it.
    pub fn from_env(variable: &str) -> Result<Option<Self>> {
        let Some(programs) = std::env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
        Ok(Some(Self { programs, registry: from_env("INFRANETES_CONTAINERD_REGISTRY")? }))
    }
}

/// What a node is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program `infranetes`.
    pub binary: PathBuf,
    /// The registry's content; none for a node without a registry.
    pub registry: Option<PathBuf>,
    /// The hosts of other registries that it stands in for: on this node their names mean it, over plain HTTP.
    pub stands_for: Vec<String>,
    /// Further configuration, as TOML: top-level keys, then sections. A `[network]` section replaces the node's own.
    pub config: String,
    /// Whether the node has QEMU and the built-in bridge; otherwise nothing runs and nothing is wired.
    pub machines: bool,
    /// Its delegate, if it has one: for the default handler, and by the name `runc`.
    pub delegate: Option<Delegated>,
}

impl Options {
    /// A node with machines, from the environment that `cargo xtask test` sets.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            binary: from_env("INFRANETES_BIN")?,
            registry: Some(from_env("INFRANETES_REGISTRY")?),
            stands_for: vec![],
            config: String::new(),
            machines: true,
            delegate: None,
        })
    }

    /// A node without machines whose delegate does the work, from the same environment; `None` where there is no containerd.
    pub fn behind_ours() -> Result<Option<Self>> {
        let Some(delegate) = Delegated::from_env("INFRANETES_CONTAINERD")? else { return Ok(None) };
        Ok(Some(Self {
            binary: from_env("INFRANETES_BIN")?,
            registry: None,
            stands_for: vec![],
            config: String::new(),
            machines: false,
            delegate: Some(delegate),
        }))
    }

    /// A node that critest runs on, from the same environment.
    pub fn for_critest() -> Result<Self> {
        Ok(Self {
            binary: from_env("INFRANETES_BIN")?,
            registry: Some(from_env("INFRANETES_CRITEST_REGISTRY")?),
            stands_for: REGISTRIES.map(str::to_owned).into(),
            // A boot beside another one may take its time.
            config: "[timeouts]\nstart-wait-seconds = 110\n".to_owned(),
            machines: true,
            delegate: None,
        })
    }
}

/// A path from the environment.
pub(crate) fn from_env(name: &str) -> Result<PathBuf> {
    let value = std::env::var_os(name);
    value
        .map(PathBuf::from)
        .with_context(|| format!("{name} is not set; run these tests with `cargo xtask test`"))
}

/// A running node. Dropping it ends and removes all of it.
#[derive(Debug)]
pub struct Node {
    daemon: Option<Daemon>,
    containerd: Option<Containerd>,
    options: Options,
    place: Arc<Place>,
}

impl Node {
    /// Makes the node and waits until its daemon serves.
    pub fn start(options: Options) -> Result<Self> {
        let mut node = Self::prepare(options)?;
        node.start_daemon()?;
        Ok(node)
    }

    /// Makes everything but the daemon.
    pub fn prepare(options: Options) -> Result<Self> {
        interrupt::listen()?;
        interrupt::check()?;
        let place = Arc::new(Place::make(options.registry.as_deref(), &options.stands_for)?);
        let mut node = Self { daemon: None, containerd: None, options, place };
        std::fs::write(node.config_path(), node.configuration())?;
        if let Some(Delegated { programs, registry }) = &node.options.delegate {
            node.containerd = Some(Containerd::join(&node.place, programs, registry)?);
        }
        Ok(node)
    }

    /// The TOML that the daemon reads.
    fn configuration(&self) -> String {
        let dir = self.dir().display();
        let (kind, mode) = if self.options.machines { ("qemu", "builtin") } else { ("null", "null") };
        let mut parts = format!("[providers.qemu]\nkind = \"{kind}\"\n");
        if !self.options.config.contains("[network]") {
            let _ = write!(parts, "[network]\nmode = \"{mode}\"\n");
        }
        if self.options.delegate.is_some() {
            let socket = Containerd::socket_of(self.dir());
            let _ = write!(
                parts,
                "[delegate]\nendpoint = \"unix://{}\"\nhandlers = [\"\", \"runc\"]\n",
                socket.display()
            );
        }
        let own = [REGISTRY_PORT, PRIVATE_PORTS[0]].map(|port| format!("127.0.0.1:{port}"));
        let plain: Vec<&String> = self.options.stands_for.iter().chain(&own).collect();
        format!(
            "socket = \"{dir}/s\"\nstate-dir = \"{dir}/state\"\nrun-dir = \"{dir}/run\"\nkubelet-root-dir = \"{dir}/{KUBELET}\"\n{}\n\
             {parts}[images]\nplain-http = {plain:?}\n",
            self.options.config
        )
    }

    /// Starts the daemon (again) and waits until it serves.
    pub fn start_daemon(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(
            self.namespace(),
            &self.options.binary,
            &self.config_path(),
            &self.socket(),
            &self.log(),
        )?);
        Ok(())
    }

    /// Ends the daemon as `kill -9` does and starts it again.
    pub fn kill_and_restart_daemon(&mut self) -> Result<()> {
        self.daemon().kill();
        self.start_daemon()
    }

    /// Starts a second daemon with the same configuration, which it should refuse; answers what it printed.
    pub fn start_second_daemon(&self) -> Result<String> {
        let log = self.dir().join("second.log");
        let mut second = Daemon::start_to_die(
            self.namespace(),
            &self.options.binary,
            &self.config_path(),
            &self.socket(),
            &log,
            None,
        )?;
        let status = second.wait_for_end(SECOND_DAEMON)?;
        ensure!(!status.success(), "the second daemon ended in success: {}", second.printed());
        Ok(second.printed())
    }

    /// Starts the daemon so that it dies at a step; says whether it came to serve.
    pub fn start_daemon_to_die_at(&mut self, step: &str) -> Result<bool> {
        let mut daemon = Daemon::start_to_die(
            self.namespace(),
            &self.options.binary,
            &self.config_path(),
            &self.socket(),
            &self.log(),
            Some(step),
        )?;
        let serves = daemon.serves();
        self.daemon = Some(daemon);
        Ok(serves)
    }

    /// The daemon.
    ///
    /// # Panics
    /// If it was never started.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the daemon was started")
    }

    /// Whether it has a delegate.
    pub fn has_delegate(&self) -> bool {
        self.containerd.is_some()
    }

    /// The delegate.
    ///
    /// # Panics
    /// If it has none.
    pub fn delegate(&mut self) -> &mut Containerd {
        self.containerd.as_mut().expect("the node has a delegate")
    }

    /// Where it runs.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The registry's `host:port`.
    pub fn registry(&self) -> &str {
        self.place.registry()
    }

    /// Starts two registries that take [`crate::LOGIN`] only: of its own images, and of its delegate's.
    pub fn private_registries(&self) -> Result<[Registry; 2]> {
        let own = self.options.registry.as_ref().context("the node has no registry")?;
        let delegate = self.options.delegate.as_ref().context("the node has no delegate")?;
        let start = |port: u16, store| {
            let dir = self.dir().join(format!("private-{port}"));
            std::fs::create_dir_all(&dir)?;
            Registry::start_private(self.namespace(), port, store, &dir)
        };
        Ok([start(PRIVATE_PORTS[0], own)?, start(PRIVATE_PORTS[1], &delegate.registry)?])
    }

    /// The node's namespace.
    pub fn namespace(&self) -> &Namespace {
        self.place.namespace()
    }

    /// The program `infranetes` as people call it on the node.
    pub fn infranetes(&self) -> Command {
        let mut command = self.namespace().command(&self.options.binary);
        command.arg("--endpoint").arg(format!("unix://{}", self.socket().display()));
        command
    }

    /// The node's own directory: everything that it writes is in it.
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// The kubelet's own directory, if there is a kubelet.
    pub fn kubelet(&self) -> PathBuf {
        self.dir().join(KUBELET)
    }

    /// The TOML that the daemon reads..
    pub fn config_path(&self) -> PathBuf {
        self.dir().join("infranetes.toml")
    }

    /// The daemon's own log.
    pub fn log(&self) -> PathBuf {
        self.dir().join("infranetes.log")
    }

    /// A directory for the logs of pods.
    pub fn pod_logs(&self) -> PathBuf {
        self.dir().join("pod-logs")
    }

    /// Stops a machine's processors, as a kernel that hangs does not come to anything any more: over the monitor that is for
    /// people.
    pub fn freeze(&self, machine: &str) -> Result<()> {
        let socket = self.dir().join("run/machines/qemu").join(machine).join("qmp2.sock");
        let monitor = UnixStream::connect(&socket).with_context(|| socket.display().to_string())?;
        monitor.set_read_timeout(Some(MONITOR))?;
        (&monitor)
            .write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\",\"id\":\"stop\"}\n")?;
        for line in BufReader::new(&monitor).lines() {
            let line = line.context("the monitor is silent")?;
            if line.contains("\"id\": \"stop\"") {
                ensure!(line.contains("return"), "the monitor refuses to stop: {line}");
                return Ok(());
            }
        }
        bail!("the monitor has gone")
    }

    /// What is on the node now.
    pub fn inventory(&self) -> Result<Inventory> {
        Inventory::take(self)
    }
}

/// Whether a line only tells that somebody asked how things are, as a kubelet does all the time.
fn is_question(line: &str) -> bool {
    ["List", "Status", "ContainerStatus", "PodSandboxStatus", "ImageFsInfo", "ImageStatus", "Version"]
        .iter()
        .any(|rpc| line.contains(&format!("cri::service: done rpc=\"{rpc}")))
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(daemon) = &self.daemon
        {
            let printed = daemon.printed();
            let tail: Vec<_> = printed.lines().rev().filter(|line| !is_question(line)).take(60).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("--- the daemon's last lines ---\n{}\n---\n", tail.join("\n")).as_bytes(),
            );
        }
        self.daemon = None;
        self.containerd = None;
        inventory::clear(self);
    }
}
