//! Volumes in guests: the same clauses with GNU's tools and with busybox alone, through real SSH servers on loopback.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

#[path = "../support/roots.rs"]
mod roots;
#[path = "../../../transports/tests/servers/mod.rs"]
mod servers;
#[path = "../support/shell.rs"]
mod shell;

use std::sync::Arc;

use guests::volume::{self, Entry, Kind, Medium, Mount, Name, Tree};
use guests::{Error, Family};
use roots::{BUSYBOX, FRESH};
use servers::Server;
use transports::{Session, Ssh, Transport as _};

/// A guest and the way to it.
struct Guest {
    session: Arc<dyn Session>,
    _server: Server,
}

impl Guest {
    async fn with(prepare: &str) -> Self {
        let server = Server::openssh_in(
            &format!("{FRESH}\nmount -t tmpfs srv /srv\nmount -t tmpfs lib /var/lib\n{prepare}"),
            "",
        );
        let session = Ssh::default().connect(&server.target()).await.unwrap().into();
        Self { session, _server: server }
    }

    /// What a script prints that looks at the guest.
    async fn sh(&self, script: &str) -> String {
        shell::sh(&*self.session, script).await
    }

    async fn put(&self, tree: &Tree, base: Option<&Tree>) {
        volume::put(&*self.session, Family::Unix, &name("config"), tree, base, None).await.unwrap();
    }

    /// Mounts all of the volume, or a part of it, to be read only; what is there of it is not sent again.
    async fn mount(&self, tree: &Tree, part: Option<&str>, path: &str) -> Result<(), Error> {
        let mount = Mount { name: &name("0"), part, path, read_only: true };
        volume::put(&*self.session, Family::Unix, &name("config"), tree, Some(tree), Some(&mount)).await
    }

    async fn unmount(&self) {
        volume::unmount(&*self.session, Family::Unix, &name("0")).await.unwrap();
    }
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn file(content: &str) -> Entry {
    Entry { kind: Kind::File(content.to_owned().into()), mode: 0o644, uid: 0, gid: 0 }
}

fn tree(entries: &[(&str, Entry)]) -> Tree {
    let mut tree = Tree::new();
    for (path, entry) in entries {
        tree.add(*path, entry.clone()).unwrap();
    }
    tree
}

async fn it_has_its_files_and_changes_at_once(guest: &Guest) {
    let directory = Entry { kind: Kind::Directory, mode: 0o750, uid: 0, gid: 77 };
    let secret = Entry { kind: Kind::File(vec![0, 255, b'\n', 0].into()), mode: 0o440, uid: 5, gid: 77 };
    let old = tree(&[
        ("a name", file("one")),
        ("same", file("same")),
        ("gone", file("gone")),
        ("sub", directory.clone()),
        ("sub/secret", secret.clone()),
        ("link", Entry { kind: Kind::Link("sub/secret".into()), mode: 0o777, uid: 0, gid: 0 }),
    ]);
    guest.sh("mkdir /srv/app && echo image >/srv/app/own").await;
    guest.mount(&old, None, "/srv/app").await.unwrap();
    assert_eq!(
        guest.sh("cd /srv/app && ls").await,
        "a name\ngone\nlink\nsame\nsub",
        "the image's own is hidden"
    );
    assert_eq!(guest.sh("cat '/srv/app/a name' /srv/app/same").await, "onesame");
    assert_eq!(guest.sh("wc -c </srv/app/link").await, "4");
    let looks = guest.sh("stat -L -c '%a %u %g' /srv/app/sub /srv/app/sub/secret /srv/app/same").await;
    assert_eq!(looks, "750 0 77\n440 5 77\n644 0 0");
    assert_eq!(guest.sh("touch /srv/app/new 2>/dev/null || echo refused").await, "refused");
    let kept = guest.sh("ls -i -L /srv/app/same | cut -d ' ' -f 1").await;

    // One who looks at the old files goes on with them: what is changed is a new file.
    let reader = "cd /srv/app && exec 3<'a name' && cat ..data/same >/dev/null && sleep 3; cat <&3";
    let new = tree(&[
        ("a name", file("two")),
        ("same", file("same")),
        ("added", file("added")),
        ("sub", directory),
        ("sub/secret", secret),
    ]);
    let (read, ()) = tokio::join!(guest.sh(reader), async {
        // The reader has opened its file by the time that this second connection is there, or reads the new one whole.
        guest.put(&new, Some(&old)).await;
    });
    assert!(["one", "two"].contains(&&read[..]), "{read}");
    assert_eq!(guest.sh("cd /srv/app && ls").await, "a name\nadded\nsame\nsub");
    assert_eq!(guest.sh("cd /srv/app && cat 'a name' added same").await, "twoaddedsame");
    assert_eq!(
        guest.sh("ls -i -L /srv/app/same | cut -d ' ' -f 1").await,
        kept,
        "what is the same is not sent"
    );
    assert_eq!(
        guest.sh("ls -A /srv/app | grep -c '^[.][.]'").await,
        "2",
        "the link, and the new files alone"
    );

    // What the caller remembers may be of another boot, and what is there may be unknown to the caller.
    let third = tree(&[("same", file("third"))]);
    guest.put(&third, Some(&old)).await;
    assert_eq!(guest.sh("cd /srv/app && ls && cat same").await, "same\nthird");
    guest.put(&third, None).await;

    guest.unmount().await;
    guest.unmount().await;
    assert_eq!(guest.sh("cat /srv/app/own && ls /srv/app").await, "image\nown", "the image's own is back");
    volume::remove(&*guest.session, Family::Unix, &name("config")).await.unwrap();
    volume::remove(&*guest.session, Family::Unix, &name("config")).await.unwrap();
    assert_eq!(guest.sh("ls -A /run/infranetes-volumes").await, ".mounts");
}

async fn a_part_is_mounted_where_nothing_was(guest: &Guest) {
    let config = tree(&[("app.conf", file("key=1\n"))]);
    guest.mount(&config, Some("..data/app.conf"), "/srv/made here/for it/app.conf").await.unwrap();
    guest.mount(&config, Some("..data/app.conf"), "/srv/made here/for it/app.conf").await.unwrap();
    assert_eq!(guest.sh("cat '/srv/made here/for it/app.conf'").await, "key=1");
    assert_eq!(guest.sh("grep -c 'made.*app.conf' /proc/self/mountinfo").await, "1", "mounted once");
    guest.unmount().await;
    assert_eq!(guest.sh("ls /srv").await, "", "what was made for it is gone");
    guest.sh("mkdir /srv/was").await;
    guest.mount(&config, Some("..data/app.conf"), "/srv/was/for it/app.conf").await.unwrap();
    guest.unmount().await;
    assert_eq!(guest.sh("ls /srv /srv/was").await, "/srv:\nwas\n\n/srv/was:", "and nothing else");
    guest.sh("rmdir /srv/was").await;
    guest.sh("echo image >/srv/own").await;
    guest.mount(&config, Some("..data/app.conf"), "/srv/own").await.unwrap();
    assert_eq!(guest.sh("cat /srv/own").await, "key=1");
    guest.unmount().await;
    assert_eq!(guest.sh("cat /srv/own").await, "image");
    let none = guest.mount(&config, Some("none"), "/srv/x").await;
    assert!(matches!(&none, Err(Error::Unsupported(why)) if why.contains("no none")), "{none:?}");
    for bad in ["/", "relative", "/a/../b", "/a\nb"] {
        let refused = guest.mount(&config, None, bad).await;
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{bad:?}");
    }
}

async fn one_is_mounted_below_another_where_nobody_may_write(guest: &Guest) {
    let config = tree(&[("app.conf", file("key=1\n"))]);
    guest.mount(&config, None, "/srv/app").await.unwrap();
    for (number, part, path) in
        [("1", None, "/srv/app/made/tls"), ("2", Some("..data/app.conf"), "/srv/app/made/tls.conf")]
    {
        let mount = Mount { name: &name(number), part, path, read_only: true };
        volume::put(&*guest.session, Family::Unix, &name("other"), &config, None, Some(&mount))
            .await
            .unwrap();
    }
    assert_eq!(guest.sh("cat /srv/app/made/tls/app.conf /srv/app/made/tls.conf").await, "key=1\nkey=1");
    guest.put(&tree(&[("app.conf", file("key=2\n"))]), Some(&config)).await;
    assert_eq!(guest.sh("cat /srv/app/app.conf /srv/app/made/tls/app.conf").await, "key=2\nkey=1");
    // What lies among the files goes with them.
    let nested = tree(&[
        ("sub", Entry { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 }),
        ("sub/key", file("key")),
    ]);
    guest.put(&nested, None).await;
    let mount = Mount { name: &name("3"), part: None, path: "/srv/app/sub/tls", read_only: true };
    let among =
        volume::put(&*guest.session, Family::Unix, &name("other"), &config, Some(&config), Some(&mount))
            .await;
    assert!(matches!(&among, Err(Error::Unsupported(why)) if why.contains("/srv/app")), "{among:?}");
    assert_eq!(
        guest.sh("ls /srv/app/sub /srv/app/made/tls").await,
        "/srv/app/made/tls:\napp.conf\n\n/srv/app/sub:\nkey"
    );
    for number in ["2", "1"] {
        volume::unmount(&*guest.session, Family::Unix, &name(number)).await.unwrap();
    }
    guest.unmount().await;
    assert_eq!(guest.sh("ls /srv; grep -c ' /srv/' /proc/self/mountinfo || true").await, "0");
    for volume in ["other", "config"] {
        volume::remove(&*guest.session, Family::Unix, &name(volume)).await.unwrap();
    }
}

async fn an_empty_directory_is_shared(guest: &Guest) {
    for (number, medium) in [Medium::Disk, Medium::Memory(Some(1 << 20))].into_iter().enumerate() {
        let volume = name(&format!("scratch-{number}"));
        let mounts = ["a", "b"].map(|at| (name(&format!("{at}-{number}")), format!("/srv/{at}-{number}")));
        for (mount, path) in &mounts {
            let mount = Mount { name: mount, part: None, path, read_only: false };
            volume::empty(&*guest.session, Family::Unix, &volume, medium, 0o2777, (0, 77), Some(&mount))
                .await
                .unwrap();
        }
        guest.sh(&format!("echo shared >{}/file", mounts[0].1)).await;
        assert_eq!(guest.sh(&format!("cat {}/file", mounts[1].1)).await, "shared");
        assert_eq!(guest.sh(&format!("stat -c '%a %u %g' {}", mounts[1].1)).await, "2777 0 77");
        let fill = format!("head -c 2000000 /dev/zero >{}/big 2>/dev/null || echo full", mounts[0].1);
        let said = if medium == Medium::Disk { "" } else { "full" };
        assert_eq!(guest.sh(&fill).await, said);
        for (mount, _) in &mounts {
            volume::unmount(&*guest.session, Family::Unix, mount).await.unwrap();
        }
        volume::remove(&*guest.session, Family::Unix, &volume).await.unwrap();
    }
    assert_eq!(
        guest
            .sh("ls -A /run/infranetes-volumes /var/lib/infranetes-volumes | grep scratch || echo none")
            .await,
        "none"
    );
}

async fn no_reader_sees_a_mixture(guest: &Guest) {
    const SWAPS: usize = 60;
    let version = |number: usize| {
        let number = format!("{number:04}");
        tree(&[("a", file(&number.repeat(2000))), ("b", file(&number.repeat(2000)))])
    };
    let mut base = version(0);
    guest.mount(&base, None, "/srv/swapped").await.unwrap();
    // Both files of one directory are of one version; a directory may go away while it is read, and then says nothing.
    guest
        .sh("cat >/srv/reader <<'end'
while [ ! -e /srv/stop ]; do
  (cd /srv/swapped/..data 2>/dev/null && cd -P . && cat a b) >/srv/seen 2>/dev/null || continue
  set -- $(cut -c 1-4,8001-8004 /srv/seen) $(wc -c </srv/seen)
  if [ \"$2\" != 16000 ] || [ \"${1%????}\" != \"${1#????}\" ]; then echo \"mixture: $*\" >>/srv/wrong; fi
  echo \"$1\" >>/srv/versions
done
end
sh /srv/reader >/dev/null 2>&1 &")
        .await;
    for number in 1..=SWAPS {
        let next = version(number);
        guest.put(&next, Some(&base)).await;
        base = next;
    }
    let last = format!("{SWAPS:04}").repeat(2);
    let seen = format!(
        "until grep -q {last} /srv/versions; do sleep 0.1; done; touch /srv/stop; sort -u /srv/versions | wc -l"
    );
    let versions: usize = guest.sh(&seen).await.parse().unwrap();
    assert!(versions > 5, "the reader saw {versions} versions");
    assert_eq!(guest.sh("cat /srv/wrong 2>/dev/null || echo none").await, "none");
}

async fn thousands_of_files_are_kept_in_step(guest: &Guest) {
    let mut entries: Vec<(String, Entry)> =
        (0..10_000).map(|n| (format!("file-{n}"), file(&n.to_string()))).collect();
    let all = |entries: &[(String, Entry)]| {
        tree(&entries.iter().map(|(path, entry)| (&path[..], entry.clone())).collect::<Vec<_>>())
    };
    let old = all(&entries);
    guest.mount(&old, None, "/srv/many").await.unwrap();
    entries[1234].1 = file("changed");
    entries.pop();
    guest.put(&all(&entries), Some(&old)).await;
    assert_eq!(guest.sh("ls /srv/many | wc -l; cat /srv/many/file-1234").await, "9999\nchanged");
}

/// A module for each guest, with a test for each clause.
macro_rules! clauses {
    ($($guest:ident: $prepare:expr),*) => { $(mod $guest {
        clauses!(@tests $prepare, it_has_its_files_and_changes_at_once, a_part_is_mounted_where_nothing_was,
            one_is_mounted_below_another_where_nobody_may_write, an_empty_directory_is_shared,
            no_reader_sees_a_mixture, thousands_of_files_are_kept_in_step);
    })* };
    (@tests $prepare:expr, $($clause:ident),*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            super::$clause(&super::Guest::with($prepare).await).await;
        }
    )* };
}

clauses!(gnu: "", busybox: super::BUSYBOX);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_without_rights_is_told_so() {
    let user = "(cat /etc/passwd; echo plain:x:4242:4242::/:/bin/sh) >$1/passwd
mount --bind $1/passwd /etc/passwd
chmod a+rX $1 $1/authorized_keys";
    let mut server = Server::openssh_in(&format!("{FRESH}\n{user}"), "");
    server.user = "plain".into();
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    let refused =
        volume::put(&*session, Family::Unix, &name("config"), &tree(&[("a", file("1"))]), None, None).await;
    assert!(matches!(&refused, Err(Error::Unsupported(why)) if why.contains("sudo")), "{refused:?}");
}
