//! How a process is started: its words, its environment, its user, its limits.

use super::*;

pub async fn exit_codes(place: &Place) {
    for &code in place.pick(&[0, 7, 255][..], &[7]) {
        let told = place.run(&script("code", &format!("echo out; echo err >&2; exit {code}"))).await;
        assert_eq!((told.exit.code, &told.stdout[..], &told.stderr[..]), (code, "out\n", "err\n"));
        assert_eq!((told.exit.oom, &told.exit.message[..]), (false, ""));
    }
    let told = place.run(&spec("none", &["/no/such program"])).await;
    assert!(told.exit.code == 127 && told.stderr.contains("/no/such program"), "{told:?}");
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
    // Servers on one machine share it.
    let base = place.sh("[ -w /tmp ] && echo /tmp || echo /dev/shm").await;
    let folder = format!("{base}/infra test's dir {:016x}", rand::random::<u64>());
    spec.working_dir = Some(folder.clone());
    spec.user = User { uid: Some(65534), gid: Some(4321), groups: vec![77, 88], ..User::default() };
    let told = place.guest.start(&*place.session, &spec).await;
    match told {
        Ok(state) => {
            let ProcessState::Running { identity: Some(identity), .. } = state else { panic!("{state:?}") };
            assert_eq!((identity.uid, identity.gid), (65534, 4321));
            let told = read(&mut place.follow(&spec, None).await).await;
            let lines: Vec<&str> = told.stdout.lines().collect();
            assert_eq!(lines[..3], [&folder, "65534", "4321"], "{told:?}");
            let mut groups: Vec<u32> = lines[3].split(' ').map(|group| group.parse().unwrap()).collect();
            groups.sort_unstable();
            assert!([4321, 77, 88].iter().all(|group| groups.contains(group)), "{groups:?}");
            let mut said = identity.groups;
            said.sort_unstable();
            assert_eq!(said, groups, "what is told of it is what it is");
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
    spec.user = User { name: Some("nobody".into()), strict: true, ..User::default() };
    spec.argv[2] = "id -G".into();
    match place.guest.start(&*place.session, &spec).await {
        Ok(_) => {
            let told = read(&mut place.follow(&spec, None).await).await;
            assert_eq!(told.stdout.trim(), place.sh("id -g nobody").await, "{told:?}");
            place.remove(&spec).await;
        }
        // A program that gives the user all groups of the guest's lists is no way to that.
        Err(guests::Error::Unsupported(why)) => assert!(why.contains("setpriv"), "{why}"),
        Err(error) => panic!("{error}"),
    }
    spec.user = User { name: Some("no-such-user".into()), ..User::default() };
    let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
    assert!(matches!(&error, guests::Error::Unsupported(why) if why.contains("no-such-user")), "{error}");
    assert_eq!(place.state(&spec).await, ProcessState::Absent);
    place.sh(&format!("rm -rf \"{folder}\"")).await;
}

pub async fn capabilities_are_dropped(place: &Place) {
    let mut spec = script("caps", "grep -E 'Cap(Bnd|Eff)' /proc/self/status");
    spec.capabilities.drop = vec!["ALL".into()];
    spec.capabilities.add = vec!["NET_BIND_SERVICE".into()];
    match place.guest.start(&*place.session, &spec).await {
        Ok(_) => {
            let told = read(&mut place.follow(&spec, None).await).await;
            assert_eq!(told.stdout, "CapEff:\t0000000000000400\nCapBnd:\t0000000000000400\n", "{told:?}");
            place.remove(&spec).await;
        }
        // Nothing was started where the guest cannot.
        Err(guests::Error::Unsupported(why)) => {
            assert!(why.contains("setpriv of util-linux"), "{why}");
            assert_eq!(place.state(&spec).await, ProcessState::Absent);
        }
        Err(error) => panic!("{error}"),
    }
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

pub async fn limits_change(place: &Place) {
    let limit = async |spec: &ProcessSpec, limits: Limits| {
        timeout(PATIENCE, place.guest.limit(&*place.session, &spec.id, &limits)).await.unwrap()
    };
    let none = Limits::default();
    // It holds more than 8 MB, and says in which group it is.
    let mut spec =
        script("change", "x=$(head -c 8000000 /dev/zero | tr '\\0' x); echo ready; read -r line; echo $line");
    spec.stdin = StdinMode::Kept;
    let error = limit(&spec, none).await.unwrap_err();
    assert!(matches!(error, guests::Error::Ended(_)), "nothing runs yet: {error}");
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    while !matches!(next(&mut stream).await, Event::Output { stream: Stream::Stdout, .. }) {}
    limit(&spec, none).await.expect("what changes nothing always succeeds");
    let some = Limits { milli_cpus: Some(250), memory_bytes: Some(64 << 20), pids: Some(30) };
    let files = "for f in cpu.max memory.max pids.max; do cat /sys/fs/cgroup/infranetes/change/$f \\
        /sys/fs/cgroup/system.slice/infranetes-change.service/main/$f 2>/dev/null; done";
    match limit(&spec, some).await {
        Ok(()) => {
            assert_eq!(place.sh(files).await, "25000 100000\n67108864\n30");
            // What the process holds is not taken from it.
            let error = limit(&spec, Limits { memory_bytes: Some(4 << 20), ..some }).await.unwrap_err();
            assert!(matches!(&error, guests::Error::Unsupported(why) if why.contains("holds")), "{error}");
            limit(&spec, none).await.unwrap();
            assert_eq!(place.sh(files).await, "max 100000\nmax\nmax");
        }
        // Without control groups each is named that cannot be kept.
        Err(error) => assert!(
            matches!(&error, guests::Error::Unsupported(why) if why.contains("the guest cannot limit")),
            "{error}"
        ),
    }
    beside::write(place, &spec, "alive\n").await;
    let told = read(&mut stream).await;
    assert_eq!((told.exit.code, &told.stdout[..]), (0, "alive\n"), "{told:?}");
    assert!(limit(&spec, none).await.is_err(), "it has ended");
    place.remove(&spec).await;
}
