//! What the delegate said last, and whether it is late now.
//!
//! ```text
//!   ask: nobody waits --asked--> waits two seconds --answered--> told, and kept
//!                                       `--silent--> late: told as it was last; the question stays open for a minute,
//!                                                    and until it is settled no other one waits for it
//! ```
//!
//! Each question is asked anew, so whoever has made a pod sees it in the next list. What is kept is the answer to the question
//! that was asked last, in memory and in a file for each RPC. The files are in the run directory, which a boot of the node
//! empties: what ran before it does not run now.
//!
//! Failure paths: a file that cannot be written costs a warning, and a restart under a delegate that is away the last state; one
//! that cannot be read is as if it were not there. That the delegate goes, and that it is back, is said once each in the log.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::peer::Silence;
use super::{Delegate, list, wire};
use crate::error::{Error, Result};

/// How long a question that both sides answer waits for the delegate.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it stays open after that.
const LONGEST: Duration = Duration::from_secs(60);
/// The calls whose last answer is kept, where they ask for everything.
pub(super) const KEPT: [&str; 5] =
    [list::PODS.path, list::CONTAINERS.path, list::IMAGES.path, super::status::STATUS, super::status::CONFIG];

/// All that was heard.
#[derive(Debug)]
pub(super) struct Heard {
    folder: PathBuf,
    questions: Mutex<BTreeMap<&'static str, Arc<Question>>>,
    trouble: Mutex<Option<String>>,
}

/// A call, as often as it is made.
#[derive(Debug, Default)]
struct Question {
    state: Mutex<State>,
    written: Mutex<Bytes>,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    /// Those that wait, and whether they are late.
    open: BTreeMap<u64, bool>,
    /// Which one was answered last, and how.
    answer: Option<(u64, Bytes)>,
}

impl Heard {
    /// What is known from before, in a folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        // What pods are called is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| {
            Error::failed(format!("cannot make the directory {}", folder.display()), source)
        })?;
        let heard =
            Self { folder: folder.to_owned(), questions: Mutex::default(), trouble: Mutex::default() };
        for path in KEPT {
            let Ok(text) = std::fs::read(heard.file(path)) else { continue };
            let answer = Bytes::from(text);
            if wire::fields(&answer).all(|field| field.is_ok()) {
                let question = heard.question(path);
                lock(&question.written).clone_from(&answer);
                lock(&question.state).answer = Some((0, answer));
            }
        }
        Ok(heard)
    }

    /// Whether a kept answer is known.
    pub(super) fn knows(&self, path: &'static str) -> bool {
        lock(&self.question(path).state).answer.is_some()
    }

    /// Whether any is.
    pub(super) fn knows_any(&self) -> bool {
        KEPT.iter().any(|path| self.knows(path))
    }

    /// The last answer to a call that is kept; an empty one where there was none.
    pub(super) fn last(&self, path: &'static str) -> Bytes {
        lock(&self.question(path).state).answer.as_ref().map(|(_, answer)| answer.clone()).unwrap_or_default()
    }

    /// Notes that it answers, or why it does not. Says so where that is new.
    pub(super) fn note(&self, trouble: Option<&str>) {
        let mut before = lock(&self.trouble);
        match (&*before, trouble) {
            (None, Some(why)) => tracing::warn!(why, "the delegate is away; its pods are told as last known"),
            (Some(_), None) => tracing::info!("the delegate answers again"),
            _ => return,
        }
        *before = trouble.map(str::to_owned);
    }

    fn question(&self, path: &'static str) -> Arc<Question> {
        lock(&self.questions).entry(path).or_default().clone()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path.rsplit('/').next().unwrap_or(path))
    }
}

impl Delegate {
    /// Asks, and waits as long as it is worth waiting. What stands in for the answer where there is none is [`Heard::last`].
    pub(super) async fn ask(self: &Arc<Self>, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let question = self.heard.question(path);
        let late = || {
            let endpoint = self.peer.endpoint();
            let why = format!("the delegate at {endpoint} has not answered for {PATIENCE:?}; see its log");
            self.heard.note(Some(&why));
            Status::unavailable(why)
        };
        let Some(open) = question.ask() else { return Err(late()) };
        let number = open.number;
        let mut asked = AbortOnDropHandle::new(tokio::spawn(self.clone().answer(open, path, message)));
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut asked).await {
            let failed = |error| Err(Status::internal(format!("asking the delegate failed: {error}")));
            return answer.unwrap_or_else(failed);
        }
        question.make_late(number);
        // It goes on by itself.
        drop(asked.detach());
        Err(late())
    }

    /// Waits for the answer, keeps it and passes it on.
    async fn answer(
        self: Arc<Self>,
        open: Open,
        path: &'static str,
        message: Bytes,
    ) -> Result<Bytes, Status> {
        let whole = KEPT.contains(&path) && asks_for_all(&message);
        let answer = tokio::time::timeout(LONGEST, self.peer.ask(path, &message)).await;
        let answer = answer.unwrap_or_else(|_| {
            let endpoint = self.peer.endpoint();
            Err(Silence::Away(format!("the delegate at {endpoint} has not answered for {LONGEST:?}")))
        });
        match &answer {
            Err(Silence::Away(why)) => self.heard.note(Some(why)),
            Err(Silence::Refused(status)) if status.code() != Code::Unimplemented => {
                tracing::info!(path, %status, "the delegate refuses a question");
                self.heard.note(None);
            }
            _ => self.heard.note(None),
        }
        let answer = list::ordered(path, &answer?)
            .map_err(|error| Status::internal(format!("the delegate's answer to {path} is {error}")))?;
        if whole && open.keep(&answer) {
            let file = self.heard.file(path);
            let write = move || open.question.write(&file);
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(write));
        }
        Ok(answer)
    }
}

/// A question that waits for its answer. Dropping it settles it.
#[derive(Debug)]
struct Open {
    question: Arc<Question>,
    number: u64,
}

impl Open {
    /// Keeps the answer, unless a later question was answered before; says whether it is another one than before.
    fn keep(&self, answer: &Bytes) -> bool {
        let mut state = lock(&self.question.state);
        let known = state.answer.as_ref();
        if known.is_some_and(|(number, _)| *number > self.number) {
            return false;
        }
        let new = known.is_none_or(|(_, known)| known != answer);
        state.answer = Some((self.number, answer.clone()));
        new
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.question.state).open.remove(&self.number);
    }
}

impl Question {
    /// Opens it; not while an earlier one is late.
    fn ask(self: &Arc<Self>) -> Option<Open> {
        let mut state = lock(&self.state);
        if state.open.values().any(|late| *late) {
            return None;
        }
        state.asked += 1;
        let number = state.asked;
        state.open.insert(number, false);
        drop(state);
        Some(Open { question: self.clone(), number })
    }

    /// Notes that it is late, unless it was settled just now.
    fn make_late(&self, number: u64) {
        lock(&self.state).open.entry(number).and_modify(|late| *late = true);
    }

    /// Writes what is known now to its file.
    fn write(&self, file: &Path) {
        let mut written = lock(&self.written);
        let Some((_, answer)) = lock(&self.state).answer.clone() else { return };
        if *written == answer {
            return;
        }
        let new = file.with_extension("new");
        match std::fs::write(&new, &answer).and_then(|()| std::fs::rename(&new, file)) {
            Ok(()) => *written = answer,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "cannot keep what the delegate runs");
            }
        }
    }
}

/// Whether a request selects nothing: it has no filter, or one that is empty.
fn asks_for_all(message: &Bytes) -> bool {
    let is_empty = |field: wire::Field| field.content.is_some_and(|content| content.is_empty());
    wire::fields(message).all(|field| field.is_ok_and(is_empty))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_last_question_is_kept() {
        let question = Arc::new(Question::default());
        let (first, second) = (question.ask().unwrap(), question.ask().unwrap());
        assert!(second.keep(&Bytes::from_static(b"new")));
        assert!(!first.keep(&Bytes::from_static(b"old")), "it was asked before");
        assert_eq!(lock(&question.state).answer.as_ref().unwrap().1, "new");
        let third = question.ask().unwrap();
        assert!(!third.keep(&Bytes::from_static(b"new")), "it is the same");
    }

    #[test]
    fn nobody_waits_behind_a_late_question() {
        let question = Arc::new(Question::default());
        let (first, second) = (question.ask().unwrap(), question.ask().unwrap());
        question.make_late(first.number);
        assert!(question.ask().is_none());
        drop(second);
        assert!(question.ask().is_none());
        question.make_late(99);
        drop(first);
        assert!(question.ask().is_some(), "it is settled");
    }

    #[test]
    fn what_was_heard_outlives_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let heard = Heard::open(&folder.path().join("delegate")).unwrap();
        assert!(!heard.knows(KEPT[0]));
        let question = heard.question(KEPT[0]);
        let answer = Bytes::from_static(&[0x0a, 3, 0x0a, 1, b'x']);
        assert!(question.ask().unwrap().keep(&answer));
        question.write(&heard.file(KEPT[0]));
        std::fs::write(heard.file(KEPT[1]), [0x0a, 200]).unwrap();
        let again = Heard::open(&folder.path().join("delegate")).unwrap();
        assert_eq!(again.last(KEPT[0]), answer);
        assert!(!again.knows(KEPT[1]), "what is cut off is not known");
    }

    #[test]
    fn an_empty_filter_is_none() {
        let all = |message: &'static [u8]| asks_for_all(&Bytes::from_static(message));
        assert!(all(&[]) && all(&[0x0a, 0]));
        assert!(!all(&[0x0a, 3, 0x0a, 1, b'x']) && !all(&[0x08, 1]) && !all(&[0x0a, 9]));
    }
}
