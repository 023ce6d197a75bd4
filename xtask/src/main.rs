//! The two commands of the README, and the checks that CI runs.
fn main() {}
