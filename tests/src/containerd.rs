//! containerd: as the peer, which what is said of a runtime is held against, and as the delegate of a node of ours.
//!
//! ```text
//!  start: place -> folders of its own where it knows no others -> configuration -> containerd -> socket answers
//!  drop:  containerd ends -> containers that are left -> their shims -> empty control groups -> place
//! ```
//!
//! The peer has a place for itself. A delegate is in the place of its node, in a folder of it, with a registry of its own beside
//! the node's.
//!
//! Happy path: whoever used it has removed all pods, and nothing is left to be ended. Failure paths: what is left is found by
//! what runc and the command lines of the shims say of *this* containerd, never by a name alone. All mounts are in the place's
//! mount namespace and go with it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::critest::REGISTRIES;
use crate::hidden::Hidden;
use crate::namespace::run;
use crate::node::from_env;
use crate::place::{PRIVATE_PORTS, Place};
use crate::process::{Process, pause};
use crate::registry::Registry;

/// How long it may take from its start to its socket.
const START: Duration = Duration::from_secs(60);
/// How long it, or a shim, may take to end.
const END: Duration = Duration::from_secs(20);
/// Where it and its parts keep something whatever its configuration says.
const FIXED: [&str; 2] = ["/run/containerd", "/var/lib/cni"];
/// The namespace of the CRI's containers in it, and what their control groups are below.
const CRI: &str = "k8s.io";

/// The folder of a delegate in that of its node.
const HOME: &str = "containerd";
/// Its socket in its folder.
const SOCKET: &str = "s";
/// The port of the registry of a delegate.
const REGISTRY_PORT: u16 = 5001;
/// What a pod's first container is made from.
const SANDBOX_IMAGE: &str = "registry.k8s.io/pause:3.10.2";

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    /// The control groups of its containers that the machine had before.
    groups: Vec<PathBuf>,
    _hidden: Vec<Hidden>,
    programs: PathBuf,
    /// Where it keeps everything.
    home: PathBuf,
    _registry: Option<Registry>,
    place: Arc<Place>,
}

impl Containerd {
    /// The one that critest runs on, from the environment that `cargo xtask test --runtime containerd` sets; `None` without it.
    pub fn for_critest() -> Result<Option<Self>> {
        let Some(programs) = std::env::var_os("INFRANETES_CONTAINERD") else { return Ok(None) };
        let registry = from_env("INFRANETES_CONTAINERD_REGISTRY")?;
        Self::start(Path::new(&programs), &registry, &REGISTRIES.map(str::to_owned)).map(Some)
    }

    /// Starts the containerd of the folder `programs` and waits until it serves. A registry with the content `registry` stands
    /// in for these hosts.
    pub fn start(programs: &Path, registry: &Path, stands_for: &[String]) -> Result<Self> {
        let place = Arc::new(Place::make(Some(registry), stands_for)?);
        let home = place.dir().to_owned();
        let host = place.registry().to_owned();
        Self::run(place, home, programs, &host, None)
    }

    /// Starts the containerd of the folder `programs` in the place of a node, whose delegate it is. A registry with the content
    /// `registry` stands in for all others.
    pub(crate) fn join(place: &Arc<Place>, programs: &Path, registry: &Path) -> Result<Self> {
        let home = place.dir().join(HOME);
        fs::create_dir_all(&home)?;
        let registry = Registry::start(place.namespace(), REGISTRY_PORT, registry, &home)?;
        let host = registry.host().to_owned();
        Self::run(place.clone(), home, programs, &host, Some(registry))
    }

    /// The socket of the delegate of a node with this directory.
    pub(crate) fn socket_of(node: &Path) -> PathBuf {
        node.join(HOME).join(SOCKET)
    }

    fn run(
        place: Arc<Place>,
        home: PathBuf,
        programs: &Path,
        registry: &str,
        own: Option<Registry>,
    ) -> Result<Self> {
        let groups = groups();
        let hidden = FIXED.map(|folder| Hidden::hide(folder, place.namespace()));
        let hidden = hidden.into_iter().collect::<Result<Vec<_>>>()?;
        let version = run(Command::new(programs.join("containerd")).arg("--version"))?;
        configure(&place, &home, registry, &version)?;
        let process = launch(&place, &home, programs)?;
        let programs = programs.to_owned();
        let mut containerd = Self { process, groups, _hidden: hidden, programs, home, _registry: own, place };
        containerd.wait()?;
        Ok(containerd)
    }

    /// Ends it as `kill -9` does. Its containers go on.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after a kill, and waits until it serves.
    pub fn start_again(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.socket());
        self.process = launch(&self.place, &self.home, &self.programs)?;
        self.wait()
    }

    /// Starts it again after a kill as one that serves no CRI, which is how it comes up where that plugin of it fails; or as before.
    pub fn start_without_cri(&mut self, without: bool) -> Result<()> {
        let path = self.home.join("containerd.toml");
        let text = fs::read_to_string(&path)?;
        let both = format!("[{OPT}, \"io.containerd.grpc.v1.cri\"]");
        let (from, to) = if without { (format!("[{OPT}]"), both) } else { (both, format!("[{OPT}]")) };
        fs::write(&path, text.replacen(&from, &to, 1))?;
        self.start_again()
    }

    /// Stops it from doing anything, as one that hangs, until [`Containerd::thaw`].
    pub fn freeze(&mut self) -> Result<()> {
        self.process.suspend(END)
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    fn wait(&mut self) -> Result<()> {
        let socket = self.socket();
        self.process.wait_for("socket", START, || UnixStream::connect(&socket).is_ok())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.home.join(SOCKET)
    }

    /// Where it runs.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its own log.
    pub fn log(&self) -> PathBuf {
        self.home.join("containerd.log")
    }

    /// What pods have left, each as a line a person can read, once a shim that was told to end has had its time.
    pub fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + END;
        loop {
            let containers = self.containers().into_iter().map(|id| format!("container {id}"));
            let left: Vec<_> =
                containers.chain(self.shims().into_iter().map(|pid| format!("shim {pid}"))).collect();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            pause();
        }
    }

    /// The containers that runc knows, running or not.
    fn containers(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.runc()) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Where runc keeps what it knows.
    fn runc(&self) -> PathBuf {
        self.home.join("runc").join(CRI)
    }

    /// The shims whose command line says that they belong to this containerd.
    fn shims(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let address = self.socket();
        let ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let words: Vec<&str> = line.split('\0').collect();
            words[0].ends_with("containerd-shim-runc-v2")
                && words.windows(2).any(|pair| pair[0] == "-address" && Path::new(pair[1]) == address)
        };
        pids.filter(ours).collect()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.thaw();
        if self.process.terminate(END).is_err() {
            self.process.kill();
        }
        for id in self.containers() {
            let mut runc = self.place.namespace().command("runc");
            // What is left then has to be seen in the machine's processes: there is nobody to tell.
            let _ = run(runc.arg("--root").arg(self.runc()).args(["delete", "--force", &id]));
        }
        let shims = self.shims();
        for pid in shims.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let deadline = Instant::now() + END;
        while !self.shims().is_empty() && Instant::now() < deadline {
            pause();
        }
        for group in groups().into_iter().filter(|group| !self.groups.contains(group)) {
            // One that is not empty stays.
            let _ = fs::remove_dir(group);
        }
    }
}

/// The control groups that the CRI's containers are below: one, or one in each of the older hierarchies.
fn groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut places = vec![root.to_owned()];
    if let Ok(entries) = fs::read_dir(root) {
        places.extend(entries.flatten().map(|entry| entry.path()));
    }
    places.into_iter().map(|place| place.join(CRI)).filter(|group| group.is_dir()).collect()
}

/// Starts it in its place.
fn launch(place: &Place, home: &Path, programs: &Path) -> Result<Process> {
    let mut command = place.namespace().command(programs.join("containerd"));
    command.arg("-c").arg(home.join("containerd.toml"));
    // Its shim is the one beside it, whatever the machine has.
    let mut path = programs.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    command.env("PATH", path);
    Process::start(command, "containerd", &home.join("containerd.log"))
}

/// Writes what it and the plugins of the CNI read.
fn configure(place: &Place, home: &Path, registry: &str, version: &str) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = home.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let is_old = version.split_whitespace().any(|word| word.starts_with("1.") || word.starts_with("v1."));
    write("containerd.toml", if is_old { configuration_1(home) } else { configuration_2(home) })?;
    let private = format!("127.0.0.1:{}", PRIVATE_PORTS[1]);
    for (named, means) in [("_default", registry), (&private, &private)] {
        let host = format!("http://{means}");
        write(
            &format!("registries/{named}/hosts.toml"),
            format!("server = \"{host}\"\n[host.\"{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"),
        )?;
    }
    let network = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": "10.88.0.0/16" }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                    "dataDir": place.dir().join("addresses"),
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    write("cni/10-pods.conflist", network.to_string())
}

/// A plugin that is never wanted: it makes a folder of the machine.
const OPT: &str = "\"io.containerd.internal.v1.opt\"";

/// Where it keeps its things.
fn places(home: &Path) -> String {
    let dir = home.display();
    format!(
        "root = \"{dir}/root\"\nstate = \"{dir}/state\"\ntemp = \"{dir}/temp\"\n\
         disabled_plugins = [{OPT}]\n[grpc]\naddress = \"{dir}/{SOCKET}\"\n"
    )
}

/// What containerd 2 reads.
fn configuration_2(home: &Path) -> String {
    let dir = home.display();
    format!(
        r#"version = 3
{}
[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{dir}/registries"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
conf_dir = "{dir}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
Root = "{dir}/runc"
"#,
        places(home)
    )
}

/// What containerd 1 reads.
fn configuration_1(home: &Path) -> String {
    let dir = home.display();
    format!(
        r#"version = 2
{}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{dir}/registries"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{dir}/runc"
"#,
        places(home)
    )
}
