//! `ImageFsInfo`: which side's file system comes first.
//!
//! A kubelet looks at the first one alone, and collects images and evicts pods by the room that is left there. So where both sides
//! have file systems of their own, the one with the smaller share of it left comes first.
//!
//! Where theirs comes first and they tell no place for containers, as containerd does, it is told as that place, too: a kubelet that
//! finds another one first there takes the node for one with split disks.
//!
//! Failure paths: what cannot be looked at is no reason to put anything first; ours is.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{list, wire};

/// The field of the places for containers in an answer.
const CONTAINERS: u32 = 2;
/// Where in an item the path stands by which the file system is told.
const MOUNTPOINT: [u32; 2] = [2, 1];

/// The room of a file system.
#[derive(Debug, Clone, Copy)]
struct Room {
    device: u64,
    left: u64,
    all: u64,
}

impl Room {
    fn of(path: &Path) -> Option<Self> {
        let device = std::fs::metadata(path).ok()?.dev();
        let found = rustix::fs::statvfs(path).ok()?;
        Some(Self { device, left: found.f_bavail, all: found.f_blocks })
    }

    /// Whether a smaller share of it is left than of another one.
    fn is_tighter_than(self, other: Self) -> bool {
        let share = |of: Self, by: Self| u128::from(of.left) * u128::from(by.all);
        self.device != other.device && share(self, other) < share(other, self)
    }
}

/// Both answers, in the order in which they are to be told.
pub(super) async fn in_order(ours: Bytes, theirs: Bytes) -> (Bytes, Bytes) {
    let look = move || {
        if theirs_first(&ours, &theirs, Room::of) { (for_both(&theirs), ours) } else { (ours, theirs) }
    };
    // Nothing panics there, and nobody aborts it.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// An answer whose first file system is for containers too, unless it tells one for them.
fn for_both(answer: &Bytes) -> Bytes {
    let mut whole = BytesMut::from(&answer[..]);
    if let (Ok(None), Some(first)) = (wire::content(answer, CONTAINERS), list::items(answer).next()) {
        encode_key(CONTAINERS, WireType::LengthDelimited, &mut whole);
        encode_varint(first.len() as u64, &mut whole);
        whole.put(first);
    }
    whole.freeze()
}

fn theirs_first(ours: &Bytes, theirs: &Bytes, room: impl Fn(&Path) -> Option<Room>) -> bool {
    let room = |answer| {
        let first = list::items(answer).next()?;
        room(Path::new(&wire::text(&first, &MOUNTPOINT).ok()?))
    };
    match (room(ours), room(theirs)) {
        (Some(here), Some(there)) => there.is_tighter_than(here),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::runtime::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse};

    use super::*;

    #[test]
    fn the_first_file_system_is_the_first_for_containers() {
        let at = |mountpoint: &str| {
            let fs_id = Some(FilesystemIdentifier { mountpoint: mountpoint.into() });
            FilesystemUsage { timestamp: 7, fs_id, ..Default::default() }
        };
        let told = |answer: &ImageFsInfoResponse| {
            let whole = for_both(&answer.encode_to_vec().into());
            ImageFsInfoResponse::decode(whole).unwrap().container_filesystems
        };
        let mut answer =
            ImageFsInfoResponse { image_filesystems: vec![at("/a"), at("/b")], ..Default::default() };
        assert_eq!(told(&answer), [at("/a")]);
        answer.container_filesystems = vec![at("/c")];
        assert_eq!(told(&answer), [at("/c")]);
        assert_eq!(told(&ImageFsInfoResponse::default()), []);
    }

    #[test]
    fn the_file_system_with_less_room_comes_first() {
        let at = |mountpoint: &str| {
            let fs_id = Some(FilesystemIdentifier { mountpoint: mountpoint.into() });
            let usage = FilesystemUsage { timestamp: 7, fs_id, ..Default::default() };
            let answer = ImageFsInfoResponse { image_filesystems: vec![usage], ..Default::default() };
            Bytes::from(answer.encode_to_vec())
        };
        let (ours, theirs) = (at("/ours"), at("/theirs"));
        let first = |here: Option<Room>, there: Option<Room>| {
            theirs_first(&ours, &theirs, |path| if path.ends_with("ours") { here } else { there })
        };
        let room = |device, left, all| Some(Room { device, left, all });
        assert!(first(room(1, 50, 100), room(2, 400, 1000)));
        assert!(!first(room(1, 50, 100), room(2, 600, 1000)));
        assert!(!first(room(1, 50, 100), room(1, 400, 1000)), "one file system is ours");
        assert!(!first(room(1, 50, 100), None) && !first(None, room(2, 0, 1)));
        assert!(!theirs_first(&ours, &Bytes::new(), |_| room(1, 0, 1)));
        assert!(Room::of(Path::new("/")).is_some_and(|room| room.all > 0));
    }
}
