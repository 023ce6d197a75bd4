//! What a path of the node is, by where it lies below the kubelet's directory. Pure.
//!
//! | below `pods/UID` | |
//! |---|---|
//! | `volumes/kubernetes.io~PLUGIN/NAME` | a volume of files, where the plugin is one of [`PLUGINS`] |
//! | `volumes/kubernetes.io~empty-dir/NAME` | a directory that the pod's containers share |
//! | `volume-subpaths/NAME/CONTAINER/N` | a part of a volume, whose plugin is looked for on the node |
//! | `etc-hosts` | the file that a container has as `/etc/hosts` |
//! | anything else | nothing of ours |

use std::path::{Component, Path, PathBuf};

/// The plugins whose volumes the kubelet writes by itself.
pub(super) const PLUGINS: [&str; 4] = ["secret", "configmap", "downward-api", "projected"];

/// How the volume with the service account's token begins its name, which every pod has unless it is asked not to.
const TOKEN: &str = "kube-api-access-";

/// Where a volume comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A directory that the kubelet changes by renaming `..data` in it.
    Volume { path: PathBuf, plugin: String, name: String },
    /// A directory that begins empty.
    Empty { path: PathBuf, name: String },
    /// A file or a directory of such a volume, as it was when the container was made.
    Part { path: PathBuf, pod: PathBuf, name: String, number: String },
    /// A file.
    Hosts { path: PathBuf },
}

impl Source {
    /// What a path is; none where it is nothing of ours.
    pub(super) fn of(path: &Path, kubelet: &Path) -> Option<Self> {
        let rest = path.strip_prefix(kubelet.join("pods")).ok()?;
        let parts: Vec<&str> = rest
            .components()
            .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
            .collect::<Option<_>>()?;
        let path = path.to_owned();
        match parts[..] {
            [_, "etc-hosts"] => Some(Self::Hosts { path }),
            [_, "volumes", "kubernetes.io~empty-dir", name] => {
                Some(Self::Empty { path, name: name.to_owned() })
            }
            [_, "volumes", plugin, name] => {
                let plugin =
                    plugin.strip_prefix("kubernetes.io~").filter(|plugin| PLUGINS.contains(plugin))?;
                Some(Self::Volume { path, plugin: plugin.to_owned(), name: name.to_owned() })
            }
            [pod, "volume-subpaths", name, _, number] => Some(Self::Part {
                path,
                pod: kubelet.join("pods").join(pod),
                name: name.to_owned(),
                number: number.to_owned(),
            }),
            _ => None,
        }
    }

    /// Its path on the node.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Volume { path, .. }
            | Self::Empty { path, .. }
            | Self::Part { path, .. }
            | Self::Hosts { path } => path,
        }
    }

    /// What it is called in the guest. A part is a container's own, in each of its attempts.
    pub(super) fn volume(&self, container: &str) -> String {
        match self {
            Self::Volume { plugin, name, .. } => format!("{plugin}-{name}"),
            Self::Empty { name, .. } => format!("empty-{name}"),
            Self::Part { name, number, .. } => format!("part-{container}-{name}-{number}"),
            Self::Hosts { .. } => "hosts".to_owned(),
        }
    }

    /// Whether it is the Secret volume of this name, or may be a part of it.
    pub(super) fn is_of_secret(&self, volume: &str) -> bool {
        match self {
            Self::Volume { plugin, name, .. } => plugin == "secret" && name == volume,
            Self::Part { name, .. } => name == volume,
            Self::Empty { .. } | Self::Hosts { .. } => false,
        }
    }

    /// Whether somebody has asked for it, rather than that every pod has it.
    pub(super) fn is_asked_for(&self) -> bool {
        match self {
            Self::Volume { name, .. } | Self::Part { name, .. } => !name.starts_with(TOKEN),
            Self::Empty { .. } => true,
            Self::Hosts { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Source> {
        Source::of(Path::new(path), Path::new("/var/lib/kubelet"))
    }

    #[test]
    fn volumes_are_known_by_their_place() {
        let volume = of("/var/lib/kubelet/pods/u/volumes/kubernetes.io~configmap/config").unwrap();
        assert_eq!((&volume.volume("app")[..], volume.is_asked_for()), ("configmap-config", true));
        let token = of("/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/kube-api-access-x2").unwrap();
        assert!(!token.is_asked_for());
        let part = of("/var/lib/kubelet/pods/u/volume-subpaths/config/app/2").unwrap();
        assert_eq!(part.volume("app"), "part-app-config-2");
        // The longest names that Kubernetes allows make no name that a guest could not have.
        let long = "x".repeat(63);
        let longest = of(&format!("/var/lib/kubelet/pods/u/volume-subpaths/{long}/{long}/100")).unwrap();
        guests::volume::Name::new(longest.volume(&long)).unwrap();
        assert!(matches!(&part, Source::Part { pod, .. } if pod == Path::new("/var/lib/kubelet/pods/u")));
        let empty = of("/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/scratch").unwrap();
        assert_eq!((&empty.volume("app")[..], empty.is_asked_for()), ("empty-scratch", true));
        assert_eq!(of("/var/lib/kubelet/pods/u/etc-hosts").unwrap().volume("app"), "hosts");
        let secret = of("/var/lib/kubelet/pods/u/volumes/kubernetes.io~secret/login").unwrap();
        assert!(secret.is_of_secret("login") && !secret.is_of_secret("other"));
        assert!(!volume.is_of_secret("config") && part.is_of_secret("config"));
    }

    #[test]
    fn nothing_else_is_ours() {
        for other in [
            "/etc/passwd",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~nfs/share",
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~secret/a/b",
            "/var/lib/kubelet/pods/u/containers/app/1234",
            "/var/lib/kubelet/pods/../u/etc-hosts",
            "/var/lib/other/pods/u/etc-hosts",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
