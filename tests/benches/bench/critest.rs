//! critest's own benchmark on Infranetes, beside containerd, and beside containerd behind Infranetes.
//!
//! ```text
//!   ours:        RunPodSandbox (network) -> StartContainer (a machine boots, `top` runs in it) -> Stop, Remove
//!   containerd:  RunPodSandbox (network, `pause` runs) -> StartContainer (`top` runs) -> Stop, Remove
//! ```
//!
//! The same program makes the same calls with the same names of images. What stands behind a name differs, and so does what a
//! call has to do: ours is the disk of a machine, and a container's start is the boot of its pod's machine to its first
//! answer; containerd's is a root of 3 MB and a process. So no ratio is a goal here: the calls that do the same work on
//! both (status, lists) are to be compared, and the others tell what a machine costs instead of a process.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::critest::{Call, Counts, Critest};
use tests::{Containerd, Node, Options};

use crate::figures::{percentile, rounded};
use crate::say;

/// The figures; none where critest could not be built.
pub(crate) fn measure(counts: Counts) -> Result<Option<Value>> {
    let Some(critest) = Critest::find() else {
        say("critest: left out, there was no Go to build it");
        return Ok(None);
    };
    let node = Node::start(Options::for_critest()?)?;
    let ours = critest.benchmark(node.place(), counts).context("on Infranetes")?;
    drop(node);
    let containerd =
        Containerd::for_critest()?.context("there is no containerd: measure with `cargo xtask bench`")?;
    let theirs = critest.benchmark(containerd.place(), counts).context("on containerd")?;
    drop(containerd);
    let node = Node::start(Options::behind_ours()?.context("there is no containerd")?)?;
    let behind = critest.benchmark(node.place(), counts).context("on containerd behind Infranetes")?;
    drop(node);
    let calls = ours.iter().zip(&theirs).zip(&behind);
    let calls: Vec<Value> = calls.map(|((ours, theirs), behind)| compared(ours, theirs, behind)).collect();
    Ok(Some(json!({
        "containers": counts.containers,
        "pods": counts.pods,
        "images": counts.images,
        "calls": calls,
    })))
}

/// What is told of a call. Both are in the order of the benchmark.
fn compared(ours: &Call, theirs: &Call, behind: &Call) -> Value {
    let p50 = |call: &Call| percentile(&call.milliseconds, 0.5);
    let p90 = |call: &Call| percentile(&call.milliseconds, 0.9);
    say(&format!(
        "critest: {} p50 {:.2} ms, containerd {:.2} ms, behind us {:.2} ms",
        ours.name,
        p50(ours),
        p50(theirs),
        p50(behind)
    ));
    json!({
        "call": ours.name,
        "samples": ours.milliseconds.len(),
        "ours_p50_ms": rounded(p50(ours)),
        "ours_p90_ms": rounded(p90(ours)),
        "containerd_p50_ms": rounded(p50(theirs)),
        "containerd_p90_ms": rounded(p90(theirs)),
        "behind_p50_ms": rounded(p50(behind)),
        "behind_p90_ms": rounded(p90(behind)),
    })
}
