//! The daemon `infranetes`.
fn main() {}
