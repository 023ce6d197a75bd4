//! Downloads, one for each blob of a registry however many pulls want it.
//!
//! ```text
//!   wanted --lock--> partial --bytes (hashed as they come)--> whole --last user gone--> removed
//!                      ^  cut: asked again from where it stopped, a bounded number of times
//! ```
//!
//! Pulls of one process share a [`Blob`]; a second process waits for its lock. Whoever holds the lock downloads, the
//! others wait and then find it whole; if the downloader is cancelled, the next one goes on with what is there. Wrong
//! bytes are thrown away at once, and a registry that is too slow is given up.
//!
//! What is on its way is shared by those alone who ask the same registry for the same digest and size: neither a
//! registry nor a forged size is in anybody else's way. What is whole and verified is shared by all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter, SeekFrom};
use tokio::sync::Mutex;

use crate::backoff;
use crate::layout::{self, Layout};
use crate::lock::{self, Lock};
use crate::manifest::Descriptor;
use crate::pace::Pace;
use crate::registry::Registry;
use crate::store::blocking;
use crate::work::remove_file;
use crate::{Error, Result};

/// The blobs that pulls of this process are at.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    shared: StdMutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the registry's host, the digest and the size.
    wanted: HashMap<(String, String, u64), Weak<Blob>>,
    /// Whole and verified, by the digest and the size.
    whole: HashMap<(String, u64), Weak<Blob>>,
}

/// A blob on this node, for as long as somebody needs it.
#[derive(Debug)]
pub(crate) struct Blob {
    whole: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lock: Option<Lock>,
    done: bool,
}

impl Blobs {
    /// The blob, downloaded and verified.
    pub(crate) async fn fetch(
        &self,
        layout: &Layout,
        registry: &Registry,
        descriptor: &Descriptor,
    ) -> Result<Arc<Blob>> {
        let blob = self.shared(layout, registry.host(), descriptor);
        let mut state = blob.state.lock().await;
        if state.lock.is_none() {
            let path = blob.whole.with_extension("lock");
            state.lock = Some(blocking(move || lock::exclusive(&path)).await?);
        }
        if !state.done {
            download(&blob.whole, registry, descriptor).await?;
            state.done = true;
            let key = (descriptor.digest.clone(), descriptor.size);
            self.known().whole.insert(key, Arc::downgrade(&blob));
        }
        drop(state);
        Ok(blob)
    }

    fn shared(&self, layout: &Layout, host: &str, descriptor: &Descriptor) -> Arc<Blob> {
        let Descriptor { digest, size, .. } = descriptor;
        let mut known = self.known();
        known.wanted.retain(|_, blob| blob.strong_count() > 0);
        known.whole.retain(|_, blob| blob.strong_count() > 0);
        let key = (host.to_owned(), digest.clone(), *size);
        let found = known.whole.get(&(digest.clone(), *size)).or_else(|| known.wanted.get(&key));
        if let Some(blob) = found.and_then(Weak::upgrade) {
            return blob;
        }
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let asked = hex::encode(Sha256::digest(format!("{host} {size}")));
        let whole = layout.blobs().join(format!("{hex}-{}", &asked[..16]));
        let blob = Arc::new(Blob { whole, state: Mutex::default() });
        known.wanted.insert(key, Arc::downgrade(&blob));
        blob
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blob {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.whole
    }
}

/// The last user is gone. The partial download stays for the next pull.
impl Drop for Blob {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.lock.is_some() {
            remove_file(&self.whole);
            remove_file(&self.whole.with_extension("lock"));
        }
    }
}

async fn download(whole: &Path, registry: &Registry, descriptor: &Descriptor) -> Result<()> {
    let path = whole.with_extension("part");
    let mut failures = 0;
    let mut pace = Pace::default();
    for _ in 0..backoff::ATTEMPTS_IN_ALL {
        let mut part = Part::open(&path, descriptor).await?;
        let before = part.length;
        match part.fill(registry, &mut pace).await {
            Ok(()) => return part.finish(&path, whole).await,
            Err(error) if pace.too_slow() => return Err(error),
            Err(error) if !error.retryable() => {
                // What was refused is of no use to the next pull.
                if matches!(error, Error::Refused(_)) {
                    remove_file(&path);
                }
                return Err(error);
            }
            Err(error) => {
                failures = if part.length > before { 0 } else { failures + 1 };
                if failures >= backoff::ATTEMPTS {
                    return Err(error);
                }
                tracing::info!(blob = descriptor.digest, %error, have = part.length, "the download was cut; going on");
            }
        }
        tokio::time::sleep(backoff::pause(failures)).await;
    }
    Err(Error::failed(
        format!("cannot download the blob {}", descriptor.digest),
        format!("cut {} times", backoff::ATTEMPTS_IN_ALL),
    ))
}

/// A partial download: the file, and the hash of what is in it.
struct Part<'a> {
    file: BufWriter<File>,
    length: u64,
    hash: Sha256,
    descriptor: &'a Descriptor,
}

impl<'a> Part<'a> {
    /// Opens it and hashes what is there.
    async fn open(path: &Path, descriptor: &'a Descriptor) -> Result<Self> {
        let (path, shown) = (path.to_owned(), path.display().to_string());
        let failed = move |source| Error::failed(format!("cannot write {shown}"), source);
        let unopened = failed.clone();
        let mut file = File::from_std(blocking(move || layout::open(&path).map_err(unopened)).await?);
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = file.read(&mut buffer).await.map_err(&failed)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            length += count as u64;
        }
        Ok(Self { file: BufWriter::with_capacity(256 << 10, file), length, hash, descriptor })
    }

    async fn restart(&mut self) -> std::io::Result<()> {
        self.file.flush().await?;
        self.file.get_mut().set_len(0).await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        self.hash = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Downloads what is missing.
    async fn fill(&mut self, registry: &Registry, pace: &mut Pace) -> Result<()> {
        let digest = &self.descriptor.digest;
        let what = format!("the blob {digest}");
        let wanted = self.descriptor.size;
        let failed = |source| Error::failed(format!("cannot write {what}"), source);
        if self.length < wanted || wanted == 0 {
            let too_slow = |why| Error::failed(format!("{} is too slow with {what}", registry.host()), why);
            let mut body = pace.wait(registry.blob(digest, self.length)).await.map_err(too_slow)??;
            if body.offset != self.length {
                self.restart().await.map_err(failed)?;
            }
            let streamed = loop {
                let chunk = match pace.wait(body.response.chunk()).await {
                    Ok(Ok(Some(chunk))) => chunk,
                    Ok(Ok(None)) => break Ok(()),
                    Ok(Err(error)) => break Err(registry.unreachable(&what, error)),
                    Err(why) => break Err(too_slow(why)),
                };
                pace.received(chunk.len());
                if self.length + chunk.len() as u64 > wanted {
                    return Err(Error::Refused(format!(
                        "{what} is longer than the {wanted} bytes that the manifest says; the image is damaged or forged"
                    )));
                }
                self.hash.update(&chunk);
                self.file.write_all(&chunk).await.map_err(failed)?;
                self.length += chunk.len() as u64;
            };
            // What came before a cut is kept.
            self.file.flush().await.map_err(failed)?;
            streamed?;
        }
        if self.length < wanted {
            return Err(Error::failed(
                format!("cannot get {what}"),
                format!("the answer ended after {} of {wanted} bytes", self.length),
            ));
        }
        Ok(())
    }

    async fn finish(self, path: &Path, whole: &Path) -> Result<()> {
        let digest = &self.descriptor.digest;
        let found = format!("sha256:{}", hex::encode(self.hash.finalize()));
        if found != *digest || self.length != self.descriptor.size {
            remove_file(path);
            return Err(Error::Refused(format!(
                "the blob {digest} arrived with the digest {found}; it is damaged or forged"
            )));
        }
        tokio::fs::rename(path, whole)
            .await
            .map_err(|source| Error::failed(format!("cannot keep the blob {digest}"), source))
    }
}
