//! Pods on machines that are reached over `WinRM`: what a fleet's pod does over SSH, by the very same tests; and what only this
//! protocol can meet with.
//!
//! The machines are Linux inside, for the protocol and what a guest understands are two things: every facility works over
//! whatever session there is. One has the programs of Windows that wine has.

use std::fs;

use proto::runtime::v1::{ContainerConfig, ContainerState, Mount};
use tests::Speaks;

use crate::client::{container, pod};
use crate::fleet::{self, HANDLER, IMAGE, Setup, process, returns};

/// The tests of a fleet, over HTTPS with the password as it is.
mod over_https {
    use super::*;

    const SPEAKS: Speaks = Speaks::Https;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_machine_that_runs_is_adopted_and_given_back() {
        crate::within(360, fleet::adopted(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_machine_that_is_gone_or_another_one_says_so() {
        crate::within(360, fleet::gone(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pods_own_secret_is_the_way_in() {
        crate::within(240, fleet::logins::by_secret(SPEAKS)).await;
    }
}

/// The same, over HTTP with sealed messages.
mod over_http {
    use super::*;

    const SPEAKS: Speaks = Speaks::Http;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_machine_that_runs_is_adopted_and_given_back() {
        crate::within(360, fleet::adopted(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_machine_that_is_gone_says_so() {
        crate::within(360, fleet::gone(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_released_without_a_word_is_given_back_later() {
        crate::within(300, returns::late(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pod_of_processes_and_one_that_starts_again_have_the_machine() {
        crate::within(240, fleet::again(SPEAKS)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_machine_is_shut_down_where_its_entry_allows_that() {
        crate::within(120, fleet::shut_down(SPEAKS)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_shell_costs_the_commands_in_it_and_nothing_else() {
    crate::within(240, lost_shell()).await;
}

async fn lost_shell() {
    let mut setup = Setup::of(Speaks::Http).await;
    let machine_before = setup.machine.state();
    let (pod_id, machine) = setup.start("lost").await;
    let secret = setup.secret("uid-lost", "a secret");
    let process = setup.client.create_with(&pod_id, process(IMAGE, &secret)).await.unwrap();
    setup.client.start(&process).await.unwrap();
    let log = setup.node.pod_logs().join("lost/process/0.log");
    setup.client.logged(&process, &log, "it has a secret").await;

    let (mut client, id) = (setup.client.clone(), machine.clone());
    let running = tokio::spawn(async move {
        client.exec(&id, &["sh", "-c", "echo $$ >>/run/ran; exec sleep 1000"], 60).await
    });
    let begun = "until [ -s /run/ran ]; do sleep 0.05; done; cat /run/ran";
    let pid = setup.machine.says(begun);
    let server =
        "for p in /proc/[0-9]*; do if grep -qx winrm-peer $p/comm; then kill -USR1 ${p#/proc/}; fi; done";
    setup.machine.says(server);
    let error = running.await.unwrap().unwrap_err();
    assert!(error.message().contains("shell"), "{error}");
    assert_eq!(setup.machine.says("cat /run/ran"), pid, "it was not run again");

    // Whatever else there is goes on: commands, the process, its log.
    assert_eq!(setup.client.output(&machine, &["hostname"]).await, "lost");
    setup.client.output(&process, &["sh", "-c", "echo still here >>/run/said"]).await;
    setup.client.logged(&process, &log, "still here").await;
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.matches("it has a secret").count(), 1, "no line comes twice: {lines}");
    for container in [&machine, &process] {
        let state = setup.client.status(container).await.unwrap().state;
        assert_eq!(state, i32::from(ContainerState::ContainerRunning));
    }
    setup.remove(&pod_id).await;
    setup.machine.says("rm /run/said /run/ran /root/kept");
    setup.machine.becomes(&machine_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_not_taken_is_told() {
    crate::within(180, wrong_password()).await;
}

async fn wrong_password() {
    for speaks in [Speaks::Https, Speaks::Http] {
        let mut setup = Setup::of(speaks).await;
        let machine_before = setup.machine.state();
        fs::write(setup.folder.path().join("key"), "not the right one").unwrap();
        let (pod_id, id) = setup.start("outside").await;
        let ended = setup.client.wait_for_end(&id, 60).await;
        let why = (ended.exit_code, ended.reason.as_str());
        assert_eq!(why, (126, "GuestLoginRefused"), "{}", ended.message);
        assert!(ended.message.contains("for user Administrator"), "{}", ended.message);
        assert!(!ended.message.contains("not the right one"), "{}", ended.message);
        setup.remove(&pod_id).await;
        assert_eq!(setup.machine.state(), machine_before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_a_machine_shows_before_anything_is_sent() {
    crate::within(120, commands()).await;
}

async fn commands() {
    let setup = Setup::of(Speaks::Https).await;
    let (_, text) = setup.fleet(&["ls"]);
    assert!(text.contains("192.0.2.2:5986   winrm"), "{text}");
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("it is the pinned one, and it lets us in"), "{text}");
    setup.list(&setup.machine.another_proof(), "");
    let (well, text) = setup.fleet(&["check", "web-1"]);
    assert!(!well && text.contains("another machine") && text.contains(setup.machine.proof()), "{text}");

    let key = setup.folder.path().join("key");
    let entry = |more: &str| {
        format!(
            "[[machine]]\nname = \"new\"\naddress = \"192.0.2.2\"\ntransport = \"winrm\"\nuser = \"Administrator\"\n\
             credential = {{ password-file = \"{}\" }}\n{more}\n",
            key.display()
        )
    };
    setup.write(&entry(""));
    let (well, text) = setup.fleet(&["check"]);
    assert!(!well && text.contains("not pinned") && text.contains("as `certificates`"), "{text}");
    assert!(text.contains(setup.machine.proof()), "{text}");
    setup.write(&entry("trust-on-first-use = true"));
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("first key") && !text.contains("lets us in"), "{text}");
    let (well, text) = setup.fleet(&["check", "--trust"]);
    assert!(well && text.contains("no certificate of it is pinned, and it lets us in"), "{text}");
    // It vouches for itself, by the address that its certificate is made for.
    let authority = setup.machine.certificate().display().to_string();
    setup.write(&entry(&format!("certificate-authority = \"{authority}\"")));
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("lets us in"), "{text}");
    let named = format!("certificate-authority = \"{authority}\"\ncertificate-name = \"other.example\"");
    setup.write(&entry(&named));
    let (well, text) = setup.fleet(&["check"]);
    assert!(!well && text.contains("not for its name"), "{text}");
    setup.write(&entry("authentication = \"negotiate\"\ntrust-on-first-use = true"));
    let (well, text) = setup.fleet(&["check", "--trust"]);
    assert!(!well && text.contains("refused") && text.contains("none of Negotiate"), "{text}");

    let setup = Setup::of(Speaks::Http).await;
    let (well, text) = setup.fleet(&["check"]);
    assert!(well && text.contains("not proven") && text.contains("--trust"), "{text}");
    let (well, text) = setup.fleet(&["check", "--trust"]);
    assert!(well && text.contains("lets us in"), "{text}");
    let untrusted = setup.entry("").replace("trust-on-first-use = true", "");
    setup.write(&format!("[[machine]]\nname = \"web-1\"\n{untrusted}"));
    let (well, text) = setup.fleet(&["check"]);
    assert!(!well && text.contains("not pinned") && text.contains("over HTTPS"), "{text}");
}

/// What `cmd` alone can do; there is no PowerShell here, and its absence has to be a clear state.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_programs_of_windows_is_a_pod_as_far_as_cmd_goes() {
    crate::within(360, wine()).await;
}

async fn wine() {
    let mut setup = Setup::of(Speaks::Wine).await;
    let kept = setup.machine.drive_c().join("windows/Infranetes");
    // The disk is that of other tests, too.
    let _ = fs::remove_dir_all(&kept);
    let note = kept.join("lent");
    let before = setup.node.inventory().unwrap();
    setup.write(&format!("[[machine]]\nname = \"web-1\"\n{}", setup.entry("")));
    let (_, text) = setup.fleet(&["ls"]);
    assert!(text.contains("winrm       windows"), "{text}");

    let (pod_id, id) = setup.start("adopted").await;
    let hello = fleet::said(&mut setup.client, &id, &["cmd.exe", "/c", "echo hello"]).await;
    assert_eq!(hello, "hello");
    assert!(note.exists(), "it is lent");
    let answer = setup.client.exec(&id, &["cmd.exe", "/c", "echo why>&2& exit 7"], 30).await.unwrap();
    assert_eq!((answer.exit_code, String::from_utf8_lossy(&answer.stderr).trim()), (7, "why"));
    let (mut client, of) = (setup.client.clone(), id.clone());
    let probe = tokio::spawn(async move {
        client.exec(&of, &["cmd.exe", "/c", "for /l %i in (0,0,1) do @rem"], 10).await
    });
    let loops = |setup: &Setup, some: bool| {
        // This very search is none.
        let search = "grep -qs '%[i]' /proc/[0-9]*/cmdline";
        let wanted = if some { search.to_owned() } else { format!("! {search}") };
        setup.machine.says(&format!("timeout 60 sh -c \"until {wanted}; do sleep 0.05; done\" && echo seen"))
    };
    assert_eq!(loops(&setup, true), "seen", "it runs on the machine");
    let late = probe.await.unwrap().unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "a probe that takes too long: {late}");
    assert_eq!(loops(&setup, false), "seen", "it was ended on the machine");
    let address = setup.client.pod_status(&pod_id).await.unwrap().network.unwrap().ip;
    assert!(setup.shows_page(&address), "the pod IP leads to the machine");

    setup.restart_daemon().await;
    assert_eq!(fleet::said(&mut setup.client, &id, &["cmd.exe", "/c", "echo again"]).await, "again");
    setup.client.stop(&id, 30).await.unwrap();
    let ended = setup.client.status(&id).await.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (0, "Completed"), "{}", ended.message);
    assert!(!note.exists(), "it is given back");
    setup.remove(&pod_id).await;

    // What takes scripts says what is missing, and leaves the machine free.
    let pod_id = setup.client.run_pod_by(&pod("scripted", &setup.node.pod_logs()), HANDLER).await.unwrap();
    let secret = setup.secret("uid-scripted", "a secret");
    let mounts = vec![Mount {
        container_path: r"/C:\app".into(),
        host_path: secret.display().to_string(),
        readonly: true,
        ..Mount::default()
    }];
    let config = ContainerConfig { mounts, ..container("machine", IMAGE) };
    let id = setup.client.create_with(&pod_id, config).await.unwrap();
    setup.client.start(&id).await.unwrap();
    let ended = setup.client.wait_for_end(&id, 60).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (128, "StartError"), "{}", ended.message);
    assert!(ended.message.contains("runs no scripts"), "{}", ended.message);
    setup.remove(&pod_id).await;
    assert!(!note.exists(), "it is given back");
    setup.nothing_is_left(&before);
}
