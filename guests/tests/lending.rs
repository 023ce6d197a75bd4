//! A guest that is somebody's already: a real SSH server with mounts of its own, lent and given back.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

#[path = "support/roots.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest")]
mod roots;
#[path = "../../transports/tests/servers/mod.rs"]
mod servers;
#[path = "support/shell.rs"]
mod shell;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guests::lending::{self, Holder, Lent};
use guests::names::{Names, Resolver};
use guests::volume::{self, Entry, Kind, Mount, Name, Tree};
use guests::{Error, Family};
use roots::FRESH;
use servers::Server;
use transports::{Bounds, Command, Process, Session, Ssh, Stdin, Transport as _, capture};

/// How long a look at the guest may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its programs, of which some are the test's own.
const PATH: &str = "SetEnv PATH=/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Guest {
    session: Arc<dyn Session>,
    _server: Server,
}

impl Guest {
    async fn new() -> Self {
        let prepare = format!(
            "{FRESH}\nmount -t tmpfs srv /srv\nmount -t tmpfs lib /var/lib\nmkdir /run/bin\n\
             echo 'nameserver 192.0.2.53' >\"$1/resolv\"\nmount --bind \"$1/resolv\" /etc/resolv.conf"
        );
        let server = Server::openssh_in(&prepare, PATH);
        let session = Ssh::default().connect(&server.target()).await.unwrap().into();
        Self { session, _server: server }
    }

    async fn sh(&self, script: &str) -> String {
        shell::sh(&*self.session, script).await
    }

    async fn lend(&self, to: &Holder) {
        lending::take(&*self.session, Family::Unix, to, &|_| false).await.unwrap();
        // The kernel's name is not its own here, and stays as it is.
        let hostname = self.sh("cat /proc/sys/kernel/hostname").await;
        let resolver =
            Resolver { servers: vec!["10.96.0.10".parse().unwrap()], search: vec![], options: vec![] };
        let names = Names { hostname, resolver: Some(resolver) };
        assert_eq!(lending::set_names(&*self.session, Family::Unix, to, &names).await.unwrap(), Lent::Done);
    }

    /// Has a volume be mounted.
    async fn mount(&self, mount: &str, path: &str) {
        let mut tree = Tree::new();
        let entry = Entry { kind: Kind::File("a secret".into()), mode: 0o600, uid: 0, gid: 0 };
        tree.add("key", entry).unwrap();
        let mount = Mount { name: &Name::new(mount).unwrap(), part: None, path, read_only: true };
        volume::put(&*self.session, Family::Unix, &Name::new("secret").unwrap(), &tree, None, Some(&mount))
            .await
            .unwrap();
    }

    async fn resolver(&self) -> String {
        self.sh("cat /etc/resolv.conf").await
    }

    async fn note(&self) -> String {
        self.sh("cat /run/infranetes-lent.holder 2>/dev/null; true").await
    }

    /// What is left of a pod.
    async fn left(&self) -> String {
        self.sh("ls -A /run /srv /var/lib | grep -v -e sshd -e bin -e : -e '^mount$' ; grep infranetes /proc/self/mountinfo; true").await
    }
}

fn holder(text: &str) -> Holder {
    Holder::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_holds_a_guest_is_not_robbed_of_it() {
    let guest = Guest::new().await;
    guest.lend(&holder("node one")).await;
    let held = |other: &str| other == "node one";
    let refusal = lending::take(&*guest.session, Family::Unix, &holder("node two"), &held).await.unwrap_err();
    assert!(
        matches!(&refusal, Error::Unsupported(why) if why.contains("another pod of this node (node one)"))
    );
    let refusal =
        lending::take(&*guest.session, Family::Unix, &holder("far three"), &|_| false).await.unwrap_err();
    assert!(matches!(&refusal, Error::Unsupported(why) if why.contains("another node (node one)")));
    assert_eq!(
        (guest.note().await, guest.resolver().await),
        ("node one".into(), "nameserver 10.96.0.10".into())
    );
    // What a holder has left who is gone is taken away.
    lending::take(&*guest.session, Family::Unix, &holder("node two"), &|_| false).await.unwrap();
    assert_eq!(
        (guest.note().await, guest.resolver().await),
        ("node two".into(), "nameserver 192.0.2.53".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_laid_over_once_and_given_back() {
    let guest = Guest::new().await;
    let one = holder("node one");
    guest.lend(&one).await;
    // As a command that was cut off after its mount leaves it.
    guest.sh("cd /run/infranetes-lent && ls && rm -f resolving").await;
    guest.lend(&one).await;
    assert_eq!(guest.sh("grep -c infranetes-lent /proc/self/mountinfo").await, "1");
    for _ in 0..2 {
        assert_eq!(lending::give_back(&*guest.session, Family::Unix, &one).await.unwrap(), Lent::Done);
    }
    assert_eq!((guest.left().await, guest.resolver().await), (String::new(), "nameserver 192.0.2.53".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_away_keeps_nothing_but_itself_and_the_note() {
    let guest = Guest::new().await;
    let one = holder("node one");
    guest.lend(&one).await;
    guest.mount("0", "/srv/stuck").await;
    guest.mount("1", "/srv/app").await;
    guest
        .sh("printf '#!/bin/sh\\ncase $* in *stuck) echo target is busy >&2; exit 32;; esac\\nexec /usr/bin/umount \"$@\"\\n' \
             >/run/bin/umount && chmod 755 /run/bin/umount")
        .await;
    let failure = lending::give_back(&*guest.session, Family::Unix, &one).await.unwrap_err().to_string();
    assert!(failure.contains("/srv/stuck cannot be unmounted"), "{failure}");
    assert_eq!(guest.note().await, "node one");
    assert_eq!(guest.resolver().await, "nameserver 192.0.2.53");
    assert_eq!(guest.sh("ls /srv; cat /srv/stuck/key 2>/dev/null; true").await, "stuck", "no secret is left");
    // Somebody else has taken it away meanwhile.
    guest.sh("/usr/bin/umount /srv/stuck && rm /run/bin/umount").await;
    assert_eq!(lending::give_back(&*guest.session, Family::Unix, &one).await.unwrap(), Lent::Done);
    assert_eq!(guest.left().await, "");
}

/// A session during which the guest is lent to another.
#[derive(Debug)]
struct Overtaken {
    inner: Arc<dyn Session>,
    commands: AtomicUsize,
}

#[async_trait::async_trait]
impl Session for Overtaken {
    async fn exec(&self, command: Command) -> transports::Result<Process> {
        if self.commands.fetch_add(1, Ordering::Relaxed) == 1 {
            let argv = ["sh", "-c", "echo far two >/run/infranetes-lent.holder"].map(str::to_owned).to_vec();
            let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 1024 };
            capture(&*self.inner, Command { argv, stdin: Stdin::Closed }, bounds).await?;
        }
        self.inner.exec(command).await
    }

    async fn closed(&self) -> transports::Error {
        self.inner.closed().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_holder_has_is_left_alone() {
    let guest = Guest::new().await;
    let one = holder("node one");
    guest.lend(&one).await;
    guest.mount("0", "/srv/app").await;
    let session = Overtaken { inner: guest.session.clone(), commands: AtomicUsize::new(0) };
    let lent = lending::give_back(&session, Family::Unix, &one).await.unwrap();
    assert_eq!(lent, Lent::Another("far two".into()));
    assert_eq!(guest.sh("cat /srv/app/key").await, "a secret");
    assert_eq!(
        (guest.note().await, guest.resolver().await),
        ("far two".into(), "nameserver 10.96.0.10".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_lent_again_is_not_shut_down() {
    let guest = Guest::new().await;
    guest
        .sh("printf '#!/bin/sh\\necho $* >/run/asked\\n' >/run/bin/shutdown && chmod 755 /run/bin/shutdown")
        .await;
    guest.lend(&holder("far two")).await;
    let refusal = lending::shut_down(&*guest.session, Family::Unix).await.unwrap_err().to_string();
    assert!(refusal.contains("it is lent to far two"), "{refusal}");
    assert_eq!(guest.sh("cat /run/asked 2>/dev/null; true").await, "");
    lending::give_back(&*guest.session, Family::Unix, &holder("far two")).await.unwrap();
    lending::shut_down(&*guest.session, Family::Unix).await.unwrap();
    assert_eq!(guest.sh("cat /run/asked").await, "-h -P now");
}
