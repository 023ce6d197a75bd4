//! The RPCs about containers, a file each, and the policy that says which containers this runtime takes.

pub mod checkpoint;
pub mod create;
pub mod events;
pub mod exec_sync;
pub mod list;
pub mod list_stats;
pub mod policy;
pub mod remove;
pub mod reopen_log;
pub mod start;
pub mod stats;
pub mod status;
pub mod stop;
pub mod stream;
pub mod stream_stats;
