//! The RPCs about pods, a file each, and the policy that says which pods this runtime takes.

pub mod list;
pub mod list_metrics;
pub mod list_stats;
pub mod policy;
pub mod port_forward;
pub mod remove;
pub mod run;
pub mod stats;
pub mod status;
pub mod stop;
pub mod stream;
pub mod stream_metrics;
pub mod stream_stats;
pub mod update;
