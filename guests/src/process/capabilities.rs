//! Which capabilities a process can have.
//!
//! Happy path: nothing is said, and a process of root has all that its machine's root has, for the machine is the pod's own.
//! What is dropped leaves the bounding set, so that neither it nor a child can have it again; what is added says only what is
//! not dropped with `ALL`.
//!
//! Failure path: a name that is none is refused here, one that the guest does not know when the process is started.

use serde::{Deserialize, Serialize};

use super::spec::ProcessId;
use crate::{Error, Result};

/// The word for all of them.
const ALL: &str = "ALL";

/// Names without `CAP_`, or `ALL`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Kept, where all are dropped.
    pub add: Vec<String>,
    /// Dropped; it wins over what is added by name.
    pub drop: Vec<String>,
}

impl Capabilities {
    /// Refuses what is no name.
    pub(super) fn check(&self, id: &ProcessId) -> Result<()> {
        for name in self.add.iter().chain(&self.drop) {
            if name.is_empty()
                || name.len() > 64
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                return Err(Error::Unsupported(format!(
                    "capability {name:?} of process {id} is no capability's name"
                )));
            }
        }
        Ok(())
    }

    /// What becomes of the bounding set, in the words of `setpriv`; empty where it stays.
    pub(super) fn words(&self) -> String {
        let all = |names: &[String]| names.iter().any(|name| plain(name) == ALL);
        let mut words = Vec::new();
        if all(&self.drop) && !all(&self.add) {
            words.push("-all".to_owned());
            words.extend(self.add.iter().map(|name| word('+', name)));
        }
        let named = self.drop.iter().filter(|name| plain(name) != ALL);
        words.extend(named.map(|name| word('-', name)));
        words.join(",")
    }
}

fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
}

fn word(sign: char, name: &str) -> String {
    format!("{sign}{}", plain(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(add: &[&str], drop: &[&str]) -> String {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Capabilities { add: names(add), drop: names(drop) }.words()
    }

    #[test]
    fn dropping_wins_over_adding_by_name() {
        assert_eq!(words(&[], &[]), "");
        assert_eq!(words(&["NET_ADMIN"], &[]), "", "root has it already");
        assert_eq!(words(&[], &["NET_RAW", "CAP_CHOWN"]), "-net_raw,-chown");
        assert_eq!(words(&["net_raw", "CHOWN"], &["ALL", "CHOWN"]), "-all,+net_raw,+chown,-chown");
        assert_eq!(words(&["ALL"], &["all", "SYS_TIME"]), "-sys_time");
    }

    #[test]
    fn only_names_are_names() {
        let id = ProcessId::new("x").unwrap();
        for bad in ["", "NET RAW", "-all", "a,b", "$(id)"] {
            let capabilities = Capabilities { add: vec![], drop: vec![bad.into()] };
            assert!(
                capabilities.check(&id).unwrap_err().to_string().contains("no capability's name"),
                "{bad}"
            );
        }
    }
}
