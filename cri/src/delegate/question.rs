//! A call that both sides answer, as often as it is asked of the delegate, and the answer that is kept of it.
//!
//! ```text
//!   an answer is kept --asked before a change that the delegate has made for us since--> outdated --a later answer--> kept
//!                                                                                               `--it is away--> kept
//! ```
//!
//! A kept answer that is outdated is not told while the delegate is only late: whoever has made a pod would miss it, and make
//! it again. Once the delegate is away, or has said nothing at all for a minute, it is all that can be known.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// A call, as often as it is made.
#[derive(Debug, Default)]
pub(super) struct Question {
    state: Mutex<State>,
    written: Mutex<Option<Bytes>>,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    /// Those that wait, and whether they are late.
    open: BTreeMap<u64, bool>,
    /// Which one was answered last, and how.
    answer: Option<(u64, Bytes)>,
    /// How often the delegate has changed for us what is asked for.
    changes: u64,
    /// As many of them as the answer can be expected to tell.
    told: u64,
}

/// A question that waits for its answer. Dropping it settles it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) question: Arc<Question>,
    pub(super) number: u64,
    /// The changes until it was asked.
    changes: u64,
}

impl Open {
    /// Keeps the answer, unless a later question was answered before; says whether it is another one than before.
    pub(super) fn keep(&self, answer: &Bytes) -> bool {
        let mut state = lock(&self.question.state);
        let known = state.answer.as_ref();
        if known.is_some_and(|(number, _)| *number > self.number) {
            return false;
        }
        let new = known.is_none_or(|(_, known)| known != answer);
        state.answer = Some((self.number, answer.clone()));
        state.told = state.told.max(self.changes);
        new
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.question.state).open.remove(&self.number);
    }
}

impl Question {
    /// One whose answer is known from before.
    pub(super) fn answered(&self, answer: &Bytes) {
        *lock(&self.written) = Some(answer.clone());
        lock(&self.state).answer = Some((0, answer.clone()));
    }

    /// The answer that is kept.
    pub(super) fn answer(&self) -> Option<Bytes> {
        lock(&self.state).answer.as_ref().map(|(_, answer)| answer.clone())
    }

    /// Opens it; not while an earlier one is late.
    pub(super) fn ask(self: &Arc<Self>) -> Option<Open> {
        let mut state = lock(&self.state);
        if state.open.values().any(|late| *late) {
            return None;
        }
        state.asked += 1;
        let (number, changes) = (state.asked, state.changes);
        state.open.insert(number, false);
        drop(state);
        Some(Open { question: self.clone(), number, changes })
    }

    /// Notes that it is late, unless it was settled just now.
    pub(super) fn make_late(&self, number: u64) {
        lock(&self.state).open.entry(number).and_modify(|late| *late = true);
    }

    /// Notes that the delegate has changed what is asked for.
    pub(super) fn changed(&self) {
        lock(&self.state).changes += 1;
    }

    /// Notes that no more can be known than what is kept.
    pub(super) fn away(&self) {
        let mut state = lock(&self.state);
        state.told = state.changes;
    }

    /// Whether the delegate has changed for us what is asked for since the kept answer was asked.
    pub(super) fn is_outdated(&self) -> bool {
        let state = lock(&self.state);
        state.told < state.changes
    }

    /// Writes what is known now to its file.
    pub(super) fn write(&self, file: &Path) {
        let mut written = lock(&self.written);
        let Some(answer) = self.answer() else { return };
        if written.as_ref() == Some(&answer) {
            return;
        }
        match replace(file, &answer) {
            Ok(()) => *written = Some(answer),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "cannot keep what the delegate runs");
            }
        }
    }
}

/// Has a file hold this: whoever reads it meanwhile has what was in it before, or all of this.
pub(super) fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, content)?;
    std::fs::rename(&new, file)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        assert_eq!(question.answer().unwrap(), "new");
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
    fn an_answer_from_before_a_change_is_outdated() {
        let question = Arc::new(Question::default());
        assert!(question.ask().unwrap().keep(&Bytes::from_static(b"none")));
        assert!(!question.is_outdated());
        let before = question.ask().unwrap();
        question.changed();
        assert!(question.is_outdated());
        assert!(before.keep(&Bytes::from_static(b"perhaps")));
        assert!(question.is_outdated(), "it was asked before the change");
        assert!(question.ask().unwrap().keep(&Bytes::from_static(b"one")));
        assert!(!question.is_outdated());
        question.changed();
        question.away();
        assert!(!question.is_outdated(), "nobody can know more");
        question.changed();
        assert!(question.is_outdated(), "it was back");
    }
}
