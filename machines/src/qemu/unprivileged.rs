//! How each process of a machine begins: detached from the daemon (`setsid`), and as the unprivileged user before its
//! program's first instruction (`setpriv`: no groups, no capabilities, no new privileges).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::config::User;
use super::directory::Directory;
use crate::Error;

/// The command that becomes the program, to which its arguments are added: by its own words, then by those of `through`,
/// which runs as root still.
pub(crate) fn command(user: User, group: Option<u32>, through: &[&str], program: &Path) -> Command {
    let groups = group.map_or_else(|| "--clear-groups".into(), |group| format!("--groups={group}"));
    let mut command = Command::new("setsid");
    command
        .args(through)
        .arg("setpriv")
        .arg(format!("--reuid={}", user.uid))
        .arg(format!("--regid={}", user.gid))
        .args([&groups, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"])
        .arg(program)
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// The group that opens `/dev/kvm`, where that is a matter of a group.
pub(crate) fn kvm_group() -> Option<u32> {
    let device = fs::metadata("/dev/kvm").ok()?;
    (device.mode() & 0o060 == 0o060 && device.gid() != 0).then(|| device.gid())
}

/// An error of a start, with the remedy where one is known.
pub(crate) fn failed(directory: &Directory, what: &str, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound && error.get_ref().is_none() {
        return Error::NotReady(
            "setsid or setpriv is not on this node; install them with `apt-get install util-linux`".into(),
        );
    }
    directory.failed(what, error)
}
