//! The RPCs about containers, a file each, and the policy that says which containers this runtime takes.

pub mod create;
pub mod exec_sync;
pub mod list;
pub mod policy;
pub mod process;
pub mod remove;
pub mod reopen_log;
pub mod security;
pub mod start;
pub mod status;
pub mod stop;
