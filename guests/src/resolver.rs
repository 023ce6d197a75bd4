//! How the guest resolves names: `/etc/resolv.conf` as the pod asks for.
//!
//! Happy path: one command writes the file anew where it differs. A link to a service's own file is replaced, for the service
//! would write its own again; any other file keeps its owner, mode and labels.
//!
//! Failure paths: a user who may not, a file system that is read-only: an error that says so, and the file stays as it was.

use std::net::IpAddr;
use std::time::Duration;

use transports::{Bounds, Exit, Session, Stdin, capture};

use crate::{Error, Result, script};

/// How long the guest may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of what the guest says is kept in bytes.
const COMPLAINT_LIMIT: usize = 512;

/// Writes `$1` to the file.
const SCRIPT: &str = r#"f=/etc/resolv.conf
if [ ! -L "$f" ] && [ "$(cat "$f" 2>/dev/null)" = "$1" ]; then
  exit
fi
if [ -f "$f" ] && [ ! -L "$f" ]; then
  printf '%s\n' "$1" >"$f"
else
  umask 022
  printf '%s\n' "$1" >"$f.infranetes" && mv -f "$f.infranetes" "$f"
fi
"#;

/// What the guest is told of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Servers.
    pub servers: Vec<IpAddr>,
    /// Domains that are searched for a name without dots.
    pub search: Vec<String>,
    /// Options of the resolver, such as `ndots:5`.
    pub options: Vec<String>,
}

impl Resolver {
    /// The file's lines.
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

    /// Has the guest resolve names so.
    pub async fn set(&self, session: &dyn Session) -> Result<()> {
        let command = script::privileged(SCRIPT, &[&self.text()?], Stdin::Closed);
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: COMPLAINT_LIMIT };
        let captured = capture(session, command, bounds).await?;
        match captured.exit {
            Exit::Code(0) => Ok(()),
            Exit::Lost(error) => Err(transports::Error::Lost(error).into()),
            _ => {
                let said = String::from_utf8_lossy(&captured.stderr);
                let said = said.trim().replace(|c: char| c.is_control(), " ");
                Err(Error::Unsupported(format!("the guest's /etc/resolv.conf cannot be written: {said}")))
            }
        }
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
