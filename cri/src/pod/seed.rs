//! The `NoCloud` seed of a pod: what a guest with cloud-init is told at its first boot.
//!
//! The pod's own host key is in it, so the first connection is already authenticated; and the public half of the key
//! that the daemon logs in with. Cloud-init reads JSON as the YAML that it is, so nothing here quotes by hand.

use machines::Seed;
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
        user_data: format!("#cloud-config\n{config}\n"),
        meta_data: format!("{meta}\n"),
        network_config: crate::network::cloud_init_network(attachment, &super::guest_identity(pod)),
    }
}
