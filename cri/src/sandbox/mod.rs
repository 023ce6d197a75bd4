//! The RPCs about pods, a file each, and the policy that says which pods this runtime takes.

pub mod list;
pub mod policy;
pub mod port_forward;
pub mod remove;
pub mod run;
pub mod status;
pub mod stop;
