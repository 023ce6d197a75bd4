//! A machine that ran before is spoken with, whatever its server speaks: `exec`, `attach` and `port-forward`.

use std::io::Write as _;
use std::time::Duration;

use tests::{Machine, Node, Options, Speaks};

use crate::joining::a_process_is_joined;
use crate::program::{Crictl, pause};
use crate::{files, text, turn};

const IMAGE: &str = "fleet/web-1";
/// How long a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_machine_of_the_fleet_over_ssh() {
    spoken_with(Speaks::Ssh);
}

#[test]
fn a_machine_of_the_fleet_over_winrm() {
    spoken_with(Speaks::Https);
}

#[test]
fn a_machine_of_the_fleet_over_sealed_winrm() {
    spoken_with(Speaks::Http);
}

fn spoken_with(speaks: Speaks) {
    let _turn = turn();
    let folder = tempfile::tempdir().expect("a folder");
    let (inventory, secret) = (folder.path().join("fleet.toml"), folder.path().join("secret"));
    std::fs::write(&inventory, "").expect("a file");
    let mut options = Options::from_env().expect("the tests' environment");
    options.machines = false;
    options.registry = None;
    options.config = format!(
        "[handlers.\"\"]\nprovider = \"fleet\"\n[providers.fleet]\nkind = \"fleet\"\ninventory = \"{}\"\n\
         [network]\nmode = \"builtin\"\n",
        inventory.display()
    );
    let node = Node::start(options).expect("a node");
    let Some(crictl) = Crictl::find(&node) else {
        let _ = writeln!(std::io::stdout(), "skipped: crictl is not here, there was no Go to build it");
        return;
    };
    let machine = Machine::beside(node.namespace(), "192.0.2", speaks, &secret);
    let entry = format!("[[machine]]\nname = \"web-1\"\n{}", machine.entry(machine.proof(), &secret));
    std::fs::write(&inventory, entry).expect("a file");
    let before = machine.state();
    crictl.call(&["pull", IMAGE]);
    let files = files(&node, IMAGE);
    let pod = crictl.call(&["runp", "-T", "120s", text(&files.pod)]);
    let id = crictl.call(&["create", "--no-pull", &pod, text(&files.container), text(&files.pod)]);
    crictl.call(&["start", &id]);

    for transport in ["spdy", "websocket"] {
        streams_are_apart(&crictl, &id, transport);
        a_shell_is_spoken_with(&crictl, &machine, &id, transport);
        a_process_is_joined(&crictl, &node, IMAGE, (&files.pod, &pod), transport, PATIENCE);
        ports_are_reached(&crictl, &node, &machine, &pod, transport);
    }
    crictl.call(&["stopp", &pod]);
    crictl.call(&["rmp", &pod]);
    machine.becomes(&before);
}

fn streams_are_apart(crictl: &Crictl, id: &str, transport: &str) {
    let script = "cat; echo error >&2; exit 7";
    let mut talk = crictl.talk(&["exec", "-i", "--transport", transport, id, "sh", "-c", script]);
    talk.types("typed\n");
    talk.shows("typed\n", PATIENCE);
    talk.hangs_up();
    let (rest, status) = talk.ends(PATIENCE);
    assert!(!status.success() && rest.is_empty(), "{transport}: {status}: {rest:?}");
    let failed =
        crictl.attempt(&["exec", "--transport", transport, id, "sh", "-c", "echo error >&2; exit 7"]);
    let failed = failed.expect_err("it fails");
    assert!(failed.contains("error\n") && failed.contains("exit code 7"), "{transport}: {failed}");
    // Much of it comes whole.
    let mut talk = crictl.talk(&["exec", "--transport", transport, id, "head", "-c", "3000000", "/dev/zero"]);
    talk.hangs_up();
    let (zeros, status) = talk.ends(PATIENCE);
    assert!(status.success() && zeros.len() == 3_000_000, "{transport}: {status}, {} bytes", zeros.len());
}

/// On a terminal of the machine, or by lines where its protocol has none.
fn a_shell_is_spoken_with(crictl: &Crictl, machine: &Machine, id: &str, transport: &str) {
    let call = ["exec", "-it", "--transport", transport, id, "sh"];
    let mut talk = crictl.on_terminal((24, 80), &call);
    if machine.speaks() != Speaks::Ssh {
        talk.shows("has no terminals", PATIENCE);
    }
    talk.types("echo back-$((40 + 3))\x7f\x7f\x7f2))\r");
    talk.shows("back-42\r\n", PATIENCE);
    talk.types("exit 3\r");
    assert!(!talk.ends(PATIENCE).1.success(), "{transport}");
    let mut talk = crictl.on_terminal((24, 80), &call);
    // It speaks itself, so it is in the foreground by then.
    talk.types("sh -c 'echo begins-$((1 + 1)); exec sleep 98765'\r");
    talk.shows("begins-2", PATIENCE);
    talk.types("\x03");
    let sleeps = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 9876[5]' || true";
    let deadline = std::time::Instant::now() + PATIENCE;
    while machine.says(sleeps) != "0" {
        assert!(std::time::Instant::now() < deadline, "{transport}: it sleeps on");
        pause();
    }
}

/// What listens on the machine's address, or where its server forwards to that, on its localhost.
fn ports_are_reached(crictl: &Crictl, node: &Node, machine: &Machine, pod: &str, transport: &str) {
    let mut talk = crictl.talk(&["port-forward", "--transport", transport, pod, "18080:80", "18081:9"]);
    talk.shows("Forwarding from 127.0.0.1:18081", PATIENCE);
    let page = |port: u16| {
        let url = format!("http://127.0.0.1:{port}/");
        let wget = ["wget", "-q", "-O", "-", &url];
        let page = node.namespace().command("busybox").args(wget).output().expect("busybox runs");
        page.status.success().then(|| String::from_utf8_lossy(&page.stdout).into_owned())
    };
    assert_eq!(page(18080), Some(machine.page()), "{transport}");
    assert_eq!(page(18081), None, "{transport}: nothing listens there");
}
