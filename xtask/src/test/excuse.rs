//! Which reasons for skipping a test hold on this machine.
//!
//! What can be installed is installed, so hardly any reason holds. A test names what it lacks in its reason; only what is
//! listed here, and is really absent, excuses it. A spec of critest that the project's list leaves out has its reason there; where
//! containerd is held against itself behind us, one that containerd has just skipped or failed by itself says nothing of us.

use std::path::Path;

/// Whether a test may be skipped for this reason here.
pub(super) fn excused(reason: &str) -> bool {
    if ["listed: ", "containerd itself "].iter().any(|known| reason.starts_with(known)) {
        return true;
    }
    let reason = reason.to_lowercase();
    let says = |word: &str| reason.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    (says("kvm") && !Path::new("/dev/kvm").exists())
        || ((says("go") || says("crictl") || says("critest") || says("kubernetes"))
            && crate::setup::go().is_none())
}

#[cfg(test)]
mod tests {
    use super::excused;

    #[test]
    fn an_unknown_reason_is_no_excuse() {
        assert!(!excused("qemu is not installed"));
        assert!(!excused("going slow today"));
        assert!(!excused("skipped on containerd"));
        assert!(excused("containerd itself skips it: AppArmor is not enabled"));
        assert!(excused("listed: directories of the node wait for storage"));
    }
}
