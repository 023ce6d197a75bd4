//! Things built once and kept by the content of their recipe, outside of the source tree.
//!
//! ```text
//!   absent --lock--> .new-NAME-PID --rename--> NAME-HASH
//! ```
//!
//! Happy path: [`keep`] answers the folder of an earlier build with the same inputs. Failure paths: a build that fails or
//! is interrupted leaves only a `.new-` folder, which the next build of that name removes; who wants what is being built
//! already waits at the lock instead of building the same thing twice.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use tests::interrupt;

use crate::progress::Step;
use crate::run;

/// How long a build that nobody used is kept once a newer one of its name is made.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The cache's folder.
pub(crate) fn root() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let root = if let Some(path) = set("INFRANETES_CACHE") {
        path
    } else if let Some(path) = set("XDG_CACHE_HOME") {
        path.join("infranetes")
    } else if let Some(path) = set("HOME") {
        path.join(".cache/infranetes")
    } else {
        PathBuf::from("/var/cache/infranetes")
    };
    std::path::absolute(&root).with_context(|| format!("cannot use {} as the cache", root.display()))
}

/// The hash of the inputs of a build.
#[derive(Clone)]
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds an input; its length keeps two inputs from running into each other.
    pub(crate) fn add(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update((input.len() as u64).to_be_bytes());
        self.0.update(input);
        self
    }

    fn short(self) -> String {
        hex::encode(&self.0.finalize()[..6])
    }
}

/// The folder with the thing `name` of a kind, made by `build` (in an empty folder) if it is not there yet.
pub(crate) fn keep(
    kind: &str,
    name: &str,
    key: Key,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = root()?.join(kind);
    let kept = folder.join(format!("{name}-{}", key.short()));
    if used(&kept) {
        return Ok(kept);
    }
    fs::create_dir_all(&folder).with_context(|| {
        format!("cannot make {}: INFRANETES_CACHE may name another folder", folder.display())
    })?;
    let path = folder.join(format!(".{name}.lock"));
    let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    wait(&lock, name).with_context(|| format!("cannot lock {}", path.display()))?;
    if used(&kept) {
        return Ok(kept);
    }
    sweep(&folder, name)?;
    let new = folder.join(format!(".new-{name}-{}", std::process::id()));
    fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    build(&new)?;
    fs::rename(&new, &kept).with_context(|| format!("cannot keep {}", kept.display()))?;
    Ok(kept)
}

/// Waits until nobody else holds the lock of a name.
fn wait(lock: &File, name: &str) -> Result<()> {
    let mut step: Option<Step> = None;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => step
                .get_or_insert_with(|| {
                    Step::begin(&format!("waiting for {name}, which is being built already"))
                })
                .tick(""),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        interrupt::check()?;
        run::pause();
    }
    if let Some(step) = step {
        step.end("done");
    }
    Ok(())
}

/// Whether it is there; if so, remembers that it was used now.
fn used(kept: &Path) -> bool {
    // That the time cannot be set matters to no one but the sweeper.
    let _ = File::open(kept).and_then(|folder| folder.set_modified(SystemTime::now()));
    kept.is_dir()
}

/// Removes what an interrupted build left, and builds of other inputs that were not used for long. The name's lock is
/// held, so nobody else builds it.
fn sweep(folder: &Path, name: &str) -> Result<()> {
    let unfinished = format!(".new-{name}-");
    let older = format!("{name}-");
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let old =
            file.starts_with(&older) && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > UNUSED);
        if old || file.starts_with(&unfinished) {
            fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {file}"))?;
        }
    }
    Ok(())
}
