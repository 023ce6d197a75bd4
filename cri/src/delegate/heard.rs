//! What the delegate said last, and whether it is late now.
//!
//! ```text
//!   ask: nobody waits --asked--> waits two seconds --answered--> told, and kept
//!                                       `--silent--> late: told as it was last; the question stays open for a minute,
//!                                                    and until it is settled no other one waits for it
//! ```
//!
//! Where nothing can stand in for the answer it is waited for ten seconds: figures, and what the delegate has changed for us
//! since it told it last (`question`). There the list then fails: an old one would be wrong, and known to be.
//!
//! Each question is asked anew, so whoever has made a pod sees it in the next list. What is kept is the answer to the question
//! that was asked last, in memory and in a file for each RPC. The files are in the run directory, which a boot of the node
//! empties: what ran before it does not run now. Beside our own state are what a boot does not change, its configuration, and the
//! mark that it was heard at all in this boot (`boot`).
//!
//! Failure paths: a file that cannot be written costs a warning, and a restart under a delegate that is away the last state; one
//! that cannot be read is as if it were not there. That the delegate goes, and that it is back, is said once each in the log; one
//! that is late with one answer while it gives others is not away.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};

use super::boot::Mark;
use super::peer::Silence;
use super::question::{Open, Question, lock};
use super::{Delegate, list, wire};
use crate::error::{Error, Result};

/// How long a question that both sides answer waits for the delegate.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where nothing stands in for the answer.
const LONGER: Duration = Duration::from_secs(10);
/// How long it stays open after that.
const LONGEST: Duration = Duration::from_secs(60);
/// The calls whose last answer is kept, where they ask for everything.
pub(super) const KEPT: [&str; 5] =
    [list::PODS.path, list::CONTAINERS.path, list::IMAGES.path, super::status::STATUS, super::status::CONFIG];

/// All that was heard.
#[derive(Debug)]
pub(super) struct Heard {
    folder: PathBuf,
    /// Where the configuration is, which outlives a boot.
    config: PathBuf,
    mark: Mark,
    questions: Mutex<BTreeMap<&'static str, Arc<Question>>>,
    news: Mutex<News>,
}

/// How the delegate is.
#[derive(Debug, Default)]
struct News {
    /// Why it is away, where it is.
    trouble: Option<String>,
    answered: Option<Instant>,
}

impl Heard {
    /// What is known from before: of this boot in a folder, and of the node in the state directory.
    pub(super) fn open(folder: &Path, state: &Path) -> Result<Self> {
        // What pods are called is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| {
            Error::failed(format!("cannot make the directory {}", folder.display()), source)
        })?;
        let heard = Self {
            folder: folder.to_owned(),
            config: state.join("delegate-config"),
            mark: Mark::open(state.join("delegate-heard")),
            questions: Mutex::default(),
            news: Mutex::default(),
        };
        for path in KEPT {
            let Ok(text) = std::fs::read(heard.file(path)) else { continue };
            let answer = Bytes::from(text);
            if wire::fields(&answer).all(|field| field.is_ok()) {
                heard.question(path).answered(&answer);
            }
        }
        Ok(heard)
    }

    /// Whether a kept answer is known.
    pub(super) fn knows(&self, path: &'static str) -> bool {
        self.question(path).answer().is_some()
    }

    /// Whether anything is known of this boot: its configuration outlives one.
    pub(super) fn knows_any(&self) -> bool {
        KEPT.iter().any(|path| *path != super::status::CONFIG && self.knows(path))
    }

    /// Whether all is known of which it would seem to have nothing otherwise.
    pub(super) fn knows_all(&self) -> bool {
        [list::PODS, list::CONTAINERS].iter().all(|list| self.knows(list.path))
    }

    /// Whether it may run what nobody here knows of: it was not heard yet, and no boot of the node has ended what it ran.
    pub(super) fn may_miss_some(&self) -> bool {
        !self.knows_all() && !self.mark.is_earlier()
    }

    /// The last answer to a call that is kept; an empty one where there was none.
    pub(super) fn last(&self, path: &'static str) -> Bytes {
        self.question(path).answer().unwrap_or_default()
    }

    /// Whether what is kept of a call is older than what the delegate has done for us.
    pub(super) fn is_outdated(&self, path: &'static str) -> bool {
        self.question(path).is_outdated()
    }

    /// Notes that the delegate has done for us what changes the answers to these calls.
    pub(super) fn changed(&self, paths: &[&'static str]) {
        for path in paths {
            self.question(path).changed();
        }
    }

    /// Notes that it answers, or why it does not. Says so where that is new.
    pub(super) fn note(&self, trouble: Option<&str>) {
        let mut news = lock(&self.news);
        match (&news.trouble, trouble) {
            (None, Some(why)) => tracing::warn!(why, "the delegate is away; its pods are told as last known"),
            (Some(_), None) => tracing::info!("the delegate answers again"),
            _ => {}
        }
        if trouble.is_none() {
            news.answered = Some(Instant::now());
        }
        news.trouble = trouble.map(str::to_owned);
    }

    /// Notes that a question of this time is late: the delegate is away, unless it has answered others since.
    fn note_late(&self, asked: Instant, path: &str, why: &str) {
        if self.has_answered_since(asked) {
            tracing::debug!(path, why, "the delegate is late with this alone");
        } else {
            self.note(Some(why));
        }
    }

    fn has_answered_since(&self, time: Instant) -> bool {
        lock(&self.news).answered.is_some_and(|answered| answered > time)
    }

    /// What is kept is all that can be known.
    fn away(&self) {
        for question in lock(&self.questions).values() {
            question.away();
        }
    }

    /// Writes what is known now of a call.
    fn write(&self, path: &'static str) {
        self.mark.set();
        self.question(path).write(&self.file(path));
    }

    fn question(&self, path: &'static str) -> Arc<Question> {
        lock(&self.questions).entry(path).or_default().clone()
    }

    fn file(&self, path: &str) -> PathBuf {
        if path == super::status::CONFIG {
            return self.config.clone();
        }
        self.folder.join(path.rsplit('/').next().unwrap_or(path))
    }
}

impl Delegate {
    /// Asks, and waits as long as it is worth waiting. What stands in for the answer where there is none is [`Heard::last`].
    pub(super) async fn ask(self: &Arc<Self>, path: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let question = self.heard.question(path);
        let begun = Instant::now();
        let late = || {
            let endpoint = self.peer.endpoint();
            format!("the delegate at {endpoint} is late with its answer to {path}; see its log")
        };
        let Some(open) = question.ask() else { return Err(Status::unavailable(late())) };
        let number = open.number;
        let mut asked = AbortOnDropHandle::new(tokio::spawn(self.clone().answer(open, path, message)));
        let has_none = list::ALL.iter().any(|list| list.path == path) && !KEPT.contains(&path);
        for patience in [PATIENCE, LONGER.saturating_sub(PATIENCE)] {
            if let Ok(answer) = tokio::time::timeout(patience, &mut asked).await {
                let failed = |error| Err(Status::internal(format!("asking the delegate failed: {error}")));
                return answer.unwrap_or_else(failed);
            }
            if !has_none && !question.is_outdated() {
                break;
            }
        }
        question.make_late(number);
        // It goes on by itself.
        drop(asked.detach());
        self.heard.note_late(begun, path, &late());
        Err(Status::unavailable(late()))
    }

    /// Waits for the answer, keeps it and passes it on.
    async fn answer(
        self: Arc<Self>,
        open: Open,
        path: &'static str,
        message: Bytes,
    ) -> Result<Bytes, Status> {
        let whole = KEPT.contains(&path) && asks_for_all(&message);
        let begun = Instant::now();
        let Ok(answer) = tokio::time::timeout(LONGEST, self.peer.ask(path, &message)).await else {
            let endpoint = self.peer.endpoint();
            let why =
                format!("the delegate at {endpoint} has not answered {path} for {LONGEST:?}; see its log");
            self.heard.note_late(begun, path, &why);
            if !self.heard.has_answered_since(begun) {
                self.heard.away();
            }
            return Err(Status::unavailable(why));
        };
        match &answer {
            Err(Silence::Away(why)) => {
                self.heard.note(Some(why));
                self.heard.away();
            }
            // It answers, but not for the CRI, which it has lost.
            Err(Silence::Refused(status)) if status.code() == Code::Unimplemented && KEPT.contains(&path) => {
                self.heard.note(None);
                self.heard.away();
            }
            Err(Silence::Refused(status)) if status.code() != Code::Unimplemented => {
                tracing::info!(path, %status, "the delegate refuses a question");
                self.heard.note(None);
            }
            _ => self.heard.note(None),
        }
        let answer = list::ordered(path, &answer?)
            .map_err(|error| Status::internal(format!("the delegate's answer to {path} is {error}")))?;
        if whole && open.keep(&answer) {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || self.heard.write(path)));
        }
        Ok(answer)
    }
}

/// Whether a request selects nothing: it has no filter, or one that is empty.
fn asks_for_all(message: &Bytes) -> bool {
    let is_empty = |field: wire::Field| field.content.is_some_and(|content| content.is_empty());
    wire::fields(message).all(|field| field.is_ok_and(is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(folder: &Path) -> Heard {
        Heard::open(&folder.join("delegate"), folder).unwrap()
    }

    #[test]
    fn what_was_heard_outlives_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let heard = opened(folder.path());
        assert!(!heard.knows(KEPT[0]));
        let question = heard.question(KEPT[0]);
        let answer = Bytes::from_static(&[0x0a, 3, 0x0a, 1, b'x']);
        assert!(question.ask().unwrap().keep(&answer));
        question.write(&heard.file(KEPT[0]));
        std::fs::write(heard.file(KEPT[1]), [0x0a, 200]).unwrap();
        let again = opened(folder.path());
        assert_eq!(again.last(KEPT[0]), answer);
        assert!(!again.knows(KEPT[1]), "what is cut off is not known");
    }

    #[test]
    fn one_that_was_never_heard_may_run_something() {
        let folder = tempfile::tempdir().unwrap();
        let heard = opened(folder.path());
        assert!(heard.may_miss_some(), "nobody knows");
        for list in [list::PODS, list::CONTAINERS] {
            assert!(heard.question(list.path).ask().unwrap().keep(&Bytes::new()));
            heard.write(list.path);
        }
        assert!(!heard.may_miss_some(), "it runs nothing");
        assert!(!opened(folder.path()).may_miss_some(), "that outlives the daemon");
        // Its folder is gone, as it is after a boot, but this is the same boot.
        std::fs::remove_dir_all(folder.path().join("delegate")).unwrap();
        assert!(opened(folder.path()).may_miss_some());
        std::fs::write(folder.path().join("delegate-heard"), "an earlier boot").unwrap();
        assert!(!opened(folder.path()).may_miss_some(), "a boot ends all");
    }

    #[test]
    fn one_that_answers_others_is_not_away() {
        let folder = tempfile::tempdir().unwrap();
        let heard = opened(folder.path());
        let asked = Instant::now();
        heard.note_late(asked, KEPT[0], "late");
        assert!(lock(&heard.news).trouble.is_some(), "it has answered nothing since");
        heard.note(None);
        heard.note_late(asked, KEPT[0], "late");
        assert!(lock(&heard.news).trouble.is_none());
    }

    #[test]
    fn an_empty_filter_is_none() {
        let all = |message: &'static [u8]| asks_for_all(&Bytes::from_static(message));
        assert!(all(&[]) && all(&[0x0a, 0]));
        assert!(!all(&[0x0a, 3, 0x0a, 1, b'x']) && !all(&[0x08, 1]) && !all(&[0x0a, 9]));
    }
}
