//! A client that people use, in Python, and what it is asked to do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use winrm_peer::{Options, Scheme, Server};

pub(crate) const USER: &str = "Administrator";
pub(crate) const PASSWORD: &str = "Grüße & <\"Mond\">";
/// How long anything may take that is asked of a client.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a client answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A command ended.
    Ran { stdout: Vec<u8>, stderr: Vec<u8>, exit: u64 },
    /// There was nothing to tell.
    Done,
    /// The credential was refused.
    Refused,
    /// A fault with this code, or an error that is none.
    Failed(Option<u64>, String),
}

impl Answer {
    pub(crate) fn ran(stdout: &str, stderr: &str, exit: u64) -> Self {
        Self::Ran { stdout: stdout.into(), stderr: stderr.into(), exit }
    }

    /// The code of the fault that it is.
    pub(crate) fn fault(&self) -> Option<u64> {
        match self {
            Self::Failed(code, _) => *code,
            _ => None,
        }
    }
}

/// A client, and the server that it speaks to.
pub(crate) struct Client {
    pub(crate) server: Arc<Server>,
    pub(crate) name: &'static str,
    common: Value,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _certificate: NamedTempFile,
}

impl Client {
    /// Starts a client and a server of its own; `None` where the tests are run without clients.
    pub(crate) async fn start(name: &'static str, auth: &str, tls: bool) -> Option<Self> {
        let mut options = if tls { Options::https(USER, PASSWORD) } else { Options::http(USER, PASSWORD) };
        if auth == "credssp" {
            options.schemes.push(Scheme::CredSsp);
        }
        Self::start_with(name, auth, options).await
    }

    pub(crate) async fn start_with(name: &'static str, auth: &str, options: Options) -> Option<Self> {
        let Some(python) = std::env::var_os("INFRANETES_WINRM_CLIENTS") else {
            // Straight to the standard output: this is not for a reader of a failure.
            let _ = writeln!(std::io::stdout(), "skipped: run by cargo xtask test, which installs {name}");
            return None;
        };
        let server = Arc::new(Server::start(options).await.expect("a server"));
        let mut certificate = NamedTempFile::new().expect("a file");
        let pem = server.certificate_pem().unwrap_or_default();
        certificate.write_all(pem.as_bytes()).expect("the certificate is written");
        let program =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/winrm_clients/with_{name}.py"));
        let mut child = Command::new(python)
            .arg(program)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs");
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("pipes were asked for")
        };
        let common = json!({
            "url": server.url(), "auth": auth, "certificate": certificate.path(),
            "user": USER, "password": PASSWORD,
        });
        let answers = BufReader::new(stdout).lines();
        Some(Self { server, name, common, stdin, answers, _child: child, _certificate: certificate })
    }

    /// Lets all that is asked for be so, where it does not say otherwise.
    #[cfg(feature = "kerberos")]
    pub(crate) fn always(&mut self, key: &str, value: &str) {
        self.common[key] = value.into();
    }

    /// Asks for something.
    pub(crate) async fn ask(&mut self, job: Value) -> Answer {
        let mut whole = self.common.clone();
        for (key, value) in job.as_object().expect("a job is an object") {
            whole[key] = value.clone();
        }
        let answer = timeout(PATIENCE, async {
            self.stdin.write_all(format!("{whole}\n").as_bytes()).await.expect("the client reads");
            self.answers.next_line().await.expect("the client writes").expect("the client answers")
        });
        let answer = answer.await.expect("the client answers in time");
        let answer: Value = serde_json::from_str(&answer).expect("a line of JSON");
        let bytes = |name: &str| answer[name].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
        match (bytes("stdout"), bytes("stderr"), answer["exit"].as_u64()) {
            (Some(stdout), Some(stderr), Some(exit)) => Answer::Ran { stdout, stderr, exit },
            _ if answer.get("refused").is_some() => Answer::Refused,
            _ if answer.get("error").is_some() => {
                Answer::Failed(answer["fault"].as_u64(), answer["error"].to_string())
            }
            _ => Answer::Done,
        }
    }

    /// Runs a script.
    pub(crate) async fn sh(&mut self, script: &str) -> Answer {
        self.ask(json!({"argv": ["sh", "-c", script]})).await
    }
}
