//! A network namespace that stands for a node.
//!
//! It comes with a mount namespace in which `/run/netns` is its own: pod namespaces that are made in it are seen in it
//! alone, so nodes beside each other are never mistaken for one another, and the last process in it takes them away.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace; removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// A process that keeps the mount namespace.
    keeper: Child,
}

impl Namespace {
    /// Makes a namespace of this name with a loopback interface that is up, and lets it forward packets.
    pub fn create(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name]))?;
        let keeper = keep_mounts().inspect_err(|_| remove(name))?;
        let namespace = Self { name: name.to_owned(), keeper };
        run(namespace.command("ip").args(["link", "set", "lo", "up"]))?;
        run(namespace.command("sysctl").args(["-qw", "net.ipv4.ip_forward=1"]))?;
        run(namespace.command("sysctl").args(["-qw", "net.ipv6.conf.all.forwarding=1"]))?;
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// The folder with the pod namespaces that were made in it, as this process sees it.
    pub fn pod_namespaces(&self) -> PathBuf {
        format!("/proc/{}/root/run/netns", self.keeper.id()).into()
    }

    /// A command that will run in it. Only the network and `/run/netns` are other ones: files and processes are the
    /// machine's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.id())).arg("--").arg(program);
        command
    }
}

impl Namespace {
    /// A socket that listens in it, for a server of a test's own.
    pub fn listen(&self, address: SocketAddr) -> Result<TcpListener> {
        let file = File::open(self.path())?;
        // Only this thread goes there.
        let bound = std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind(address)
        });
        bound.join().map_err(|_| anyhow!("the thread panicked"))?.context("cannot listen in the namespace")
    }

    /// Whether something listens on a port of it.
    pub(crate) fn listens(&self, port: u16) -> bool {
        let listening = self.command("ss").args(["-Hltn", "sport", "=", &format!(":{port}")]).output();
        listening.is_ok_and(|output| !output.stdout.is_empty())
    }

    /// Gives it a list of hosts of its own, in which these names mean its loopback. The list is kept in `file`.
    pub fn resolve_to_loopback(&self, names: &[&str], file: &Path) -> Result<()> {
        let list = format!("127.0.0.1 localhost {}\n", names.join(" "));
        std::fs::write(file, list).with_context(|| format!("cannot write {}", file.display()))?;
        self.cover(Path::new("/etc/hosts"), file)
    }

    /// Gives it a file of its own where the machine has another one.
    pub(crate) fn cover(&self, machines: &Path, own: &Path) -> Result<()> {
        run(self.command("mount").arg("--bind").arg(own).arg(machines))?;
        Ok(())
    }

    /// Gives it an empty folder of its own where the machine has `folder`.
    pub(crate) fn hide(&self, folder: &Path) -> Result<()> {
        run(self.command("mount").args(["-t", "tmpfs", "-o", "mode=711", "tmpfs"]).arg(folder))?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        remove(&self.name);
    }
}

/// Starts a process in a mount namespace with an empty `/run/netns`, and waits until that is there.
fn keep_mounts() -> Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg("mount -t tmpfs -o mode=755 tmpfs /run/netns && echo && exec cat");
    // A group of its own: a Ctrl-C on the terminal is for whoever made the node, and not for its parts.
    command.process_group(0);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.context("cannot run unshare; install util-linux")?;
    let mut ready = [0];
    let told = child.stdout.as_mut().map(|stdout| stdout.read_exact(&mut ready));
    if matches!(told, Some(Ok(()))) {
        return Ok(child);
    }
    let output = child.wait_with_output()?;
    bail!("cannot make a mount namespace (are you root?): {}", String::from_utf8_lossy(&output.stderr))
}

fn remove(name: &str) {
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

/// Runs a command to its end; an error has what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
