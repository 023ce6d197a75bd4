//! Volumes in a guest with Windows.
//!
//! ```text
//!   C:\Windows\Infranetes\volumes\NAME\..STAMP\key   ..data: a junction to ..STAMP   key: a symbolic link to ..data\key
//!   a directory mounted at /x: C:\x, a junction to the volume       a file: a copy, moved in the way of the image's own
//! ```
//!
//! Windows mounts nothing over a file, so what the image has at a path is moved aside (`C:\x.infranetes`) and moved back. There is
//! no memory to put files into either: they lie on the guest's disk, and what a container of Linux reads of a mode, an access list
//! says: files that others may not read are for administrators and the system alone. A mount stays over a reboot.
//!
//! - Happy path: one command for a volume with its mount; content travels on standard input. `..data` is replaced by a removal and
//!   a renaming, for Windows renames nothing over a directory: for a moment a reader finds nothing.
//! - Broken off at any step: done anew by the next one, for the stamp goes before `..data` does, and is written when all is there.
//! - Refused, by name: a path or a name that Windows does not have, a medium of memory, a directory that only some may write to.

use std::collections::BTreeSet;
use std::time::Duration;

use transports::Session;

use super::tree::{Kind, Tree};
use super::{Answer, Medium, Mount, Name};
use crate::drive::{is_name, path};
use crate::powershell::{bounds, run};
use crate::{Error, Family, Result};

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// The most bytes of an answer.
const ANSWER_BYTES: usize = 4096;
/// The permission of a mode by which everybody may read.
const OTHERS_READ: u32 = 0o004;
/// The permission of a mode by which everybody may write.
const OTHERS_WRITE: u32 = 0o002;

const PUT: &str = include_str!("ps/put.ps1");
const EMPTY: &str = include_str!("ps/empty.ps1");
const MOUNT: &str = include_str!("ps/mount.ps1");
const UNMOUNT: &str = include_str!("ps/unmount.ps1");
const REMOVE: &str = include_str!("ps/remove.ps1");
const CLEAR: &str = include_str!("ps/clear.ps1");

/// The file of the kubelet that Windows keeps elsewhere.
const HOSTS: &str = "/etc/hosts";

/// Makes a volume hold these files, and mounts it.
pub(super) async fn put(
    session: &dyn Session,
    name: &Name,
    tree: &Tree,
    base: Option<&Tree>,
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    let lines = lines(tree)?;
    let call = "put $args[0] $args[1] $args[2]\n";
    if base.is_some_and(|base| base == tree) {
        let first = [&name.0, tree.stamp(), "ask"];
        if give(session, &format!("{PUT}{call}"), &first, name, Some(tree), mount, &[]).await? == Answer::Done
        {
            return Ok(());
        }
    }
    let count = tree.entries().count().to_string();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let first = [&name.0, tree.stamp(), &count];
    match give(session, &format!("{PUT}{call}"), &first, name, Some(tree), mount, &lines).await? {
        Answer::Done => Ok(()),
        Answer::Lost => Err(Error::Malformed(format!("of volume {} it lost what it was just given", name.0))),
    }
}

/// Makes an empty directory, and mounts it.
pub(super) async fn empty(
    session: &dyn Session,
    name: &Name,
    medium: Medium,
    mode: u32,
    mount: Option<&Mount<'_>>,
) -> Result<()> {
    if let Medium::Memory(_) = medium {
        return Err(Family::Windows.lacks(
            "has no directories in memory",
            "leave `medium: Memory` out of the emptyDir, which lies on the guest's disk then",
        ));
    }
    if mount.is_some_and(|mount| mount.read_only) {
        return Err(Family::Windows.lacks(
            "mounts no directory read-only that others write to",
            "leave `readOnly` out of the emptyDir's mount",
        ));
    }
    let open = if mode & OTHERS_WRITE == 0 { "" } else { "open" };
    let text = format!("{EMPTY}make_empty $args[0] $args[1]\n");
    give(session, &text, &[&name.0, open], name, None, mount, &[]).await.map(drop)
}

/// Takes a mount away.
pub(super) async fn unmount(session: &dyn Session, mount: &Name) -> Result<()> {
    say(session, &format!("{UNMOUNT}take_away $args[0]\n"), &[&mount.0], &[]).await.map(drop)
}

/// Removes a volume.
pub(super) async fn remove(session: &dyn Session, name: &Name) -> Result<()> {
    say(session, &format!("{REMOVE}remove_volume $args[0]\n"), &[&name.0], &[]).await.map(drop)
}

/// Takes all mounts away and removes all volumes. The script that comes first may end it.
pub(crate) async fn clear(session: &dyn Session, first: &str, arguments: &[&str]) -> Result<()> {
    say(session, &format!("{first}{UNMOUNT}{CLEAR}clear_all\n"), arguments, &[]).await.map(drop)
}

/// Runs a script that makes a volume, and in the same command what mounts it.
async fn give(
    session: &dyn Session,
    text: &str,
    arguments: &[&str],
    volume: &Name,
    tree: Option<&Tree>,
    mount: Option<&Mount<'_>>,
    rest: &[&[u8]],
) -> Result<Answer> {
    let Some(mount) = mount else { return say(session, text, arguments, rest).await };
    // The guest knows where it has that.
    let path = if mount.path == HOSTS { String::new() } else { path(mount.path)? };
    let part = mount.part.unwrap_or_default();
    let open = tree.and_then(|tree| tree.get(part)).is_some_and(|entry| entry.mode & OTHERS_READ != 0);
    let part = part.replace('/', "\\");
    let mounting = [mount.name.0.as_str(), &volume.0, &part, &path, if open { "open" } else { "" }];
    let first = arguments.len();
    let last = first + mounting.len() - 1;
    let text = format!("{MOUNT}{text}$mounting = $args[{first}..{last}]\nlay_over @mounting\n");
    say(session, &text, &[arguments, &mounting].concat(), rest).await
}

/// Runs a script of a volume to its end.
async fn say(session: &dyn Session, text: &str, arguments: &[&str], rest: &[&[u8]]) -> Result<Answer> {
    let text = format!("only_administrators 'volumes need'\n{text}say 'D'\n");
    let said = run(session, &text, arguments, rest, bounds(DEADLINE, ANSWER_BYTES)).await?;
    let lines = said.done()?;
    Ok(if lines.iter().any(|line| line == "L") { Answer::Lost } else { Answer::Done })
}

/// The entries of a volume, as `ps/put.ps1` reads them.
fn lines(tree: &Tree) -> Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, entry) in tree.entries() {
        let bad =
            |why: &str| Error::Unsupported(format!("{path:?} of a volume is no name in Windows: {why}"));
        for part in path.split('/') {
            is_name(part).map_err(bad)?;
        }
        if !seen.insert(path.to_lowercase()) {
            return Err(bad("another one differs only in capital letters"));
        }
        let open = u8::from(entry.mode & OTHERS_READ != 0);
        let path = path.replace('/', "\\");
        let (kind, content) = match &entry.kind {
            Kind::Directory => ('D', None),
            Kind::File(content) => ('F', Some(content.to_vec())),
            Kind::Link(to) => ('L', Some(to.replace('/', "\\").into_bytes())),
        };
        lines.push(format!("{kind}{open} {path}").into_bytes());
        lines.extend(content);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::volume::Entry;

    /// Only in this order is a put that was broken off, at whichever step, done anew.
    #[test]
    fn a_volume_has_a_stamp_only_while_all_of_it_is_there() {
        let steps = [
            "delete $mark\n",
            r#"[IO.Directory]::Delete("$v\..data")"#,
            r#"[IO.Directory]::Move("$v\..data.new", "$v\..data")"#,
            r#"link "$v\$name" "#,
            "\n  sweep $v $new\n  [IO.File]::WriteAllText($mark, $stamp)\n}",
        ];
        let at = steps.map(|step| PUT.find(step).unwrap_or_else(|| panic!("{step} is not there")));
        assert!(at.is_sorted(), "{at:?}");
        assert_eq!(PUT.matches("WriteAllText($mark").count(), 1);
    }

    #[test]
    fn entries_are_told_with_who_may_read_them() {
        let mut tree = Tree::new();
        let entry = |kind, mode| Entry { kind, mode, uid: 0, gid: 0 };
        tree.add("d", entry(Kind::Directory, 0o755)).unwrap();
        tree.add("d/key", entry(Kind::File(Bytes::from_static(b"\0x")), 0o600)).unwrap();
        tree.add("l", entry(Kind::Link("d/key".into()), 0o777)).unwrap();
        let wanted: [&[u8]; 5] = [b"D1 d", br"F0 d\key", b"\0x", b"L1 l", br"d\key"];
        assert_eq!(lines(&tree).unwrap(), wanted);
        for (one, other) in [("Key", "key"), ("a", "a:b"), ("a", "b ")] {
            let mut tree = Tree::new();
            tree.add(one, entry(Kind::Directory, 0o755)).unwrap();
            tree.add(other, entry(Kind::Directory, 0o755)).unwrap();
            assert!(lines(&tree).unwrap_err().to_string().contains("no name in Windows"), "{other}");
        }
    }
}
