//! Lines that `cmd` runs: that of Debian's wine, which knows Windows' paths, variables and exit codes.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;
use winrm_peer::Options;

use super::client::{Answer, Client, PATIENCE};

const USER: &str = "Administrator";

async fn start(name: &'static str) -> Option<Client> {
    let Some(prefix) = std::env::var_os("INFRANETES_WINE_PREFIX") else {
        // Straight to the standard output: this is not for a reader of a failure.
        let _ = writeln!(std::io::stdout(), "skipped: run by cargo xtask test, which makes a wine prefix");
        return None;
    };
    let options = Options { wine_prefix: Some(PathBuf::from(prefix)), ..Options::http(USER, "p") };
    Client::start_with(name, "ntlm", options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_runs_lines() {
    for name in ["pypsrp", "pywinrm"] {
        let Some(mut client) = start(name).await else { return };
        let mut cmd = async |line: &str| client.ask(json!({"cmd": line, "password": "p"})).await;
        assert_eq!(cmd("echo out& echo err>&2& exit 3").await, Answer::ran("out\r\n", "err\r\n", 3));
        // Codes have 32 bits, and no sign.
        for code in ["0", "255", "256", "70000", "2147483647"] {
            assert_eq!(cmd(&format!("exit {code}")).await, Answer::ran("", "", code.parse().unwrap()));
        }
        assert_eq!(cmd("exit -1073741510").await, Answer::ran("", "", 0xC000_013A));
        assert_eq!(cmd("exit -1").await, Answer::ran("", "", 0xFFFF_FFFF));
        // Its own characters mean what they mean in it, and not more.
        assert_eq!(
            cmd("echo %OS% ^& \"a & b\" !x!").await,
            Answer::ran("Windows_NT & \"a & b\" !x!\r\n", "", 0)
        );
        assert_eq!(cmd("echo one| find \"one\"").await, Answer::ran("one\r\n", "", 0));
        let Answer::Ran { stdout, stderr, exit } = cmd("no-such-program").await else { panic!("it runs") };
        assert_eq!((stdout.is_empty(), stderr.is_empty(), exit), (true, false, 9009));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_has_the_shells_variables_directory_and_input() {
    for name in ["pypsrp", "pywinrm"] {
        let Some(mut client) = start(name).await else { return };
        let job = json!({
            "cmd": "cd& echo %COLOUR%", "password": "p", "environment": {"COLOUR": "red & blue"},
            "directory": "C:\\windows\\system32",
        });
        // `echo` sees what the variable holds before it sees `&`.
        let answer = client.ask(job).await;
        let Answer::Ran { stdout, .. } = &answer else { panic!("{answer:?}") };
        let stdout = String::from_utf8_lossy(stdout);
        assert!(stdout.eq_ignore_ascii_case("C:\\windows\\system32\r\nred \r\n"), "{stdout:?}");
        let job = json!({"cmd": "find \"a\"", "password": "p", "stdin": ["b\r\n", "a\r\n"]});
        assert_eq!(client.ask(job).await, Answer::ran("a\r\n", "", 0));
        let answer = client.ask(json!({"cmd": "cd", "password": "p", "directory": "Q:\\none"})).await;
        assert_eq!(answer.fault(), Some(0x8007_010B), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cmd_is_terminated_with_what_it_runs() {
    for name in ["pypsrp", "pywinrm"] {
        let Some(mut client) = start(name).await else { return };
        let ping = format!("ping -n {} 127.0.0.1", 1000 + std::process::id());
        let line = format!("echo ready& {ping} >nul");
        let answer = client.ask(json!({"cmd": line, "password": "p", "signal": "terminate"})).await;
        assert_eq!(answer.fault(), Some(2_150_858_843), "{answer:?}");
        let ended = client.server.until(|counters| counters.processes == 0);
        timeout(PATIENCE, ended).await.expect("it was killed");
        let until = Instant::now() + Duration::from_secs(10);
        while runs(&ping) {
            assert!(Instant::now() < until, "{ping} still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a process of this machine has such a command line.
fn runs(line: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|told| String::from_utf8_lossy(&told).replace('\0', " ").contains(line))
}
