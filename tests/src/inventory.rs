//! What a node has left in the world: for the proof that nothing is left.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::namespace::run;
use crate::node::Node;

/// Everything that pods leave on a node while they exist, each as a line a person can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory(pub BTreeSet<String>);

impl Inventory {
    /// Looks at the node.
    pub(crate) fn take(node: &Node) -> Result<Self> {
        let mut found = BTreeSet::new();
        for (pid, line) in machines(node.dir()) {
            found.insert(format!("process {pid}: {}", line.chars().take(120).collect::<String>()));
        }
        for name in pod_namespaces(node) {
            found.insert(format!("namespace {name}"));
        }
        let links = run(node.namespace().command("ip").args(["-o", "link"]))?;
        for link in links.lines().filter_map(|line| line.split(": ").nth(1)) {
            // The bridge itself stays as long as the node does.
            if link.contains("veth") || link.contains("tap") {
                found.insert(format!("interface {link}"));
            }
        }
        for dir in ["state/machines", "state/network", "state/logs", "run/machines"] {
            files(&node.dir().join(dir), &mut found);
        }
        leases(&node.dir().join("state/images"), &mut found);
        Ok(Self(found))
    }

    /// What is here and was not there.
    pub fn beyond(&self, earlier: &Self) -> Vec<String> {
        self.0.difference(&earlier.0).cloned().collect()
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The emulators of machines and TPMs that have a file of a directory open: their command line names no path.
fn machines(dir: &Path) -> Vec<(i32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let machines = pids.filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut files = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        (["qemu", "swtpm"].iter().any(|name| line.contains(name)) && files.any(|file| file.starts_with(dir)))
            .then_some((pid, line))
    });
    machines.collect()
}

/// The pod namespaces of a node.
fn pod_namespaces(node: &Node) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(node.namespace().pod_namespaces()) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn files(dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if !is_bookkeeping(&path) {
            found.insert(format!("file {}", path.display()));
        }
    }
}

/// Files that belong to the node and not to a pod.
fn is_bookkeeping(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "lock"
        || path.extension().is_some_and(|extension| extension == "lock")
        || name.starts_with("last_reserved_ip")
}

fn leases(dir: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == "leases") {
            files(&path, found);
        } else if path.is_dir() {
            leases(&path, found);
        }
    }
}

/// Ends and removes whatever pods of a node are left, so that a failed test leaves the machine as it was.
pub(crate) fn clear(node: &Node) {
    for (pid, _) in machines(node.dir()) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for name in pod_namespaces(node) {
        let _ = run(node.namespace().command("ip").args(["netns", "del", &name]));
    }
}
