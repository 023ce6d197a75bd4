//! What every guest does with processes.

#![allow(unreachable_pub, reason = "each clause is named by the macro")]

use std::sync::Arc;
use std::time::Duration;

use guests::process::{
    self, Event, Guest, Limits, Offset, OutputStream, ProcessExit, ProcessId, ProcessSpec, ProcessState,
    StdinMode, User,
};
use tokio::time::timeout;
use transports::{Bounds, Captured, Command, Session, Ssh, SshOptions, Stdin, Stream, Transport, capture};

use super::machines::Machine;
use super::servers::Server;

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where a guest is.
pub enum At {
    Server(Server),
    Machine(Machine),
}

impl At {
    async fn connect(&self) -> Arc<dyn Session> {
        match self {
            Self::Server(server) => {
                Ssh::new(SshOptions::default()).connect(&server.target()).await.unwrap().into()
            }
            Self::Machine(machine) => machine.connect().await,
        }
    }
}

/// A guest that a clause has for itself.
pub struct Place {
    pub at: At,
    pub session: Arc<dyn Session>,
    pub guest: Arc<dyn Guest>,
}

impl Place {
    pub async fn new(server: Server) -> Self {
        Self::at(At::Server(server)).await
    }

    pub async fn on(machine: Machine) -> Self {
        Self::at(At::Machine(machine)).await
    }

    async fn at(at: At) -> Self {
        let session = at.connect().await;
        let guest = process::detect(&*session).await.unwrap();
        Self { at, session, guest }
    }

    pub async fn connect(&self) -> Arc<dyn Session> {
        self.at.connect().await
    }

    pub async fn start(&self, spec: &ProcessSpec) -> ProcessState {
        timeout(PATIENCE, self.guest.start(&*self.session, spec)).await.unwrap().unwrap()
    }

    pub async fn state(&self, spec: &ProcessSpec) -> ProcessState {
        timeout(PATIENCE, self.guest.state(&*self.session, &spec.id)).await.unwrap().unwrap()
    }

    pub async fn follow(&self, spec: &ProcessSpec, from: Option<Offset>) -> OutputStream {
        self.guest.follow(self.session.clone(), &spec.id, from).await.unwrap()
    }

    pub async fn remove(&self, spec: &ProcessSpec) {
        timeout(PATIENCE, self.guest.remove(&*self.session, &spec.id)).await.unwrap().unwrap();
        assert_eq!(self.state(spec).await, ProcessState::Absent);
    }

    pub async fn command(&self, command: Command) -> Captured {
        let bounds = Bounds { timeout: Some(PATIENCE), limit_bytes: 1 << 20 };
        capture(&*self.session, command, bounds).await.unwrap()
    }

    pub async fn sh(&self, script: &str) -> String {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        let captured = self.command(Command { argv, stdin: Stdin::Closed }).await;
        String::from_utf8(captured.stdout).unwrap().trim().to_owned()
    }

    /// Starts it, reads all that it prints, and removes it.
    pub async fn run(&self, spec: &ProcessSpec) -> Told {
        self.start(spec).await;
        let told = read(&mut self.follow(spec, None).await).await;
        assert_eq!(self.state(spec).await, ProcessState::Exited(told.exit.clone()));
        self.remove(spec).await;
        told
    }
}

/// What a process printed and how it ended.
#[derive(Debug)]
pub struct Told {
    pub stdout: String,
    pub stderr: String,
    pub exit: ProcessExit,
}

pub async fn next(stream: &mut OutputStream) -> Event {
    timeout(PATIENCE, stream.next()).await.expect("an event in time").expect("an event").expect("no error")
}

pub async fn read(stream: &mut OutputStream) -> Told {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match next(stream).await {
            Event::Output { stream: Stream::Stdout, data, .. } => stdout.extend_from_slice(&data),
            Event::Output { stream: Stream::Stderr, data, .. } => stderr.extend_from_slice(&data),
            Event::Exited(exit) => {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return Told { stdout: text(stdout), stderr: text(stderr), exit };
            }
        }
    }
}

pub fn spec(id: &str, argv: &[&str]) -> ProcessSpec {
    ProcessSpec {
        id: ProcessId::new(id).unwrap(),
        argv: argv.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        working_dir: None,
        user: User::default(),
        stdin: StdinMode::Closed,
        tty: false,
        limits: Limits::default(),
        no_new_privileges: false,
        message_path: None,
        stop_signal: None,
    }
}

pub fn script(id: &str, script: &str) -> ProcessSpec {
    spec(id, &["sh", "-c", script])
}

/// Makes a module for each guest, with a test for each clause, and a function that does all clauses in turn.
#[macro_export]
macro_rules! contract {
    ($($make:ident),*) => {
        $(mod $make {
            $crate::contract!(@tests super::$make: clauses);
        })*
        $crate::contract!(@all clauses);
    };
    (@tests $make:path: clauses) => {
        $crate::contract!(@tests $make: exit_codes, signals_are_told_and_end_it, words_and_values_survive, environment_is_what_is_asked, directory_user_and_groups, a_start_happens_once, megabytes_arrive_once_across_cuts, an_unread_process_waits_and_goes_on, removal_ends_all_that_it_started, messages_are_read, standard_input_once_and_kept, a_terminal, another_program_inside, a_killed_supervisor_is_told, late_followers_join, limits_hold);
    };
    (@all clauses) => {
        $crate::contract!(@all exit_codes, signals_are_told_and_end_it, words_and_values_survive, environment_is_what_is_asked, directory_user_and_groups, a_start_happens_once, megabytes_arrive_once_across_cuts, an_unread_process_waits_and_goes_on, removal_ends_all_that_it_started, messages_are_read, standard_input_once_and_kept, a_terminal, another_program_inside, a_killed_supervisor_is_told, late_followers_join, limits_hold);
    };
    (@tests $make:path: $($clause:ident),*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            $crate::contract::$clause(&$make().await).await;
        })*
    };
    (@all $($clause:ident),*) => {
        async fn every_clause(place: &Place) {
            $(
                let began = std::time::Instant::now();
                $crate::contract::$clause(place).await;
                let text = format!("{} took {:?}\n", stringify!($clause), began.elapsed());
                std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
            )*
        }
    };
}

pub async fn exit_codes(place: &Place) {
    for code in [0, 7, 255] {
        let told = place.run(&script("code", &format!("echo out; echo err >&2; exit {code}"))).await;
        assert_eq!((told.exit.code, &told.stdout[..], &told.stderr[..]), (code, "out\n", "err\n"));
        assert_eq!((told.exit.oom, &told.exit.message[..]), (false, ""));
    }
    let told = place.run(&spec("none", &["/no/such program"])).await;
    assert!(told.exit.code == 127 && told.stderr.contains("/no/such program"), "{told:?}");
}

pub async fn signals_are_told_and_end_it(place: &Place) {
    // What stops gracefully; what does not; every signal that a shell in the background would ignore.
    for (signal, code) in [("TERM", 143), ("INT", 130), ("QUIT", 131), ("KILL", 137)] {
        let spec = script("signalled", "trap '' USR1; sleep 1000 & echo ready; exec sleep 1000");
        let ProcessState::Running { pid, .. } = place.start(&spec).await else { panic!("it runs") };
        let mut stream = place.follow(&spec, None).await;
        assert!(matches!(next(&mut stream).await, Event::Output { .. }));
        assert!(matches!(place.state(&spec).await, ProcessState::Running { pid: same, .. } if same == pid));
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        let exit = read(&mut stream).await.exit;
        assert_eq!((exit.code, exit.signal), (code, u32::try_from(code - 128).ok()), "{signal}");
        assert_eq!(
            place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep '[s]leep 1000'").await,
            ""
        );
        // Nothing is left to be signalled.
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        place.remove(&spec).await;
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        place.remove(&spec).await;
    }
    let spec = script("handled", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 1; done");
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    assert!(matches!(next(&mut stream).await, Event::Output { .. }));
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    let told = read(&mut stream).await;
    assert_eq!((told.exit.code, &told.stdout[..]), (3, "asked\n"));
    place.remove(&spec).await;
}

/// Text that some shell would change.
const ODD: [&str; 14] = [
    "",
    " ",
    "two words",
    "it's",
    "\"",
    "$HOME `id` $(id)",
    "\\",
    "\\n",
    "!!",
    "a\nb\n",
    "\t\r",
    "ü🦀",
    "*",
    "\u{1}",
];

pub async fn words_and_values_survive(place: &Place) {
    let mut argv = vec!["printf", "%s|"];
    argv.extend(ODD);
    let told = place.run(&spec("words", &argv)).await;
    assert_eq!(told.stdout, ODD.map(|word| format!("{word}|")).concat());
    let mut spec = script(
        "values",
        "for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13; do eval \"printf '%s|' \\\"\\$v$n\\\"\"; done",
    );
    spec.env = ODD.iter().enumerate().map(|(n, value)| (format!("v{n}"), (*value).to_owned())).collect();
    let told = place.run(&spec).await;
    assert_eq!(told.stdout, ODD.map(|word| format!("{word}|")).concat());
    // Longer than any command line, and more than fits into a pipe.
    let mut spec = script("long", "printf '%s' \"$LONG\" | wc -c; printf '%s' \"$1\" | wc -c");
    spec.argv.extend(["sh".to_owned(), "y".repeat(100_000)]);
    spec.env.push(("LONG".to_owned(), "x'".repeat(50_000)));
    let told = place.run(&spec).await;
    assert_eq!(told.stdout.split_whitespace().collect::<Vec<_>>(), ["100000", "100000"], "{told:?}");
}

pub async fn environment_is_what_is_asked(place: &Place) {
    let mut spec = spec("env", &["env"]);
    let asked = [
        ("a.b", "dotted it's"),
        ("with-dash", ""),
        ("UID", "x"),
        ("LC_ALL", "xx_YY.UTF-8"),
        ("IFS", "a"),
        ("PATH", "/usr/bin:/bin"),
        ("d", "1"),
        ("id", "2"),
        ("HOME", "/nowhere"),
        ("u", "$PATH"),
    ];
    spec.env = asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let told = place.run(&spec).await;
    assert_eq!((told.exit.code, &told.stderr[..]), (0, ""));
    let lines: Vec<&str> = told.stdout.lines().collect();
    for (name, value) in asked {
        assert!(lines.contains(&&format!("{name}={value}")[..]), "{name} in {lines:?}");
    }
    let own = ["PWD", "OLDPWD", "SHLVL", "_", "INFRANETES_PROCESS"];
    for line in lines {
        let (name, _) = line.split_once('=').unwrap();
        assert!(own.contains(&name) || asked.iter().any(|(asked, _)| *asked == name), "{line}");
    }
}

pub async fn directory_user_and_groups(place: &Place) {
    let script_ = "pwd; id -u; id -g; id -G; echo $HOME; echo out >/dev/stdout; echo x >mine && echo wrote";
    let mut spec = script("user", script_);
    spec.working_dir = Some("/tmp/infra test's dir".into());
    spec.user = User { uid: Some(65534), gid: Some(4321), groups: vec![77, 88], name: None };
    let told = place.guest.start(&*place.session, &spec).await;
    match told {
        Ok(_) => {
            let told = read(&mut place.follow(&spec, None).await).await;
            let lines: Vec<&str> = told.stdout.lines().collect();
            assert_eq!(lines[..3], ["/tmp/infra test's dir", "65534", "4321"], "{told:?}");
            let mut groups: Vec<&str> = lines[3].split(' ').collect();
            groups.sort_unstable();
            assert!(["4321", "77", "88"].iter().all(|group| groups.contains(group)), "{groups:?}");
            assert_eq!(lines[5..], ["out"], "a process of another user opens its own output again: {told:?}");
            place.remove(&spec).await;
        }
        // Nothing was started where the guest cannot.
        Err(guests::Error::Unsupported(why)) => {
            assert!(
                why.contains("setpriv") && place.sh("command -v chroot").await.contains("chroot"),
                "{why}"
            );
            assert_eq!(place.state(&spec).await, ProcessState::Absent);
        }
        Err(error) => panic!("{error}"),
    }
    spec.user = User { name: Some("nobody".into()), ..User::default() };
    spec.argv[2] = "id -u; id -g; echo $HOME".into();
    let told = place.run(&spec).await;
    let expected = place.sh("id -u nobody; id -g nobody; grep ^nobody: /etc/passwd | cut -d: -f6").await;
    assert_eq!(told.stdout.trim(), expected, "{told:?}");
    spec.user = User { name: Some("no-such-user".into()), ..User::default() };
    let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
    assert!(matches!(&error, guests::Error::Unsupported(why) if why.contains("no-such-user")), "{error}");
    assert_eq!(place.state(&spec).await, ProcessState::Absent);
    place.sh("rm -rf '/tmp/infra test'\\''s dir'").await;
}

pub async fn a_start_happens_once(place: &Place) {
    let folder = place.sh("mktemp -d").await;
    let spec = script("once", &format!("echo run >>{folder}/runs; echo ready; exec sleep 1000"));
    let starts = futures(place, &spec).await;
    assert!(starts.windows(2).all(|two| two[0] == two[1]), "{starts:?}");
    assert_eq!(place.start(&spec).await, starts[0]);
    let first = next(&mut place.follow(&spec, None).await).await;
    assert!(matches!(first, Event::Output { .. }), "{first:?}");
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    let exit = read(&mut place.follow(&spec, None).await).await.exit;
    assert_eq!(place.start(&spec).await, ProcessState::Exited(exit));
    assert_eq!(place.sh(&format!("cat {folder}/runs")).await, "run");
    place.remove(&spec).await;
    place.sh(&format!("rm -r {folder}")).await;
}

/// Three starts at once.
async fn futures(place: &Place, spec: &ProcessSpec) -> Vec<ProcessState> {
    let (a, b, c) = tokio::join!(place.start(spec), place.start(spec), place.start(spec));
    vec![a, b, c]
}

pub async fn megabytes_arrive_once_across_cuts(place: &Place) {
    let spec = script(
        "mega",
        "i=0; while [ $i -lt 60000 ]; do echo \"line $i of many that are printed\"; i=$((i+1)); done",
    );
    place.start(&spec).await;
    let (mut all, mut from, mut cuts) = (Vec::new(), None, 0);
    let mut session = place.session.clone();
    'whole: loop {
        let mut stream = place.guest.follow(session.clone(), &spec.id, from.clone()).await.unwrap();
        for _ in 0..4 + cuts {
            match timeout(PATIENCE, stream.next()).await.expect("in time") {
                Some(Ok(Event::Output { data, next, stream: of })) => {
                    assert_eq!(of, Stream::Stdout);
                    all.extend_from_slice(&data);
                    stream.release(&next);
                    from = Some(next);
                }
                Some(Ok(Event::Exited(exit))) => {
                    assert_eq!(exit.code, 0);
                    break 'whole;
                }
                Some(Err(error)) => panic!("{error}"),
                None => panic!("it ended without an exit"),
            }
        }
        // Now and then its connection goes too.
        if cuts % 2 == 0
            && let At::Server(server) = &place.at
        {
            server.cut();
            let error = loop {
                match timeout(PATIENCE, stream.next()).await.expect("in time") {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("it ended without a word"),
                }
            };
            assert!(error.retryable(), "{error}");
            session = place.connect().await;
        }
        cuts += 1;
    }
    let expected: Vec<u8> =
        (0..60000).flat_map(|n| format!("line {n} of many that are printed\n").into_bytes()).collect();
    assert!(all == expected, "{} of {} bytes, {cuts} cuts", all.len(), expected.len());
    assert!(cuts > 2, "nothing was cut");
    place.guest.remove(&*session, &spec.id).await.unwrap();
}

pub async fn an_unread_process_waits_and_goes_on(place: &Place) {
    let total: usize = 12 << 20;
    let spec = script(
        "unread",
        &format!("dd if=/dev/zero bs=65536 count={} 2>/dev/null | tr '\\0' x; echo end >&2", total >> 16),
    );
    place.start(&spec).await;
    let used = || place.sh("du -sk /run/infranetes | cut -f1");
    // It stops by itself: the same size three times, and less than what it prints.
    let (mut last, mut same) = (String::new(), 0);
    while same < 3 {
        let now = used().await;
        same = if now == last && now.parse::<usize>().unwrap() > 4000 { same + 1 } else { 0 };
        assert!(now.parse::<usize>().unwrap() < 6 << 10, "{now} KiB");
        last = now;
        place.sh("sleep 0.2 2>/dev/null || sleep 1").await;
    }
    assert!(matches!(place.state(&spec).await, ProcessState::Running { .. }));
    let mut stream = place.follow(&spec, None).await;
    let (mut count, mut from) = (0, None);
    let exit = loop {
        match next(&mut stream).await {
            Event::Output { stream: Stream::Stdout, data, next } => {
                assert!(data.iter().all(|byte| *byte == b'x'));
                count += data.len();
                stream.release(&next);
                from = Some(next);
            }
            Event::Output { data, .. } => assert_eq!(data, "end\n"),
            Event::Exited(exit) => break exit,
        }
    };
    assert_eq!((exit.code, count), (0, total));
    // What was released is gone from the guest.
    assert!(used().await.parse::<usize>().unwrap() < 2 << 10);
    let told = read(&mut place.follow(&spec, from).await).await;
    assert_eq!((&told.stdout[..], told.exit), ("", exit));
    place.remove(&spec).await;
}

pub async fn removal_ends_all_that_it_started(place: &Place) {
    let spec = script(
        "tree",
        "setsid sleep 1001 & (sleep 1001 &) ; sh -c 'sleep 1001 & sleep 1001' & echo ready; wait; sleep 1001",
    );
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    assert!(matches!(next(&mut stream).await, Event::Output { .. }));
    let count = || place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^1001$'");
    assert_ne!(count().await, "0");
    place.remove(&spec).await;
    assert_eq!(count().await, "0");
    // The follower of what was removed does not hang.
    while let Some(Ok(Event::Output { .. })) = timeout(PATIENCE, stream.next()).await.expect("it ends") {}
    // What outlives its main process ends with it.
    let spec = script("left", "setsid sleep 1001 & sleep 1001 & exit 4");
    assert_eq!(place.run(&spec).await.exit.code, 4);
    assert_eq!(count().await, "0");
}

pub async fn messages_are_read(place: &Place) {
    let folder = place.sh("mktemp -d").await;
    let path = format!("{folder}/deep er/log");
    let mut spec = script("message", "cat \"$M\"; printf 'it said:\\nbye' >\"$M\"; exit 2");
    spec.env.push(("M".into(), path.clone()));
    spec.message_path = Some(path.clone());
    place.sh(&format!("mkdir -p '{folder}/deep er'; echo old >'{path}'")).await;
    let told = place.run(&spec).await;
    assert_eq!(
        (&told.stdout[..], told.exit.code, &told.exit.message[..]),
        ("", 2, "it said:\nbye"),
        "{told:?}"
    );
    spec.argv[2] = "dd if=/dev/zero bs=9000 count=1 2>/dev/null | tr '\\0' y >\"$M\"".into();
    assert_eq!(place.run(&spec).await.exit.message, "y".repeat(4096));
    place.sh(&format!("rm -r {folder}")).await;
}

async fn write(place: &Place, spec: &ProcessSpec, text: &'static str) {
    let mut process = place.session.exec(process::stdin(&spec.id)).await.unwrap();
    process.stdin.take().unwrap().send(bytes::Bytes::from_static(text.as_bytes())).await.unwrap();
    assert_eq!(timeout(PATIENCE, process.exit).await.unwrap().unwrap(), transports::Exit::Code(0));
}

pub async fn standard_input_once_and_kept(place: &Place) {
    let mut spec = spec("cat", &["cat"]);
    spec.stdin = StdinMode::Once;
    place.start(&spec).await;
    write(place, &spec, "one\n").await;
    place.command(process::end_stdin(&spec.id)).await;
    let told = read(&mut place.follow(&spec, None).await).await;
    assert_eq!((&told.stdout[..], told.exit.code), ("one\n", 0));
    place.remove(&spec).await;
    spec.stdin = StdinMode::Kept;
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    for text in ["one\n", "two\n"] {
        write(place, &spec, text).await;
        assert!(matches!(next(&mut stream).await, Event::Output { data, .. } if data == text));
    }
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    assert_eq!(read(&mut stream).await.exit.code, 143);
    let late = place.command(Command { stdin: Stdin::Closed, ..process::stdin(&spec.id) }).await;
    assert_eq!(late.exit, transports::Exit::Code(3));
    place.remove(&spec).await;
    spec.stdin = StdinMode::Closed;
    assert_eq!(place.run(&spec).await.exit.code, 0);
}

pub async fn a_terminal(place: &Place) {
    let mut spec = script(
        "tty",
        "test -t 0 && test -t 1 && test -t 2 && echo all; stty size; read -r x; echo \"got $x\"; stty size; exit 5",
    );
    spec.tty = true;
    spec.stdin = StdinMode::Kept;
    if place.sh("command -v script python3").await.is_empty() {
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, guests::Error::Unsupported(why) if why.contains("script")), "{error}");
        assert_eq!(place.state(&spec).await, ProcessState::Absent);
        return;
    }
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    let mut seen = String::new();
    while !seen.contains("all\r\n") || seen.lines().count() < 2 {
        let Event::Output { data, .. } = next(&mut stream).await else { panic!("it ended: {seen}") };
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    let resized = place.command(process::resize(&spec.id, 132, 43)).await;
    assert_eq!(resized.exit, transports::Exit::Code(0), "{resized:?}");
    write(place, &spec, "typed\n").await;
    let told = read(&mut stream).await;
    assert!(told.stdout.contains("got typed\r\n43 132\r\n"), "{told:?}");
    assert_eq!((told.exit.code, &told.stderr[..]), (5, ""));
    place.remove(&spec).await;
}

pub async fn another_program_inside(place: &Place) {
    let mut spec = spec("outer", &["sleep", "1002"]);
    spec.env = vec![("A".into(), "it's $A".into()), ("o.dd".into(), "1".into())];
    spec.working_dir = Some("/usr".into());
    spec.user.name = Some("nobody".into());
    place.start(&spec).await;
    let argv = ["sh", "-c", "echo \"$A|$1\"; pwd; id -u; cat; exit 9", "sh", "x y'"].map(str::to_owned);
    let captured = place.command(process::inside(&spec.id, &argv, Stdin::Bytes("typed\n".into()))).await;
    let uid = place.sh("id -u nobody").await;
    assert_eq!(
        String::from_utf8_lossy(&captured.stdout),
        format!("it's $A|x y'\n/usr\n{uid}\ntyped\n"),
        "{captured:?}"
    );
    assert_eq!(captured.exit, transports::Exit::Code(9));
    let captured = place.command(process::inside(&spec.id, &["env".to_owned()], Stdin::Closed)).await;
    assert!(String::from_utf8_lossy(&captured.stdout).lines().any(|line| line == "o.dd=1"), "{captured:?}");
    assert!(matches!(place.state(&spec).await, ProcessState::Running { .. }));
    // It ends with the process.
    let argv = ["sh", "-c", "echo ready; exec sleep 1002"].map(str::to_owned);
    let mut beside = place.session.exec(process::inside(&spec.id, &argv, Stdin::Closed)).await.unwrap();
    assert_eq!(beside.output.recv().await.unwrap().data, "ready\n");
    place.guest.signal(&*place.session, &spec.id, "KILL").await.unwrap();
    timeout(PATIENCE, beside.exit).await.expect("it ends").unwrap();
    let exit = read(&mut place.follow(&spec, None).await).await.exit;
    assert_eq!(exit.code, 137);
    let captured = place.command(process::inside(&spec.id, &argv, Stdin::Closed)).await;
    assert_eq!(captured.exit, transports::Exit::Code(126));
    place.remove(&spec).await;
}

pub async fn a_killed_supervisor_is_told(place: &Place) {
    for pumps in [false, true] {
        for followed in [true, false] {
            let spec = script("orphan", "echo ready; sleep 1003");
            place.start(&spec).await;
            let mut stream = place.follow(&spec, None).await;
            assert!(matches!(next(&mut stream).await, Event::Output { .. }));
            if !followed {
                drop(stream);
                stream = place.follow(&spec, Some(Offset::now())).await;
            }
            let kill = if pumps {
                "for p in $(grep -l \"^[0-9]* (.*) . [0-9]* [0-9]* $s \" /proc/[0-9]*/stat); do p=${p#/proc/}; kill -9 ${p%/stat}; done"
            } else {
                "kill -9 $s"
            };
            place
                .sh(&format!("set -- /run/infranetes/*/orphan/supervisor; read s t <$1 || exit; {kill}"))
                .await;
            let exit = if followed {
                read(&mut stream).await.exit
            } else {
                let ProcessState::Exited(exit) = place.state(&spec).await else { panic!("it has ended") };
                exit
            };
            assert_eq!(exit.code, 137);
            assert_eq!(place.state(&spec).await, ProcessState::Exited(exit));
            assert_eq!(
                place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^1003$'").await,
                "0"
            );
            place.remove(&spec).await;
        }
    }
}

pub async fn late_followers_join(place: &Place) {
    let mut spec = script("late", "echo before; echo error >&2; while read -r x; do echo \"got $x\"; done");
    spec.stdin = StdinMode::Kept;
    place.start(&spec).await;
    let mut first = place.follow(&spec, None).await;
    for _ in 0..2 {
        assert!(matches!(next(&mut first).await, Event::Output { .. }));
    }
    let mut late = place.follow(&spec, Some(Offset::now())).await;
    // It has joined when its own place in the guest is there.
    while place.sh("ls -d /run/infranetes/*/late/w.[0-9]* | wc -l").await != "2" {}
    write(place, &spec, "one\n").await;
    for stream in [&mut first, &mut late] {
        let Event::Output { data, next: offset, .. } = next(stream).await else { panic!("it ended") };
        assert_eq!((&data[..], offset), (&b"got one\n"[..], Offset("p1:15:6".into())));
    }
    place.remove(&spec).await;
}

pub async fn limits_hold(place: &Place) {
    let mut spec = script("limits", "i=0; while [ $i -lt 40 ]; do sleep 1004 & i=$((i+1)); done; echo all");
    spec.limits.pids = Some(20);
    if let Err(error) = place.guest.start(&*place.session, &spec).await {
        // Without control groups nothing is started, and the limit is named.
        assert!(
            matches!(&error, guests::Error::Unsupported(why) if why.contains("cannot limit processes")),
            "{error}"
        );
        assert_eq!(place.state(&spec).await, ProcessState::Absent);
        assert_ne!(place.sh("grep -cs pids /sys/fs/cgroup/cgroup.controllers").await, "1");
        return;
    }
    let told = read(&mut place.follow(&spec, None).await).await;
    assert!(told.exit.code != 0 || !told.stdout.contains("all"), "{told:?}");
    place.remove(&spec).await;
    let mut spec = script("memory", "x=x; while :; do x=$x$x; done");
    spec.limits = Limits { memory_bytes: Some(24 << 20), milli_cpus: Some(500), pids: None };
    let told = place.run(&spec).await;
    assert!(told.exit.oom && told.exit.code == 137, "{told:?}");
    assert_eq!(
        place.sh("ls -d /sys/fs/cgroup/infranetes/*/ /sys/fs/cgroup/*/infranetes/*/ 2>/dev/null").await,
        ""
    );
}
