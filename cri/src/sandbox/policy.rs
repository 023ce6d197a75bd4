//! Which pods this runtime takes. Pure: a request in, a yes or the reason why not out.

use std::collections::BTreeMap;

use proto::runtime::v1::{NamespaceMode, NamespaceOption};

use crate::error::{Error, Result};

/// The longest host name.
const LONGEST_HOSTNAME: usize = 64;

/// A guest is a machine of its own: it cannot live in the node's namespaces, and needs no user namespace.
pub fn namespaces(options: &NamespaceOption) -> Result<()> {
    let NamespaceOption { network, pid, ipc, target_id: _, userns_options } = options;
    let node = i32::from(NamespaceMode::Node);
    let refused = [(*network, "hostNetwork"), (*pid, "hostPID"), (*ipc, "hostIPC")];
    if let Some((_, field)) = refused.iter().find(|(mode, _)| *mode == node) {
        return Err(Error::invalid(format!(
            "{field} is not possible for a pod that is a virtual machine; remove it, or run this pod with another \
             RuntimeClass"
        )));
    }
    match userns_options {
        Some(options) if options.mode != node => Err(Error::invalid(
            "a user namespace (hostUsers: false) is not possible for a pod that is a virtual machine; remove it: the \
             machine isolates its users already",
        )),
        _ => Ok(()),
    }
}

/// The node's kernel is not the guest's.
pub fn sysctls(sysctls: &BTreeMap<String, String>) -> Result<()> {
    match sysctls.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "sysctl {name} cannot be set for a virtual machine yet; set it inside the image"
        ))),
    }
}

/// A cgroup is named from the root of its hierarchy and stays below it.
pub fn cgroup_parent(parent: &str) -> Result<()> {
    if parent.split('/').any(|part| part == "..") || parent.contains('\0') {
        return Err(Error::invalid(format!(
            "cgroup_parent {parent:?} leaves its hierarchy; name it without `..`"
        )));
    }
    Ok(())
}

/// The guest's host name: the pod's, or the beginning of its name as the kubelet does.
pub fn hostname(asked: String, pod: &str) -> Result<String> {
    let hostname = if asked.is_empty() { pod.chars().take(63).collect() } else { asked };
    let hostname = hostname.trim_end_matches(['-', '.']).to_owned();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if hostname.is_empty() || hostname.len() > LONGEST_HOSTNAME || !hostname.chars().all(allowed) {
        return Err(Error::invalid(format!(
            "hostname {hostname:?} is not 1 to {LONGEST_HOSTNAME} letters, digits, '-' and '.'"
        )));
    }
    Ok(hostname)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::UserNamespace;

    fn refusal(options: &NamespaceOption) -> String {
        namespaces(options).expect_err("must be refused").to_string()
    }

    #[test]
    fn host_namespaces_are_refused_by_name() {
        let node = i32::from(NamespaceMode::Node);
        assert!(
            refusal(&NamespaceOption { network: node, ..Default::default() }).starts_with("hostNetwork is")
        );
        assert!(refusal(&NamespaceOption { pid: node, ..Default::default() }).starts_with("hostPID is"));
        assert!(refusal(&NamespaceOption { ipc: node, ..Default::default() }).starts_with("hostIPC is"));
    }

    #[test]
    fn user_namespaces_are_refused_by_name() {
        let userns_options = Some(UserNamespace { mode: NamespaceMode::Pod.into(), ..Default::default() });
        assert!(
            refusal(&NamespaceOption { userns_options, ..Default::default() }).contains("hostUsers: false")
        );
        let userns_options = Some(UserNamespace { mode: NamespaceMode::Node.into(), ..Default::default() });
        assert!(namespaces(&NamespaceOption { userns_options, ..Default::default() }).is_ok());
    }

    #[test]
    fn an_ordinary_pod_is_taken() {
        let container = NamespaceMode::Container.into();
        assert!(namespaces(&NamespaceOption { pid: container, ..Default::default() }).is_ok());
        assert!(sysctls(&BTreeMap::new()).is_ok());
        assert!(cgroup_parent("/kubepods/burstable/pod1").is_ok());
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(hostname(String::new(), "web-0").unwrap(), "web-0");
        assert_eq!(hostname("a.b".into(), "x").unwrap(), "a.b");
        assert!(hostname("a b".into(), "x").unwrap_err().to_string().contains("\"a b\""));
        assert!(hostname("\n".into(), "x").is_err());
        assert!(cgroup_parent("/a/../b").unwrap_err().to_string().contains("`..`"));
        let sysctl = BTreeMap::from([("kernel.x".to_owned(), "1".to_owned())]);
        assert!(sysctls(&sysctl).unwrap_err().to_string().contains("kernel.x"));
    }
}
