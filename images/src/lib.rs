//! What to boot: an image reference becomes a disk that machines can be based on.
//!
//! ```text
//!   reference --pull--> manifest (authenticated by each caller) --blobs (shared, verified)--> disk --publish--> Image
//!   disk file --import--> checked, converted --publish--> Image (pinned)
//! ```
//!
//! The store is a directory. An image is published by one rename, so it is there whole or not at all, and the command
//! line can import into the store of a running daemon. Each image has one read-only base disk, shared by every machine
//! that runs it; a [`Store::lease`] says who does, and an image with leases is not removed.
//!
//! Failure paths: whatever is refused or interrupted leaves nothing but a partial download that the next pull goes on
//! with or throws away. Everything that comes from a registry or a disk file is hostile: sizes are bounded, formats are
//! explicit, and an image that names other files is refused.

mod error;
mod facts;
mod model;

pub use error::{Error, Result};
pub use facts::{Credential, Facts, Transport};
pub use model::{BaseDisk, Image, Limits, RegistryAuth, Usage};
