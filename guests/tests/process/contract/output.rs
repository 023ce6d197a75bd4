//! Output: once, in order, bounded.

use super::*;

pub async fn megabytes_arrive_once_across_cuts(place: &Place) {
    let lines = place.pick(60_000, 30_000);
    let spec = script(
        "mega",
        &format!(
            "i=0; while [ $i -lt {lines} ]; do echo \"line $i of many that are printed\"; i=$((i+1)); done"
        ),
    );
    place.start(&spec).await;
    let (mut all, mut from, mut cuts) = (Vec::new(), None, 0);
    let mut session = place.session.clone();
    'whole: loop {
        let mut stream = place.guest.follow(session.clone(), &spec.id, from.clone()).await.unwrap();
        for _ in 0..4 + cuts {
            match timeout(PATIENCE, stream.next()).await.expect("in time") {
                Some(Ok(Event::Output { data, next, stream: of })) => {
                    assert_eq!(of, Stream::Stdout);
                    all.extend_from_slice(&data);
                    stream.release(&next);
                    from = Some(next);
                }
                Some(Ok(Event::Exited(exit))) => {
                    assert_eq!(exit.code, 0);
                    break 'whole;
                }
                Some(Err(error)) => panic!("{error}"),
                None => panic!("it ended without an exit"),
            }
        }
        // Now and then its connection goes too.
        if cuts % 2 == 0
            && let At::Server(server) = &place.at
        {
            server.cut();
            let mut last = None;
            while let Some(event) = timeout(PATIENCE, stream.next()).await.expect("in time") {
                last = Some(event);
            }
            match last {
                // All of it had arrived by then; the next follower tells it again.
                Some(Ok(Event::Exited(_))) => {}
                Some(Err(error)) => assert!(error.retryable(), "{error}"),
                other => panic!("the last thing told is {other:?}"),
            }
            session = place.connect().await;
        }
        cuts += 1;
    }
    let expected: Vec<u8> =
        (0..lines).flat_map(|n| format!("line {n} of many that are printed\n").into_bytes()).collect();
    assert!(all == expected, "{} of {} bytes, {cuts} cuts", all.len(), expected.len());
    assert!(cuts >= place.pick(3, 1), "nothing was cut");
    place.guest.remove(&*session, &spec.id).await.unwrap();
}

pub async fn an_unread_process_waits_and_goes_on(place: &Place) {
    let total: usize = place.pick(12, 7) << 20;
    let spec = script(
        "unread",
        &format!("dd if=/dev/zero bs=65536 count={} 2>/dev/null | tr '\\0' x; echo end >&2", total >> 16),
    );
    place.start(&spec).await;
    let used = || place.sh("du -sk /run/infranetes | cut -f1");
    // It stops by itself: the same size three times, and less than what it prints.
    let (mut last, mut same) = (String::new(), 0);
    while same < 3 {
        let now = used().await;
        same = if now == last && now.parse::<usize>().unwrap() > 4000 { same + 1 } else { 0 };
        assert!(now.parse::<usize>().unwrap() < 6 << 10, "{now} KiB");
        last = now;
        place.sh("sleep 0.2 2>/dev/null || sleep 1").await;
    }
    assert!(matches!(place.state(&spec).await, ProcessState::Running { .. }));
    let mut stream = place.follow(&spec, None).await;
    let (mut count, mut from) = (0, None);
    let exit = loop {
        match next(&mut stream).await {
            Event::Output { stream: Stream::Stdout, data, next } => {
                assert!(data.iter().all(|byte| *byte == b'x'));
                count += data.len();
                stream.release(&next);
                from = Some(next);
            }
            Event::Output { data, .. } => assert_eq!(data, "end\n"),
            Event::Exited(exit) => break exit,
        }
    };
    assert_eq!((exit.code, count), (0, total));
    // It could only come through because what was released is gone from the guest.
    assert!(used().await.parse::<usize>().unwrap() < 6 << 10);
    let told = read(&mut place.follow(&spec, from).await).await;
    assert_eq!((&told.stdout[..], told.exit), ("", exit));
    place.remove(&spec).await;
}

pub async fn late_followers_join(place: &Place) {
    let mut spec = script("late", "echo before; echo error >&2; while read -r x; do echo \"got $x\"; done");
    spec.stdin = StdinMode::Kept;
    place.start(&spec).await;
    let mut first = place.follow(&spec, None).await;
    for _ in 0..2 {
        assert!(matches!(next(&mut first).await, Event::Output { .. }));
    }
    let mut late = place.follow(&spec, Some(Offset::now())).await;
    // It has joined when its own place in the guest is there.
    let joined = async { while place.sh("ls -d /run/infranetes/*/late/w.[0-9]* | wc -l").await != "2" {} };
    timeout(PATIENCE, joined).await.expect("it joins");
    write(place, &spec, "one\n").await;
    for stream in [&mut first, &mut late] {
        let Event::Output { data, next: offset, .. } = next(stream).await else { panic!("it ended") };
        assert_eq!((&data[..], offset), (&b"got one\n"[..], Offset("p1:15:6".into())));
    }
    place.remove(&spec).await;
}
