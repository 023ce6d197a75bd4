//! Which mounts a guest can have. The rest is refused when a container is made, by what it is and with what to do about it, so
//! that no pod runs without its data.
//!
//! | a mount of | |
//! |---|---|
//! | a volume of files, an `emptyDir`, `/etc/hosts` | given to the guest; one of huge pages refused |
//! | a `subPath` of a volume of files | given; of any other volume refused |
//! | `pods/UID/containers/NAME/FILE` | nothing to be given: the termination message is read in the guest |
//! | anything else: hostPath, NFS, CSI, a block device, an image | refused |

use std::path::{Component, Path};

use super::kind::{PLUGINS, Source};
use crate::error::{Error, Result};

/// What people have instead.
const INSTEAD: &str = "a VM pod can have emptyDir, secret, configMap, downwardAPI and projected volumes; remove this one, or run \
                       the pod with another RuntimeClass";
/// What a kubelet's own paths have in them, wherever its directory is.
const OF_KUBELET: [&str; 3] = ["/etc-hosts", "/volumes/kubernetes.io~", "/containers/"];
/// How plugins are called whose directory is not called as people do.
const NAMES: [(&str, &str); 4] =
    [("nfs", "NFS"), ("csi", "CSI"), ("local-volume", "local"), ("empty-dir", "emptyDir")];

/// What Linux calls the file system of huge pages (`HUGETLBFS_MAGIC`).
const HUGE_PAGES: i64 = 0x9584_58f6;

/// Judges a mount of this path of the node, of a container that a kubelet has made whose directory this is.
pub fn mount(host_path: &str, container_path: &str, kubelet: &Path) -> Result<()> {
    let path = Path::new(host_path);
    let why = match Source::of(path, kubelet) {
        Some(Source::Part { pod, name, .. }) => match plugin(&pod, &name) {
            Some(plugin) if PLUGINS.contains(&&plugin[..]) => return Ok(()),
            Some(plugin) => format!("a subPath of the {} volume {name:?}", called(&plugin)),
            None => format!("a subPath of the volume {name:?}, which is a hostPath"),
        },
        Some(Source::Empty { path, name }) if is_of_huge_pages(&path) => {
            format!("the emptyDir volume {name:?} of huge pages")
        }
        Some(Source::Volume { .. } | Source::Empty { .. } | Source::Hosts { .. }) => return Ok(()),
        None => match below(path, kubelet).as_deref() {
            Some([_, "containers", _, _]) => return Ok(()),
            Some([_, "volumes", plugin, name, ..]) => {
                let plugin = plugin.rsplit_once('~').map_or(*plugin, |(_, plugin)| plugin);
                format!("the {} volume {name:?}", called(plugin))
            }
            _ if host_path.contains("/pods/") && OF_KUBELET.iter().any(|own| host_path.contains(own)) => {
                return Err(Error::invalid(format!(
                    "the mount at {container_path} is {host_path:?}, which is not below {}; set `kubelet-root-dir` in the \
                     daemon's configuration to the kubelet's own --root-dir",
                    kubelet.display()
                )));
            }
            _ => format!("the hostPath {host_path:?}"),
        },
    };
    Err(Error::invalid(format!(
        "the mount at {container_path} is {why}, which a guest cannot have yet; {INSTEAD}"
    )))
}

/// Judges a mount of an image's files.
pub fn image(image: &str, container_path: &str) -> Result<()> {
    Err(Error::invalid(format!(
        "the mount at {container_path} is the image volume {image:?}, which a guest cannot have yet; {INSTEAD}"
    )))
}

/// Judges devices of the node, each by its path there and in the container.
pub fn devices<'a>(devices: impl IntoIterator<Item = (&'a str, &'a str)>, cdi: &[&str]) -> Result<()> {
    let mut named: Vec<String> = devices.into_iter().map(|(from, to)| format!("{from} as {to}")).collect();
    named.extend(cdi.iter().map(|&name| name.to_owned()));
    if named.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the container asks for devices of the node ({}), which cannot be attached to a machine yet; remove its \
         `volumeDevices`, device resources and claims, or run the pod with another RuntimeClass",
        named.join(", ")
    )))
}

/// The parts of a path below the kubelet's directory of pods.
fn below<'a>(path: &'a Path, kubelet: &Path) -> Option<Vec<&'a str>> {
    let rest = path.strip_prefix(kubelet.join("pods")).ok()?;
    rest.components()
        .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
        .collect()
}

/// Whether the kubelet has mounted huge pages there.
fn is_of_huge_pages(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|about| about.f_type == HUGE_PAGES)
}

/// The plugin of a pod's volume, as the kubelet has laid it out on the node.
fn plugin(pod: &Path, name: &str) -> Option<String> {
    let plugins = std::fs::read_dir(pod.join("volumes")).ok()?;
    // By the names that stand there: the volume itself may be mounted from a server that is gone.
    let has = |plugin: &std::fs::DirEntry| {
        std::fs::read_dir(plugin.path())
            .is_ok_and(|volumes| volumes.flatten().any(|volume| volume.file_name() == name))
    };
    let plugin = plugins.flatten().find(has)?.file_name();
    let plugin = plugin.to_str()?;
    Some(plugin.rsplit_once('~').map_or(plugin, |(_, plugin)| plugin).to_owned())
}

fn called(plugin: &str) -> &str {
    NAMES.iter().find(|(directory, _)| *directory == plugin).map_or(plugin, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn refused(path: &str, kubelet: &Path) -> String {
        mount(path, "/data", kubelet).unwrap_err().to_string()
    }

    #[test]
    fn what_the_kubelet_makes_by_itself_is_taken() {
        for path in [
            "volumes/kubernetes.io~secret/login",
            "volumes/kubernetes.io~projected/kube-api-access-x2",
            "volumes/kubernetes.io~empty-dir/scratch",
            "etc-hosts",
            "containers/app/1a2b3c4d",
        ] {
            mount(&format!("/k/pods/u/{path}"), "/data", Path::new("/k")).unwrap();
        }
    }

    #[test]
    fn the_rest_is_refused_by_what_it_is() {
        for (path, what) in [
            ("/srv/data", "/data is the hostPath \"/srv/data\""),
            ("/k/pods/u/volumes/kubernetes.io~nfs/share", "the NFS volume \"share\""),
            ("/k/pods/u/volumes/kubernetes.io~csi/pvc-1/mount", "the CSI volume \"pvc-1\""),
            ("/k/pods/u/volumes/kubernetes.io~local-volume/disk", "the local volume \"disk\""),
            ("/k/pods/u/volumes/example.com~flex/x", "the flex volume \"x\""),
            ("/other/pods/u/etc-hosts", "not below /k; set `kubelet-root-dir`"),
            ("/k/pods/../../etc/passwd", "the hostPath \"/k/pods/../../etc/passwd\""),
            ("", "the hostPath \"\""),
        ] {
            let said = refused(path, Path::new("/k"));
            assert!(said.contains(what), "{said}");
            assert!(said.contains("remove this one") || said.contains("set `"), "the remedy: {said}");
        }
        let said = image("registry.example/model:1", "/model").unwrap_err().to_string();
        assert!(said.contains("/model is the image volume \"registry.example/model:1\""), "{said}");
    }

    #[test]
    fn a_part_is_judged_by_its_volume() {
        let folder = tempfile::tempdir().unwrap();
        for volume in ["kubernetes.io~configmap/config", "kubernetes.io~empty-dir/scratch"] {
            std::fs::create_dir_all(folder.path().join("pods/u/volumes").join(volume)).unwrap();
        }
        let part = |name: &str| folder.path().join(format!("pods/u/volume-subpaths/{name}/app/0"));
        mount(part("config").to_str().unwrap(), "/data", folder.path()).unwrap();
        for (name, what) in
            [("scratch", "a subPath of the emptyDir volume"), ("other", "which is a hostPath")]
        {
            let said = refused(part(name).to_str().unwrap(), folder.path());
            assert!(said.contains(what), "{said}");
        }
    }

    /// A file system that is mounted as long as this lives.
    struct Mounted<'a>(&'a Path);

    impl<'a> Mounted<'a> {
        fn new(kind: &str, on: &'a Path) -> Self {
            let mounted = Command::new("mount").args(["-t", kind, kind]).arg(on).status().unwrap();
            assert!(mounted.success());
            Self(on)
        }
    }

    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let unmounted = Command::new("umount").arg(self.0).status().is_ok_and(|status| status.success());
            // A second panic would end the program without the words of the first.
            assert!(unmounted || std::thread::panicking());
        }
    }

    #[test]
    fn huge_pages_are_told_from_other_memory() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("pods/u/volumes/kubernetes.io~empty-dir/scratch");
        std::fs::create_dir_all(&volume).unwrap();
        {
            let _memory = Mounted::new("tmpfs", &volume);
            mount(volume.to_str().unwrap(), "/data", folder.path()).unwrap();
        }
        let _huge = Mounted::new("hugetlbfs", &volume);
        let said = refused(volume.to_str().unwrap(), folder.path());
        assert!(said.contains("the emptyDir volume \"scratch\" of huge pages"), "{said}");
    }

    #[test]
    fn devices_are_refused_by_their_names() {
        devices([], &[]).unwrap();
        let said = devices([("/dev/vdb", "/dev/xvda")], &["vendor/class=1"]).unwrap_err().to_string();
        assert!(said.contains("(/dev/vdb as /dev/xvda, vendor/class=1)"), "{said}");
    }
}
