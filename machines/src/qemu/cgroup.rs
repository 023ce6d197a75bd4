//! The cgroup that a machine's process joins, in every hierarchy of the node (version 2, and each one of version 1).
//!
//! The machine gets a child group of its own, named after it, below the pod's group: version 2 allows processes only
//! in leaves. Groups above it that did not exist are made too and remembered, so that the machine's end removes exactly
//! what its start made. A group above that another machine has made is remembered by both: whoever goes last removes it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::directory::RunRecord;
use crate::{Error, MachineId, Result};

/// The time over which a processor quota is counted, in microseconds, and the least quota that the kernel takes.
const PERIOD: u64 = 100_000;
const LEAST_QUOTA: u64 = 1_000;

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    is_cpuset_v1: bool,
}

/// The groups of a machine: what is made for it, outermost first, and what is joined.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Those that do not exist yet or that machines made, in the order of making.
    pub(crate) made: Vec<PathBuf>,
    joined: Vec<(PathBuf, bool)>,
}

/// Finds where the groups of a machine belong. `records` are those of all machines on the node.
pub(crate) fn plan(parent: &str, id: &MachineId, records: &[RunRecord]) -> Result<Groups> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Error::failed("cannot read the node's mounts to find its cgroups", error))?;
    let hierarchies = hierarchies(&mounts);
    if hierarchies.is_empty() {
        return Err(Error::NotReady(format!(
            "machine {id} shall join the cgroup {parent}, but no cgroup file system is mounted; mount one at \
             /sys/fs/cgroup"
        )));
    }
    let relative = Path::new(parent).strip_prefix("/").unwrap_or(Path::new(parent));
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::Invalid(format!("the cgroup {parent:?} of machine {id} is not a plain path")));
    }
    let ours: HashSet<&Path> =
        records.iter().flat_map(|record| &record.cgroups).map(PathBuf::as_path).collect();
    let mut groups = Groups { made: Vec::new(), joined: Vec::new() };
    for hierarchy in hierarchies {
        let own = hierarchy.mount.join(relative).join(format!("infranetes-{id}"));
        let is_made = |path: &&Path| **path == *own || ours.contains(path) || !path.exists();
        let below = own.ancestors().take_while(|path| *path != hierarchy.mount);
        let made: Vec<_> = below.filter(is_made).map(Path::to_owned).collect();
        groups.made.extend(made.into_iter().rev());
        groups.joined.push((own, hierarchy.is_cpuset_v1));
    }
    Ok(groups)
}

impl Groups {
    /// Makes them, and moves a process (all its threads) into the machine's groups.
    pub(crate) fn join(&self, pid: i32) -> io::Result<()> {
        let about = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("cgroup {}: {error}", path.display()))
        };
        for path in &self.made {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(about(path, error)),
                _ => {}
            }
        }
        for (path, is_cpuset_v1) in &self.joined {
            if let Some(above) = path.parent()
                && above.join("cgroup.controllers").exists()
            {
                // So that kills are counted in the machine's own group. Where it is refused they are not, and all else goes on.
                let _ = fs::write(above.join("cgroup.subtree_control"), "+memory");
            }
            if *is_cpuset_v1 {
                inherit_cpuset(path).map_err(|error| about(path, error))?;
            }
            fs::write(path.join("cgroup.procs"), pid.to_string()).map_err(|error| about(path, error))?;
        }
        Ok(())
    }
}

/// Bounds the time of whatever runs in a machine's own groups, in thousandths of a processor; `None` lifts the bound.
/// Answers whether there is a group that could be bounded.
pub(crate) fn bound_cpu(groups: &[PathBuf], id: &MachineId, milli: Option<u64>) -> io::Result<bool> {
    let own = format!("infranetes-{id}");
    let quota = milli.map(|milli| (milli * PERIOD / 1000).max(LEAST_QUOTA));
    let mut bounded = false;
    for group in groups.iter().filter(|path| path.ends_with(&own)) {
        let (unified, apart) = (group.join("cpu.max"), group.join("cpu.cfs_quota_us"));
        if let (true, Some(above)) =
            (quota.is_some() && group.join("cgroup.controllers").exists(), group.parent())
            && !unified.exists()
        {
            // Refused where processes are in the group above; then there is nothing to bound by.
            let _ = fs::write(above.join("cgroup.subtree_control"), "+cpu");
        }
        if unified.exists() {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            fs::write(unified, format!("{quota} {PERIOD}"))?;
            bounded = true;
        } else if apart.exists() {
            fs::write(group.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            fs::write(apart, quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string()))?;
            bounded = true;
        }
    }
    Ok(bounded)
}

/// Whether the kernel has killed something in a machine's own groups for want of memory.
pub(crate) fn ran_out_of_memory(groups: &[PathBuf], id: &MachineId) -> bool {
    let own = format!("infranetes-{id}");
    let files = groups
        .iter()
        .filter(|path| path.ends_with(&own))
        .flat_map(|group| ["memory.events", "memory.oom_control"].map(|name| group.join(name)));
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|text| kills(&text) > 0)
}

/// How many processes were killed, as a memory group of either version tells.
fn kills(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

/// Removes groups, the last first. One that has gone or is in use by somebody else is left alone.
pub(crate) fn remove(groups: &[PathBuf], id: &MachineId) -> Result<()> {
    let own = format!("infranetes-{id}");
    for path in groups.iter().rev() {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A group above the machine's may have become the home of others since.
            Err(_) if !path.ends_with(&own) => {}
            Err(error) => {
                return Err(Error::failed(format!("cannot remove the cgroup {}", path.display()), error));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// A new group of version 1's cpuset is empty, and nothing can join it before it has processors and memory nodes.
fn inherit_cpuset(path: &Path) -> io::Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = path.join(name);
        if fs::read_to_string(&own)?.trim().is_empty() {
            let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
            if fs::read_to_string(parent.join(name))?.trim().is_empty() {
                inherit_cpuset(parent)?;
            }
            fs::write(&own, fs::read_to_string(parent.join(name))?.trim())?;
        }
    }
    Ok(())
}

fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mut mount = mount.split(' ').skip(3);
        let (Some(root), Some(at)) = (mount.next(), mount.next()) else { continue };
        let mut kind = kind.split(' ');
        let (file_system, options) = (kind.next(), kind.nth(1).unwrap_or_default());
        if root != "/" || !matches!(file_system, Some("cgroup" | "cgroup2")) {
            continue;
        }
        let is_cpuset_v1 = file_system == Some("cgroup") && options.split(',').any(|one| one == "cpuset");
        let hierarchy = Hierarchy { mount: PathBuf::from(at), is_cpuset_v1 };
        if !found.contains(&hierarchy) {
            found.push(hierarchy);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "\
            30 25 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
            31 25 0:27 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
            32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            33 25 0:29 /deep /elsewhere rw - cgroup2 cgroup2 rw\n\
            34 25 0:30 / /tmp rw - tmpfs tmpfs rw\n";
        let found = hierarchies(mounts);
        let paths: Vec<_> = found.iter().map(|h| (h.mount.to_str().unwrap(), h.is_cpuset_v1)).collect();
        assert_eq!(
            paths,
            [
                ("/sys/fs/cgroup/cpuset", true),
                ("/sys/fs/cgroup/memory", false),
                ("/sys/fs/cgroup/unified", false)
            ]
        );
    }

    #[test]
    fn kills_are_counted_in_both_versions() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(kills("low 0\nhigh 0\nmax 31\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\n"), 0);
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        let id = MachineId::new("a").unwrap();
        assert!(plan("/pods/../..", &id, &[]).unwrap_err().to_string().contains("not a plain path"));
    }
}
