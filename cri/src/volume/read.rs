//! Reading a volume's files on the node.
//!
//! Happy path: what `..data` leads to is read, whose files never change. Failure paths: the kubelet swaps and removes it
//! meanwhile: it is read anew; a file that is neither of the usual kinds is refused by its name.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use guests::volume::{Entry, Kind, Medium, Tree};

use super::kind::PLUGINS;

/// What the kubelet renames when a volume changes.
const DATA: &str = "..data";
/// What a single file is called in the volume that is made of it.
const FILE: &str = "file";
/// How often a volume that is swapped while it is read is read.
const TRIES: usize = 10;

/// A part of a volume of the pod `pod`, as a volume of its own, and what of that is mounted. `None`: it is of no volume of files.
pub(super) fn part(path: &Path, pod: &Path, name: &str) -> Result<Option<(Tree, &'static str)>> {
    let volumes = pod.join("volumes");
    let is_one = |plugin: &&str| volumes.join(format!("kubernetes.io~{plugin}")).join(name).is_dir();
    if !PLUGINS.iter().any(is_one) {
        return Ok(None);
    }
    if path.is_dir() {
        let mut tree = Tree::new();
        walk(path, "", &mut tree)?;
        return Ok(Some((tree, DATA)));
    }
    single(path).map(Some)
}

/// What the kubelet has made for an empty directory: a mount of its own is of memory, with a bound.
pub(super) fn empty(path: &Path) -> Result<(Medium, Metadata)> {
    let about = fs::metadata(path)?;
    let above = fs::metadata(path.parent().unwrap_or(path))?;
    if about.dev() == above.dev() {
        return Ok((Medium::Disk, about));
    }
    let size = rustix::fs::statvfs(path)?;
    Ok((Medium::Memory(Some(size.f_blocks.saturating_mul(size.f_frsize))), about))
}

/// A volume of one file, and what of it is mounted.
pub(super) fn single(path: &Path) -> Result<(Tree, &'static str)> {
    let mut tree = Tree::new();
    add(&mut tree, FILE, Kind::File(fs::read(path)?.into()), &fs::metadata(path)?)?;
    Ok((tree, "..data/file"))
}

/// The files of a volume that the kubelet keeps.
pub(super) fn volume(path: &Path) -> Result<Tree> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut tree = Tree::new();
        // The directory itself, for the link may lead elsewhere before all is read.
        let read = current(path).and_then(|data| {
            walk(&path.join(&data), "", &mut tree)?;
            // What the link no longer leads to is being removed: it may have been half gone when it was read.
            if current(path)? == data { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
        });
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
            read => return read.map(|()| tree),
        }
    }
}

/// What a volume's files are in now.
fn current(path: &Path) -> Result<PathBuf> {
    fs::read_link(path.join(DATA))
}

fn walk(directory: &Path, below: &str, tree: &mut Tree) -> Result<()> {
    let mut names: Vec<OsString> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort_unstable();
    for name in names {
        let path = directory.join(&name);
        let odd = || {
            Error::new(ErrorKind::InvalidData, format!("{} is no name or file for a guest", path.display()))
        };
        let name = name.to_str().ok_or_else(odd)?;
        let inside = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let about = fs::symlink_metadata(&path)?;
        if about.is_dir() {
            add(tree, &inside, Kind::Directory, &about)?;
            walk(&path, &inside, tree)?;
        } else if about.is_symlink() {
            let to = fs::read_link(&path)?.into_os_string().into_string().map_err(|_| odd())?;
            add(tree, &inside, Kind::Link(to), &about)?;
        } else if about.is_file() {
            add(tree, &inside, Kind::File(fs::read(&path)?.into()), &about)?;
        } else {
            return Err(odd());
        }
    }
    Ok(())
}

fn add(tree: &mut Tree, path: &str, kind: Kind, about: &Metadata) -> Result<()> {
    let entry = Entry { kind, mode: about.mode() & 0o7777, uid: about.uid(), gid: about.gid() };
    tree.add(path, entry).map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn lay_out(kubelet: &Path) -> PathBuf {
        let volume = kubelet.join("pods/u/volumes/kubernetes.io~secret/login");
        fs::create_dir_all(volume.join("..now/sub")).unwrap();
        fs::write(volume.join("..now/user"), "root").unwrap();
        fs::set_permissions(volume.join("..now/user"), fs::Permissions::from_mode(0o440)).unwrap();
        fs::write(volume.join("..now/sub/key"), [0, 255]).unwrap();
        symlink("..now", volume.join("..data")).unwrap();
        symlink("..data/user", volume.join("user")).unwrap();
        volume
    }

    #[test]
    fn what_data_leads_to_is_the_volume() {
        let folder = tempfile::tempdir().unwrap();
        let volume = lay_out(folder.path());
        let tree = super::volume(&volume).unwrap();
        assert_eq!(tree.entries().map(|(path, _)| path).collect::<Vec<_>>(), ["sub", "sub/key", "user"]);
        assert_eq!(tree.get("user").unwrap().mode, 0o440);
        assert!(tree.get("sub/key").unwrap().kind == Kind::File(vec![0, 255].into()));
    }

    #[test]
    fn what_is_swapped_while_it_is_read_is_read_whole() {
        const FILES: usize = 40;
        let folder = tempfile::tempdir().unwrap();
        let swap = |turn: usize| {
            let data = folder.path().join(format!("..{turn}"));
            fs::create_dir(&data).unwrap();
            for file in 0..FILES {
                fs::write(data.join(file.to_string()), turn.to_string()).unwrap();
            }
            symlink(format!("..{turn}"), folder.path().join("..new")).unwrap();
            fs::rename(folder.path().join("..new"), folder.path().join(DATA)).unwrap();
            if turn > 0 {
                fs::remove_dir_all(folder.path().join(format!("..{}", turn - 1))).unwrap();
            }
        };
        swap(0);
        std::thread::scope(|scope| {
            let swaps = scope.spawn(|| (1..300).for_each(swap));
            while !swaps.is_finished() {
                // One that is swapped each time is an error.
                let Ok(tree) = super::volume(folder.path()) else { continue };
                let first = &tree.get("0").unwrap().kind;
                let same = tree.entries().filter(|(_, entry)| entry.kind == *first).count();
                assert_eq!(same, FILES, "of {}", tree.entries().count());
            }
        });
    }

    #[test]
    fn a_part_is_of_a_volume_of_files() {
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path());
        let parts = folder.path().join("pods/u/volume-subpaths");
        for (name, found) in [("login", true), ("scratch", false)] {
            let path = parts.join(name).join("app/0");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "part").unwrap();
            let read = part(&path, &folder.path().join("pods/u"), name).unwrap();
            assert_eq!(read.map(|(_, part)| part), found.then_some("..data/file"), "{name}");
        }
    }

    #[test]
    fn an_empty_directory_is_of_memory_where_it_is_a_mount() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(empty(folder.path()).unwrap().0, Medium::Disk);
        // Any machine has this one.
        assert!(matches!(empty(Path::new("/proc")).unwrap().0, Medium::Memory(_)));
    }

    #[test]
    fn a_volume_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pods/u/volumes/kubernetes.io~secret/none");
        assert_eq!(super::volume(&path).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
