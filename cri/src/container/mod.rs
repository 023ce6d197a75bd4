//! The RPCs about containers, a file each, and the policy that says which containers this runtime takes.

pub mod attach;
pub mod checkpoint;
pub mod create;
pub mod events;
pub mod exec;
pub mod exec_sync;
mod exit;
pub mod list;
pub mod list_stats;
pub mod policy;
pub mod process;
pub mod remove;
pub mod reopen_log;
pub mod security;
mod session;
pub mod start;
pub mod stats;
pub mod status;
pub mod stop;
pub mod stream;
pub mod stream_stats;
pub mod update;

pub(crate) use exit::exit_code;
pub(crate) use session::{begun, inside, session};
