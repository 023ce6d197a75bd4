//! The RPCs about images, a file each.

pub mod fs_info;
pub mod list;
pub mod pull;
pub mod remove;
pub mod status;
pub mod stream;
