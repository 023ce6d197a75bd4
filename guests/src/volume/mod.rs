//! Volumes of files in a guest: what a pod's Secrets and `ConfigMap`s hold, put there whole and changed at once.
//!
//! ```text
//!   put:  Tree --one command: a tar of what is new--> NAME/..STAMP, then ..data renamed onto it, and NAME mounted
//!   empty: a directory that a pod's containers share, on the guest's disk or in its memory, and NAME mounted
//!   a mount at /path: over what the image has there      unmount: the image's own is seen again      remove NAME
//!
//!   NAME/..data -> ..STAMP      NAME/key -> ..data/key      as the kubelet lays a volume out on a node
//! ```
//!
//! All files that are put lie in memory of the guest's own (a tmpfs), so no secret reaches a disk, and go with a reboot: whoever
//! put them puts them again then. Calls about one guest come one after the other.
//!
//! - Happy path: [`put`] sends what differs from what the caller has put before, and mounts it in the same command. What is the
//!   same is linked, not copied. A reader sees the old files or the new ones, never a mixture.
//! - The guest lost what the caller builds on: everything is sent.
//! - A mount and [`unmount`] may be repeated. A path that the image lacks is made, and taken away again.
//! - A login without root's rights, a guest without `tar` or without memory:
//!   [`Error::Unsupported`](crate::Error::Unsupported) that says so; readers keep what they had.
//! - Windows has other means to the same end: see `windows`.

mod tar;
mod tree;
pub(crate) mod windows;

use std::time::Duration;

pub use tree::{Entry, Kind, Tree};

use bytes::Bytes;
use transports::{Bounds, Command, Exit, Session, Stdin, capture};

use crate::script::{Guard, ROOT};
use crate::{Error, Family, Result, script};

/// How long a command may take: a guest under emulation writes thousands of files.
const DEADLINE: Duration = Duration::from_secs(120);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 4096;

const PLACE: &str = include_str!("sh/place.sh");
const PUT: &str = include_str!("sh/put.sh");
const EMPTY: &str = include_str!("sh/empty.sh");
const MOUNT: &str = include_str!("sh/mount.sh");
const UNMOUNT: &str = include_str!("sh/unmount.sh");
const REMOVE: &str = include_str!("sh/remove.sh");
const CLEAR: &str = include_str!("sh/clear.sh");

/// Names a volume, or a mount of one, in its guest: 1 to 180 characters of letters, digits, `-`, `_` and `.`, beginning with a
/// letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Checks the characters and the length.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.len() > 180
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.bytes().all(allowed)
        {
            return Err(Error::Unsupported(format!("{name:?} is no name of a volume")));
        }
        Ok(Self(name))
    }
}

/// Where a volume is mounted.
#[derive(Debug)]
pub struct Mount<'a> {
    /// Names the mount in the guest.
    pub name: &'a Name,
    /// What of the volume is mounted: a file or a directory in it; nothing is all of it.
    pub part: Option<&'a str>,
    /// An absolute path.
    pub path: &'a str,
    /// Whether nobody may write to it there.
    pub read_only: bool,
}

impl Mount<'_> {
    /// The arguments of `sh/mount.sh`.
    fn arguments<'a>(&'a self, volume: &'a Name) -> Result<[&'a str; 5]> {
        let Self { name, part, path, read_only } = *self;
        let named = path.trim_start_matches('/');
        if !path.starts_with('/')
            || named.is_empty()
            || path.contains(['\0', '\n'])
            || path.split('/').any(|p| p == "..")
        {
            return Err(Error::Unsupported(format!("{path:?} is no path that a volume can be mounted at")));
        }
        Ok([&name.0, &volume.0, part.unwrap_or_default(), path, if read_only { "ro" } else { "" }])
    }
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// The guest has not what it was to build on.
    Lost,
}

/// Makes a volume hold these files, and mounts it where that is wanted. `base` is what the guest may have of it already: what the
/// caller has put there before, or these same files.
pub async fn put(
    session: &dyn Session,
    family: Family,
    name: &Name,
    tree: &Tree,
    base: Option<&Tree>,
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    match family {
        Family::Unix => put_linux(session, name, tree, base, mount).await,
        Family::Windows => windows::put(session, name, tree, base, mount).await,
    }
}

async fn put_linux(
    session: &dyn Session,
    name: &Name,
    tree: &Tree,
    base: Option<&Tree>,
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    let stamp = tree.stamp();
    if let Some(base) = base.filter(|base| tar::builds_on(tree, base)) {
        let files = if base.stamp() == stamp { Bytes::new() } else { tar::pack(tree, stamp, Some(base))? };
        let copy = if tar::keeps(tree, base) { "copy" } else { "" };
        let first = [&name.0, stamp, base.stamp(), copy];
        if give(session, PUT, &first, name, mount, Stdin::Bytes(files)).await? == Answer::Done {
            return Ok(());
        }
    }
    let files = Stdin::Bytes(tar::pack(tree, stamp, None)?);
    match give(session, PUT, &[&name.0, stamp, "", ""], name, mount, files).await? {
        Answer::Done => Ok(()),
        Answer::Lost => Err(Error::Malformed(format!("of volume {} it lost what it had not", name.0))),
    }
}

/// Where an empty directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// On the guest's disk; it survives a reboot of the guest.
    Disk,
    /// In the guest's memory, at most so many bytes of it where that is said; a reboot empties it.
    Memory(Option<u64>),
}

/// Makes an empty directory that is shared by whoever mounts it, with these permissions, owner and group, and mounts it where that
/// is wanted. One that is there already stays as it is.
pub async fn empty(
    session: &dyn Session,
    family: Family,
    name: &Name,
    medium: Medium,
    mode: u32,
    owner: (u32, u32),
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    match family {
        Family::Unix => empty_linux(session, name, medium, mode, owner, mount).await,
        Family::Windows => windows::empty(session, name, medium, mode, mount).await,
    }
}

async fn empty_linux(
    session: &dyn Session,
    name: &Name,
    medium: Medium,
    mode: u32,
    owner: (u32, u32),
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    let (medium, most) = match medium {
        Medium::Disk => ("disk", String::new()),
        Medium::Memory(most) => ("memory", most.map(|most| most.to_string()).unwrap_or_default()),
    };
    let (mode, owner) = (format!("{:o}", mode & 0o7777), format!("{}:{}", owner.0, owner.1));
    give(session, EMPTY, &[&name.0, &mode, &owner, medium, &most], name, mount, Stdin::Closed).await.map(drop)
}

/// Takes a mount away. One that is not there is a success.
pub async fn unmount(session: &dyn Session, family: Family, mount: &Name) -> Result<()> {
    match family {
        Family::Unix => run(session, UNMOUNT, &[&mount.0], Stdin::Closed).await.map(drop),
        Family::Windows => windows::unmount(session, mount).await,
    }
}

/// Removes a volume that is mounted nowhere. One that is not there is a success.
pub async fn remove(session: &dyn Session, family: Family, name: &Name) -> Result<()> {
    match family {
        Family::Unix => run(session, REMOVE, &[&name.0], Stdin::Closed).await.map(drop),
        Family::Windows => windows::remove(session, name).await,
    }
}

/// Takes all mounts away and removes all volumes, whoever made them, for as long as the guard lets that be done. None is a success;
/// of what cannot be taken away the first is told, and the rest is gone.
pub(crate) async fn clear(session: &dyn Session, guard: Guard<'_>) -> Result<()> {
    let command = guard.privileged(&whole(&clearing()), &[], Stdin::Closed);
    answer(session, command).await.map(drop)
}

fn clearing() -> String {
    format!("take() {{\n{UNMOUNT}}}\ndrop() {{\n{REMOVE}}}\n{CLEAR}")
}

/// Runs a script that makes a volume, and in the same command the one that mounts it.
async fn give(
    session: &dyn Session,
    text: &str,
    arguments: &[&str],
    volume: &Name,
    mount: Option<&Mount<'_>>,
    stdin: Stdin,
) -> Result<Answer> {
    let Some(mount) = mount else { return run(session, text, arguments, stdin).await };
    let both = with_mount(text, arguments.len());
    run(session, &both, &[arguments, &mount.arguments(volume)?].concat(), stdin).await
}

/// A script with so many arguments, and the one that mounts after it.
fn with_mount(text: &str, arguments: usize) -> String {
    format!("{text}shift {arguments}\n{MOUNT}")
}

/// Runs a script of a volume to its end.
async fn run(session: &dyn Session, text: &str, arguments: &[&str], stdin: Stdin) -> Result<Answer> {
    answer(session, script::privileged(&whole(text), arguments, stdin)).await
}

/// A script with what comes before and after it.
fn whole(text: &str) -> String {
    format!("{ROOT}{PLACE}{text}echo D\n")
}

async fn answer(session: &dyn Session, command: Command) -> Result<Answer> {
    let bounds = Bounds { timeout: Some(DEADLINE), limit_bytes: ANSWER_BYTES };
    let captured = capture(session, command, bounds).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace(|c: char| c.is_control(), " ");
    let (said, complaint) = (text(&captured.stdout), text(&captured.stderr));
    match (captured.exit, &said[..], said.strip_prefix("U ")) {
        (Exit::Lost(why), ..) => Err(transports::Error::Lost(why).into()),
        (Exit::Code(0), "D", _) => Ok(Answer::Done),
        (Exit::Code(0), "L", _) => Ok(Answer::Lost),
        (Exit::Code(0), _, Some(why)) => {
            Err(Error::Unsupported(format!("{why} {complaint}").trim().to_owned()))
        }
        (exit, ..) => Err(Error::Ended(format!("a volume's script ended with {exit:?}: {said} {complaint}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "9-x_y.z", &"x".repeat(180)] {
            Name::new(good).unwrap();
        }
        for bad in ["", ".mounts", "..", "a/b", "a b", "-x", &"x".repeat(181)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_small_server_takes_every_script() {
        let longest = "x".repeat(180);
        for (text, arguments) in
            [(with_mount(PUT, 4), 9), (with_mount(EMPTY, 5), 10), (UNMOUNT.to_owned(), 1), (clearing(), 0)]
        {
            let arguments = vec![&longest[..]; arguments];
            let command = script::privileged(&format!("{ROOT}{PLACE}{text}"), &arguments, Stdin::Closed);
            let length: usize = command.argv.iter().map(String::len).sum();
            assert!(length < 6000, "{length} bytes, before quoting");
        }
        let guard = crate::lending::guard(&longest);
        let command = guard.privileged(&whole(&clearing()), &[], Stdin::Closed);
        let length: usize = command.argv.iter().map(String::len).sum();
        assert!(length < 6000, "{length} bytes, before quoting");
    }
}
