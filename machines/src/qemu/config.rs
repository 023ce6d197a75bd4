//! Where machines live on this node, and what runs them.

use std::path::{Path, PathBuf};

use crate::{Error, Firmware, Result};

/// How guest code is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// By the processor where a probe shows that this really works, else by emulation.
    #[default]
    Auto,
    /// By the processor (KVM) only; machines do not start where the probe fails.
    Kvm,
    /// By emulation.
    Tcg,
}

/// The settings of the QEMU provider.
#[derive(Debug, Clone)]
pub struct QemuConfig {
    /// The directory that holds one directory for each machine, such as `/var/lib/infranetes/machines`.
    pub root: PathBuf,
    /// The directory of the sockets. Short, since a socket's path has at most 107 bytes: `/run/infranetes`.
    pub run: PathBuf,
    /// `qemu-system-x86_64`; searched in `PATH` where none is given.
    pub binary: Option<PathBuf>,
    /// `qemu-img`; searched in `PATH` where none is given.
    pub qemu_img: Option<PathBuf>,
    /// `swtpm`, which machines with a TPM need; searched in `PATH` where none is given.
    pub swtpm: Option<PathBuf>,
    /// The user that QEMU runs as: a name of `/etc/passwd`, or `UID` or `UID:GID` in digits. Never root.
    pub user: String,
    /// How guest code is executed.
    pub accel: Accel,
    /// The UEFI firmware: its code, and the variables that each machine gets a copy of. Debian's where none is given.
    pub ovmf: Option<(PathBuf, PathBuf)>,
    /// The same of the firmware that boots only what is signed, with the keys in its variables.
    pub ovmf_secure: Option<(PathBuf, PathBuf)>,
    /// How many bytes of each machine's console are kept on the disk.
    pub console_bytes: u64,
}

/// The identity that a machine's process has from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Reads `UID`, `UID:GID` or a name of `/etc/passwd`.
    pub(crate) fn resolve(text: &str) -> Result<Self> {
        let user = match text.split_once(':') {
            Some((uid, gid)) => uid.parse().ok().zip(gid.parse().ok()),
            None => text.parse().ok().map(|uid: u32| (uid, uid)),
        };
        let user = match user {
            Some(user) => Some(user),
            None => from_passwd(text)?,
        };
        match user {
            Some((0, _) | (_, 0)) => Err(Error::Invalid(format!(
                "machines may not run as {text}: it is root's user or group; name an unprivileged user"
            ))),
            Some((uid, gid)) => Ok(Self { uid, gid }),
            None => Err(Error::NotReady(format!(
                "the user {text:?} that machines run as does not exist; make it with `useradd --system {text}`, \
                 or give a number"
            ))),
        }
    }
}

fn from_passwd(name: &str) -> Result<Option<(u32, u32)>> {
    let users = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| Error::failed("cannot read /etc/passwd to find the user of machines", error))?;
    Ok(users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        found.then(|| uid.parse().ok().zip(gid.parse().ok())).flatten()
    }))
}

/// Finds a program, by its configured path or in `PATH`.
pub(crate) fn program(configured: Option<&Path>, name: &str, package: &str) -> Result<PathBuf> {
    let found = match configured {
        Some(path) => path.is_file().then(|| path.to_owned()),
        None => std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
        }),
    };
    found.ok_or_else(|| {
        let wanted = configured.unwrap_or(Path::new(name)).display();
        Error::NotReady(format!("{wanted} is not on this node; install it with `apt-get install {package}`"))
    })
}

impl QemuConfig {
    /// The files of a machine's firmware on this node, code and variables; `None` for one that QEMU itself has.
    pub(crate) fn firmware(&self, firmware: Firmware) -> Result<Option<(PathBuf, PathBuf)>> {
        let (configured, kind) = match firmware {
            Firmware::Bios => return Ok(None),
            Firmware::Uefi => (&self.ovmf, ""),
            Firmware::UefiSecure => (&self.ovmf_secure, ".ms"),
        };
        let shipped = ["_4M", ""].map(|size| {
            let file = |part| Path::new("/usr/share/OVMF").join(format!("OVMF_{part}{size}{kind}.fd"));
            (file("CODE"), file("VARS"))
        });
        let candidates = configured.as_ref().map_or_else(|| shipped.to_vec(), |pair| vec![pair.clone()]);
        let found = candidates.into_iter().find(|(code, vars)| code.is_file() && vars.is_file());
        found.map(Some).ok_or_else(|| {
            Error::NotReady(
                "the UEFI firmware is not on this node; install it with `apt-get install ovmf`, or name its code and \
                 variables files in the configuration"
                    .into(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_names_and_never_root() {
        assert_eq!(User::resolve("64055").unwrap(), User { uid: 64055, gid: 64055 });
        assert_eq!(User::resolve("64055:7").unwrap(), User { uid: 64055, gid: 7 });
        assert!(User::resolve("daemon").unwrap().uid > 0);
        for root in ["0", "root", "0:5", "5:0"] {
            assert!(User::resolve(root).unwrap_err().to_string().contains("unprivileged"), "{root}");
        }
        assert!(User::resolve("no-such-user").unwrap_err().to_string().contains("useradd"));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = program(Some(Path::new("/nonexistent/qemu")), "qemu", "qemu-system-x86").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nonexistent/qemu is not on this node; install it with `apt-get install qemu-system-x86`"
        );
        assert!(error.retryable());
    }
}
