//! One run for each id; how it ends, and with it all that it started.

use super::*;

pub async fn signals_are_told_and_end_it(place: &Place) {
    // What stops gracefully; what does not; every signal that a shell in the background would ignore. What the guest's
    // server ignores, all that it starts does, and no shell can undo that.
    let ignored = place.sh("sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status").await;
    let ignored = u64::from_str_radix(&ignored, 16).unwrap();
    let all = [("TERM", 143), ("KILL", 137), ("INT", 130), ("QUIT", 131)];
    for &(signal, code) in place.pick(&all[..], &all[..2]) {
        if ignored & (1 << (code - 129)) != 0 {
            continue;
        }
        let spec = script("signalled", "trap '' USR1; sleep 1000 & echo ready; exec sleep 1000");
        let ProcessState::Running { pid, .. } = place.start(&spec).await else { panic!("it runs") };
        let mut stream = place.follow(&spec, None).await;
        assert!(matches!(next(&mut stream).await, Event::Output { .. }));
        assert!(matches!(place.state(&spec).await, ProcessState::Running { pid: same, .. } if same == pid));
        // A shell may ignore what the program that it becomes does not.
        let line = format!("tr '\\0' ' ' </proc/{pid}/cmdline");
        place.sh(&format!("until [ \"$({line})\" = 'sleep 1000 ' ]; do :; done")).await;
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        let exit = read(&mut stream).await.exit;
        assert_eq!((exit.code, exit.signal), (code, u32::try_from(code - 128).ok()), "{signal}");
        assert_eq!(
            place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep '[s]leep 1000'").await,
            ""
        );
        // Nothing is left to be signalled.
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        place.remove(&spec).await;
        place.guest.signal(&*place.session, &spec.id, signal).await.unwrap();
        place.remove(&spec).await;
    }
    let spec = script("handled", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 1; done");
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    assert!(matches!(next(&mut stream).await, Event::Output { .. }));
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    let told = read(&mut stream).await;
    assert_eq!((told.exit.code, &told.stdout[..]), (3, "asked\n"));
    place.remove(&spec).await;
}

pub async fn a_start_happens_once(place: &Place) {
    let folder = place.sh("mktemp -d 2>/dev/null || mktemp -d -p /dev/shm").await;
    let spec = script("once", &format!("echo run >>{folder}/runs; echo ready; exec sleep 1000"));
    let starts = futures(place, &spec).await;
    assert!(starts.windows(2).all(|two| two[0] == two[1]), "{starts:?}");
    assert_eq!(place.start(&spec).await, starts[0]);
    let first = next(&mut place.follow(&spec, None).await).await;
    assert!(matches!(first, Event::Output { .. }), "{first:?}");
    place.guest.signal(&*place.session, &spec.id, "TERM").await.unwrap();
    let exit = read(&mut place.follow(&spec, None).await).await.exit;
    assert_eq!(place.start(&spec).await, ProcessState::Exited(exit));
    assert_eq!(place.sh(&format!("cat {folder}/runs")).await, "run");
    place.remove(&spec).await;
    place.sh(&format!("rm -r {folder}")).await;
}

/// Three starts at once.
async fn futures(place: &Place, spec: &ProcessSpec) -> Vec<ProcessState> {
    let (a, b, c) = tokio::join!(place.start(spec), place.start(spec), place.start(spec));
    vec![a, b, c]
}

pub async fn removal_ends_all_that_it_started(place: &Place) {
    let spec = script(
        "tree",
        "setsid sleep 1001 & (sleep 1001 &) ; sh -c 'sleep 1001 & sleep 1001' & echo ready; wait; sleep 1001",
    );
    place.start(&spec).await;
    let mut stream = place.follow(&spec, None).await;
    assert!(matches!(next(&mut stream).await, Event::Output { .. }));
    let count = || place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^1001$'");
    assert_ne!(count().await, "0");
    place.remove(&spec).await;
    assert_eq!(count().await, "0");
    // The follower of what was removed does not hang.
    while let Some(Ok(Event::Output { .. })) = timeout(PATIENCE, stream.next()).await.expect("it ends") {}
    // What outlives its main process ends with it.
    let spec = script("left", "setsid sleep 1001 & sleep 1001 & exit 4");
    assert_eq!(place.run(&spec).await.exit.code, 4);
    assert_eq!(count().await, "0");
}

pub async fn a_killed_supervisor_is_told(place: &Place) {
    // Whether its children are killed too, and whether somebody follows then.
    let all = [(false, true), (true, false), (false, false), (true, true)];
    for &(pumps, followed) in place.pick(&all[..], &all[..2]) {
        let spec = script("orphan", "echo ready; sleep 1003");
        place.start(&spec).await;
        let mut stream = place.follow(&spec, None).await;
        assert!(matches!(next(&mut stream).await, Event::Output { .. }));
        if !followed {
            drop(stream);
            stream = place.follow(&spec, Some(Offset::now())).await;
        }
        let kill = if pumps {
            "for p in $(grep -l \"^[0-9]* (.*) . [0-9]* [0-9]* $s \" /proc/[0-9]*/stat); do p=${p#/proc/}; kill -9 ${p%/stat}; done"
        } else {
            "kill -9 $s"
        };
        // A process that was killed is there until it has its next turn of a processor.
        let gone = "while grep -qs ') [^ZX] ' /proc/$s/stat; do sleep 1; done";
        place
            .sh(&format!("set -- /run/infranetes/*/orphan/supervisor; read s t <$1 || exit; {kill}; {gone}"))
            .await;
        let exit = if followed {
            read(&mut stream).await.exit
        } else {
            let ProcessState::Exited(exit) = place.state(&spec).await else { panic!("it has ended") };
            exit
        };
        assert_eq!(exit.code, 137);
        assert_eq!(place.state(&spec).await, ProcessState::Exited(exit));
        assert_eq!(
            place.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^1003$'").await,
            "0"
        );
        place.remove(&spec).await;
    }
}
