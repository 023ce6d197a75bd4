//! What a person types where the guest has no terminal, from the keys to the command's input.
//!
//! ```text
//!   keys --Line--> whole lines --held, bounded--> the command's input
//!              `-> what is shown --queue, bounded--> the client
//! ```
//!
//! - Happy path: each line is shown as it is typed and sent when it is whole. A key that ends the command ends it at once.
//! - The command does not read: lines are held for it up to a bound. Those beyond are not taken, and the person hears that, as
//!   on any terminal.
//! - The client does not read: what it would be shown is dropped beyond a bound.
//! - So keys are read whatever becomes of either, and the key that ends the command always does.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::channel::{Input, Output};
use super::line::{Line, Over};
use super::remote_command::show;

/// How much is held for a command that does not read, in bytes.
const HELD_MAX_BYTES: usize = 64 * 1024;
/// How many keys are looked at together. Lines that end within them are taken together, or not.
const KEYS: usize = 4096;
/// How much is waiting to be shown, in pieces of as many keys.
const SHOWN: usize = 16;
/// How long a client may take to see the key that ended the command.
const LAST_SHOWN: Duration = Duration::from_secs(1);
/// What is shown instead of lines that are not taken, with a bell.
const NOT_TAKEN: &[u8] = b"\x07(not taken: the command has not read what was typed before)\r\n";

/// Hands whole lines on, shown as they are typed. Returns where a key has ended the command, and only then.
pub(super) async fn by_lines(
    line: Line,
    typed: &mut Option<Input>,
    to: Option<mpsc::Sender<Bytes>>,
    shown: Option<&Output>,
) {
    let (echo, mut echoes) = mpsc::channel::<Bytes>(SHOWN);
    let show_all = async {
        while let Some(bytes) = echoes.recv().await {
            if show(shown, bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::pin!(show_all);
    let ended = tokio::select! {
        () = hand_on(line, typed, to, echo) => true,
        () = &mut show_all => false,
    };
    if !ended {
        // Who is gone is noticed by the caller.
        std::future::pending::<()>().await;
    }
    let _ = timeout(LAST_SHOWN, show_all).await;
}

/// Takes keys as they come. Returns where one has ended the command, and only then.
async fn hand_on(
    mut line: Line,
    typed: &mut Option<Input>,
    mut to: Option<mpsc::Sender<Bytes>>,
    echo: mpsc::Sender<Bytes>,
) {
    let (mut held, mut keys_come, mut wanted) = (Vec::new(), true, true);
    loop {
        if !wanted && held.is_empty() {
            // Dropped, it is the end of the input.
            to = None;
        }
        let keys = tokio::select! {
            keys = next(typed), if keys_come => keys,
            taken = send(to.as_ref(), &mut held) => {
                if !taken {
                    (wanted, held) = (false, Vec::new());
                }
                continue;
            }
        };
        let Some(keys) = keys else {
            (keys_come, wanted) = (false, false);
            continue;
        };
        for keys in keys.chunks(KEYS) {
            let mut taken = line.take(keys);
            if wanted && held.len() + taken.typed.len() <= HELD_MAX_BYTES {
                held.append(&mut taken.typed);
            } else if wanted {
                taken.shown.extend(NOT_TAKEN);
            }
            let _ = echo.try_send(taken.shown.into());
            match taken.over {
                Some(Over::Command) => return,
                Some(Over::Input) => wanted = false,
                None => {}
            }
        }
    }
}

async fn next(typed: &mut Option<Input>) -> Option<Bytes> {
    typed.as_mut()?.next().await
}

/// Sends what is held, as soon as there is room for it. Whether the command still reads.
async fn send(to: Option<&mpsc::Sender<Bytes>>, held: &mut Vec<u8>) -> bool {
    let Some(to) = to.filter(|_| !held.is_empty()) else { return std::future::pending().await };
    let room = to.reserve().await;
    room.map(|room| room.send(std::mem::take(held).into())).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::streaming::channel::Outgoing;

    /// Longer than anything here takes.
    const SOON: Duration = Duration::from_secs(20);

    /// A client's keys, and its screen of so many messages.
    fn client(screen: usize) -> (mpsc::Sender<Bytes>, Option<Input>, mpsc::Receiver<Outgoing>, Output) {
        let (keys, typed) = mpsc::channel(1);
        let (queue, seen) = mpsc::channel(screen);
        (keys, Some(Input::new(0, typed, None)), seen, Output::new(0, queue, Vec::new(), Arc::default()))
    }

    #[tokio::test]
    async fn a_key_ends_a_command_that_does_not_read() {
        let (keys, mut typed, mut seen, shown) = client(1000);
        let (to, mut read) = mpsc::channel(1);
        let session = by_lines(Line::ending_in(b"\n"), &mut typed, Some(to), Some(&shown));
        let person = async {
            // More than anybody holds for it, in lines of 1 KiB.
            for _ in 0..100 {
                keys.send([&[b'x'; 1023][..], b"\r"].concat().into()).await.unwrap();
            }
            keys.send("\x03".into()).await.unwrap();
        };
        timeout(SOON, async { tokio::join!(session, person) }).await.expect("Ctrl-C is heard");
        let mut lines = 0;
        while let Some(bytes) = read.recv().await {
            assert_eq!(bytes.len() % 1024, 0, "lines are taken whole");
            lines += bytes.len() / 1024;
        }
        assert!((1..=66).contains(&lines), "{lines} lines are bounded");
        let mut screen = Vec::new();
        while let Ok(Outgoing::Data(_, bytes)) = seen.try_recv() {
            screen.extend(bytes);
        }
        assert!(screen.ends_with(b"^C\r\n") && screen.windows(NOT_TAKEN.len()).any(|part| part == NOT_TAKEN));
    }

    #[tokio::test]
    async fn a_key_ends_a_command_whose_client_does_not_read() {
        let (keys, mut typed, _seen, shown) = client(1);
        let session = by_lines(Line::ending_in(b"\n"), &mut typed, None, Some(&shown));
        let person = async {
            for _ in 0..100 {
                keys.send("x".into()).await.unwrap();
            }
            keys.send("\x03".into()).await.unwrap();
        };
        timeout(SOON, async { tokio::join!(session, person) }).await.expect("Ctrl-C is heard");
    }

    #[tokio::test]
    async fn what_was_typed_before_the_end_arrives_before_it() {
        let (keys, mut typed, _seen, shown) = client(1000);
        let (to, mut read) = mpsc::channel(1);
        let session = by_lines(Line::ending_in(b"\n"), &mut typed, Some(to), Some(&shown));
        let talk = async {
            for keys_of_person in ["a\r", "b\r", "c\r", "\x04"] {
                keys.send(keys_of_person.into()).await.unwrap();
            }
            let mut all = Vec::new();
            while let Some(bytes) = read.recv().await {
                all.extend(bytes);
            }
            all
        };
        let all = timeout(SOON, async {
            tokio::select! {
                () = session => Vec::new(),
                all = talk => all,
            }
        });
        assert_eq!(all.await.unwrap(), b"a\nb\nc\n");
    }
}
