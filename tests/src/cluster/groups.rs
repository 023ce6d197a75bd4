//! The control groups that are the cluster's: one in each hierarchy of the machine, below which the kubelet makes those of pods.
//!
//! Happy path: pods are gone, and so are their groups; the kubelet's own are empty and are removed. Failure paths: what was killed
//! is in its group for a moment yet, so the removal is tried until a deadline; a group that is not empty then stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::pause;

/// How long processes that were killed may take to leave.
const LEAVE: Duration = Duration::from_secs(10);
/// What the kubelet asks for, where the machine has it.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "hugetlb", "memory", "pids"];

/// The control groups of a cluster; removed when dropped.
#[derive(Debug)]
pub(super) struct Groups {
    name: String,
    folders: Vec<PathBuf>,
}

impl Groups {
    /// Makes them, named after the directory of the node.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let name = dir.file_name().context("the node's directory has no name")?.to_string_lossy();
        let mut groups = Self { name: format!("/{name}"), folders: vec![] };
        for hierarchy in hierarchies(Path::new("/sys/fs/cgroup")) {
            let folder = hierarchy.join(&*name);
            fs::create_dir(&folder)
                .with_context(|| format!("cannot make the control group {}", folder.display()))?;
            groups.folders.push(folder);
            enable(&hierarchy)?;
        }
        Ok(groups)
    }

    /// Those that the kubelet has made of pods, whatever their class.
    pub(super) fn of_pods(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for folder in &self.folders {
            let of_all = folder.join("kubepods");
            for parent in [of_all.clone(), of_all.join("burstable"), of_all.join("besteffort")] {
                let Ok(entries) = fs::read_dir(parent) else { continue };
                let pods = entries
                    .flatten()
                    .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"pod"));
                found.extend(pods.map(|entry| entry.path()));
            }
        }
        found
    }

    /// Their name, as the kubelet is told it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let deadline = Instant::now() + LEAVE;
        for folder in &self.folders {
            while remove(folder).is_err() && folder.exists() && Instant::now() < deadline {
                pause();
            }
        }
    }
}

/// The hierarchies of the machine: one, or one for each controller.
fn hierarchies(root: &Path) -> Vec<PathBuf> {
    if root.join("cgroup.procs").exists() {
        return vec![root.to_owned()];
    }
    let Ok(entries) = fs::read_dir(root) else { return vec![] };
    // Controllers that share one are links to it.
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Lets groups of a hierarchy have what the kubelet asks for. Only version 2 is asked; what is enabled there stays so, as after
/// any kubelet, for other groups may use it by then.
fn enable(hierarchy: &Path) -> Result<()> {
    let read = |name| fs::read_to_string(hierarchy.join(name)).unwrap_or_default();
    let (has, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let missing = CONTROLLERS.iter().filter(|name| {
        let lists = |list: &str| list.split_whitespace().any(|one| one == **name);
        lists(&has) && !lists(&enabled)
    });
    for name in missing {
        let file = hierarchy.join("cgroup.subtree_control");
        fs::write(&file, format!("+{name}"))
            .with_context(|| format!("cannot enable {name} in {}", file.display()))?;
    }
    Ok(())
}

/// Removes a group and those below it.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::hierarchies;

    #[test]
    fn the_hierarchies_of_both_versions_are_found() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cpu", "memory"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("cpu", root.path().join("cpuacct")).unwrap();
        let mut found = hierarchies(root.path());
        found.sort();
        assert_eq!(found, [root.path().join("cpu"), root.path().join("memory")]);
        std::fs::write(root.path().join("cgroup.procs"), "").unwrap();
        assert_eq!(hierarchies(root.path()), [root.path()]);
    }
}
