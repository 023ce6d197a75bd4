//! Standard input, terminals, termination messages, and further programs inside.

use super::*;

pub async fn messages_are_read(place: &Place) {
    let folder = place.sh("mktemp -d 2>/dev/null || mktemp -d -p /dev/shm").await;
    let path = format!("{folder}/deep er/log");
    let mut spec = script("message", "cat \"$M\"; printf 'it said:\\nbye' >\"$M\"; exit 2");
    spec.env.push(("M".into(), path.clone()));
    spec.message_path = Some(path.clone());
    place.sh(&format!("mkdir -p '{folder}/deep er'; echo old >'{path}'")).await;
    let told = place.run(&spec).await;
    assert_eq!(
        (&told.stdout[..], told.exit.code, &told.exit.message[..]),
        ("", 2, "it said:\nbye"),
        "{told:?}"
    );
    spec.argv[2] = "dd if=/dev/zero bs=9000 count=1 2>/dev/null | tr '\\0' y >\"$M\"".into();
    assert_eq!(place.run(&spec).await.exit.message, "y".repeat(4096));
    place.sh(&format!("rm -r {folder}")).await;
}

pub async fn write(place: &Place, spec: &ProcessSpec, text: &'static str) {
    let mut process = place.session.exec(process::stdin(Family::Unix, &spec.id).unwrap()).await.unwrap();
    process.stdin.take().unwrap().send(bytes::Bytes::from_static(text.as_bytes())).await.unwrap();
    assert_eq!(timeout(PATIENCE, process.exit).await.unwrap().unwrap(), transports::Exit::Code(0));
}

pub async fn standard_input_once_and_kept(place: &Place) {
    let mut spec = spec("cat", &["cat"]);
    spec.stdin = StdinMode::Once;
    place.start(&spec).await;
    write(place, &spec, "one\n").await;
    place.command(process::end_stdin(Family::Unix, &spec.id).unwrap()).await;
    let told = read(&mut place.follow(&spec, None).await).await;
    assert_eq!((&told.stdout[..], told.exit.code), ("one\n", 0));
    place.remove(&spec).await;
    spec.stdin = StdinMode::Kept;
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    for text in ["one\n", "two\n"] {
        write(place, &spec, text).await;
        assert!(matches!(next(&mut stream).await, Event::Output { data, .. } if data == text));
    }
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    assert_eq!(read(&mut stream).await.exit.code, 143);
    let late = place
        .command(Command { stdin: Stdin::Closed, ..process::stdin(Family::Unix, &spec.id).unwrap() })
        .await;
    assert_eq!(late.exit, transports::Exit::Code(3));
    place.remove(&spec).await;
    spec.stdin = StdinMode::Closed;
    assert_eq!(place.run(&spec).await.exit.code, 0);
}

pub async fn a_terminal(place: &Place) {
    let mut spec = script(
        "tty",
        "test -t 0 && test -t 1 && test -t 2 && echo all; stty size; read -r x; echo \"got $x\"; stty size; exit 5",
    );
    spec.tty = true;
    spec.stdin = StdinMode::Kept;
    if place.sh("command -v script python3").await.is_empty() {
        let error = place.guest.start(&*place.session, &spec).await.unwrap_err();
        assert!(matches!(&error, guests::Error::Unsupported(why) if why.contains("script")), "{error}");
        assert_eq!(place.state(&spec).await, ProcessState::Absent);
        return;
    }
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    let mut seen = String::new();
    while !seen.contains("all\r\n") || seen.lines().count() < 2 {
        let Event::Output { data, .. } = next(&mut stream).await else { panic!("it ended: {seen}") };
        seen.push_str(std::str::from_utf8(&data).unwrap());
    }
    let resized = place.command(process::resize(Family::Unix, &spec.id, 132, 43).unwrap()).await;
    assert_eq!(resized.exit, transports::Exit::Code(0), "{resized:?}");
    write(place, &spec, "typed\n").await;
    let told = read(&mut stream).await;
    assert!(told.stdout.contains("got typed\r\n43 132\r\n"), "{told:?}");
    assert_eq!((told.exit.code, &told.stderr[..]), (5, ""));
    place.remove(&spec).await;
}

pub async fn another_program_inside(place: &Place) {
    let mut spec = spec("outer", &["sleep", "1002"]);
    spec.env = vec![("A".into(), "it's $A".into()), ("o.dd".into(), "1".into())];
    spec.working_dir = Some("/usr".into());
    spec.user.name = Some("nobody".into());
    place.start(&spec).await;
    let argv = ["sh", "-c", "echo \"$A|$1\"; pwd; id -u; cat; exit 9", "sh", "x y'"].map(str::to_owned);
    let captured = place
        .command(process::inside(Family::Unix, &spec.id, &argv, Stdin::Bytes("typed\n".into())).unwrap())
        .await;
    let uid = place.sh("id -u nobody").await;
    assert_eq!(
        String::from_utf8_lossy(&captured.stdout),
        format!("it's $A|x y'\n/usr\n{uid}\ntyped\n"),
        "{captured:?}"
    );
    assert_eq!(captured.exit, transports::Exit::Code(9));
    let captured = place
        .command(process::inside(Family::Unix, &spec.id, &["env".to_owned()], Stdin::Closed).unwrap())
        .await;
    assert!(String::from_utf8_lossy(&captured.stdout).lines().any(|line| line == "o.dd=1"), "{captured:?}");
    assert!(matches!(place.state(&spec).await, ProcessState::Running { .. }));
    // It ends with the process.
    let argv = ["sh", "-c", "echo ready; exec sleep 1002"].map(str::to_owned);
    let mut beside = place
        .session
        .exec(process::inside(Family::Unix, &spec.id, &argv, Stdin::Closed).unwrap())
        .await
        .unwrap();
    let said = timeout(PATIENCE, beside.output.recv()).await.expect("it begins").unwrap();
    assert_eq!(said.data, "ready\n");
    place.guest.signal(&*place.session, &spec.id, "KILL").await.unwrap();
    timeout(PATIENCE, beside.exit).await.expect("it ends").unwrap();
    let exit = read(&mut place.follow(&spec, None).await).await.exit;
    assert_eq!(exit.code, 137);
    let captured =
        place.command(process::inside(Family::Unix, &spec.id, &argv, Stdin::Closed).unwrap()).await;
    assert_eq!(captured.exit, transports::Exit::Code(126));
    place.remove(&spec).await;
}
