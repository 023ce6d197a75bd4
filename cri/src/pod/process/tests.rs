//! Processes through a real SSH server. The log of one that prints as fast as it is read is rotated meanwhile, as the kubelet does:
//! every line comes once, in order. The exit of one that ends just before its machine is its own, and one that is stopped while it is
//! being started is asked to stop when it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guests::process::{Capabilities, Limits, ProcessId, ProcessSpec, StdinMode, User};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use transports::{Bounds, Command, Exit, Session, Ssh, SshOptions, Stdin, Transport, capture};

use super::{Known, Process, ProcessConfig, Told, What};
use crate::logs::ProcessLog;
use crate::servers::Server;
use crate::volume::Volumes;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);
/// A log is rotated at this size, in bytes.
const ROTATED_AT: u64 = 1 << 20;
/// The lines of each stream.
const LINES: [usize; 2] = [400_000, 40_000];

/// A private `/run`, so that the guest begins with nothing and has no systemd; no control groups, for those of this machine
/// would be shared.
const FRESH: &str = "mount -t tmpfs run /run\nmkdir -p /run/sshd\numount -R /sys/fs/cgroup\nmount --bind /dev/null /proc/filesystems";

/// Starts the process only when it is let.
const HELD: &str = r#"
cp /usr/bin/setsid /run/setsid
cat >/run/held <<'end'
#!/bin/sh
for word; do
  case $word in /run/infranetes/*/one) : >/run/waits; until [ -e /run/go ]; do sleep 0.05; done ;; esac
done
exec /run/setsid "$@"
end
chmod 755 /run/held
mount --bind /run/held /usr/bin/setsid"#;

fn loud() -> String {
    let words = "a line as long as those of a program often are";
    let [out, err] = LINES;
    format!("seq -f '%.0f {words}' {err} >&2 & seq -f '%.0f {words}' {out}; wait")
}

fn spec(script: &str) -> ProcessSpec {
    ProcessSpec {
        id: ProcessId::new("one").unwrap(),
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        env: Vec::new(),
        working_dir: None,
        user: User::default(),
        stdin: StdinMode::Closed,
        tty: false,
        limits: Limits::default(),
        capabilities: Capabilities::default(),
        no_new_privileges: false,
        message_path: None,
        stop_signal: None,
    }
}

/// A process in a server, whose log is in this folder, and what is told of it.
async fn spawned(server: &Server, script: &str, folder: &Path) -> (Process, mpsc::Receiver<Box<Told>>) {
    let session: Arc<dyn Session> =
        Ssh::new(SshOptions::default()).connect(&server.target()).await.unwrap().into();
    let log = ProcessLog::open(Some(folder.join("0.log")), folder.join("checkpoint")).unwrap();
    let (sender, told) = mpsc::channel(4);
    let config = ProcessConfig {
        container: "app".into(),
        spec: spec(script),
        volumes: Volumes::default(),
        started: false,
        tried: false,
        sessions: watch::Sender::new(Some(session)).subscribe(),
        guest: Known::default(),
        log,
        start_wait: None,
    };
    (Process::spawn(config, sender), told)
}

/// Checks that the next lines of each stream in a file follow those before.
fn count(file: &Path, told: &mut [usize; 2]) {
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let mut words = line.split(' ').skip(1);
        let stream = usize::from(words.next() == Some("stderr"));
        assert_eq!(words.next(), Some("F"), "{line}");
        let number: usize = words.next().and_then(|word| word.parse().ok()).expect("a numbered line");
        told[stream] += 1;
        assert_eq!(number, told[stream], "in {} of stream {stream}", file.display());
        assert!(line.ends_with(" of a program often are"), "{line}");
    }
}

/// The exit code of a process that is started and ends.
async fn ended(told: &mut mpsc::Receiver<Box<Told>>) -> i32 {
    loop {
        match told.recv().await.expect("its end is told").what {
            What::Started(..) => {}
            What::Exited(exit) => return exit.code,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_under_load_every_line_comes_once() {
    let server = Server::openssh_in(FRESH, "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.log");
    let began = Instant::now();
    let (process, mut told) = spawned(&server, &loud(), folder.path()).await;

    let mut rotated = Vec::new();
    let mut look = interval(Duration::from_millis(5));
    let all = async {
        let end = ended(&mut told);
        tokio::pin!(end);
        loop {
            tokio::select! {
                code = &mut end => return code,
                _ = look.tick() => {}
            }
            if std::fs::metadata(&path).is_ok_and(|file| file.len() >= ROTATED_AT) {
                let old = path.with_extension(format!("log.{}", rotated.len()));
                std::fs::rename(&path, &old).unwrap();
                rotated.push(old);
                // A process that has just ended has nobody to ask.
                let _ = process.reopen().await;
            }
        }
    };
    let code = timeout(PATIENCE, all).await.expect("it ends in time");
    let took = began.elapsed();
    assert_eq!(code, 0);
    assert!(rotated.len() >= 3, "rotated {} times only", rotated.len());
    let mut counted = [0; 2];
    let rotations = rotated.len();
    for file in rotated.iter().map(PathBuf::as_path).chain(path.exists().then_some(&*path)) {
        count(file, &mut counted);
    }
    assert_eq!(counted, LINES);
    let rate = f64::from(u32::try_from(LINES[0] + LINES[1]).unwrap()) / took.as_secs_f64();
    let text = format!("{rate:.0} lines a second, {rotations} rotations\n");
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_of_one_that_ends_just_before_its_machine_is_its_own() {
    let server = Server::openssh_in(FRESH, "");
    let folder = tempfile::tempdir().unwrap();
    let (process, mut told) = spawned(&server, "echo begun; sleep 1; exit 3", folder.path()).await;
    let mut look = interval(Duration::from_millis(5));
    while !std::fs::read_to_string(folder.path().join("0.log")).is_ok_and(|log| log.contains("begun")) {
        look.tick().await;
    }
    let ((), code) = tokio::join!(process.finish(PATIENCE), timeout(PATIENCE, ended(&mut told)));
    assert_eq!(code.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_stopped_while_it_is_being_started_is_asked_when_it_runs() {
    let server = Server::openssh_in(&format!("{FRESH}\n{HELD}"), "");
    let guest = Ssh::default().connect(&server.target()).await.unwrap();
    let runs = async |script: &str| {
        let argv = ["sh", "-c", script].map(str::to_owned).into();
        let command = Command { argv, stdin: Stdin::Closed };
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 0 };
        assert_eq!(capture(guest.as_ref(), command, bounds).await.unwrap().exit, Exit::Code(0));
    };
    let folder = tempfile::tempdir().unwrap();
    let (process, mut told) = spawned(&server, "exec sleep 600", folder.path()).await;
    runs("until [ -e /run/waits ]; do sleep 0.05; done").await;
    process.stop(PATIENCE).await;
    // Nothing in the guest tells that the signal has met nobody.
    sleep(Duration::from_secs(1)).await;
    runs(": >/run/go").await;
    // It may be asked before it can set a trap.
    assert_eq!(timeout(PATIENCE, ended(&mut told)).await.unwrap(), 128 + 15);
}
