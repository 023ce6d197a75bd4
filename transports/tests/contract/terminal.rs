//! Commands on a terminal.

use bytes::Bytes;
use tokio::time::timeout;
use transports::{Command, Exit, Size, Stdin, Stream, Terminal, Terminals};

use super::*;

async fn open(terminals: &dyn Terminals, script: &str, size: Size) -> Terminal {
    let argv = vec!["sh".into(), "-c".into(), script.into()];
    terminals.open(Command { argv, stdin: Stdin::Piped }, size).await.expect("a terminal")
}

impl Screen {
    fn of(terminal: &mut Terminal) -> Self {
        let output = std::mem::replace(&mut terminal.process.output, tokio::sync::mpsc::channel(1).1);
        Self { output, shown: Vec::new() }
    }

    /// Waits until the screen shows this.
    async fn shows(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            let more = timeout(PATIENCE, self.output.recv()).await;
            let Ok(Some(more)) = more else {
                panic!("no {text:?} on the screen, only {:?}", self.text());
            };
            assert_eq!(more.stream, Stream::Stdout, "a terminal has one stream");
            self.shown.extend_from_slice(&more.data);
        }
    }

    /// Everything that was shown until the end.
    async fn end(&mut self) -> String {
        while let Some(more) = timeout(PATIENCE, self.output.recv()).await.expect("it ends") {
            assert_eq!(more.stream, Stream::Stdout, "a terminal has one stream");
            self.shown.extend_from_slice(&more.data);
        }
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}

/// What a terminal showed.
struct Screen {
    output: tokio::sync::mpsc::Receiver<transports::Output>,
    shown: Vec<u8>,
}

pub async fn a_terminal_has_its_size_and_one_stream(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    let size = Size { columns: 101, rows: 37 };
    let script = "stty size; echo error >&2; tty -s && echo terminal; echo $TERM; exit 5";
    let mut terminal = open(terminals, script, size).await;
    let shown = Screen::of(&mut terminal).end().await;
    assert_eq!(shown, "37 101\r\nerror\r\nterminal\r\nxterm\r\n");
    assert_eq!(timeout(PATIENCE, terminal.process.exit).await.unwrap().unwrap(), Exit::Code(5));
}

pub async fn a_terminal_is_resized(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done";
    let mut terminal = open(terminals, script, Size::default()).await;
    let mut screen = Screen::of(&mut terminal);
    screen.shows("ready").await;
    terminal.resize.send(Size { columns: 120, rows: 50 }).unwrap();
    screen.shows("50 120").await;
}

pub async fn ctrl_c_reaches_the_foreground(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    // A child that the shell is just forking may lose the signal with its traps, and is waited for: it must not be long.
    let script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 1; done";
    let mut terminal = open(terminals, script, Size::default()).await;
    let mut screen = Screen::of(&mut terminal);
    screen.shows("ready").await;
    terminal.process.stdin.as_ref().unwrap().send(Bytes::from_static(b"\x03")).await.unwrap();
    screen.shows("caught").await;
    screen.end().await;
    assert_eq!(timeout(PATIENCE, terminal.process.exit).await.unwrap().unwrap(), Exit::Code(3));
}

pub async fn a_raw_terminal_carries_every_byte(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    let mut terminal = open(terminals, "stty raw -echo; echo ready; head -c 256", Size::default()).await;
    let mut screen = Screen::of(&mut terminal);
    screen.shows("ready\n").await;
    let every: Vec<u8> = (0..=255).collect();
    terminal.process.stdin.as_ref().unwrap().send(every.clone().into()).await.unwrap();
    screen.end().await;
    assert_eq!(screen.shown, [b"ready\n", &every[..]].concat());
}

pub async fn a_terminal_without_input_goes_on(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    let mut terminal = open(terminals, "echo ready; read -r line; echo \"got $line\"", Size::default()).await;
    let mut screen = Screen::of(&mut terminal);
    screen.shows("ready").await;
    let stdin = terminal.process.stdin.take().unwrap();
    stdin.send(Bytes::from_static(b"last\r")).await.unwrap();
    drop(stdin);
    screen.shows("got last\r\n").await;
    screen.end().await;
    assert_eq!(timeout(PATIENCE, terminal.process.exit).await.unwrap().unwrap(), Exit::Code(0));
}

pub async fn a_dropped_terminal_takes_every_job_along(guest: Guest) {
    let session = guest.session().await;
    let Some(terminals) = guest.terminals(&*session) else { return };
    // Jobs with groups of their own, which ignore that their terminal goes away.
    let script = "set -m; sh -c 'trap \"\" HUP; echo back $$.; sleep 1000' & \
                  sh -c 'trap \"\" HUP; echo fore $$.; sleep 1000; true'";
    let mut terminal = open(terminals, script, Size::default()).await;
    let mut screen = Screen::of(&mut terminal);
    screen.shows("back ").await;
    screen.shows("fore ").await;
    while screen.text().matches('.').count() < 2 {
        let length = screen.shown.len();
        let more = timeout(PATIENCE, screen.output.recv()).await.unwrap().unwrap();
        screen.shown.extend_from_slice(&more.data);
        assert!(screen.shown.len() > length);
    }
    let text = screen.text();
    let pids = ["back ", "fore "].map(|name| text.split_once(name).unwrap().1.split_once('.').unwrap().0);
    for pid in pids {
        assert!(alive(&*session, pid).await, "process {pid} has not started: {text}");
    }
    drop((terminal, screen));
    for pid in pids {
        assert_dies(&*session, pid).await;
    }
}
