//! What people type to speak with a pod, on one whose containers are a machine, a shell in it, and a process that fails once.

use std::time::{Duration, Instant};

use crate::{BOOT, Fixture, MOMENT};

/// The rows and columns of a terminal.
const SIZE: (u16, u16) = (37, 111);

#[test]
fn people_speak_with_a_pod() {
    let Some(fixture) = Fixture::new() else { return };
    let image = fixture.image();
    fixture.cluster.kubectl().apply(&manifest(&image)).unwrap();
    fixture.until(BOOT, &["get", "pod", "app", "-o", STARTED], |started| started == "true true true");
    fixture.exec_has_a_terminal_and_an_exit_code();
    fixture.files_are_copied_both_ways();
    fixture.attach_joins_a_process_and_the_console();
    fixture.a_port_is_forwarded();
    fixture.logs_are_read_as_people_ask();
    fixture.what_is_described_is_understood(&image);
    fixture.what_debug_has_of_a_machine(&image);
    // Who follows its log sees its end.
    let mut followed = fixture.cluster.kubectl().talk(&["logs", "-f", "--tail=1", "app", "-c", "machine"]);
    followed.shows("app: line ", MOMENT);
    fixture.kubectl(&["delete", "pod", "app", "--grace-period=0", "--force"]);
    assert!(followed.ends(MOMENT).1.success());
    fixture.nothing_left();
}

/// Whether each of the containers runs.
const STARTED: &str = "jsonpath={.status.containerStatuses[*].started}";

impl Fixture {
    fn in_app(&self, container: &str, script: &str) -> String {
        self.kubectl(&["exec", "app", "-c", container, "--", "sh", "-c", script])
    }

    fn exec_has_a_terminal_and_an_exit_code(&self) {
        let shell = ["exec", "-it", "app", "-c", "machine", "--", "sh"];
        let mut talk = self.cluster.kubectl().on_terminal(SIZE, &shell);
        let asked = Instant::now();
        // Its size follows the session.
        while !talk.soon_shows("37 111\r\n", Duration::from_secs(5)) {
            assert!(asked.elapsed() < MOMENT, "the terminal never had its size");
            talk.types("stty size\r");
        }
        // It speaks itself, so keys are the terminal's by then, and no shell's that would go on.
        talk.types("echo begins-$((1 + 1)); exec cat\r");
        talk.shows("begins-2", MOMENT);
        talk.types("and speaks\r");
        talk.shows("and speaks\r\nand speaks\r\n", MOMENT);
        talk.types("\x03");
        assert_eq!(talk.ends(MOMENT).1.code(), Some(130), "the end by Ctrl-C");
        let mut talk = self.cluster.kubectl().on_terminal(SIZE, &shell);
        talk.types("exit $((4 - 1))\r");
        assert_eq!(talk.ends(MOMENT).1.code(), Some(3));
        let mut talk =
            self.cluster.kubectl().talk(&["exec", "-i", "app", "-c", "machine", "--", "tr", "a-z", "A-Z"]);
        talk.types("as it comes\n");
        talk.hangs_up();
        let (shown, status) = talk.ends(MOMENT);
        assert!(status.success() && shown == b"AS IT COMES\n", "{status}: {shown:?}");
    }

    fn files_are_copied_both_ways(&self) {
        let dir = tempfile::tempdir().unwrap();
        let (from, back) = (dir.path().join("from"), dir.path().join("back"));
        std::fs::create_dir_all(from.join("deep/er")).unwrap();
        let bytes: Vec<u8> =
            (0..1_000_003_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        std::fs::write(from.join("deep/er/all bytes"), &bytes).unwrap();
        std::fs::write(from.join("empty"), "").unwrap();
        std::os::unix::fs::symlink("all bytes", from.join("deep/er/link")).unwrap();
        let copy = |what: &str, to: &str| self.kubectl(&["cp", "-c", "machine", what, to]);
        copy(from.to_str().unwrap(), "app:/tmp/copied");
        assert_eq!(
            self.in_app("machine", "cd /tmp/copied; wc -c <'deep/er/link'; ls"),
            "1000003\ndeep\nempty\n"
        );
        copy("app:/tmp/copied", back.to_str().unwrap());
        assert!(std::fs::read(back.join("deep/er/all bytes")).unwrap() == bytes, "the bytes are the same");
        assert_eq!(std::fs::read(back.join("empty")).unwrap(), b"");
        // It may have read the end of the archive, and be gone, before it tells what `tar` says.
        let missing = || self.cluster.kubectl().run(&["cp", "app:/tmp/absent", back.to_str().unwrap()]);
        let told = || missing().unwrap_or_else(|error| format!("{error:#}")).to_lowercase();
        assert!((0..10).any(|_| told().contains("no such file")), "nobody hears what `tar` says");
    }

    fn attach_joins_a_process_and_the_console(&self) {
        let attach = ["attach", "-i", "app", "-c", "shell"];
        let mut talk = self.cluster.kubectl().talk(&attach);
        talk.types("cd /etc && echo now-in-$PWD\n");
        talk.shows("now-in-/etc\n", MOMENT);
        drop(talk);
        // It is the same shell still.
        let mut talk = self.cluster.kubectl().talk(&attach);
        talk.types("echo still-in-$PWD\n");
        talk.shows("still-in-/etc\n", MOMENT);
        drop(talk);
        let mut talk = self.cluster.kubectl().talk(&["attach", "-i", "app", "-c", "machine"]);
        talk.types("\r");
        talk.shows("login: ", MOMENT);
    }

    fn a_port_is_forwarded(&self) {
        let forward = ["port-forward", "pod/app", "18080:80", "--address=127.0.0.1"];
        let mut talk = self.cluster.kubectl().talk(&forward);
        talk.shows("Forwarding from 127.0.0.1:18080 -> 80", MOMENT);
        for _ in 0..3 {
            assert_eq!(self.page("http://127.0.0.1:18080/"), "hello from mini\n");
        }
    }

    fn logs_are_read_as_people_ask(&self) {
        let logs = |options: &[&str]| self.kubectl(&[&["logs", "app"], options].concat());
        assert_eq!(logs(&["-c", "flaky"]), "the second time\n");
        assert_eq!(logs(&["-c", "flaky", "--previous"]), "the first time\n");
        let none = self.cluster.kubectl().run(&["logs", "app", "-c", "machine", "--previous"]);
        assert!(format!("{:#}", none.unwrap_err()).contains("previous terminated container \"machine\""));

        let ten = self.until(MOMENT, &["logs", "app", "-c", "machine"], |log| numbers(log).len() >= 10);
        assert!(
            ten.contains("Linux version") || ten.contains("boot is done"),
            "the console comes first: {ten}"
        );
        assert_eq!(numbers(&logs(&["-c", "machine", "--tail=4"])).len(), 4);
        // They come some at a time, which may be longer ago.
        let newest = ["logs", "app", "-c", "machine", "--since=3s"];
        let lately = numbers(&self.until(MOMENT, &newest, |log| !numbers(log).is_empty()));
        assert!(lately[0] > 1, "only the last ones: {lately:?}");
        let stamped = logs(&["-c", "machine", "--timestamps"]);
        let (line, at) = stamped.lines().rev().find_map(|line| Some((line, number(line)?))).unwrap();
        let since = format!("--since-time={}", line.split_once(' ').unwrap().0);
        // Of its second, others may be, too; those that were there when the guest first answered are not.
        let later = numbers(&logs(&["-c", "machine", &since]));
        assert!(later.contains(&at) && later[0] > 1, "since {at}: {later:?}");

        let last = *later.last().unwrap();
        // From its beginning: the log goes on while kubectl starts.
        let mut follow = self.cluster.kubectl().talk(&["logs", "-f", "app", "-c", "machine"]);
        for number in last + 3..last + 6 {
            follow.shows(&format!("app: line {number}\n"), MOMENT);
        }
    }

    fn what_is_described_is_understood(&self, image: &str) {
        let described = self.kubectl(&["describe", "pod", "app"]);
        for wanted in [
            "Runtime Class Name:  vm",
            "Container ID:  infranetes://",
            &format!("Successfully pulled image \"{image}\""),
            "Container created",
            "Container started",
            "Exit Code:    3",
        ] {
            let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(plain(&described).contains(&plain(wanted)), "no {wanted:?} in {described}");
        }
        assert!(!described.contains("Warning  Failed"), "{described}");
    }

    /// A container for debugging is one more process in the machine; it has the machine's image, or is refused.
    fn what_debug_has_of_a_machine(&self, image: &str) {
        let with = format!("--image={image}");
        let debug = ["debug", "-i", "app", &with, "-c", "debugger", "--target=shell", "--", "sh"];
        let mut talk = self.cluster.kubectl().talk(&debug);
        talk.types("ps | grep -q '[s]leep 98765' && echo seen-by-$(hostname)\n");
        talk.shows("seen-by-app\n", MOMENT);
        talk.types("exit 5\n");
        talk.ends(MOMENT);
        let ephemeral = |what: &str| {
            format!("jsonpath={{.status.ephemeralContainerStatuses[?(@.name==\"{what}\")].state}}")
        };
        let state = |name: &str, wanted: &[&str]| {
            self.until(MOMENT, &["get", "pod", "app", "-o", &ephemeral(name)], |state| {
                wanted.iter().all(|word| state.contains(word))
            })
        };
        state("debugger", &["terminated", "\"exitCode\":5"]);

        let other = format!("--image={}", image.replace("mini", "dropbear"));
        self.kubectl(&["debug", "app", &other, "-c", "other", "--", "true"]);
        state("other", &["waiting", "CreateContainerError", "a machine has one image"]);
        assert_eq!(
            self.of_pod("app", r#".status.containerStatuses[?(@.name=="machine")].restartCount"#),
            "0"
        );

        let node = ["debug", "node/node", &with, "--", "true"];
        let told = self.kubectl(&node);
        let pod = told.split_whitespace().find(|word| word.starts_with("node-debugger-")).unwrap();
        self.until(MOMENT, &["describe", "pod", pod], |text| {
            text.contains("FailedCreatePodSandBox") && text.contains("hostNetwork is not possible")
        });
        self.kubectl(&["delete", "pod", pod, "--timeout=80s"]);
    }
}

/// The numbers of the application's lines in a log, in their order.
fn numbers(log: &str) -> Vec<u64> {
    log.lines().filter_map(number).collect()
}

fn number(line: &str) -> Option<u64> {
    line.split_once("app: line ")?.1.trim().parse().ok()
}

fn manifest(image: &str) -> String {
    let fails_once = "[ -e /tmp/ran ] || { touch /tmp/ran; echo the first time; exit 3; }";
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  runtimeClassName: vm
  containers:
    - name: machine
      image: {image}
    - name: shell
      image: {image}
      command: [sh]
      stdin: true
    - name: flaky
      image: {image}
      command: [sh, -c, '{fails_once}; echo the second time; exec sleep 98765']
"
    )
}
