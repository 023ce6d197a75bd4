//! The Container Network Interface: which list is in force, calls of its plugins, and the record of them.

pub(super) mod cache;
pub(super) mod conflist;
pub(super) mod plugin;
pub(super) mod stray;
