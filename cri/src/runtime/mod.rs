//! The RPCs about the runtime itself, a file each.

pub mod config;
pub mod metric_descriptors;
pub mod status;
pub mod update_config;
pub mod version;
