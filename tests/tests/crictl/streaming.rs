//! `crictl exec`, `attach` and `port-forward`, over SPDY and over `WebSocket`, on one machine.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Node, Options, TAKE_TERMINAL, Talk};

use crate::joining::a_process_is_joined;
use crate::program::{Crictl, pause};
use crate::{BOOT, files, pull, text, turn};

/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const TRANSPORTS: [&str; 2] = ["spdy", "websocket"];

/// The machine that all of it is tried on.
struct Machine<'a> {
    node: &'a Node,
    crictl: &'a Crictl<'a>,
    daemon: u32,
    pod: String,
    id: String,
}

#[test]
fn what_runs_in_a_guest_is_spoken_with() {
    let _turn = turn();
    let mut options = Options::from_env().expect("the tests' environment");
    "[timeouts]\nstart-wait-seconds = 110\n".clone_into(&mut options.config);
    let binary = options.binary.clone();
    let mut node = Node::start(options).expect("a node");
    let daemon = node.daemon().id();
    let Some(crictl) = Crictl::find(&node) else {
        let _ = writeln!(std::io::stdout(), "skipped: crictl is not here, there was no Go to build it");
        return;
    };
    let image = format!("{}/guests/mini:latest", node.registry());
    pull(&crictl, &image);
    let files = files(&node, &image);
    let pod = crictl.call(&["runp", "-T", "120s", text(&files.pod)]);
    let id = crictl.call(&["create", "--no-pull", &pod, text(&files.container), text(&files.pod)]);
    crictl.call(&["start", &id]);
    crictl.until(BOOT, &["exec", "-s", &id, "true"]);
    let machine = Machine { node: &node, crictl: &crictl, daemon, pod, id };
    for transport in TRANSPORTS {
        machine.streams_are_apart(transport);
        machine.much_output_comes_whole(transport);
        machine.a_terminal_feels_like_one(transport);
        machine.a_client_that_vanishes_takes_its_command_along(transport);
        machine.it_does_so_behind_its_input(transport);
        machine.a_reader_that_stops_slows_nobody(transport);
    }
    for transport in TRANSPORTS {
        let pod = (files.pod.as_path(), machine.pod.as_str());
        a_process_is_joined(machine.crictl, machine.node, &image, pod, transport, PATIENCE);
    }
    machine.its_limits_change(&image, text(&files.pod));
    machine.our_own_command_line_speaks_too(&binary);
    machine.the_console_has_several_viewers();
    machine.ports_of_the_guest_are_reached();
    crictl.call(&["stop", "-t", "60", &machine.id]);
    let refused = crictl.attempt(&["exec", &machine.id, "true"]).expect_err("it no longer runs");
    assert!(refused.contains("does not run"), "{refused}");
}

impl Machine<'_> {
    fn exec<'b>(&'b self, options: &[&'b str], command: &[&'b str]) -> Vec<&'b str> {
        [&["exec"], options, &[self.id.as_str()], command].concat()
    }

    /// What a command prints in the guest.
    fn asks(&self, script: &str) -> String {
        self.crictl.call(&["exec", "-s", &self.id, "sh", "-c", script])
    }

    fn streams_are_apart(&self, transport: &str) {
        let script = "cat; echo error >&2; exit 7";
        let arguments = self.exec(&["-i", "--transport", transport], &["sh", "-c", script]);
        let mut talk = self.crictl.talk(&arguments);
        talk.types("typed\n");
        talk.shows("typed\n", PATIENCE);
        talk.hangs_up();
        let (rest, status) = talk.ends(PATIENCE);
        assert!(!status.success() && rest.is_empty(), "{transport}: {status}: {rest:?}");
        let arguments = self.exec(&["--transport", transport], &["sh", "-c", "echo error >&2; exit 7"]);
        let failed = self.crictl.attempt(&arguments).expect_err("it fails");
        assert!(failed.contains("error\n") && failed.contains("exit code 7"), "{transport}: {failed}");
    }

    fn much_output_comes_whole(&self, transport: &str) {
        let arguments = self.exec(&["--transport", transport], &["head", "-c", "20000000", "/dev/zero"]);
        let mut talk = self.crictl.talk(&arguments);
        talk.hangs_up();
        let (zeros, status) = talk.ends(PATIENCE);
        assert!(status.success(), "{transport}: {status}");
        assert_eq!((zeros.len(), zeros.iter().any(|byte| *byte != 0)), (20_000_000, false), "{transport}");
    }

    fn a_terminal_feels_like_one(&self, transport: &str) {
        let arguments = self.exec(&["-it", "--transport", transport], &["sh"]);
        let mut talk = self.crictl.on_terminal((37, 111), &arguments);
        for size in [(37, 111), (50, 120)] {
            talk.resizes(size);
            let (rows, columns) = size;
            let deadline = Instant::now() + PATIENCE;
            loop {
                talk.types("stty size\r");
                if talk.soon_shows(&format!("{rows} {columns}\r\n"), Duration::from_secs(5)) {
                    break;
                }
                assert!(Instant::now() < deadline, "{transport}: the terminal never had {size:?}");
            }
        }
        // It speaks itself, so it is in the foreground by then.
        talk.types("sh -c 'echo begins-$((1 + 1)); exec sleep 1000'\r");
        talk.shows("begins-2", PATIENCE);
        talk.types("\x03");
        talk.types("echo back-$((40 + 2))\r");
        talk.shows("back-42", PATIENCE);
        // A program that takes the whole screen: it goes to the line that only this size has.
        talk.types("vi /etc/passwd\r");
        talk.shows("\x1b[50;1H", PATIENCE);
        talk.types(":q!\r");
        talk.types("exit $((4 - 1))\r");
        let (_, status) = talk.ends(PATIENCE);
        assert!(!status.success(), "{transport}: {status}");
    }

    fn a_client_that_vanishes_takes_its_command_along(&self, transport: &str) {
        let script = "echo started; exec sleep 98765";
        for options in [&["-i"][..], &["-it"]] {
            let arguments =
                self.exec(&[options, &["--transport", transport]].concat(), &["sh", "-c", script]);
            let mut talk = self.crictl.on_terminal((24, 80), &arguments);
            talk.shows("started", PATIENCE);
            drop(talk);
            self.ends_in_the_guest("sleep 9876[5]", transport);
        }
    }

    /// The client's end waits behind what it has sent, for its command reads nothing of it.
    fn it_does_so_behind_its_input(&self, transport: &str) {
        let script = "echo started; exec sleep 98765";
        let arguments = self.exec(&["-i", "--transport", transport], &["sh", "-c", script]);
        let mut command = self.crictl.command_under(&[], &arguments);
        let zeros = File::open("/dev/zero").expect("it is there");
        let command = command.stdin(zeros).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = command.spawn().expect("crictl runs");
        let mut started = [0; 8];
        client.stdout.as_mut().expect("a pipe").read_exact(&mut started).expect("it has begun");
        let sent = || read_bytes(client.id());
        let (mut before, deadline) = (0, Instant::now() + PATIENCE);
        while std::mem::replace(&mut before, sent()) != before {
            assert!(Instant::now() < deadline, "{transport}: all of it is taken, though nobody reads");
            pause();
        }
        client.kill().and_then(|()| client.wait()).expect("it ends");
        self.ends_in_the_guest("sleep 9876[5]", transport);
    }

    /// A command that nobody reads stands still in the guest, and costs neither its neighbours time nor the daemon memory.
    fn a_reader_that_stops_slows_nobody(&self, transport: &str) {
        let arguments = self.exec(&["--transport", transport], &["yes", "nobody reads this"]);
        let mut command = self.crictl.command_under(&[], &arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut unread = command.spawn().expect("crictl runs");
        let mut first = [0; 4096];
        unread.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("it has begun");
        let before = self.memory_bytes();
        for number in 0..30 {
            assert_eq!(self.asks(&format!("echo {number}")), number.to_string(), "{transport}");
        }
        let grown = self.memory_bytes().saturating_sub(before);
        assert!(grown < 24 << 20, "{transport}: the daemon has grown by {grown} bytes");
        unread.kill().and_then(|()| unread.wait()).expect("it ends");
        self.ends_in_the_guest("nobody reads thi[s]", transport);
    }

    /// Waits until no process of the guest has this in its command line. A bracket keeps the search from finding itself.
    fn ends_in_the_guest(&self, pattern: &str, transport: &str) {
        let count =
            format!("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '{pattern}' || true");
        let deadline = Instant::now() + PATIENCE;
        while self.asks(&count) != "0" {
            assert!(Instant::now() < deadline, "{transport}: {pattern} is still there");
            pause();
        }
    }

    /// The daemon's resident memory.
    fn memory_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.daemon)).expect("the daemon runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
        let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        kilobytes.expect("a number") << 10
    }

    fn our_own_command_line_speaks_too(&self, binary: &Path) {
        let endpoint = format!("unix://{}", self.node.socket().display());
        let mut command = self.node.namespace().command(TAKE_TERMINAL[0]);
        command.args(&TAKE_TERMINAL[1..]).arg(binary).args(["--endpoint", &endpoint]);
        command.args(["exec", "-it", &self.pod, "--", "sh"]);
        let mut talk = Talk::on_terminal((31, 99), command);
        talk.shows("# ", PATIENCE);
        talk.types("stty size; exit 7\r");
        talk.shows("31 99\r\n", PATIENCE);
        assert_eq!(talk.ends(PATIENCE).1.code(), Some(7));
        let mut command = self.node.namespace().command(binary);
        command.args(["--endpoint", &endpoint, "exec", "-i", &self.pod, "--", "wc", "-c"]);
        let mut piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        // Dropped, it is the end.
        piped.stdin.take().expect("a pipe").write_all(&vec![b'x'; 3_000_000]).expect("it is taken");
        let counted = piped.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "3000000");
    }

    /// `crictl update`, of a process and of the machine.
    fn its_limits_change(&self, image: &str, pod: &str) {
        let config = json!({
            "metadata": { "name": "limited", "attempt": 0 },
            "image": { "image": image },
            "command": ["sleep", "1000"],
            "linux": {},
        });
        let file = self.node.dir().join("limited.json");
        std::fs::write(&file, config.to_string()).expect("a file in the node's folder");
        let id = self.crictl.call(&["create", "--no-pull", &self.pod, text(&file), pod]);
        self.crictl.call(&["start", &id]);
        let limits = ["--cpu-period", "100000", "--cpu-quota", "30000", "--memory", "67108864"];
        self.crictl.call(&[&["update"], &limits[..], &[&id]].concat());
        let told = |id: &str| self.crictl.json(&["inspect", id])["status"]["resources"]["linux"].clone();
        let linux = told(&id);
        assert_eq!((&linux["cpuQuota"], &linux["memoryLimitInBytes"]), (&json!("30000"), &json!("67108864")));
        let group = format!("/sys/fs/cgroup/infranetes/{id}");
        let kept = self.asks(&format!("cat {group}/cpu.max {group}/memory.max"));
        assert_eq!(kept, "30000 100000\n67108864");
        self.crictl.call(&["rm", "-f", &id]);
        self.crictl.call(&["update", "--memory", "419430400", &self.id]);
        assert_eq!(told(&self.id)["memoryLimitInBytes"], "419430400");
        assert_ne!(self.asks("grep '^balloon_inflate ' /proc/vmstat"), "balloon_inflate 0");
        let refused = self.crictl.attempt(&["update", "--memory", "1099511627776", &self.id]);
        assert!(refused.as_ref().is_err_and(|error| error.contains("make its pod anew")), "{refused:?}");
        assert_eq!(told(&self.id)["memoryLimitInBytes"], "419430400");
    }

    fn the_console_has_several_viewers(&self) {
        let mut first = self.crictl.talk(&["attach", "-i", &self.id]);
        first.types("\r");
        first.shows("login: ", PATIENCE);
        let mut second = self.crictl.talk(&["attach", "-i", "--transport", "websocket", &self.id]);
        second.types("root\r");
        second.shows("Password: ", PATIENCE);
        first.shows("Password: ", PATIENCE);
        first.types("infranetes\r");
        first.shows("# ", PATIENCE);
        drop(first);
        second.types("echo console-$((40 + 2)); exit\r");
        second.shows("console-42", PATIENCE);
    }

    fn ports_of_the_guest_are_reached(&self) {
        self.asks("mkdir -p /tmp/web; echo 'from localhost' >/tmp/web/index.html; httpd -p 127.0.0.1:8081 -h /tmp/web");
        for (local, transport) in (18081..).zip(TRANSPORTS) {
            let ports =
                [format!("{local}:8081"), format!("{}:80", local + 100), format!("{}:9", local + 200)];
            let call = ["port-forward", "--transport", transport, &self.pod, &ports[0], &ports[1], &ports[2]];
            let mut talk = self.crictl.talk(&call);
            talk.shows(&format!("Forwarding from 127.0.0.1:{}", local + 200), PATIENCE);
            for _ in 0..2 {
                assert_eq!(self.page(local), Some("from localhost\n".into()), "{transport}");
            }
            assert_eq!(self.page(local + 100), Some("hello from mini\n".into()), "{transport}");
            assert_eq!(self.page(local + 200), None, "{transport}: nothing listens there");
        }
        // The server is restarted with another configuration; the daemon finds its way back by itself.
        let restart = "sleep 1; killall sshd sshd-session; touch /run/restarted; exec /usr/sbin/sshd";
        let detached = format!("setsid sh -c '{restart}' </dev/null >/dev/null 2>&1 &");
        self.asks(&format!("echo 'AllowTcpForwarding no' >>/etc/ssh/sshd_config; {detached}"));
        self.crictl.until(BOOT, &["exec", "-s", &self.id, "test", "-e", "/run/restarted"]);
        let mut talk = self.crictl.talk(&["port-forward", &self.pod, "18300:80", "18301:8081"]);
        talk.shows("Forwarding from 127.0.0.1:18301", PATIENCE);
        assert_eq!(self.page(18300), Some("hello from mini\n".into()), "over the network");
        assert_eq!(self.page(18301), None, "the guest's localhost is out of reach then");
    }

    /// A page from a port of the node.
    fn page(&self, port: u16) -> Option<String> {
        let url = format!("http://127.0.0.1:{port}/");
        let wget = ["wget", "-q", "-O", "-", &url];
        let page = self.node.namespace().command("busybox").args(wget).output().expect("busybox runs");
        page.status.success().then(|| String::from_utf8_lossy(&page.stdout).into_owned())
    }
}

/// What a process has read since it began.
fn read_bytes(process: u32) -> u64 {
    let told = std::fs::read_to_string(format!("/proc/{process}/io")).expect("the process runs");
    let read = told.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|number| number.parse().ok()).expect("a number")
}
