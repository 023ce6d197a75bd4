//! What the rest of the daemon is given: its parts' own configurations, worked out from the file.

use std::path::PathBuf;

use images::{Limits, Registries};
use machines::qemu::QemuConfig;

use super::{Accel, Config, ImagesConfig, NetworkMode, QemuSection};
use crate::error::Result;
use crate::network::{Mode, NetworkConfig};

impl Config {
    /// Where the images are.
    pub fn images_dir(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Where the machines of this node are, a directory for each provider.
    pub fn machines_dir(&self) -> PathBuf {
        self.state_dir.join("machines")
    }

    /// Where the logs' own bookkeeping is.
    pub fn logs_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// QEMU as a provider of this name.
    pub fn qemu(&self, name: &str, section: &QemuSection) -> QemuConfig {
        QemuConfig {
            root: self.machines_dir().join(name),
            run: self.run_dir.join("machines").join(name),
            binary: section.binary.clone(),
            qemu_img: None,
            swtpm: section.swtpm.clone(),
            user: section.user.clone(),
            accel: match section.accel {
                Accel::Auto => machines::qemu::Accel::Auto,
                Accel::Kvm => machines::qemu::Accel::Kvm,
                Accel::Tcg => machines::qemu::Accel::Tcg,
            },
            ovmf: section.ovmf_code.clone().zip(section.ovmf_vars.clone()),
            ovmf_secure: section.ovmf_secure_code.clone().zip(section.ovmf_secure_vars.clone()),
            console_bytes: section.console_bytes,
        }
    }

    /// The pod network.
    pub fn network_config(&self) -> Result<NetworkConfig> {
        let section = &self.network;
        let state_dir = self.state_dir.join("network");
        let mode = match section.mode {
            NetworkMode::Null => Mode::Null,
            NetworkMode::Cni => Mode::Cni {
                conf_dir: section.conf_dir.clone(),
                bin_dirs: section.bin_dirs.clone(),
                cache_dir: state_dir.join("cni"),
            },
            NetworkMode::Builtin => Mode::Builtin {
                subnets: section.subnets.clone(),
                bridge: section.bridge.clone(),
                mtu: section.mtu,
                bin_dirs: section.bin_dirs.clone(),
            },
        };
        Ok(NetworkConfig { mode, state_dir, tap_user: 0 })
    }
}

impl ImagesConfig {
    /// The bounds of what is accepted.
    pub fn limits(&self) -> Limits {
        Limits { virtual_size_bytes: self.max_disk_gib << 30, unpacked_bytes: self.max_unpacked_gib << 30 }
    }

    /// How registries are spoken to.
    pub fn registries(&self) -> Registries {
        Registries { plain_http: self.plain_http.clone(), ca_files: self.ca_files.clone() }
    }
}
