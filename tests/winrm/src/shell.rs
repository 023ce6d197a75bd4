//! A shell: an environment, and the commands that run in it.
//!
//! ```text
//!   made --Command--> commands run --Delete | idle | lifetime--> gone, with all that runs
//! ```
//!
//! It is not idle while a request is under way in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::envelope::{CMD, escape};
use crate::fault::Fault;
use crate::process::Process;

/// What a shell was made with.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) client: IpAddr,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: Option<String>,
    pub(crate) idle_timeout: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) input: String,
    pub(crate) output: String,
}

/// A shell.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) definition: Definition,
    /// Commands that were ever run in it: Windows counts them as operations of its user until it is deleted.
    pub(crate) operations: AtomicUsize,
    made: Instant,
    activity: Mutex<Activity>,
    commands: Mutex<HashMap<String, Arc<Process>>>,
}

#[derive(Debug)]
struct Activity {
    under_way: usize,
    last: Instant,
}

impl Shell {
    pub(crate) fn new(definition: Definition) -> Self {
        let now = Instant::now();
        Self {
            definition,
            operations: AtomicUsize::new(0),
            made: now,
            activity: Mutex::new(Activity { under_way: 0, last: now }),
            commands: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.definition.id
    }

    /// Says that a request is under way in it, as long as what is answered lives.
    pub(crate) fn used(&self) -> Used<'_> {
        let mut activity = lock(&self.activity);
        activity.under_way += 1;
        activity.last = Instant::now();
        Used(self)
    }

    /// When it is to end by itself, as it looks now; `None` while it is used and has no lifetime.
    pub(crate) fn ends(&self) -> Option<Instant> {
        let activity = lock(&self.activity);
        let idle = (activity.under_way == 0).then(|| activity.last + self.definition.idle_timeout);
        let old = self.definition.lifetime.map(|lifetime| self.made + lifetime);
        idle.into_iter().chain(old).min()
    }

    /// A command that runs in it, or whose end nobody has taken note of.
    pub(crate) fn command(&self, id: &str) -> Result<Arc<Process>, Fault> {
        lock(&self.commands).get(id).cloned().ok_or_else(|| Fault::no_command(id))
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        lock(&self.commands).contains_key(id)
    }

    pub(crate) fn running(&self) -> usize {
        lock(&self.commands).values().filter(|process| !process.ended()).count()
    }

    pub(crate) fn add(&self, id: String, process: Process) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        lock(&self.commands).insert(id, Arc::new(process));
    }

    pub(crate) fn forget(&self, id: &str) {
        lock(&self.commands).remove(id);
    }

    /// Kills all that runs in it.
    pub(crate) fn terminate(&self) {
        for (_, process) in lock(&self.commands).drain() {
            process.terminate();
        }
    }

    /// How it is told to clients.
    pub(crate) fn describe(&self) -> String {
        let Definition {
            id,
            owner,
            client,
            environment: _,
            directory,
            idle_timeout,
            lifetime,
            input,
            output,
        } = &self.definition;
        let option = |name: &str, value: Option<String>| {
            value.map(|value| format!("<rsp:{name}>{value}</rsp:{name}>")).unwrap_or_default()
        };
        let inactive = lock(&self.activity).last.elapsed().as_secs();
        format!(
            "<rsp:Shell><rsp:ShellId>{id}</rsp:ShellId><rsp:ResourceUri>{CMD}</rsp:ResourceUri>\
             <rsp:Owner>{owner}</rsp:Owner><rsp:ClientIP>{client}</rsp:ClientIP>{lifetime}{directory}\
             <rsp:IdleTimeOut>PT{idle:.3}S</rsp:IdleTimeOut><rsp:InputStreams>{input}</rsp:InputStreams>\
             <rsp:OutputStreams>{output}</rsp:OutputStreams><rsp:ShellRunTime>P0DT0H0M{run}S</rsp:ShellRunTime>\
             <rsp:ShellInactivity>P0DT0H0M{inactive}S</rsp:ShellInactivity></rsp:Shell>",
            id = escape(id),
            owner = escape(owner),
            lifetime =
                option("Lifetime", lifetime.map(|lifetime| format!("PT{:.3}S", lifetime.as_secs_f64()))),
            directory = option("WorkingDirectory", directory.as_deref().map(escape)),
            idle = idle_timeout.as_secs_f64(),
            input = escape(input),
            output = escape(output),
            run = self.made.elapsed().as_secs(),
        )
    }
}

/// A request that is under way.
pub(crate) struct Used<'a>(&'a Shell);

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let mut activity = lock(&self.0.activity);
        activity.under_way -= 1;
        activity.last = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
