//! Which pods this runtime takes. Pure: a request in, a yes or the reason why not out.

use std::collections::BTreeMap;

use proto::runtime::v1::{NamespaceMode, NamespaceOption};

use crate::error::{Error, Result};

/// The longest host name.
const LONGEST_HOSTNAME: usize = 64;
/// The most sysctls of a pod, and the longest name or value of one in bytes: all of them fit one command.
const MOST_SYSCTLS: usize = 32;
const LONGEST_SYSCTL: usize = 128;

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

/// Sysctls are those of the guest's own kernel, and it says whether it has them: here only their form counts.
pub fn sysctls(sysctls: &BTreeMap<String, String>) -> Result<()> {
    if sysctls.len() > MOST_SYSCTLS {
        return Err(Error::invalid(format!("{} sysctls are more than {MOST_SYSCTLS}", sysctls.len())));
    }
    for (name, value) in sysctls {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.', '/'].contains(&c);
        let has_parts = name.split(['.', '/']).all(|part| !part.is_empty());
        if !has_parts || name.len() > LONGEST_SYSCTL || !name.chars().all(allowed) {
            return Err(Error::invalid(format!("sysctl {name:?} is not a name such as net.core.somaxconn")));
        }
        if value.len() > LONGEST_SYSCTL || value.contains(char::is_control) {
            return Err(Error::invalid(format!(
                "the value of sysctl {name} is longer than {LONGEST_SYSCTL} bytes or has a control character"
            )));
        }
    }
    Ok(())
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
    }

    #[test]
    fn sysctls_are_names_and_values() {
        let checked = |name: &str, value: &str| {
            sysctls(&BTreeMap::from([(name.to_owned(), value.to_owned())])).map_err(|error| error.to_string())
        };
        for name in ["kernel.shm_rmid_forced", "net.ipv4.conf.eth0/100.forwarding"] {
            assert_eq!(checked(name, "1 2\u{20}3"), Ok(()));
        }
        for name in ["", ".x", "a..b", "../a", "a b", "a.b;c"] {
            assert!(checked(name, "1").unwrap_err().contains("is not a name"), "{name}");
        }
        assert!(checked("a.b", "1\n2").unwrap_err().contains("value of sysctl a.b"));
    }
}
