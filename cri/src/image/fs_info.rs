//! `ImageFsInfo`: what the image store takes up.

use proto::runtime::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value};

use crate::error::Result;
use crate::node::Node;
use crate::pod::now;

/// Serves the call.
pub async fn fs_info(node: &Node) -> Result<ImageFsInfoResponse> {
    let context = node.context();
    let usage = context.images.usage().await?;
    let filesystem = FilesystemUsage {
        timestamp: now(),
        fs_id: Some(FilesystemIdentifier { mountpoint: context.config.images_dir().display().to_string() }),
        used_bytes: Some(UInt64Value { value: usage.bytes }),
        inodes_used: Some(UInt64Value { value: usage.inodes }),
    };
    Ok(ImageFsInfoResponse {
        image_filesystems: vec![filesystem.clone()],
        container_filesystems: vec![filesystem],
    })
}
