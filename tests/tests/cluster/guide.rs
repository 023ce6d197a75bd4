//! `docs/migration.md` as a person follows it: its files written, its configuration in force, its commands run in their order.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;
use tests::{Hidden, Kubectl, Node, Options, Process};

use crate::{BOOT, Fixture};

/// The page.
const PAGE: &str = include_str!("../../../docs/migration.md");
/// Where it has files of the node.
const CONFIGURATION: &str = "/etc/infranetes";
/// Where the logs of pods are that people make by the daemon's own commands.
const LOGS: &str = "/var/log/pods";
/// What the block has that runs where there is no kubelet.
const ALONE: &str = "infranetes run";
/// How long a block of commands may take: the longest boots two machines, one after the other.
const BLOCK: Duration = Duration::from_secs(2 * BOOT.as_secs());

#[test]
fn a_disk_becomes_a_deployment_as_the_page_says() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("legacy.password"), "infranetes").unwrap();
    let config = block_of("toml").replace(CONFIGURATION, folder.path().to_str().unwrap());
    let Some(fixture) = Fixture::with(&config) else { return };
    lay_out(folder.path());
    let (alone, in_cluster): (Vec<&str>, Vec<&str>) = blocks("sh").partition(|block| block.contains(ALONE));
    assert_eq!((alone.len(), in_cluster.len() > 4), (1, true), "{alone:?} {in_cluster:?}");

    let mut options = Options::from_env().unwrap();
    options.config = config;
    let node = Node::start(options).unwrap();
    let _logs = Hidden::hide(LOGS, node.namespace()).unwrap();
    programs(folder.path(), &node, None);
    run(alone[0], folder.path(), &node, None);
    drop(node);

    let kubectl = fixture.cluster.kubectl();
    programs(folder.path(), fixture.cluster.node(), Some(kubectl));
    for block in in_cluster {
        let printed = run(block, folder.path(), fixture.cluster.node(), Some(kubectl));
        if block.contains("/etc/legacy-app/mode") && block.contains("apply") {
            assert!(printed.ends_with("careful"), "{printed}");
        }
    }
    fixture.nothing_left();
}

/// What the person has: the disk, a clone of this repository.
fn lay_out(folder: &Path) {
    let disk = from_env("INFRANETES_GUESTS").join("systemd/systemd.qcow2");
    symlink(disk, folder.join("app.qcow2")).unwrap();
    symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy"), folder.join("deploy")).unwrap();
    fs::write(folder.join("app.yaml"), block_of("yaml")).unwrap();
}

/// The programs that the person types, for a node and its cluster.
fn programs(folder: &Path, node: &Node, kubectl: Option<&Kubectl>) {
    let endpoint = format!("INFRANETES_ENDPOINT=unix://{}", node.socket().display());
    program(folder, "infranetes", &[endpoint], &from_env("INFRANETES_BIN"));
    if let Some(kubectl) = kubectl {
        let config = format!("KUBECONFIG={}", kubectl.config().display());
        let cache = format!("KUBECACHEDIR={}", folder.join("cache").display());
        program(folder, "kubectl", &[config, cache], &from_env("INFRANETES_KUBERNETES").join("kubectl"));
    }
}

fn from_env(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap().into()
}

/// Makes a program with an environment of its own.
fn program(folder: &Path, name: &str, environment: &[String], program: &Path) {
    let path = folder.join(name);
    let script = format!("#!/bin/sh\nexec env {} {} \"$@\"\n", environment.join(" "), program.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs commands on a node until one fails; answers what they have printed.
fn run(block: &str, folder: &Path, node: &Node, kubectl: Option<&Kubectl>) -> String {
    let mut command = node.namespace().command("sh");
    command.args(["-euxc", &format!("cd '{}'\n{block}", folder.display())]);
    command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    let mut process = Process::start(command, "sh", &log(folder)).unwrap();
    let ended = process.wait_for_end(BLOCK);
    let printed = process.printed();
    if !ended.as_ref().is_ok_and(ExitStatus::success) {
        let pods = kubectl.and_then(|kubectl| kubectl.run(&["describe", "pods"]).ok()).unwrap_or_default();
        panic!("{block}\n{ended:?}\n{printed}\n{pods}");
    }
    printed.trim_end().to_owned()
}

/// A log for each block, numbered by what is there.
fn log(folder: &Path) -> PathBuf {
    folder.join(format!("{}.log", fs::read_dir(folder).unwrap().count()))
}

/// The contents of the page's blocks in a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let begin = format!("```{language}\n");
    PAGE.split("\n```\n").filter_map(move |part| part.split_once(&begin).map(|(_, block)| block))
}

/// The one block in a language.
fn block_of(language: &str) -> String {
    let mut found = blocks(language);
    let block = found.next().unwrap().to_owned();
    assert_eq!(found.next(), None, "one block of {language}");
    block
}
