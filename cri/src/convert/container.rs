//! Containers.

use std::path::{Path, PathBuf};

use guests::process::Identity;
use proto::runtime::v1::{
    Container, ContainerConfig, ContainerMetadata, ContainerResources, ContainerState, ContainerStatus,
    ContainerUser, ImageSpec, LinuxContainerConfig, LinuxContainerUser, Mount as MountMessage,
};

use super::{named, required, resources};
use crate::container::security::{self, Security};
use crate::container::{policy, process};
use crate::error::Result;
use crate::pod::NewContainer;
use crate::store::{ContainerPhase, ContainerRecord, Mount, PodRecord, ProcessRecord};
use crate::volume;

/// The image that a container asks for.
pub fn image(config: &ContainerConfig) -> Result<String> {
    let spec = config.image.clone();
    named(required(spec, "config.image")?.image, "config.image.image")
}

/// A container that is asked for by a kubelet with this directory; refused where its policy says no.
pub fn new(config: ContainerConfig, found: images::Image, kubelet: &Path) -> Result<NewContainer> {
    let ContainerConfig {
        metadata,
        image,
        command,
        args,
        working_dir,
        envs,
        mounts,
        devices,
        labels,
        annotations,
        log_path,
        stdin,
        stdin_once,
        tty,
        linux,
        windows: _, // a Linux kubelet sets it for no pod that it admits
        cdi_devices,
        stop_signal,
    } = config;
    let ContainerMetadata { name, attempt } = required(metadata, "config.metadata")?;
    let LinuxContainerConfig { resources: size, security_context } = linux.unwrap_or_default();
    let argv: Vec<String> = command.into_iter().chain(args).collect();
    // Without a command it is the machine itself, and what is said of a process has no meaning.
    let process = if argv.is_empty() {
        None
    } else {
        let Security { user, capabilities, no_new_privileges } =
            security::security(security_context.unwrap_or_default())?;
        Some(ProcessRecord {
            argv: process::argv(argv)?,
            env: process::env(envs)?,
            working_dir: process::working_dir(working_dir)?,
            user,
            stdin: process::stdin(stdin, stdin_once),
            tty,
            capabilities,
            no_new_privileges,
            message_path: process::message_path(&annotations)?,
            stop_signal: process::stop_signal(stop_signal)?,
        })
    };
    let devices = devices.iter().map(|device| (&device.host_path[..], &device.container_path[..]));
    let cdi_devices: Vec<&str> = cdi_devices.iter().map(|device| &device.name[..]).collect();
    volume::policy::devices(devices, &cdi_devices)?;
    let ImageSpec { image: asked, user_specified_image, annotations: _, runtime_handler: _, image_ref: _ } =
        required(image, "config.image")?;
    Ok(NewContainer {
        name: named(name, "config.metadata.name")?,
        attempt,
        image: if user_specified_image.is_empty() { asked } else { user_specified_image },
        found,
        labels,
        annotations,
        mounts: mounts.into_iter().map(|message| mount(message, kubelet)).collect::<Result<_>>()?,
        log_path: policy::log_path(log_path)?,
        resources: size.as_ref().map(resources::size).unwrap_or_default(),
        process,
    })
}

fn mount(message: MountMessage, kubelet: &Path) -> Result<Mount> {
    let MountMessage {
        container_path,
        host_path,
        readonly,
        selinux_relabel,
        propagation,
        uid_mappings: _,
        gid_mappings: _,
        recursive_read_only: _,
        image,
        image_sub_path: _,
    } = message;
    match image {
        Some(image) => volume::policy::image(&image.image, &container_path)?,
        None => volume::policy::mount(&host_path, &container_path, kubelet)?,
    }
    Ok(Mount { container_path, host_path, readonly, selinux_relabel, propagation })
}

/// Whom a process runs as.
fn user(identity: &Identity) -> ContainerUser {
    let Identity { uid, gid, groups } = identity;
    let supplemental_groups = groups.iter().map(|&group| group.into()).collect();
    let linux = LinuxContainerUser { uid: (*uid).into(), gid: (*gid).into(), supplemental_groups };
    ContainerUser { linux: Some(linux) }
}

/// A container as lists show it.
pub fn item(record: &ContainerRecord) -> Container {
    Container {
        id: record.id.clone(),
        pod_sandbox_id: record.pod_id.clone(),
        metadata: Some(metadata(record)),
        image: Some(image_spec(record)),
        image_ref: record.image_id.clone(),
        state: state(record.phase).into(),
        created_at: record.created_at,
        labels: record.labels.clone(),
        annotations: record.annotations.clone(),
        image_id: record.image_id.clone(),
    }
}

/// A container's status.
pub fn status(record: &ContainerRecord, pod: &PodRecord) -> ContainerStatus {
    let exit = record.exit.as_ref();
    ContainerStatus {
        id: record.id.clone(),
        metadata: Some(metadata(record)),
        state: state(record.phase).into(),
        created_at: record.created_at,
        started_at: record.started_at.unwrap_or_default(),
        finished_at: exit.map(|exit| exit.at).unwrap_or_default(),
        exit_code: exit.map(|exit| exit.code).unwrap_or_default(),
        image: Some(image_spec(record)),
        image_ref: record.image_id.clone(),
        reason: exit.map(|exit| exit.reason.clone()).unwrap_or_default(),
        message: exit.map(|exit| exit.message.clone()).unwrap_or_default(),
        labels: record.labels.clone(),
        annotations: record.annotations.clone(),
        mounts: record.mounts.iter().map(mount_message).collect(),
        log_path: log_path(record, pod).map(|path| path.display().to_string()).unwrap_or_default(),
        resources: Some(ContainerResources {
            linux: Some(resources::message(record.resources)),
            windows: None,
        }),
        image_id: record.image_id.clone(),
        user: record.identity.as_ref().map(user),
        stop_signal: 0,
    }
}

/// Its name and attempt.
pub fn metadata(record: &ContainerRecord) -> ContainerMetadata {
    ContainerMetadata { name: record.name.clone(), attempt: record.attempt }
}

fn image_spec(record: &ContainerRecord) -> ImageSpec {
    ImageSpec { image: record.image.clone(), ..ImageSpec::default() }
}

fn mount_message(mount: &Mount) -> MountMessage {
    MountMessage {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.clone(),
        readonly: mount.readonly,
        selinux_relabel: mount.selinux_relabel,
        propagation: mount.propagation,
        ..MountMessage::default()
    }
}

/// Where a container's log is; none where the pod has no log directory or the container no path in it.
pub fn log_path(record: &ContainerRecord, pod: &PodRecord) -> Option<PathBuf> {
    let named = !pod.log_directory.is_empty() && !record.log_path.is_empty();
    named.then(|| Path::new(&pod.log_directory).join(&record.log_path))
}

/// The CRI knows four states of a container. One that starts runs already: a kubelet that sweeps counts all others as
/// dead, and a start as long as a boot would cost the attempt before it its log and its exit.
pub fn state(phase: ContainerPhase) -> ContainerState {
    match phase {
        ContainerPhase::Creating | ContainerPhase::Created => ContainerState::ContainerCreated,
        ContainerPhase::Starting | ContainerPhase::Running | ContainerPhase::Stopping => {
            ContainerState::ContainerRunning
        }
        ContainerPhase::Exited | ContainerPhase::Removing => ContainerState::ContainerExited,
    }
}
