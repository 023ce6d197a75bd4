//! Plugins and configurations as they come: wrong, absent, old, failing.

use serde_json::json;

use super::*;

/// An error and all of its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The bridge, after it a plugin of the test's own.
fn chain(data: &Path, last: &serde_json::Value) -> serde_json::Value {
    json!({ "cniVersion": "1.0.0", "name": "chain", "plugins": [
        { "type": "bridge", "bridge": "chain0", "isGateway": true,
          "ipam": { "type": "host-local", "subnet": "10.55.0.0/24", "dataDir": data } },
        last,
    ]})
}

#[tokio::test]
async fn check_names_what_is_missing_or_wrong() {
    let configured = Configured::new("20-a.txt", &json!({}));
    let network = configured.network();
    let write =
        |file: &str, text: &str| std::fs::write(configured.path().join("conf").join(file), text).unwrap();
    for (text, expected) in [
        ("", "no CNI configuration"),
        ("{", "EOF while parsing"),
        (r#"{"name":"a","type":"bridge"}"#, "it has no \"cniVersion\""),
        (
            r#"{"cniVersion":"0.2.0","name":"a","type":"bridge"}"#,
            "cniVersion 0.2.0 is not supported; use 0.3.0",
        ),
        (r#"{"cniVersion":"2.0.0","name":"a","type":"bridge"}"#, "cniVersion 2.0.0 is not supported"),
        (r#"{"cniVersion":"1.0.0","type":"bridge"}"#, "it has no \"name\""),
        (r#"{"cniVersion":"1.0.0","name":"a"}"#, "a plugin has no \"type\""),
        (r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#, "\"plugins\" is no list"),
        (r#"{"cniVersion":"1.0.0","name":"a","type":"../sh"}"#, "is no file name"),
        (r#"{"cniVersion":"1.0.0","name":"a","type":"absent"}"#, "the CNI plugin absent is in none of"),
        (
            r#"{"cniVersion":"1.0.0","name":"a","type":"bridge","ipam":{"type":"missing"}}"#,
            "the CNI plugin missing is in none of",
        ),
    ] {
        if !text.is_empty() {
            write("10-a.conf", text);
        }
        let error = network.check().await.unwrap_err();
        assert!(matches!(error, super::super::Error::NotReady(_)), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    write("05-b.conf", r#"{"cniVersion":"1.0.0","name":"b","type":"bridge"}"#);
    network.check().await.unwrap();
}

#[tokio::test]
async fn every_known_version_and_the_newest_of_several() {
    on_a_node!("every_known_version_and_the_newest_of_several");
    let data = tempfile::tempdir().unwrap();
    for (version, more, used) in [
        ("0.3.0", json!([]), "0.3.0"),
        ("0.3.1", json!([]), "0.3.1"),
        ("0.4.0", json!(["0.3.1", "9.0.0"]), "0.4.0"),
        ("0.4.0", json!(["0.3.1", "1.0.0"]), "1.0.0"),
    ] {
        let mut list = chain(data.path(), &json!({ "type": "seen" }));
        list["cniVersion"] = version.into();
        list["cniVersions"] = more;
        let configured = Configured::new("10-a.conflist", &list);
        let seen = configured.path().join("seen");
        // It gives back the result before it, and writes down what it was asked for ADD.
        let script =
            format!("[ $CNI_COMMAND = ADD ] || exit 0\ncat > {0}\njq -c .prevResult {0}", seen.display());
        configured.plugin("seen", &script);
        let network = configured.network();
        let request = pod("version");
        let given = network.attach(&request).await.unwrap();
        assert_eq!(given.addresses[0].prefix, 24);
        let asked: serde_json::Value = serde_json::from_slice(&std::fs::read(&seen).unwrap()).unwrap();
        assert_eq!((&asked["cniVersion"], &asked["prevResult"]["cniVersion"]), (&json!(used), &json!(used)));
        network.detach(&request.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_failing_plugin_is_named_with_its_reason_and_everything_is_undone() {
    on_a_node!("a_failing_plugin_is_named_with_its_reason_and_everything_is_undone");
    let data = tempfile::tempdir().unwrap();
    for (script, expected) in [
        (
            r#"[ $CNI_COMMAND = DEL ] && exit 0
               echo '{"cniVersion":"1.0.0","code":111,"msg":"no room","details":"the table has 9 rows"}'; exit 1"#,
            "(CNI error code 111): no room: the table has 9 rows",
        ),
        ("[ $CNI_COMMAND = DEL ] && exit 0\necho 'it broke' >&2; exit 3", "(exit status: 3): it broke"),
        ("[ $CNI_COMMAND = DEL ] && exit 0\nkill -9 $$", "(signal: 9 (SIGKILL)): it gave no reason"),
    ] {
        let configured = Configured::new("10-a.conflist", &chain(data.path(), &json!({ "type": "angry" })));
        configured.plugin("angry", script);
        let network = configured.network();
        let request = pod("refused");
        let error = told(&network.attach(&request).await.unwrap_err());
        assert!(error.starts_with(&format!("CNI plugin angry failed ADD for pod {}", request.id)), "{error}");
        assert!(error.ends_with(expected) || error.contains(expected), "{expected}: {error}");
        assert!(network.list().await.unwrap().is_empty());
        assert!(!super::super::netns::path(&request.id).exists());
        assert_eq!(reserved(&data.path().join("chain")), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_plugin_that_vanished_keeps_the_pod_until_it_is_back() {
    on_a_node!("a_plugin_that_vanished_keeps_the_pod_until_it_is_back");
    let data = tempfile::tempdir().unwrap();
    let ports = json!({ "type": "ports", "capabilities": { "portMappings": true }, "snat": true });
    let configured = Configured::new("10-a.conflist", &chain(data.path(), &ports));
    let plugin = configured.path().join("bin/ports");
    let portmap =
        installed().into_iter().map(|directory| directory.join("portmap")).find(|path| path.exists());
    let portmap = portmap.expect("install containernetworking-plugins");
    std::fs::copy(&portmap, &plugin).unwrap();
    let network = configured.network();
    let request = pod("kept");
    network.attach(&request).await.unwrap();
    assert!(output("iptables-save", &["-t", "nat"]).contains("dport 8080"));
    std::fs::remove_file(&plugin).unwrap();
    for _ in 0..2 {
        let error = network.detach(&request.id).await.unwrap_err().to_string();
        assert!(error.contains("the CNI plugin ports is in none of"), "{error}");
        assert!(error.ends_with("install it there"), "{error}");
        assert_eq!(network.list().await.unwrap(), [request.id.as_str()]);
    }
    // The configuration may be gone too: what was asked is in the record.
    std::fs::remove_file(configured.path().join("conf/10-a.conflist")).unwrap();
    std::fs::copy(&portmap, &plugin).unwrap();
    configured.network().detach(&request.id).await.unwrap();
    assert!(network.list().await.unwrap().is_empty());
    assert!(!output("iptables-save", &["-t", "nat"]).contains("dport 8080"));
    assert_eq!(reserved(&data.path().join("chain")), Vec::<String>::new());
}

/// A late plugin and all that it started are killed: the pipe that they hold ends.
#[tokio::test]
async fn a_late_command_dies_with_its_whole_group() {
    let state = tempfile::tempdir().unwrap();
    let fifo = state.path().join("alive");
    run("mkfifo", &[fifo.to_str().unwrap()]);
    let script = format!("exec 9> {}; echo started >&9; sleep 1000 & sleep 1000", fifo.display());
    let reader = read(fifo);
    let args = ["-c", script.as_str()];
    let deadline = std::time::Duration::from_secs(5);
    let late = super::super::command::run(Path::new("/bin/sh"), &args, &[], b"", deadline).await;
    let Err(error) = late else { panic!("it should have been late") };
    assert!(told(&error).contains("did not end within 5 s"), "{error}");
    let held = tokio::time::timeout(std::time::Duration::from_secs(10), reader).await;
    assert_eq!(held.expect("a process of the group still runs").unwrap().unwrap(), "started\n");
}
