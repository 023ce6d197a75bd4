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
//!
//! | module | its one thing |
//! |---|---|
//! | `store` | the calls |
//! | `layout`, `record`, `names`, `work`, `lock`, `lease` | the directory: paths, files, changes that are there whole or not at all |
//! | `reference` | what a name means |
//! | `pull`, `registry`, `token`, `manifest`, `blob`, `pace`, `backoff`, `tls` | from a registry to verified blobs |
//! | `layers`, `tarball`, `sparse` | from blobs to the one disk file |
//! | `disk`, `qcow2`, `foreign`, `qemu_img` | what a disk file may be |
//! | `import` | from a disk file to an image |
//! | `facts`, `labels` | what an image tells of itself |

mod backoff;
mod blob;
mod disk;
mod error;
mod facts;
mod foreign;
mod import;
mod labels;
mod layers;
mod layout;
mod lease;
mod lock;
mod manifest;
mod model;
mod names;
mod pace;
mod pull;
mod qcow2;
mod qemu_img;
mod record;
mod reference;
mod registry;
mod sparse;
mod store;
mod tarball;
mod tls;
mod token;
mod work;

pub use error::{Error, Result};
pub use facts::{Credential, Facts, Os, Transport};
pub use labels::LABEL_PREFIX;
pub use model::{BaseDisk, Image, ImportFormat, Limits, Progress, Registries, RegistryAuth, Step, Usage};
pub use reference::{LOCAL_REGISTRY, normalize};
pub use store::{Store, disk_usage};
