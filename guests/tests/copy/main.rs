//! Copies into guests and out of them: the same clauses over SSH, with GNU's tools and with busybox alone, and over `WinRM`.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

#[path = "../support/roots.rs"]
mod roots;
#[path = "../../../transports/tests/servers/mod.rs"]
mod servers;
#[path = "../support/shell.rs"]
mod shell;
mod windows;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guests::copy::{Copied, download, upload};
use guests::{Error, Family};
use rand::RngCore as _;
use roots::{BUSYBOX, FRESH};
use servers::Server;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::time::timeout;
use transports::{Session, Ssh, Transport as _};

/// Bytes of a file: some messages long, and no round number.
const BYTES: usize = 5_000_003;

/// A guest, a folder in it, and one here.
struct Guest {
    session: Arc<dyn Session>,
    there: String,
    here: TempDir,
    _server: Box<dyn Send>,
}

impl Guest {
    async fn by_ssh(prepare: &str) -> Self {
        let server =
            Server::openssh_in(&format!("{FRESH}\nmount -t tmpfs -o size=12m srv /srv\n{prepare}"), "");
        let session = Ssh::default().connect(&server.target()).await.unwrap().into();
        Self { session, there: "/srv".into(), here: TempDir::new().unwrap(), _server: Box::new(server) }
    }

    async fn sh(&self, script: &str) -> String {
        shell::sh(&*self.session, &format!("cd '{}' && {script}", self.there)).await
    }

    /// A file there.
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.there)
    }

    /// A new file here, its content and its hash.
    fn file(&self, bytes: usize) -> (PathBuf, Vec<u8>, String) {
        let mut content = vec![0; bytes];
        rand::rng().fill_bytes(&mut content);
        let hash = hex::encode(Sha256::digest(&content));
        let path = self.here.path().join(&hash);
        std::fs::write(&path, &content).unwrap();
        (path, content, hash)
    }

    async fn up(&self, from: &std::path::Path, to: &str) -> Result<Copied, Error> {
        upload(&*self.session, Family::Unix, from, &self.path(to), 0o640).await
    }

    async fn down(&self, from: &str, to: &str, most_bytes: u64) -> Result<Vec<u8>, Error> {
        let to = self.here.path().join(to);
        download(&*self.session, Family::Unix, &self.path(from), &to, most_bytes).await?;
        Ok(std::fs::read(to).unwrap())
    }

    /// What is there.
    async fn list(&self) -> String {
        self.sh("ls -A").await
    }
}

async fn a_file_goes_there_and_back_at_once(guest: &Guest) {
    let name = "a 'file' $x";
    guest.sh(&format!("echo old >\"{}\" && ln \"{0}\" old", name.replace('$', "\\$"))).await;
    let (path, content, hash) = guest.file(BYTES);
    let copied = guest.up(&path, name).await.unwrap();
    assert_eq!(copied, Copied { bytes: BYTES as u64, resumed_at: 0 });
    assert_eq!(guest.list().await, format!("{name}\nold"), "no part is left");
    // Who has opened the old one goes on with it.
    assert_eq!(guest.sh("cat old").await, "old");
    assert!(guest.sh("sha256sum a*").await.starts_with(&hash));
    assert_eq!(guest.sh("stat -c %a a* || true").await, "640");
    assert!(guest.down(name, "back", BYTES as u64).await.unwrap() == content);
    let (nothing, ..) = guest.file(0);
    assert_eq!(guest.up(&nothing, "empty").await.unwrap(), Copied { bytes: 0, resumed_at: 0 });
    assert_eq!(guest.down("empty", "empty", 0).await.unwrap(), b"");
    guest.sh("rm -f a* old empty").await;
}

async fn a_copy_goes_on_from_what_is_there(guest: &Guest) {
    let (path, content, hash) = guest.file(BYTES);
    let part = format!("file.{}.part", &hash[..16]);
    std::fs::write(guest.here.path().join("piece"), &content[..2_000_000]).unwrap();
    guest.up(&guest.here.path().join("piece"), &part).await.unwrap();
    let copied = guest.up(&path, "file").await.unwrap();
    assert_eq!(copied, Copied { bytes: BYTES as u64, resumed_at: 2_000_000 });
    // And back.
    let back = guest.here.path().join(format!("back.{}.part", &hash[..16]));
    std::fs::write(&back, &content[..3_000_000]).unwrap();
    let to = guest.here.path().join("back");
    let copied = download(&*guest.session, Family::Unix, &guest.path("file"), &to, 1 << 30).await.unwrap();
    assert_eq!(copied, Copied { bytes: BYTES as u64, resumed_at: 3_000_000 });
    assert!(std::fs::read(&to).unwrap() == content && !back.exists());
    // What is there is damaged, or longer than the whole: it is made anew.
    for damaged in ["head -c 1000000 /dev/zero", "head -c 6000000 /dev/zero"] {
        guest.sh(&format!("{damaged} >'{part}'")).await;
        std::fs::write(&back, vec![0; 1_000_000]).unwrap();
        let copied = guest.up(&path, "file").await.unwrap();
        assert_eq!(copied, Copied { bytes: BYTES as u64, resumed_at: 0 });
        assert!(guest.down("file", "back", 1 << 30).await.unwrap() == content);
    }
    assert!(guest.sh("sha256sum file").await.starts_with(&hash));
    assert_eq!(guest.list().await, "file");
    guest.sh("rm file").await;
}

async fn what_cannot_be_copied_is_told(guest: &Guest) {
    let (path, ..) = guest.file(10);
    guest.sh("mkdir folder && echo ten bytes >small").await;
    let text = |copied: Result<Copied, Error>| copied.unwrap_err().to_string();
    assert!(text(guest.up(&path, "folder").await).contains("/folder is a directory"));
    assert!(text(guest.up(&path, "none/file").await).contains("none/file"));
    assert!(text(guest.up(std::path::Path::new("/none"), "file").await).starts_with("/none: "));
    let told = guest.down("small", "small", 9).await.unwrap_err();
    assert!(
        matches!(&told, Error::Unsupported(why) if why.contains("has 10 bytes, and no more than 9")),
        "{told}"
    );
    let told = guest.down("none", "none", 1 << 20).await.unwrap_err().to_string();
    assert!(told.contains("cannot copy") && told.contains("/none"), "{told}");
    assert_eq!(guest.list().await, "folder\nsmall");
    guest.sh("rm -r folder small").await;
}

/// On a disk of 12 MB.
async fn a_full_disk_is_told_and_not_left_full(guest: &Guest) {
    let (path, ..) = guest.file(20_000_000);
    let error = guest.up(&path, "file").await.unwrap_err();
    assert!(matches!(&error, Error::Ended(why) if why.contains("No space left")), "{error}");
    assert_eq!(guest.list().await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ssh() {
    for prepare in ["", BUSYBOX] {
        let guest = Guest::by_ssh(prepare).await;
        a_file_goes_there_and_back_at_once(&guest).await;
        a_copy_goes_on_from_what_is_there(&guest).await;
        what_cannot_be_copied_is_told(&guest).await;
        a_full_disk_is_told_and_not_left_full(&guest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_winrm() {
    for tls in [true, false] {
        let (guest, _) = windows::guest(tls).await;
        a_file_goes_there_and_back_at_once(&guest).await;
        a_copy_goes_on_from_what_is_there(&guest).await;
        what_cannot_be_copied_is_told(&guest).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_connection_was_cut_goes_on() {
    let (mut guest, windows) = windows::guest(true).await;
    let (path, content, hash) = guest.file(BYTES);
    windows.cut_at_input(6);
    let error = guest.up(&path, "file").await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert_eq!(guest.list().await, format!("file.{}.part", &hash[..16]));
    guest.session = windows.session().await;
    let gone = windows.server.until(|now| now.processes == 0);
    timeout(Duration::from_secs(20), gone).await.expect("the first one is ended");
    let copied = guest.up(&path, "file").await.unwrap();
    assert!(copied.resumed_at > 1_000_000, "{copied:?}");
    assert!(guest.down("file", "back", 1 << 30).await.unwrap() == content);
}
