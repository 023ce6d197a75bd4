//! OpenSSH servers and users with habits of their own: noisy or foreign login shells, forced commands, questions
//! instead of passwords, few sessions, several host keys, old algorithms.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod servers;

use std::process::Command as Host;

use contract::{PATIENCE, command, run, sh};
use futures_util::future::join_all;
use servers::Server;
use servers::user::{User, open_server};
use tokio::time::timeout;
use transports::{Credential, Error, Exit, Identity, Session, Ssh, Target, Transport as _};

async fn assert_arguments_survive(session: &dyn Session) {
    let arguments = [
        "",
        "two words",
        "it's \"so\"",
        "$HOME `id`",
        "\\n\\",
        "!! !x",
        "a\nb\n",
        "ü🦀\u{1}\u{7f}",
        "-n",
        "*",
    ];
    let mut argv = vec!["printf", "%s\\0"];
    argv.extend_from_slice(&arguments);
    let captured = run(session, command(&argv)).await;
    let expected: Vec<u8> = arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect();
    assert_eq!(captured.stdout.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(captured.stderr.escape_ascii().to_string(), "");
    assert_eq!(captured.exit, Exit::Code(0));
}

#[tokio::test]
async fn every_login_shell_carries_arguments_and_kills() {
    let server = open_server("");
    for shell in ["/bin/sh", "/bin/bash", "/bin/dash", "/bin/csh", "/bin/tcsh"] {
        let user = User::new(shell, "x");
        let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
        assert_arguments_survive(&*session).await;
        let mut process = session.exec(sh("echo $$; exec sleep 1000")).await.unwrap();
        let line = timeout(PATIENCE, process.output.recv()).await.unwrap().expect("the id").data;
        let pid = String::from_utf8(line.to_vec()).unwrap();
        drop(process);
        contract::assert_dies(&*session, pid.trim()).await;
    }
}

#[tokio::test]
async fn what_a_login_shell_prints_is_not_the_commands() {
    let server = open_server("");
    for (shell, file) in [("/bin/bash", ".bashrc"), ("/bin/tcsh", ".cshrc")] {
        let user = User::new(shell, "x");
        user.file(file, "echo welcome to this machine\necho -n no newline\nset -x\n");
        let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
        let captured = run(&*session, sh("echo out; echo err >&2")).await;
        assert_eq!((&captured.stdout[..], &captured.stderr[..]), (&b"out\n"[..], &b"err\n"[..]), "{shell}");
    }
}

#[tokio::test]
async fn a_forced_command_is_told_and_its_output_is_not_passed_on() {
    let server = Server::openssh("ForceCommand echo this guest runs only this");
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    let error = session.exec(sh("echo mine")).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("this guest runs only this") && text.contains("ForceCommand"), "{text}");

    let server = open_server("");
    let user = User::new("/usr/sbin/nologin", "x");
    let session = Ssh::default().connect(&user.target(&server)).await.unwrap();
    let text = session.exec(sh("echo mine")).await.unwrap_err().to_string();
    assert!(text.contains("not available") && text.contains("login shell"), "{text}");
}

#[tokio::test]
async fn passwords_answer_the_password_method_and_questions() {
    for (extra, tried) in [
        ("PasswordAuthentication yes\nKbdInteractiveAuthentication no\nPubkeyAuthentication no", "password"),
        (
            "PasswordAuthentication no\nKbdInteractiveAuthentication yes\nPubkeyAuthentication no\nUsePAM yes",
            "keyboard-interactive",
        ),
    ] {
        let server = open_server(extra);
        let user = User::new("/bin/sh", "secret word");
        let with = |password: &str| Target {
            credentials: vec![Credential::Password(password.into())],
            ..user.target(&server)
        };
        let session = Ssh::default().connect(&with("secret word")).await.unwrap();
        let captured = run(&*session, command(&["id", "-un"])).await;
        assert_eq!(captured.stdout, format!("{}\n", user.name).into_bytes());
        let text = Ssh::default().connect(&with("other word")).await.unwrap_err().to_string();
        assert!(text.contains(tried) && text.contains(&user.name) && !text.contains("other word"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_two_proofs_gets_both() {
    let server = open_server("AuthenticationMethods publickey,password\nPasswordAuthentication yes");
    let user = User::new("/bin/sh", "second");
    let mut target = user.target(&server);
    Ssh::default().connect(&target).await.unwrap_err();
    target.credentials.push(Credential::Password("second".into()));
    Ssh::default().connect(&target).await.unwrap();
}

#[tokio::test]
async fn few_sessions_a_connection_are_enough() {
    let server = Server::openssh("MaxSessions 2");
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    join_all((0..12).map(|number| {
        let session = &session;
        async move {
            let captured = run(&**session, sh(&format!("sleep 0.3; echo {number}"))).await;
            assert_eq!(captured.stdout, format!("{number}\n").into_bytes());
        }
    }))
    .await;
}

#[tokio::test]
async fn a_wrong_identity_is_seen_before_any_authentication() {
    let server = Server::openssh("LogLevel DEBUG3");
    let other = transports::generate_key("x").unwrap().public_openssh;
    let target = Target { identity: Identity::Pinned(vec![other]), ..server.target() };
    let error = Ssh::default().connect(&target).await.unwrap_err();
    assert!(matches!(error, Error::WrongIdentity(_)), "{error:?}");
    let log = server.log();
    assert!(log.contains("KEX") && !log.contains("userauth-request"), "{log}");
}

#[tokio::test]
async fn a_fingerprint_finds_its_key_among_several_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = folder.path().join("rsa");
    let made =
        Host::new("ssh-keygen").args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]).arg(&rsa).status();
    assert!(made.unwrap().success());
    let server = Server::openssh(&format!("HostKey {}", rsa.display()));
    let told = Host::new("ssh-keygen").arg("-lf").arg(&rsa).output().unwrap().stdout;
    let fingerprint = String::from_utf8(told).unwrap().split(' ').nth(1).unwrap().to_owned();
    let target = Target { identity: Identity::Pinned(vec![fingerprint]), ..server.target() };
    Ssh::default().connect(&target).await.unwrap();
    let public = std::fs::read_to_string(rsa.with_extension("pub")).unwrap();
    let target = Target { identity: Identity::Pinned(vec![public]), ..server.target() };
    Ssh::default().connect(&target).await.unwrap();
}

#[tokio::test]
async fn an_old_server_is_reached_by_naming_its_algorithms() {
    let server = Server::openssh(
        "KexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc,3des-cbc\nMACs hmac-sha1\nRequiredRSASize 1024",
    );
    let text = Ssh::default().connect(&server.target()).await.unwrap_err().to_string();
    assert!(text.contains("diffie-hellman-group14-sha1") && text.contains("legacy algorithms"), "{text}");
    let names = ["diffie-hellman-group14-sha1", "aes128-cbc", "hmac-sha1"].map(str::to_owned);
    let target = Target { legacy_algorithms: names.to_vec(), ..server.target() };
    let session = Ssh::default().connect(&target).await.unwrap();
    assert_eq!(run(&*session, sh("echo old")).await.stdout, b"old\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_forward_or_terminal_is_told() {
    let server = Server::openssh("AllowTcpForwarding no\nPermitTTY no");
    let session = Ssh::default().connect(&server.target()).await.unwrap();
    let error = session.port_forward().unwrap().connect("127.0.0.1", 9).await.err().expect("forbidden");
    assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
    let terminals = session.terminals().unwrap();
    let error = terminals.open(command(&["true"]), transports::Size::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Forbidden(why) if why.contains("PermitTTY")), "{error:?}");
    assert_eq!(run(&*session, command(&["echo", "on"])).await.stdout, b"on\n");
}
