//! What of a guest with Windows takes no PowerShell, on Debian's wine: its `cmd`, its `reg`, its file system.
//!
//! There is no PowerShell here (wine's does nothing), so that it runs no scripts has to be told as such.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use guests::lending::{self, Holder, Lent};
use guests::log::{self, LogSource};
use guests::volume::{self, Entry, Kind, Name, Tree};
use guests::{Error, Family, boot, figures};
use support::LocalSession;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;
use transports::{Bounds, Command, Exit, Session, Stdin, capture};

const KEY: &str =
    r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";

/// How long wine may take to start, or to run a program.
const PATIENCE: Duration = Duration::from_secs(120);

/// A guest that is wine's C:, which the tests of this program have in turn.
struct Wine {
    session: LocalSession,
    root: PathBuf,
    /// Whose services would else be started by each command, and hold its output.
    _idle: tokio::process::Child,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

async fn wine() -> Option<Wine> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let Some(prefix) = std::env::var_os("INFRANETES_WINE_PREFIX").map(PathBuf::from) else {
        // Straight to the standard output: this is not for a reader of a failure.
        let _ = writeln!(std::io::stdout(), "skipped: run by cargo xtask test, which makes a wine prefix");
        return None;
    };
    let root = prefix.join("drive_c/windows/Infranetes");
    let prefix = format!("WINEPREFIX={}", prefix.display());
    let through = ["env", &prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "wine"];
    let session = LocalSession { path: None, through: through.map(str::to_owned).to_vec() };
    let turn = TURN.lock().await;
    let _ = std::fs::remove_dir_all(&root);
    let mut idle = tokio::process::Command::new("env")
        .args(&session.through[1..])
        .args(["cmd.exe", "/c", "echo ready& pause"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(idle.stdout.as_mut().unwrap());
    let said = timeout(PATIENCE, stdout.lines().next_line()).await.expect("wine starts").unwrap();
    assert_eq!(said.as_deref(), Some("ready"));
    Some(Wine { session, root, _idle: idle, _turn: turn })
}

impl Wine {
    async fn run(&self, argv: &[&str]) {
        let argv = argv.iter().map(ToString::to_string).collect();
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 4096 };
        let captured = capture(&self.session, Command { argv, stdin: Stdin::Closed }, bounds).await.unwrap();
        assert_eq!(captured.exit, Exit::Code(0), "{}", String::from_utf8_lossy(&captured.stderr));
    }
}

#[tokio::test]
async fn a_boot_is_known_by_its_number() {
    let Some(wine) = wine().await else { return };
    let id = async || boot::id(&wine.session, Family::Windows).await.unwrap();
    wine.run(&["reg.exe", "add", KEY, "/v", "BootId", "/t", "REG_DWORD", "/d", "42", "/f"]).await;
    assert_eq!(id().await.as_deref(), Some("boot-42"));
    wine.run(&["reg.exe", "delete", KEY, "/f"]).await;
    assert_eq!(id().await, None, "one that counts none");
}

#[tokio::test]
async fn a_guest_is_lent_to_one() {
    let Some(wine) = wine().await else { return };
    let session = &wine.session as &dyn Session;
    let family = Family::Windows;
    let holder = |text: &str| Holder::new(text).unwrap();
    // Nothing that a holder is called by means anything to cmd.
    let one = holder("node-1 a!b %PATH% & \"c\" | d > e ^f (g)");
    for _ in 0..2 {
        assert_eq!(lending::lend(session, family, &one).await.unwrap(), Lent::Done);
    }
    let other = Lent::Another("node-1 a!b %PATH% & \"c\" | d > e ^f (g)".into());
    assert_eq!(lending::lend(session, family, &holder("node-2 b")).await.unwrap(), other);
    assert_eq!(lending::give_back(session, family, &holder("node-2 b")).await.unwrap(), other);
    let refusal = lending::shut_down(session, family).await.unwrap_err().to_string();
    assert!(refusal.contains("is lent"), "{refusal}");
    let refusal =
        lending::take(session, family, &holder("node-2 b"), &|_| false).await.unwrap_err().to_string();
    assert!(refusal.contains("another node") && refusal.contains(r"Infranetes\lent"), "{refusal}");
    // What another holder of the same node has left is taken away first.
    lending::take(session, family, &holder("node-1 c"), &|_| false).await.unwrap();
    assert!(wine.root.join("lent").exists());
    assert_eq!(lending::give_back(session, family, &holder("node-1 c")).await.unwrap(), Lent::Done);
    assert!(!wine.root.exists(), "nothing is left");
}

#[tokio::test]
async fn a_claim_that_was_broken_off_gives_nobody_the_guest_of_another() {
    let Some(wine) = wine().await else { return };
    let holder = |text: &str| Holder::new(text).unwrap();
    let lend = async |text: &str| lending::lend(&wine.session, Family::Windows, &holder(text)).await.unwrap();
    assert_eq!(lend("node-1 a").await, Lent::Done);
    let note = wine.root.join("lent");
    std::fs::hard_link(&note, wine.root.join("lent.new")).unwrap();
    assert_eq!(lend("node-2 b").await, Lent::Another("node-1 a".into()));
    assert!(!wine.root.join("lent.new").exists(), "nothing is left of either");
    // Who came between a claim and its end has written behind it.
    let first = std::fs::read_to_string(&note).unwrap();
    std::fs::write(&note, format!("{first}bm9kZS0yIGI=\r\n")).unwrap();
    assert_eq!(lend("node-1 a").await, Lent::Done);
    assert_eq!(lend("node-2 b").await, Lent::Another("node-1 a".into()));
    assert_eq!(
        lending::give_back(&wine.session, Family::Windows, &holder("node-1 a")).await.unwrap(),
        Lent::Done
    );
    assert!(!wine.root.exists(), "nothing is left");
}

#[tokio::test]
async fn what_was_put_into_a_guest_is_not_forgotten() {
    let Some(wine) = wine().await else { return };
    let holder = Holder::new("node-1 a").unwrap();
    assert_eq!(lending::lend(&wine.session, Family::Windows, &holder).await.unwrap(), Lent::Done);
    std::fs::create_dir(wine.root.join("volumes")).unwrap();
    let failure = lending::give_back(&wine.session, Family::Windows, &holder).await.unwrap_err();
    assert!(failure.to_string().contains("runs no scripts"), "{failure}");
    assert!(wine.root.join("lent").exists(), "the note stays");
}

#[tokio::test]
async fn a_powershell_that_runs_no_scripts_is_told_as_such() {
    let Some(wine) = wine().await else { return };
    let mut tree = Tree::new();
    let entry = Entry { kind: Kind::File("x".into()), mode: 0o600, uid: 0, gid: 0 };
    tree.add("key", entry).unwrap();
    let name = Name::new("config").unwrap();
    let put = volume::put(&wine.session, Family::Windows, &name, &tree, None, None).await;
    let told = figures::figures(&wine.session, Family::Windows).await.map(drop);
    let source = LogSource::parse("eventlog:System", Family::Windows).unwrap();
    let session = Arc::new(wine.session.clone());
    let mut stream = log::follow(session, Family::Windows, source, None).await.unwrap();
    let followed = stream.next().await.unwrap().map(drop);
    for refusal in [put, told, followed] {
        let refusal = refusal.unwrap_err();
        assert!(matches!(&refusal, Error::Unsupported(why) if why.contains("runs no scripts")), "{refusal}");
    }
}
