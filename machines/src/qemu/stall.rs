//! A machine that stands still because the node's disk is full.
//!
//! ```text
//!   Running --(a write finds no space: QEMU pauses the guest)--> Stalled --(let go after 1 s, 2 s, 4 s ... 1 min)--+
//!      ^                                                            ^                                            |
//!      +---- it ran until the next look ----------------------------+--- the write failed again -----------------+
//! ```
//!
//! A guest that were told of the error would take its file system for broken. So QEMU keeps the write and pauses the
//! guest (its default for this one error; others are the guest's own). Whoever lets the guest go has the write tried
//! again: that is done here, for as long as it takes. Nothing is lost but time, the machine can be stopped all the
//! while, and one that a person has paused stays paused.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::qmp::Qmp;
use super::watcher::{ANSWER, Told};
use crate::MachineId;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Lets the machine go again whenever it stands still, until it is dropped.
pub(crate) async fn keep_going(id: &MachineId, qmp: &Qmp, mut told: watch::Receiver<Told>) -> Infallible {
    let mut seen = 0;
    loop {
        let nothing_more = told.wait_for(|told| told.stalls != seen).await.is_err();
        if nothing_more {
            std::future::pending::<()>().await;
        }
        tracing::warn!(machine = %id, "the node's disk is full: the guest stands still until there is space again");
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(jittered(pause)).await;
            seen = told.borrow().stalls;
            match qmp.execute("query-status", json!({}), ANSWER).await {
                Ok(status) if status["status"] == "io-error" => {
                    pause = LONGEST_PAUSE.min(pause * 2);
                    if let Err(error) = qmp.execute("cont", json!({}), ANSWER).await {
                        tracing::warn!(machine = %id, %error, "the guest cannot be let go");
                    }
                }
                Ok(_) => break,
                // A slow monitor is asked again; one that has gone is told to the watch, which ends this.
                Err(error) => {
                    pause = LONGEST_PAUSE.min(pause * 2);
                    tracing::debug!(machine = %id, %error, "the guest's status is unknown");
                }
            }
        }
        tracing::info!(machine = %id, "the guest goes on");
    }
}

/// Three quarters of a pause up to all of it, so that many machines do not try at one instant.
fn jittered(pause: Duration) -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(()) % 256).unwrap_or_default();
    pause * 3 / 4 + pause * part / 1024
}
