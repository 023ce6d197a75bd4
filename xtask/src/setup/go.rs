//! Programs written in Go, built from modules of our own where Go is present.
//!
//! ```text
//!   go/MODULE/{go.mod,go.sum,...main.go} -> go build -> tools/NAME-HASH
//! ```
//!
//! Happy path: they are in the cache, by what the module's files say. Failure paths: no Go that is new enough is no error
//! here, and each caller says what it leaves out; a build that fails shows its last lines.

use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::{run, tree};

/// The oldest Go that builds the modules.
const OLDEST: (u32, u32) = (1, 26);

/// What is said where it is not.
pub(super) const ABSENT: &str =
    "Go 1.26 or newer is not installed: what needs crictl, critest, containerd or Kubernetes is left out";

/// A module of ours, which names the version of what is built.
struct Module {
    /// Its folder below `go/`.
    folder: &'static str,
    /// The module whose programs are built, as `go.mod` requires it.
    required: &'static str,
    /// What people call that.
    title: &'static str,
    /// The variables that the programs tell their version from.
    version: &'static [&'static str],
    /// Parts that are chosen by name, separated by commas.
    tags: &'static str,
    /// Further names of its first program, which does what its name says.
    names: &'static [&'static str],
}

const CRI_TOOLS: Module = Module {
    folder: "cri-tools",
    required: "sigs.k8s.io/cri-tools",
    title: "cri-tools",
    version: &["sigs.k8s.io/cri-tools/pkg/version.Version"],
    tags: "",
    names: &[],
};

const CONTAINERD: Module = Module {
    folder: "containerd",
    required: "github.com/containerd/containerd/v2",
    title: "containerd",
    version: &["github.com/containerd/containerd/v2/version.Version"],
    // Snapshotters that nobody asks for here; without them no C library is needed.
    tags: "no_btrfs,no_devmapper,no_zfs",
    names: &[],
};

const KUBERNETES: Module = Module {
    folder: "kubernetes",
    required: "k8s.io/kubernetes",
    title: "Kubernetes",
    version: &["k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"],
    tags: "",
    names: &[
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
        "metrics-server",
    ],
};

/// A program that is built: how `go` is asked for it, its package, and its name.
struct Program {
    verb: &'static [&'static str],
    package: &'static str,
    name: &'static str,
}

/// Builds all of them, in the order in which the tests need them; false without a Go that is new enough.
pub(super) fn all() -> Result<bool> {
    Ok(crictl()?.is_some() && containerd()?.is_some() && critest()?.is_some() && kubernetes()?.is_some())
}

/// `crictl` of the version that the module names; `None` without a Go that is new enough.
pub(super) fn crictl() -> Result<Option<PathBuf>> {
    const CRICTL: Program =
        Program { verb: &["build"], package: "sigs.k8s.io/cri-tools/cmd/crictl", name: "crictl" };
    Ok(build("crictl", &CRI_TOOLS, &[CRICTL])?.map(|folder| folder.join("crictl")))
}

/// The folder with `critest.test` of the version that the module names, and `ginkgo` that runs it; `None` without a Go that
/// is new enough.
pub(super) fn critest() -> Result<Option<PathBuf>> {
    const PROGRAMS: [Program; 2] = [
        Program { verb: &["test", "-c"], package: "sigs.k8s.io/cri-tools/cmd/critest", name: "critest.test" },
        Program { verb: &["build"], package: "github.com/onsi/ginkgo/v2/ginkgo", name: "ginkgo" },
    ];
    build("critest", &CRI_TOOLS, &PROGRAMS)
}

/// The folder with `containerd` of the version that the module names, and its shim for runc; `None` without a Go that is new
/// enough.
pub(super) fn containerd() -> Result<Option<PathBuf>> {
    const PROGRAMS: [Program; 2] = [
        Program {
            verb: &["build"],
            package: "github.com/containerd/containerd/v2/cmd/containerd",
            name: "containerd",
        },
        Program {
            verb: &["build"],
            package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            name: "containerd-shim-runc-v2",
        },
    ];
    build("containerd", &CONTAINERD, &PROGRAMS)
}

/// The folder with etcd, kubectl, the programs of Kubernetes, metrics-server and `CoreDNS` of the versions that the module names;
/// `None` without a Go that is new enough.
pub(super) fn kubernetes() -> Result<Option<PathBuf>> {
    const PROGRAMS: [Program; 2] = [
        Program { verb: &["build"], package: ".", name: "kubernetes" },
        Program { verb: &["build"], package: "./dns", name: "coredns" },
    ];
    build("kubernetes", &KUBERNETES, &PROGRAMS)
}

/// The folder with programs of a module, built once.
fn build(name: &str, module: &Module, programs: &[Program]) -> Result<Option<PathBuf>> {
    let Some(go) = find() else { return Ok(None) };
    let place = tree::xtask().join("go").join(module.folder);
    let read = |name: &str| {
        std::fs::read_to_string(place.join(name))
            .with_context(|| format!("cannot read {name} of {}", place.display()))
    };
    let requirements = read("go.mod")?;
    let version = required(&requirements, module.required)
        .with_context(|| format!("{} names no version of {}", place.display(), module.title))?;
    let mut key = Key::new().add(&requirements).add(read("go.sum")?);
    // What is a package of the module itself.
    for program in programs.iter().filter(|program| program.package.starts_with('.')) {
        key = key.add(read(&format!("{}/main.go", program.package))?);
    }
    let mut linked = "-s -w".to_owned();
    for variable in module.version {
        let _ = write!(linked, " -X {variable}={version}");
    }
    let folder = cache::keep("tools", name, key, |folder| {
        for program in programs {
            let mut command = Command::new(&go);
            command
                .args(program.verb)
                // Names each package: the largest programs take minutes.
                .args(["-v", "-tags", module.tags, "-ldflags", &linked, "-o"])
                .arg(folder.join(program.name))
                .arg(program.package)
                .current_dir(&place)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "-trimpath -buildvcs=false -mod=readonly");
            if std::env::var_os("HOME").is_none() {
                let root = cache::root()?.join("go");
                command.env("GOPATH", root.join("path")).env("GOCACHE", root.join("build"));
            }
            run::step(&format!("building {} of {} {version}", program.name, module.title), &mut command)?;
        }
        for name in module.names {
            symlink(programs[0].name, folder.join(name)).with_context(|| format!("cannot make {name}"))?;
        }
        Ok(())
    })?;
    Ok(Some(folder))
}

/// The version of a module that a `go.mod` requires.
fn required<'a>(requirements: &'a str, module: &str) -> Option<&'a str> {
    requirements.lines().find_map(|line| {
        let mut words = line.trim_start_matches("require").split_whitespace();
        (words.next() == Some(module)).then(|| words.next())?
    })
}

/// A Go that is new enough: the one on the path, else where its own installer puts it.
pub(super) fn find() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    places.push("/usr/local/go/bin".into());
    places.into_iter().map(|place| place.join("go")).find(|go| {
        run::output(Command::new(go).args(["env", "GOVERSION"])).is_ok_and(|version| new_enough(&version))
    })
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches("go").split(['.', 'r', 'b', ' ']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::{new_enough, required};

    #[test]
    fn the_version_that_a_module_names_is_found() {
        let of = |text| required(text, "example.org/a/v2");
        assert_eq!(of("go 1.26\n\nrequire example.org/a/v2 v2.3.7\n"), Some("v2.3.7"));
        assert_eq!(
            of("require (\n\texample.org/a v1.0.0\n\texample.org/a/v2 v2.0.0 // indirect\n)\n"),
            Some("v2.0.0")
        );
        assert_eq!(of("require example.org/b v1.0.0\n"), None);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(new_enough("go1.26.8\n") && new_enough("go1.27rc1") && new_enough("go2.0"));
        assert!(!new_enough("go1.9.2") && !new_enough("go1.25.1") && !new_enough("devel"));
    }
}
