//! Everything that is ever sent to a guest with Windows.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use guests::log::LogSource;
use guests::names::{Names, Resolver};
use guests::process::{Capabilities, Guest as _, Limits, ProcessId, ProcessSpec, StdinMode, User, Windows};
use guests::volume::{self, Entry, Kind, Medium, Mount, Name, Tree as Files};
use guests::{Family, figures, lending, log, process};
use tokio::sync::{mpsc, oneshot};
use transports::{Command, Error, Exit, Output, Process, Result, Session, Stdin, Stream};

/// A command line, and what its standard input begins with.
pub(crate) type Sent = (Vec<String>, Bytes);

/// A guest that says the same to everything, and keeps what it was sent.
#[derive(Debug, Default)]
struct Recorder(Arc<Mutex<Vec<Sent>>>);

#[async_trait::async_trait]
impl Session for Recorder {
    async fn exec(&self, command: Command) -> Result<Process> {
        let Command { argv, stdin } = command;
        let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
        let (output, outputs) = mpsc::channel(1);
        let (told, exit) = oneshot::channel();
        let (kept, piped) = (Arc::clone(&self.0), matches!(stdin, Stdin::Piped));
        let first = if let Stdin::Bytes(bytes) = stdin { bytes } else { Bytes::new() };
        tokio::spawn(async move {
            // The first message of a follower's input has all of its script.
            let first = if piped { receiver.recv().await.unwrap_or_default() } else { first };
            // Who is asked to note a holder says that he did.
            let noted = argv[0] == "cmd.exe" && !first.is_empty();
            let all = Bytes::from_static(b"A\nprocesses\nvolumes\nnames\nD\n");
            let data = if noted { first.clone() } else { all };
            kept.lock().unwrap().push((argv, first));
            let _ = output.send(Output { stream: Stream::Stdout, data }).await;
            let _ = told.send(Exit::Code(0));
        });
        Ok(Process { stdin: piped.then_some(sender), output: outputs, exit, guard: None })
    }

    async fn closed(&self) -> Error {
        std::future::pending().await
    }
}

fn files() -> Files {
    let mut files = Files::new();
    let entry = |kind| Entry { kind, mode: 0o600, uid: 0, gid: 0 };
    files.add("folder", entry(Kind::Directory)).unwrap();
    files.add("folder/password", entry(Kind::File("hunter2".into()))).unwrap();
    files
}

fn spec() -> ProcessSpec {
    ProcessSpec {
        id: ProcessId::new("id-1").unwrap(),
        argv: vec!["app.exe".into(), "hunter2".into()],
        env: vec![("PASSWORD".into(), "hunter2".into())],
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

/// Has everything be sent that is ever sent to a guest with Windows.
pub(crate) async fn everything() -> Vec<Sent> {
    let recorder = Arc::new(Recorder::default());
    let session = &*recorder as &dyn Session;
    let (family, name) = (Family::Windows, Name::new("config").unwrap());
    let mount = Mount { name: &name, part: Some("folder/password"), path: "/C:\\a", read_only: true };
    let (new, old) = (files(), files());
    // What each answers is of no consequence here.
    let _ = volume::put(session, family, &name, &new, Some(&old), Some(&mount)).await;
    let _ = volume::put(session, family, &name, &new, None, None).await;
    let writable = Mount { read_only: false, part: None, ..mount };
    let _ = volume::empty(session, family, &name, Medium::Disk, 0o777, (0, 0), Some(&writable)).await;
    let _ = volume::unmount(session, family, &name).await;
    let _ = volume::remove(session, family, &name).await;
    let _ = figures::figures(session, family).await;
    let servers = vec!["10.0.0.1".parse().unwrap()];
    let resolver = Some(Resolver { servers, search: vec!["local".into()], ..Resolver::default() });
    let names = Names { hostname: "web".into(), resolver };
    let _ = names.set(session, family).await;
    let holder = lending::Holder::new("node-1 a").unwrap();
    let _ = lending::set_names(session, family, &holder, &names).await;
    let _ = lending::give_back(session, family, &holder).await;
    for source in ["eventlog:System", "file:C:\\a.log"] {
        let source = LogSource::parse(source, family).unwrap();
        let mut stream = log::follow(recorder.clone(), family, source, None).await.unwrap();
        let _ = stream.next().await;
    }
    let spec = spec();
    let _ = Windows.start(session, &spec).await;
    let _ = Windows.state(session, &spec.id).await;
    let _ = Windows.signal(session, &spec.id, "TERM").await;
    let _ = Windows.remove(session, &spec.id).await;
    let mut stream = Windows.follow(recorder.clone(), &spec.id, None).await.unwrap();
    let _ = stream.next().await;
    for command in [process::stdin(family, &spec.id), process::end_stdin(family, &spec.id)] {
        let _ = session.exec(Command { stdin: Stdin::Closed, ..command.unwrap() }).await.unwrap().exit.await;
    }
    let sent = std::mem::take(&mut *recorder.0.lock().unwrap());
    assert!(sent.len() > 15, "{}", sent.len());
    sent
}
