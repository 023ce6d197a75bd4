//! Setting sysctls of the guest's kernel.
//!
//! Happy path: one command writes each value below `/proc/sys`, in the order of their names.
//!
//! Failure paths: a sysctl that this kernel does not have, a value that it does not take, or a user who may not: an error
//! that names the sysctl, and the ones after it are not set.

use std::collections::BTreeMap;
use std::time::Duration;

use transports::{Bounds, Exit, Session, Stdin, capture};

use crate::{Error, Family, Result, script};

/// How long the guest may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what the guest says is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;

/// Sets `$1` (a path below `/proc/sys`) to `$2`, `$3` to `$4`, ...
const SCRIPT: &str = r#"while [ $# -gt 1 ]; do
  if [ ! -f "/proc/sys/$1" ]; then
    echo "its kernel has no $1" >&2
    exit 3
  fi
  { printf '%s\n' "$2" >"/proc/sys/$1"; } 2>/dev/null || {
    echo "$1 does not take the value, or the user may not set it" >&2
    exit 3
  }
  shift 2
done
"#;

/// Sets these sysctls, by their names with dots (or slashes, where a part of the name has a dot).
pub async fn set(session: &dyn Session, family: Family, sysctls: &BTreeMap<String, String>) -> Result<()> {
    match family {
        Family::Unix => linux(session, sysctls).await,
        Family::Windows => Err(family.lacks("has no sysctls", "take them out of the pod's securityContext")),
    }
}

async fn linux(session: &dyn Session, sysctls: &BTreeMap<String, String>) -> Result<()> {
    let paths: Vec<(String, &str)> =
        sysctls.iter().map(|(name, value)| (path(name), value.as_str())).collect();
    let arguments: Vec<&str> = paths.iter().flat_map(|(path, value)| [path.as_str(), *value]).collect();
    let command = script::privileged(SCRIPT, &arguments, Stdin::Closed);
    let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: COMPLAINT_LIMIT };
    let captured = capture(session, command, bounds).await?;
    if captured.exit == Exit::Code(0) {
        return Ok(());
    }
    if let Exit::Lost(error) = captured.exit {
        return Err(transports::Error::Lost(error).into());
    }
    let said = String::from_utf8_lossy(&captured.stderr).trim().replace(|c: char| c.is_control(), " ");
    Err(Error::Unsupported(format!("the guest cannot be given the pod's sysctls: {said}")))
}

/// As `sysctl` reads a name: the first separator is the separator, and the other one a part of the name.
fn path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'.' => {
            let other = |c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            };
            name.chars().map(other).collect()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn names_are_paths() {
        assert_eq!(path("kernel.shm_rmid_forced"), "kernel/shm_rmid_forced");
        assert_eq!(path("net.ipv4.conf.eth0/100.forwarding"), "net/ipv4/conf/eth0.100/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.100/forwarding"), "net/ipv4/conf/eth0.100/forwarding");
    }
}
