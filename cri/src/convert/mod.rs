//! Between the CRI's messages and the daemon's own records, both ways.
//!
//! Requests are taken apart field by field, so that a field which a newer protocol adds breaks the build here and is
//! thought about, instead of being ignored in silence.

pub mod container;
pub mod image;
mod parts;
pub mod resources;
pub mod sandbox;

pub use parts::parts;

use crate::error::{Error, Result};

/// A message that the protocol lets be absent and the request needs.
pub fn required<T>(value: Option<T>, field: &str) -> Result<T> {
    value.ok_or_else(|| Error::invalid(format!("the request has no {field}")))
}

/// A text that must not be empty.
pub fn named(value: String, field: &str) -> Result<String> {
    if value.is_empty() { Err(Error::invalid(format!("the request's {field} is empty"))) } else { Ok(value) }
}

/// A port number.
fn port(value: i32, field: &str) -> Result<u16> {
    u16::try_from(value)
        .map_err(|_| Error::invalid(format!("{field} {value} is not a port number (0 to 65535)")))
}

/// Whether the labels have all that the selector asks for.
pub fn selects(
    selector: &std::collections::BTreeMap<String, String>,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
