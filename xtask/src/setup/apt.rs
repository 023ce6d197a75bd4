//! Packages of Debian and Ubuntu.
//!
//! Services that come with a package are neither started nor left enabled: only their programs are wanted.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Group::{self, Build, Guest, Peer, Run, Test};
use crate::{progress, run};

/// A package, for whom, and why.
struct Package {
    name: &'static str,
    groups: &'static [Group],
    why: &'static str,
}

const fn package(name: &'static str, groups: &'static [Group], why: &'static str) -> Package {
    Package { name, groups, why }
}

const PACKAGES: &[Package] = &[
    package("gcc", &[Build, Test], "the C compiler and linker that Rust's build scripts call"),
    package("libc6-dev", &[Build, Test], "the C library's headers, to link programs"),
    package("git", &[Test], "licence checks read the tree's state"),
    package("ca-certificates", &[Build, Guest, Test], "packages and crates are fetched over TLS"),
    package("mmdebstrap", &[Guest], "installs a guest's system into a folder"),
    package("grub-common", &[Guest], "makes a guest's boot loader"),
    package("grub-pc-bin", &[Guest], "the boot loader's parts for a BIOS"),
    package("e2fsprogs", &[Guest, Test], "makes a guest's file system"),
    package("xz-utils", &[Guest], "unpacks kernel modules"),
    package("zstd", &[Guest], "unpacks kernel modules"),
    package("qemu-utils", &[Guest, Run, Test], "makes and checks disk images"),
    package("openssh-client", &[Guest, Run, Test], "makes keys, and is a peer in tests"),
    package("qemu-system-x86", &[Run, Test], "runs the machines"),
    package("ovmf", &[Run, Test], "UEFI firmware for the images that ask for it"),
    package("swtpm", &[Run, Test], "the TPM of the machines that have one"),
    package("iproute2", &[Run, Test, Peer], "makes network namespaces and their links"),
    package("containernetworking-plugins", &[Run, Test, Peer], "wires pods: bridge, host-local, portmap"),
    package("iptables", &[Run, Test, Peer], "the CNI's portmap and masquerading call it"),
    package("nftables", &[Run, Test], "the same on newer systems, and kube-proxy's rules"),
    package("docker-registry", &[Run, Test, Peer], "the local registry that images are pulled from"),
    package("curl", &[Run], "the demo asks the guest's web service"),
    package("sshpass", &[Run, Test], "password logins by the plain SSH client"),
    package("openssl", &[Run, Test], "makes a certificate of a cluster"),
    package("openssh-server", &[Test], "a real SSH server for the transport's tests"),
    package("dropbear-bin", &[Test], "another real SSH server"),
    package("tcsh", &[Test], "a login shell that is not like sh"),
    package("busybox-static", &[Test], "the shell of small guests"),
    package("mtools", &[Test], "an independent reader of the seeds' file system"),
    package("socat", &[Test], "a connection that can be cut, in tests"),
    package("jq", &[Test], "reads JSON in tests"),
    package("skopeo", &[Test], "an independent client of registries"),
    package("util-linux", &[Run, Test, Peer], "enters namespaces, sets privileges"),
    package("python3-venv", &[Test], "independent clients of WinRM run in it"),
    package("python3-dev", &[Test], "the headers by which their Kerberos is built"),
    package("wine", &[Test], "its cmd stands for Windows' own"),
    package("libkrb5-dev", &[Test], "Kerberos, as WinRM is built with it for the tests"),
    package("pkg-config", &[Test], "tells where that is"),
    package("libclang-dev", &[Test], "reads its headers"),
    package("krb5-kdc", &[Test], "the domain controller of tests with Kerberos"),
    package("krb5-admin-server", &[Test], "puts users and guests into its domain"),
    package("krb5-user", &[Test], "gets a person's tickets"),
    package("libfaketime", &[Test], "a domain controller whose clock is wrong"),
    package("sudo", &[Test], "a guest's user that may become root"),
    package("runc", &[Test, Peer], "runs the containers of containerd"),
    package("procps", &[Run, Test], "lists processes, to prove that none is left"),
];

/// The services of packages of which only the programs are wanted.
const SERVICES: &[(&str, &str)] = &[
    ("openssh-server", "ssh.service"),
    ("openssh-server", "ssh.socket"),
    ("docker-registry", "docker-registry.service"),
    ("krb5-kdc", "krb5-kdc.service"),
    ("krb5-admin-server", "krb5-admin-server.service"),
];

/// Installs what the groups need and is not there.
pub(super) fn install(groups: &[Group]) -> Result<()> {
    let wanted: Vec<&Package> =
        PACKAGES.iter().filter(|package| package.groups.iter().any(|group| groups.contains(group))).collect();
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "this is not Debian or Ubuntu (there is no apt-get): install these by hand: {}",
            names(&wanted).join(" ")
        );
    }
    let there = installed()?;
    let missing: Vec<&Package> = wanted.into_iter().filter(|package| !there.contains(package.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress::line("missing packages:");
    for package in &missing {
        progress::line(&format!("  {:28} {}", package.name, package.why));
    }
    let user = std::fs::metadata("/proc/self").context("cannot tell who runs this")?.uid();
    if user != 0 {
        bail!("only root can install them: run as root, or `apt-get install {}`", names(&missing).join(" "));
    }
    let names = names(&missing);
    let quiet = Quiet::begin()?;
    if !known(&names)? {
        update()?;
    }
    if let Err(error) = apt(&names) {
        // The lists may be older than the archive.
        progress::line(&format!("{error:#}"));
        update()?;
        apt(&names)?;
    }
    drop(quiet);
    let systemd = Path::new("/run/systemd/system").exists();
    for (package, unit) in SERVICES {
        if systemd && names.contains(package) {
            // It may not exist in this release.
            let _ = Command::new("systemctl").args(["--quiet", "disable", unit]).status();
        }
    }
    Ok(())
}

fn names<'a>(packages: &[&'a Package]) -> Vec<&'a str> {
    packages.iter().map(|package| package.name).collect()
}

/// The names of all installed packages.
fn installed() -> Result<BTreeSet<String>> {
    let list =
        run::output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Package}\n"]))?;
    Ok(list.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect())
}

/// Whether apt's lists know all of them.
fn known(names: &[&str]) -> Result<bool> {
    let policy = run::output(Command::new("apt-cache").env("LC_ALL", "C").arg("policy").args(names))?;
    let candidates = policy
        .lines()
        .filter(|line| line.trim_start().starts_with("Candidate:") && !line.contains("(none)"))
        .count();
    Ok(candidates == names.len())
}

fn update() -> Result<()> {
    run::step("apt-get update", Command::new("apt-get").args(["-q", "update"]).env("LC_ALL", "C"))
}

fn apt(names: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C");
    if let Some(release) = backports()? {
        command.args(["-t", &release]);
    }
    run::step("apt-get install", command.arg("install").args(names))
}

/// The backports' release where QEMU's tools came from there: all of QEMU has to be of one version.
fn backports() -> Result<Option<String>> {
    let version = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "qemu-utils"]).output()?;
    if !String::from_utf8_lossy(&version.stdout).contains("~bpo") {
        return Ok(None);
    }
    let release = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(codename.map(|codename| format!("{codename}-backports")))
}

/// While it lives, packages that are installed start no service.
struct Quiet(bool);

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Quiet {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self(false));
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(true))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if !self.0 {
            return;
        }
        if let Err(error) = std::fs::remove_file(POLICY) {
            progress::line(&format!(
                "cannot remove {POLICY} ({error}): please do, or services will not start"
            ));
        }
    }
}
