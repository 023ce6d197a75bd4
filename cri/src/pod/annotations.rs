//! The annotations that a pod may set. An operator's allow-list (`allowed-annotations`) narrows them down.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// All of ours begin like this; one that does and is not known is an error, so that a typing mistake is seen.
pub const PREFIX: &str = "infranetes.io/";
/// Where the machine container's log comes from: `journal`, `journal:UNIT`, `file:/PATH` or `console`.
pub const LOG: &str = "infranetes.io/log";
/// What a reset from inside the guest means: `end` (the container exits) or `continue` (the guest boots again).
pub const ON_RESET: &str = "infranetes.io/on-reset";
/// How many seconds the guest may take to its first answer.
pub const BOOT_DEADLINE: &str = "infranetes.io/boot-deadline-seconds";
/// How many seconds a guest that boots anew from inside may be silent without that being a failure of its probes.
pub const REBOOT_GRACE: &str = "infranetes.io/reboot-grace-seconds";
/// The volume whose Secret holds the login of the pod's image.
pub const CREDENTIAL: &str = "infranetes.io/credential";

/// Every annotation there is.
pub const ALL: &[&str] = &[LOG, ON_RESET, BOOT_DEADLINE, REBOOT_GRACE, CREDENTIAL];

/// Refuses an annotation of ours that does not exist or that the operator does not allow.
pub fn check(annotations: &BTreeMap<String, String>, allowed: &[String]) -> Result<()> {
    for name in annotations.keys().filter(|name| name.starts_with(PREFIX)) {
        if !ALL.contains(&name.as_str()) {
            return Err(Error::invalid(format!(
                "annotation {name} does not exist; known: {}",
                ALL.join(", ")
            )));
        }
        if !allowed.contains(name) {
            return Err(Error::invalid(format!(
                "annotation {name} is not allowed on this node; the operator can add it to allowed-annotations"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, allowed: &[String]) -> Option<String> {
        let annotations = BTreeMap::from([(name.to_owned(), String::new())]);
        check(&annotations, allowed).err().map(|error| error.to_string())
    }

    #[test]
    fn only_ours_are_judged() {
        assert_eq!(refused("example.com/x", &[]), None);
        assert!(
            refused("infranetes.io/lag", &[LOG.into()]).unwrap().contains("infranetes.io/lag does not exist")
        );
        assert!(refused(LOG, &[]).unwrap().contains("allowed-annotations"));
        assert_eq!(refused(LOG, &[LOG.into()]), None);
    }
}
