//! Where the machines' disks are, and the room that they take.
//!
//! The kubelet looks up the file system of every place that it is told, and fails its whole summary where one does not
//! exist. So the places told are the daemon's own directories, which stay, and never one of a machine, which goes. Where
//! disks and images are on one file system one place is told for both: two would mean a node with split disks.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::Result;

/// A place on the file system that holds what guests write.
pub fn containers_place(config: &Config) -> PathBuf {
    let images = config.images_dir();
    let device = |path: &Path| std::fs::metadata(path).map(|facts| facts.dev()).ok();
    match (device(&images), device(&config.machines_dir())) {
        (Some(of_images), Some(of_machines)) if of_images != of_machines => config.machines_dir(),
        _ => images,
    }
}

/// What all machines together take: disks, seeds, logs.
pub async fn containers_usage(config: &Config) -> Result<images::Usage> {
    Ok(images::disk_usage(config.machines_dir()).await?)
}
