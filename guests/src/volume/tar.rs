//! What a guest's `tar` is given.

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::tree::{Entry, Kind, Tree};
use crate::{Error, Result};

/// Whether a tree can be made of another one by adding, replacing and removing: nothing has become a directory, or was one.
pub(super) fn builds_on(tree: &Tree, base: &Tree) -> bool {
    let is_directory = |entry: &Entry| entry.kind == Kind::Directory;
    tree.entries()
        .all(|(path, entry)| base.get(path).is_none_or(|old| is_directory(old) == is_directory(entry)))
}

/// Whether a tree has anything as it is in another one.
pub(super) fn keeps(tree: &Tree, base: &Tree) -> bool {
    tree.entries().any(|(path, entry)| base.get(path) == Some(entry))
}

/// What is new in a tree, and what to do with the rest: see `sh/put.sh`.
pub(super) fn pack(tree: &Tree, stamp: &str, base: Option<&Tree>) -> Result<Bytes> {
    packed(tree, stamp, base)
        .map_err(|error| Error::Unsupported(format!("a volume's files cannot be packed: {error}")))
}

fn packed(tree: &Tree, stamp: &str, base: Option<&Tree>) -> std::io::Result<Bytes> {
    let known = |path: &str| base.and_then(|base| base.get(path));
    let mut archive = Builder::new(Vec::new());
    let root = Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 };
    add(&mut archive, &format!("..{stamp}"), &root)?;
    for (path, entry) in tree.entries().filter(|(path, entry)| known(path) != Some(*entry)) {
        add(&mut archive, &format!("..{stamp}/{path}"), entry)?;
    }
    let mut links = Builder::new(Vec::new());
    let mut linked = false;
    for name in tree.names().filter(|name| known(name).is_none()) {
        let link = Entry { kind: Kind::Link(format!("..data/{name}")), mode: 0o777, ..root.clone() };
        add(&mut links, name, &link)?;
        linked = true;
    }
    let gone = base.iter().flat_map(|base| base.entries()).filter(|(path, _)| tree.get(path).is_none());
    let gone: Vec<u8> = gone.flat_map(|(path, _)| [path.as_bytes(), &[0]].concat()).collect();
    let links = if linked { links.into_inner()? } else { Vec::new() };
    let next: Vec<_> =
        [("gone", gone), ("links.tar", links)].into_iter().filter(|(_, file)| !file.is_empty()).collect();
    if !next.is_empty() {
        add(&mut archive, "..next", &root)?;
    }
    for (name, content) in next {
        let file = Entry { kind: Kind::File(content.into()), mode: 0o600, ..root.clone() };
        add(&mut archive, &format!("..next/{name}"), &file)?;
    }
    add(&mut archive, "..data.new", &Entry { kind: Kind::Link(format!("..{stamp}")), mode: 0o777, ..root })?;
    Ok(archive.into_inner()?.into())
}

fn add(archive: &mut Builder<Vec<u8>>, path: &str, entry: &Entry) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, path, std::io::empty())
        }
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, &content[..])
        }
        Kind::Link(to) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn file(content: &'static str) -> Entry {
        Entry { kind: Kind::File(Bytes::from_static(content.as_bytes())), mode: 0o640, uid: 7, gid: 8 }
    }

    fn names(archive: &Bytes) -> Vec<String> {
        let mut archive = tar::Archive::new(&archive[..]);
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn only_what_is_new_is_sent() {
        let (mut old, mut new) = (Tree::new(), Tree::new());
        for (tree, changed) in [(&mut old, "1"), (&mut new, "2")] {
            tree.add("same", file("x")).unwrap();
            tree.add("changed", file(changed)).unwrap();
        }
        old.add("gone", file("x")).unwrap();
        new.add("added", file("x")).unwrap();
        assert!(builds_on(&new, &old));
        let archive = pack(&new, "s", Some(&old)).unwrap();
        let wanted =
            ["..s", "..s/added", "..s/changed", "..next", "..next/gone", "..next/links.tar", "..data.new"];
        assert_eq!(names(&archive), wanted);
        let mut gone = String::new();
        let mut archive = tar::Archive::new(&archive[..]);
        archive.entries().unwrap().nth(4).unwrap().unwrap().read_to_string(&mut gone).unwrap();
        assert_eq!(gone, "gone\0");
        assert!(keeps(&new, &old));
    }

    #[test]
    fn a_change_of_content_alone_is_short() {
        let (mut old, mut new) = (Tree::new(), Tree::new());
        old.add("key", file("1")).unwrap();
        new.add("key", file("2")).unwrap();
        assert_eq!(names(&pack(&new, "s", Some(&old)).unwrap()), ["..s", "..s/key", "..data.new"]);
        assert!(!keeps(&new, &old), "nothing is to be copied in the guest");
    }

    #[test]
    fn a_file_that_becomes_a_directory_is_sent_anew() {
        let (mut old, mut new) = (Tree::new(), Tree::new());
        old.add("a", file("x")).unwrap();
        new.add("a", Entry { kind: Kind::Directory, ..file("") }).unwrap();
        assert!(!builds_on(&new, &old) && !builds_on(&old, &new));
    }
}
