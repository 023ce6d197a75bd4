//! `ImageFsInfo`: what the image store takes up, and what the machines' disks do.

use std::path::Path;

use proto::runtime::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};

use crate::error::Result;
use crate::node::Node;
use crate::pod::now;
use crate::stats::{containers_place, containers_usage};

/// Serves the call.
pub async fn fs_info(node: &Node) -> Result<ImageFsInfoResponse> {
    let context = node.context();
    let images = context.images.usage().await?;
    let containers = containers_usage(&context.config).await?;
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![filesystem(&context.config.images_dir(), images)],
        container_filesystems: vec![filesystem(&containers_place(&context.config), containers)],
    })
}

fn filesystem(place: &Path, usage: images::Usage) -> FilesystemUsage {
    FilesystemUsage {
        timestamp: now(),
        fs_id: Some(FilesystemIdentifier { mountpoint: place.display().to_string() }),
        used_bytes: Some(UInt64Value { value: usage.bytes }),
        inodes_used: Some(UInt64Value { value: usage.inodes }),
    }
}
