//! How a guest is called and how it resolves names: as its pod asks for, whatever its image and its services think.
//!
//! Happy path: one command sets the host name where it differs, in the kernel and for the next boot, and writes
//! `/etc/resolv.conf` anew where that differs. A link to a service's own file is replaced, for the service would write its own
//! again; any other file keeps its owner, mode and labels. Then the file is mounted over itself, read-only: a DHCP client that
//! writes it, or puts another one in its place, cannot. The mount goes with a reboot: whoever set the names sets them again then.
//!
//! Windows has other means: see [`windows`].
//!
//! Failure paths: a user who may not, a file system that is read-only: an error that says so, and what could be set is set.

pub(crate) mod windows;

use std::net::IpAddr;
use std::time::Duration;

use transports::{Bounds, Exit, Session, Stdin, capture};

use crate::{Error, Family, Result, script};

/// How long the guest may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what the guest says is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;

/// Sets the host name `$1`, and where `$2` is something has it be what `/etc/resolv.conf` holds.
const SCRIPT: &str = r#"LC_ALL=C PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL PATH
failed=0
IFS= read -r h </proc/sys/kernel/hostname
if [ "$h" != "$1" ]; then
  echo "$1" >/proc/sys/kernel/hostname || failed=1
fi
h=
if [ -e /etc/hostname ]; then IFS= read -r h </etc/hostname; fi
if [ "$h" != "$1" ]; then
  echo "$1" >/etc/hostname || failed=1
fi
if [ -z "$2" ]; then exit $failed; fi
f=/etc/resolv.conf
if [ -L "$f" ] || [ "$(cat "$f" 2>/dev/null)" != "$2" ]; then
  if [ -f "$f" ] && [ ! -L "$f" ]; then
    printf '%s\n' "$2" >"$f" || exit 1
  else
    umask 022
    printf '%s\n' "$2" >"$f.infranetes" && mv -f "$f.infranetes" "$f" || exit 1
  fi
fi
while read -r x at y; do
  if [ "$at" = "$f" ]; then exit $failed; fi
done </proc/mounts
mount -o bind "$f" "$f" && mount -o remount,ro,bind "$f" || exit 1
exit $failed
"#;

/// What the guest is told of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The host name.
    pub hostname: String,
    /// How it resolves names; none where that is left to the guest.
    pub resolver: Option<Resolver>,
}

/// How names are resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Servers.
    pub servers: Vec<IpAddr>,
    /// Domains that are searched for a name without dots.
    pub search: Vec<String>,
    /// Options of the resolver, such as `ndots:5`.
    pub options: Vec<String>,
}

impl Names {
    /// Has the guest be called and resolve names so.
    pub async fn set(&self, session: &dyn Session, family: Family) -> Result<()> {
        match family {
            Family::Unix => self.set_linux(session).await,
            Family::Windows => windows::set(session, self).await,
        }
    }

    async fn set_linux(&self, session: &dyn Session) -> Result<()> {
        let text = self.resolver_text()?;
        let command = script::privileged(SCRIPT, &[&self.hostname, &text], Stdin::Closed);
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: COMPLAINT_LIMIT };
        let captured = capture(session, command, bounds).await?;
        match captured.exit {
            Exit::Code(0) => Ok(()),
            Exit::Lost(error) => Err(transports::Error::Lost(error).into()),
            _ => {
                let said = String::from_utf8_lossy(&captured.stderr);
                let said = said.trim().replace(|c: char| c.is_control(), " ");
                Err(Error::Unsupported(format!(
                    "the guest's host name or /etc/resolv.conf cannot be set, or not for good: {said}"
                )))
            }
        }
    }
}

impl Names {
    /// The lines of `/etc/resolv.conf`; nothing where it is left to the guest.
    pub(crate) fn resolver_text(&self) -> Result<String> {
        Ok(self.resolver.as_ref().map(Resolver::text).transpose()?.unwrap_or_default())
    }
}

impl Resolver {
    /// The lines of `/etc/resolv.conf`.
    fn text(&self) -> Result<String> {
        let Self { servers, search, options } = self;
        if let Some(word) = search.iter().chain(options).find(|word| word.contains(is_separator)) {
            return Err(Error::Unsupported(format!("{word:?} is no search domain or resolver option")));
        }
        let mut lines: Vec<String> = servers.iter().map(|server| format!("nameserver {server}")).collect();
        for (key, words) in [("search", search), ("options", options)] {
            if !words.is_empty() {
                lines.push(format!("{key} {}", words.join(" ")));
            }
        }
        Ok(lines.join("\n"))
    }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_a_line_for_each_kind() {
        let resolver = Resolver {
            servers: vec!["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()],
            search: vec!["default.svc.cluster.local".into(), "cluster.local".into()],
            options: vec!["ndots:5".into(), "edns0".into()],
        };
        let text = "nameserver 10.96.0.10\nnameserver fd00::a\nsearch default.svc.cluster.local cluster.local\n\
                    options ndots:5 edns0";
        assert_eq!(resolver.text().unwrap(), text);
        let search = vec!["a\nnameserver 1.2.3.4".into()];
        assert!(Resolver { search, ..Resolver::default() }.text().is_err());
    }
}
