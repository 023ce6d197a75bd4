//! The QEMU provider on real QEMU. Guests are boot sectors of a few bytes, so that every event comes within a second.
//!
//! Needs root and `apt-get install qemu-system-x86 qemu-utils ovmf swtpm util-linux iproute2 mtools`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop where it is")]

mod efi;
mod full_disk;
mod hardware;
mod isolation;
mod life;
mod recovery;
mod refusals;
mod resize;
mod sector;
mod stage;
mod tpm;
mod usage;
