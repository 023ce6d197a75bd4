//! Passwords that a machine has refused are shown to it again only so often that it locks nobody out: for machines that run already,
//! whose users are somebody's. A guest that boots from an image of ours may set its password any moment, and loses nothing.
//!
//! ```text
//!   refused --a moment--> again --a quarter of a minute--> again --a minute--> again --longer than a guest counts--> again --...
//!      `- let in, or long ago: forgotten          another password, or another guest: shown at once
//! ```
//!
//! It is this process that remembers, and not one link: a container that is restarted has a new link, and the same password.
//!
//! - Happy path: nothing was refused, and [`Sparing`] is the transport that it is made of.
//! - It is too early: the refusal of the time before is the answer, and the machine is not asked.
//! - Keys and tickets lock nobody out: they are always tried, also without the passwords beside them.
//! - A login that cannot be read, or has no password: the transport says why.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{Credential, Error, Result, Session, Target, Transport};

/// How long the same passwords are not shown again after their first refusal, their second and so on. Four refusals lock nobody
/// out where five do, and the last wait is longer than the fifteen minutes within which Windows is mostly set to count them (ten,
/// where nothing is set).
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(16 * 60)];
/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// The most refusals that are remembered.
const MOST: usize = 1000;

static REFUSALS: LazyLock<Mutex<Refusals>> = LazyLock::new(Mutex::default);

/// A transport that answers with its last refusal where one more could lock somebody out.
#[derive(Debug)]
pub struct Sparing(Arc<dyn Transport>);

impl Sparing {
    /// Of a transport that tries as often as it is told to.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self(transport)
    }
}

#[async_trait]
impl Transport for Sparing {
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>> {
        let Some((shown, keys)) = shown(target).await else { return self.0.connect(target).await };
        let checked = refusals().check(shown);
        if let Err(early) = checked {
            return if keys.credentials.is_empty() { Err(early) } else { self.0.connect(&keys).await };
        }
        let connected = self.0.connect(target).await;
        match &connected {
            Ok(_) => drop(refusals().of.remove(&shown)),
            Err(Error::Refused(why)) => refusals().note(shown, why),
            Err(_) => {}
        }
        connected
    }
}

/// A number for the passwords that would be shown, and to whom, and the target without them; none where there are none.
async fn shown(target: &Target) -> Option<(u64, Target)> {
    let mut now = target.as_of_now().await.ok()?;
    let mut passwords = Vec::new();
    now.credentials.retain(|credential| match credential {
        Credential::Password(password) => {
            passwords.push(password.expose().to_owned());
            false
        }
        _ => true,
    });
    let number = || refusals().hasher.hash_one((now.address, &now.user, &passwords));
    (!passwords.is_empty()).then(number).map(|number| (number, now))
}

fn refusals() -> MutexGuard<'static, Refusals> {
    REFUSALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was refused, by a number that tells nothing of it.
#[derive(Default)]
struct Refusals {
    hasher: RandomState,
    of: HashMap<u64, Refusal>,
}

struct Refusal {
    times: usize,
    last: Instant,
    why: String,
}

impl Refusals {
    /// The refusal, where it is too early to ask again.
    fn check(&self, shown: u64) -> Result<()> {
        let Some(Refusal { times, last, why }) = self.of.get(&shown) else { return Ok(()) };
        let wait = WAITS[(times - 1).min(WAITS.len() - 1)];
        if last.elapsed() >= wait {
            return Ok(());
        }
        Err(Error::Refused(if *times < WAITS.len() {
            why.clone()
        } else {
            let minutes = wait.as_secs() / 60;
            format!(
                "{why}; the same password is shown again only every {minutes} minutes, which locks nobody out"
            )
        }))
    }

    fn note(&mut self, shown: u64, why: &str) {
        self.of.retain(|_, refusal| refusal.last.elapsed() < REMEMBERED);
        let times = self.of.remove(&shown).map_or(0, |refusal| refusal.times) + 1;
        let oldest = self.of.iter().min_by_key(|(_, refusal)| refusal.last).map(|(shown, _)| *shown);
        if let (true, Some(oldest)) = (self.of.len() >= MOST, oldest) {
            self.of.remove(&oldest);
        }
        self.of.insert(shown, Refusal { times, last: Instant::now(), why: why.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{Identity, Login, Logins};

    /// A guest that lets nobody in, and counts who tries.
    #[derive(Debug, Default)]
    struct Closed(AtomicUsize);

    #[async_trait]
    impl Transport for Closed {
        async fn connect(&self, _: &Target) -> Result<Box<dyn Session>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(Error::Refused("permission denied".into()))
        }
    }

    /// A password that is changed meanwhile.
    #[derive(Debug)]
    struct Changing(Mutex<&'static str>);

    #[async_trait]
    impl Logins for Changing {
        async fn now(&self) -> Result<Login> {
            let password = *self.0.lock().unwrap();
            Ok(Login { user: None, credentials: vec![Credential::Password(password.into())] })
        }
    }

    fn target(port: u16, credential: Credential) -> Target {
        Target {
            address: ([192, 0, 2, 1], port).into(),
            user: "root".into(),
            host_name: None,
            credentials: vec![credential],
            identity: Identity::TrustOnFirstUse,
            legacy_algorithms: Vec::new(),
        }
    }

    /// How often it was tried within so many seconds, by somebody who asks once a second.
    async fn tried(guest: &Arc<Closed>, target: &Target, seconds: u64) -> usize {
        let before = guest.0.load(Ordering::Relaxed);
        for _ in 0..seconds {
            let refused = Sparing::new(guest.clone()).connect(target).await;
            assert!(matches!(refused, Err(Error::Refused(_))));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        guest.0.load(Ordering::Relaxed) - before
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_refused_too_seldom_to_lock_anybody_out() {
        let (guest, password) = (Arc::<Closed>::default(), Arc::new(Changing(Mutex::new("mistyped"))));
        let kept = target(1, Credential::Kept(password.clone()));
        assert_eq!(tried(&guest, &kept, 120).await, 4);
        assert_eq!(tried(&guest, &kept, 15 * 60).await, 0);
        let said = Sparing::new(guest.clone()).connect(&kept).await.unwrap_err().to_string();
        assert!(said.starts_with("permission denied; ") && said.contains("every 16 minutes"), "{said}");
        // Whoever restarts what is refused, or has it twice, has no further ones.
        let same = target(1, Credential::Password("mistyped".into()));
        assert_eq!(tried(&guest, &same, 60 * 60).await, 4);
        // One that was mended is shown at once, and one for another guest.
        *password.0.lock().unwrap() = "mended";
        assert_eq!(tried(&guest, &kept, 1).await, 1);
        assert_eq!(tried(&guest, &target(2, Credential::Password("mistyped".into())), 1).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_always_tried() {
        let guest = Arc::default();
        assert_eq!(tried(&guest, &target(3, Credential::Key("a key".into())), 60).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_beside_a_password_is_always_tried() {
        let guest = Arc::default();
        let mut both = target(4, Credential::Key("a key".into()));
        both.credentials.push(Credential::Password("mistyped".into()));
        assert_eq!(tried(&guest, &both, 60).await, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_forgotten() {
        let mut refusals = Refusals::default();
        for number in 0..2 * MOST as u64 {
            refusals.note(number, "no");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!((refusals.of.len(), refusals.of.contains_key(&0)), (MOST, false));
        tokio::time::advance(REMEMBERED).await;
        refusals.note(0, "no");
        assert_eq!(refusals.of.len(), 1);
    }
}
