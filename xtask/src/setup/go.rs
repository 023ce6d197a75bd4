//! Programs written in Go, built from a module of our own where Go is present.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::{run, tree};

/// The oldest Go that builds the module.
const OLDEST: (u32, u32) = (1, 26);

/// What is said where it is not.
pub(super) const ABSENT: &str = "Go 1.26 or newer is not installed: what needs crictl or critest is left out";

/// A program that is built: how `go` is asked for it, its package, and its name.
struct Program {
    verb: &'static [&'static str],
    package: &'static str,
    name: &'static str,
}

/// `crictl` of the version that the module names; `None` without a Go that is new enough.
pub(super) fn crictl() -> Result<Option<PathBuf>> {
    const CRICTL: Program =
        Program { verb: &["build"], package: "sigs.k8s.io/cri-tools/cmd/crictl", name: "crictl" };
    Ok(build("crictl", &[CRICTL])?.map(|folder| folder.join("crictl")))
}

/// The folder with `critest.test` of the version that the module names, and `ginkgo` that runs it; `None` without a Go that
/// is new enough.
pub(super) fn critest() -> Result<Option<PathBuf>> {
    const PROGRAMS: [Program; 2] = [
        Program { verb: &["test", "-c"], package: "sigs.k8s.io/cri-tools/cmd/critest", name: "critest.test" },
        Program { verb: &["build"], package: "github.com/onsi/ginkgo/v2/ginkgo", name: "ginkgo" },
    ];
    build("critest", &PROGRAMS)
}

/// The folder with programs of the module, built once.
fn build(title: &str, programs: &[Program]) -> Result<Option<PathBuf>> {
    let Some(go) = find() else { return Ok(None) };
    let module = tree::xtask().join("go/cri-tools");
    let read = |name: &str| {
        std::fs::read_to_string(module.join(name))
            .with_context(|| format!("cannot read {name} of {}", module.display()))
    };
    let requirements = read("go.mod")?;
    let version = requirements
        .lines()
        .find_map(|line| line.trim_start_matches("require").trim().strip_prefix("sigs.k8s.io/cri-tools "))
        .context("the module names no version of cri-tools")?
        .to_owned();
    let key = Key::new().add(&requirements).add(read("go.sum")?);
    let folder = cache::keep("tools", title, key, |folder| {
        for program in programs {
            let mut command = Command::new(&go);
            command
                .args(program.verb)
                .arg("-ldflags")
                .arg(format!("-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version={version}"))
                .arg("-o")
                .arg(folder.join(program.name))
                .arg(program.package)
                .current_dir(&module)
                .env("CGO_ENABLED", "0")
                .env("GOFLAGS", "-trimpath -buildvcs=false -mod=readonly");
            if std::env::var_os("HOME").is_none() {
                let root = cache::root()?.join("go");
                command.env("GOPATH", root.join("path")).env("GOCACHE", root.join("build"));
            }
            run::step(&format!("building {} of cri-tools {version}", program.name), &mut command)?;
        }
        Ok(())
    })?;
    Ok(Some(folder))
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
    use super::new_enough;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(new_enough("go1.26.8\n") && new_enough("go1.27rc1") && new_enough("go2.0"));
        assert!(!new_enough("go1.9.2") && !new_enough("go1.25.1") && !new_enough("devel"));
    }
}
