//! What the security context of a container means for a process in a guest. Pure.
//!
//! | field | what is done |
//! |---|---|
//! | `run_as_user`, `run_as_username`, `run_as_group`, `supplemental_groups` and their policy | honoured |
//! | `no_new_privs` | honoured where the guest has `setpriv`, else the start is refused |
//! | `privileged` | harmless: the process has its machine for itself, and the node is out of its reach |
//! | `capabilities` | what is dropped is, where the guest has `setpriv`, else the start is refused; else they are all of root's |
//! | `seccomp`, `apparmor`: `RuntimeDefault`, `Unconfined` | harmless: the machine is the boundary |
//! | `seccomp`, `apparmor`: `Localhost` | refused: the profile is a file of the node; where `privileged`, not looked at |
//! | `selinux_options` | harmless: labels of the node, which the machine itself carries |
//! | `readonly_rootfs` | refused: the root is the machine's, shared by the pod's containers |
//! | `masked_paths`, `readonly_paths` | harmless: they protect a node's kernel, the guest has its own |
//! | `namespace_options` | of the pod: network, IPC and processes are those of the machine |

use guests::process::Capabilities;
use proto::runtime::v1::security_profile::ProfileType;
use proto::runtime::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, SecurityProfile, SupplementalGroupsPolicy,
};

use crate::error::{Error, Result};
use crate::sandbox::policy::namespaces;
use crate::store::ProcessUser;

/// What holds for the process.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Whom it runs as.
    pub user: ProcessUser,
    /// Which capabilities it can have.
    pub capabilities: Capabilities,
    /// Whether it can gain no privileges.
    pub no_new_privileges: bool,
}

/// What a context means.
pub fn security(context: LinuxContainerSecurityContext) -> Result<Security> {
    #[allow(deprecated, reason = "an old kubelet's field has to be named to be ignored knowingly")]
    let LinuxContainerSecurityContext {
        run_as_user,
        run_as_group,
        run_as_username,
        supplemental_groups,
        supplemental_groups_policy,
        no_new_privs,
        namespace_options,
        readonly_rootfs,
        seccomp,
        apparmor,
        privileged,
        capabilities,
        // See the table above.
        selinux_options: _,
        masked_paths: _,
        readonly_paths: _,
        apparmor_profile: _,
        seccomp_profile_path: _,
    } = context;
    namespaces(&namespace_options.unwrap_or_default())?;
    if readonly_rootfs {
        return Err(Error::invalid(
            "readOnlyRootFilesystem is not possible for a process in a virtual machine, whose root its pod shares; \
             remove it: each pod has a fresh root anyway",
        ));
    }
    // A privileged container has no profile, whatever it names: so it is on any runtime.
    if !privileged {
        profile("seccompProfile", seccomp.as_ref())?;
        profile("appArmorProfile", apparmor.as_ref())?;
    }
    let uid = number(run_as_user, "run_as_user")?;
    let gid = number(run_as_group, "run_as_group")?;
    let name = Some(run_as_username).filter(|name| !name.is_empty());
    if gid.is_some() && uid.is_none() && name.is_none() {
        return Err(Error::invalid("runAsGroup without runAsUser; name the user too"));
    }
    let groups = supplemental_groups.into_iter().map(|group| id(group, "supplemental_groups"));
    let groups = groups.collect::<Result<_>>()?;
    let strict = match SupplementalGroupsPolicy::try_from(supplemental_groups_policy) {
        Ok(SupplementalGroupsPolicy::Merge) => false,
        Ok(SupplementalGroupsPolicy::Strict) => true,
        Err(_) => {
            return Err(Error::invalid(format!(
                "supplementalGroupsPolicy {supplemental_groups_policy} is not known; use Merge or Strict"
            )));
        }
    };
    let Capability { add_capabilities: add, drop_capabilities: drop, add_ambient_capabilities: _ } =
        capabilities.unwrap_or_default();
    // A privileged container keeps what it names, too.
    let capabilities = if privileged { Capabilities::default() } else { Capabilities { add, drop } };
    let user = ProcessUser { uid, name, gid, groups, strict };
    Ok(Security { user, capabilities, no_new_privileges: no_new_privs })
}

fn profile(field: &str, profile: Option<&SecurityProfile>) -> Result<()> {
    match profile {
        Some(profile) if profile.profile_type == i32::from(ProfileType::Localhost) => {
            Err(Error::invalid(format!(
                "{field} {:?} is a file of the node, and a virtual machine has its own kernel; use RuntimeDefault",
                profile.localhost_ref
            )))
        }
        _ => Ok(()),
    }
}

fn number(value: Option<Int64Value>, field: &str) -> Result<Option<u32>> {
    value.map(|Int64Value { value }| id(value, field)).transpose()
}

fn id(value: i64, field: &str) -> Result<u32> {
    // The last number means "no change" to the kernel.
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Error::invalid(format!("{field} {value} is not a user or group number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::{NamespaceMode, NamespaceOption, SeLinuxOption};

    fn refusal(context: LinuxContainerSecurityContext) -> String {
        security(context).expect_err("it must be refused").to_string()
    }

    fn of_type(profile_type: ProfileType) -> SecurityProfile {
        SecurityProfile { profile_type: profile_type.into(), localhost_ref: "p.json".into() }
    }

    #[test]
    fn users_and_groups_are_honoured() {
        let context = LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 1000 }),
            run_as_group: Some(Int64Value { value: 0 }),
            supplemental_groups: vec![5, 6],
            supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
            no_new_privs: true,
            ..Default::default()
        };
        let user =
            ProcessUser { uid: Some(1000), name: None, gid: Some(0), groups: vec![5, 6], strict: true };
        let wanted = Security { user, no_new_privileges: true, ..Security::default() };
        assert_eq!(security(context).unwrap(), wanted);
        let named = LinuxContainerSecurityContext { run_as_username: "app".into(), ..Default::default() };
        assert_eq!(security(named).unwrap().user.name.as_deref(), Some("app"));
    }

    #[test]
    fn impossible_users_are_refused() {
        let group = Some(Int64Value { value: 1 });
        let context = LinuxContainerSecurityContext { run_as_group: group, ..Default::default() };
        assert!(refusal(context).contains("runAsGroup without runAsUser"));
        for value in [-1, i64::from(u32::MAX)] {
            let run_as_user = Some(Int64Value { value });
            let context = LinuxContainerSecurityContext { run_as_user, ..Default::default() };
            assert!(refusal(context).contains("run_as_user"));
        }
        let context = LinuxContainerSecurityContext { supplemental_groups: vec![-2], ..Default::default() };
        assert!(refusal(context).contains("supplemental_groups -2"));
    }

    #[test]
    fn what_the_machine_makes_needless_is_harmless() {
        let context = LinuxContainerSecurityContext {
            privileged: true,
            seccomp: Some(of_type(ProfileType::RuntimeDefault)),
            apparmor: Some(of_type(ProfileType::Unconfined)),
            selinux_options: Some(SeLinuxOption { r#type: "t".into(), ..Default::default() }),
            masked_paths: vec!["/proc/acpi".into()],
            readonly_paths: vec!["/proc/sys".into()],
            ..Default::default()
        };
        assert_eq!(security(context).unwrap(), Security::default());
    }

    #[test]
    fn capabilities_are_dropped_but_from_the_privileged() {
        let drop_capabilities = vec!["ALL".to_owned()];
        let context = LinuxContainerSecurityContext {
            capabilities: Some(Capability {
                drop_capabilities: drop_capabilities.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(security(context.clone()).unwrap().capabilities.drop, drop_capabilities);
        let privileged = LinuxContainerSecurityContext { privileged: true, ..context };
        assert_eq!(security(privileged).unwrap().capabilities, Capabilities::default());
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_its_name() {
        let context = LinuxContainerSecurityContext { readonly_rootfs: true, ..Default::default() };
        assert!(refusal(context).contains("readOnlyRootFilesystem"));
        let context = LinuxContainerSecurityContext {
            seccomp: Some(of_type(ProfileType::Localhost)),
            ..Default::default()
        };
        assert!(refusal(context.clone()).contains("seccompProfile \"p.json\""));
        let privileged = LinuxContainerSecurityContext { privileged: true, ..context };
        assert!(security(privileged).is_ok(), "it would have no profile anyway");
        let context = LinuxContainerSecurityContext {
            apparmor: Some(of_type(ProfileType::Localhost)),
            ..Default::default()
        };
        assert!(refusal(context).contains("appArmorProfile"));
        let node = NamespaceOption { pid: NamespaceMode::Node.into(), ..Default::default() };
        let context = LinuxContainerSecurityContext { namespace_options: Some(node), ..Default::default() };
        assert!(refusal(context).contains("hostPID"));
    }
}
