//! The RPCs about containers, a file each, and the policy that says which containers this runtime takes.

pub mod attach;
pub mod create;
pub mod exec;
pub mod exec_sync;
mod exit;
pub mod list;
pub mod policy;
pub mod process;
pub mod remove;
pub mod reopen_log;
pub mod security;
mod session;
pub mod start;
pub mod status;
pub mod stop;

pub(crate) use exit::exit_code;
pub(crate) use session::{inside, session};
