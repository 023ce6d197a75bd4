//! The `[handlers]` and `[providers]` sections.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// What a `RuntimeClass` handler means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HandlerConfig {
    /// The name of a provider.
    pub provider: String,
}

/// A way to run machines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum ProviderConfig {
    /// QEMU on this node.
    Qemu(QemuSection),
    /// Machines that already run.
    Fleet(FleetSection),
    /// Nothing runs: for measurements of the daemon alone.
    Null {},
}

/// Machines that already run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FleetSection {
    /// The file that names them, in TOML.
    pub inventory: PathBuf,
}

/// QEMU on this node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct QemuSection {
    /// The unprivileged user that QEMU runs as: a name, or `uid:gid`.
    pub user: String,
    /// `auto` takes KVM where a probe shows that a guest runs under it, else emulation; `kvm` and `tcg` insist.
    pub accel: Accel,
    /// The QEMU program; absent: `qemu-system-x86_64` from the path.
    pub binary: Option<PathBuf>,
    /// The program that is the TPM of a machine; absent: `swtpm` from the path.
    pub swtpm: Option<PathBuf>,
    /// The UEFI firmware; absent: where the distributions put it.
    pub ovmf_code: Option<PathBuf>,
    /// The template of the UEFI variables.
    pub ovmf_vars: Option<PathBuf>,
    /// The UEFI firmware that boots only what is signed; absent: where the distributions put it.
    pub ovmf_secure_code: Option<PathBuf>,
    /// The template of its variables, with the keys.
    pub ovmf_secure_vars: Option<PathBuf>,
    /// How much of a serial console is kept, in bytes.
    pub console_bytes: u64,
}

/// How QEMU runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where it works, else TCG.
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

impl QemuSection {
    /// What is wrong with the provider of this name: the key, and why.
    pub(super) fn wrong(&self, name: &str) -> Option<(&'static str, String)> {
        let pairs = [
            ("ovmf-", &self.ovmf_code, &self.ovmf_vars),
            ("ovmf-secure-", &self.ovmf_secure_code, &self.ovmf_secure_vars),
        ];
        let (key, ..) = pairs.into_iter().find(|(_, code, vars)| code.is_some() != vars.is_some())?;
        let why = format!(
            "[providers.{name}] has one of {key}code and {key}vars; give both, for one is made for the other, or none"
        );
        Some((key, why))
    }
}

impl Default for QemuSection {
    fn default() -> Self {
        Self {
            user: "infranetes-qemu".into(),
            accel: Accel::Auto,
            binary: None,
            swtpm: None,
            ovmf_code: None,
            ovmf_vars: None,
            ovmf_secure_code: None,
            ovmf_secure_vars: None,
            console_bytes: 8 << 20,
        }
    }
}

pub(super) fn default_handlers() -> BTreeMap<String, HandlerConfig> {
    ["", "vm"].map(|name| (name.to_owned(), HandlerConfig { provider: "qemu".into() })).into()
}

pub(super) fn default_providers() -> BTreeMap<String, ProviderConfig> {
    BTreeMap::from([("qemu".to_owned(), ProviderConfig::Qemu(QemuSection::default()))])
}
