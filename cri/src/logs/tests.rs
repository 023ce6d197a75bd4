//! The log task against sources that grow, while its process is killed and its file is renamed: every line once.

#[path = "../../../guests/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guests::Family;
use guests::log::LogSource;
use rand::Rng;
use support::LocalSession;
use tokio::sync::watch;
use transports::Session;

use super::format::parts;
use super::{LogTask, LogTaskConfig};

/// Set for the process that is killed: the folder of the test.
const CHILD: &str = "INFRANETES_TEST_LOG_CHILD";

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What the kubelet would show of all files of a log, oldest first.
fn shown(files: &[PathBuf]) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for file in files {
        for written in std::fs::read(file).unwrap().split_inclusive(|byte| *byte == b'\n') {
            if let Some((0, text, partial)) = parts(written) {
                line.extend_from_slice(text);
                if !partial {
                    lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
                }
            }
        }
    }
    lines
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < end, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct Place {
    folder: PathBuf,
    session: watch::Sender<Option<Arc<dyn Session>>>,
}

impl Place {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), session: watch::Sender::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn answer(&self) {
        self.session.send_replace(Some(Arc::new(LocalSession::default())));
    }

    async fn start(&self, source: LogSource) -> LogTask {
        let config = LogTaskConfig {
            log_path: Some(self.path("pod/0.log")),
            checkpoint: self.path("checkpoint"),
            console_log: Some(self.path("console")),
            family: Family::Unix,
            source,
            session: self.session.subscribe(),
        };
        LogTask::start(config).await.unwrap()
    }

    /// Renames the log as the kubelet does.
    fn rotate(&self, n: usize) {
        let _ = std::fs::rename(self.path("pod/0.log"), self.path(&format!("pod/0.log.{n:04}")));
    }

    fn log_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.path("pod")).unwrap().map(|entry| entry.unwrap().path()).collect();
        // `0.log.0001` before `0.log`.
        files.sort_by_key(|path| (path.extension().unwrap() == "log", path.clone()));
        files
    }

    fn shown(&self) -> Vec<String> {
        shown(&self.log_files())
    }

    fn source(&self) -> LogSource {
        LogSource::File { path: self.path("app").to_str().unwrap().into() }
    }
}

fn numbers(total: usize) -> Vec<String> {
    (0..total).map(|n| format!("line {n}")).collect()
}

#[track_caller]
fn same(shown: &[String], expected: &[String]) {
    let difference = shown.iter().zip(expected).position(|(a, b)| a != b);
    let around = difference.map(|n| &shown[n.saturating_sub(2)..(n + 3).min(shown.len())]);
    assert!(
        difference.is_none() && shown.len() == expected.len(),
        "{} lines instead of {}, different at {difference:?}: {around:?}",
        shown.len(),
        expected.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn console_then_guest_then_the_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    let log = place.start(place.source()).await;
    assert!(place.path("pod/0.log").exists());
    append(&place.path("console"), "SeaBIOS\r\n\x1b[1mbooting\x1b[0m\r\nlogin: ");
    until("the console", || place.shown().len() == 2).await;
    // A prompt without a line end is shown after a moment.
    until("the prompt", || std::fs::read_to_string(place.path("pod/0.log")).unwrap().contains(" P login: "))
        .await;
    append(&place.path("app"), "one\ntwo\n");
    place.answer();
    until("the guest's log", || place.shown().len() == 5).await;
    append(&place.path("console"), "not shown any more\r\n");
    append(&place.path("app"), "three\nunfinished");
    log.finish(Duration::from_secs(10)).await;
    append(&place.path("app"), " and finished\nlast\n");
    // The daemon again, with the machine still there.
    let log = place.start(place.source()).await;
    until("the rest", || place.shown().last().is_some_and(|line| line == "last")).await;
    log.finish(Duration::from_secs(10)).await;
    let expected =
        ["SeaBIOS", "booting", "login: ", "one", "two", "three", "unfinished and finished", "last"];
    same(&place.shown(), &expected.map(str::to_owned));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_such_a_log_stays_on_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    append(&place.path("console"), "before\n");
    let log = place.start(LogSource::File { path: "relative".into() }).await;
    place.answer();
    let text = || std::fs::read_to_string(place.path("pod/0.log")).unwrap();
    until("the reason", || text().contains("stderr F log file \"relative\" is not an absolute path")).await;
    append(&place.path("console"), "after");
    log.finish(Duration::from_secs(5)).await;
    same(&place.shown(), &["before".to_owned(), "after".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reopened_under_load() {
    for source in ["console", "app"] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        place.answer();
        let log_source = if source == "app" { place.source() } else { LogSource::Console };
        let log = place.start(log_source).await;
        let total = 5000;
        let writer = {
            let path = place.path(source);
            tokio::spawn(async move {
                for n in 0..total {
                    append(&path, &format!("line {n}\n"));
                    if n % 20 == 0 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            })
        };
        for n in 0..50 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            place.rotate(n);
            log.reopen().await.unwrap();
            assert!(place.path("pod/0.log").exists());
        }
        writer.await.unwrap();
        until("all lines", || place.shown().len() >= total).await;
        log.finish(Duration::from_secs(5)).await;
        same(&place.shown(), &numbers(total));
    }
}

/// The process that the next test kills. By itself it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let place = Place::new(Path::new(&folder));
    let (source, guest) = match std::fs::read_to_string(place.path("source")).unwrap().as_str() {
        "app" => (place.source(), true),
        _ => (LogSource::Console, false),
    };
    if guest {
        place.answer();
    }
    let log = place.start(source).await;
    let finish = place.path("finish");
    while !finish.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    log.finish(Duration::from_secs(10)).await;
}

fn spawn_child(folder: &Path) -> std::process::Child {
    let (_, module) = module_path!().split_once("::").unwrap();
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::child"), "--nocapture"])
        .env(CHILD, folder)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

async fn killed_at_random(source: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path());
    append(&place.path("source"), source);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (path, stop) = (place.path(source), stop.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                append(&path, &format!("line {n}\n"));
                n += 1;
                if n % 8 == 0 {
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
            }
            n
        })
    };
    let mut rotations = BTreeMap::new();
    for n in 0..30 {
        let mut child = spawn_child(folder.path());
        let life = Duration::from_millis(rand::rng().random_range(50..1800));
        tokio::time::sleep(life).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // Sometimes the kubelet rotates while nobody is there.
        if rand::rng().random_bool(0.3) && place.path("pod/0.log").exists() {
            place.rotate(n);
            rotations.insert(n, life);
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let total = writer.await.unwrap();
    let mut child = spawn_child(folder.path());
    until("all lines", || place.path("pod").exists() && place.shown().len() >= total).await;
    append(&place.path("finish"), "");
    assert!(child.wait().unwrap().success());
    same(&place.shown(), &numbers(total));
    assert!(total > 1000, "only {total} lines, rotated at {rotations:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_copying_the_console() {
    killed_at_random("console").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_following_the_guest() {
    killed_at_random("app").await;
}
