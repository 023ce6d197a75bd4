//! The `NoCloud` seed of a pod: what a guest with cloud-init is told at its first boot.
//!
//! The pod's own host key is in it, so the first connection is already authenticated; and the public half of the key
//! that the daemon logs in with. Cloud-init reads JSON as the YAML that it is, so nothing here quotes by hand.

use machines::{Seed, SeedForm};
use serde_json::json;

use crate::network::Attachment;
use crate::store::PodRecord;

/// Makes the seed of one container's machine. Its instance id is new for each container, so that a fresh root disk
/// is set up afresh.
pub(super) fn seed(pod: &PodRecord, container_id: &str, user: &str, attachment: &Attachment) -> Seed {
    let keys = &pod.keys;
    let mut config = json!({
        "hostname": pod.hostname,
        "preserve_hostname": false,
        "manage_etc_hosts": false,
        "disable_root": false,
        "ssh_deletekeys": true,
        "ssh_genkeytypes": [],
        "ssh_keys": { "ed25519_private": keys.host_private, "ed25519_public": keys.host_public },
        "ssh_authorized_keys": [keys.client_public],
        "growpart": { "mode": "auto", "devices": ["/"] },
    });
    if user != "root" {
        config["users"] = json!([
            "default",
            {
                "name": user,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/sh",
                "ssh_authorized_keys": [keys.client_public],
            },
        ]);
    }
    let meta = json!({
        "instance-id": format!("iid-{container_id}"),
        "local-hostname": pod.hostname,
    });
    Seed {
        form: SeedForm::NoCloud,
        user_data: format!("#cloud-config\n{config}\n"),
        meta_data: format!("{meta}\n"),
        network_config: crate::network::cloud_init_network(attachment, &super::guest_identity(pod)),
    }
}

/// The `ConfigDrive` of one container's machine, for cloudbase-init: what it is called, and who may log in by a key. It has no
/// password, for what is on a disk is no secret in the guest; addresses are the answerer's of DHCP.
pub(super) fn config_drive(pod: &PodRecord, container_id: &str) -> Seed {
    let meta = json!({
        "uuid": container_id,
        "name": pod.name,
        "hostname": pod.hostname,
        "public_keys": { "infranetes": pod.keys.client_public },
    });
    Seed {
        form: SeedForm::ConfigDrive,
        user_data: String::new(),
        meta_data: format!("{meta}\n"),
        network_config: String::new(),
    }
}
