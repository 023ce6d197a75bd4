//! All shells, under the quotas of their users.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::counters::Counting;
use crate::envelope::guid;
use crate::fault::{Fault, Start};
use crate::options::Limits;
use crate::process::{CommandLine, Process, Wine};
use crate::shell::{Definition, Shell};

/// The shells that there are.
#[derive(Debug)]
pub(crate) struct Shells {
    limits: Limits,
    counting: Counting,
    wine: Option<Wine>,
    open: Mutex<HashMap<String, Arc<Shell>>>,
}

impl Shells {
    pub(crate) fn new(limits: Limits, counting: Counting, wine: Option<Wine>) -> Arc<Self> {
        Arc::new(Self { limits, counting, wine, open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Shell>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a shell, which ends by itself when nobody uses it.
    pub(crate) fn make(self: &Arc<Self>, definition: Definition) -> Result<Arc<Shell>, Fault> {
        let mut open = self.open();
        if open.values().filter(|shell| of(shell, &definition.owner)).count() >= self.limits.shells_per_user {
            return Err(Fault::too_many_shells(self.limits.shells_per_user));
        }
        if open.contains_key(&definition.id) {
            return Err(Fault::schema("A shell with this ShellId exists."));
        }
        let shell = Arc::new(Shell::new(definition));
        open.insert(shell.id().to_owned(), Arc::clone(&shell));
        self.counting.change(|counters| {
            counters.shells_open = open.len();
            counters.shells_made += 1;
        });
        drop(open);
        tokio::spawn(end(Arc::downgrade(self), Arc::downgrade(&shell)));
        Ok(shell)
    }

    /// A shell by its id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Shell>, Fault> {
        self.open().get(id).cloned().ok_or_else(|| Fault::no_shell(id))
    }

    /// Starts a command in a shell, and answers its id.
    pub(crate) fn run(&self, shell: &Shell, id: Option<&str>, line: &CommandLine) -> Result<String, Fault> {
        let _used = shell.used();
        // Held until the command is there, so that two at once do not both take the last place.
        let open = self.open();
        let operations: usize = open
            .values()
            .filter(|other| of(other, &shell.definition.owner))
            .map(|shell| shell.operations.load(Ordering::Relaxed))
            .sum();
        if operations >= self.limits.operations_per_user {
            return Err(Fault::too_many_operations());
        }
        if shell.running() >= self.limits.processes_per_shell {
            return Err(Fault::cannot_start(Start::NoQuota));
        }
        let id = id.map_or_else(guid, str::to_owned);
        if shell.knows(&id) {
            return Err(Fault::schema("A command with this CommandId exists."));
        }
        let process = Process::start(line, &shell.definition, self.wine.as_ref(), &self.counting)?;
        self.counting.change(|counters| *counters.runs.entry(line.text.clone()).or_default() += 1);
        shell.add(id.clone(), process);
        Ok(id)
    }

    /// Ends a shell.
    pub(crate) fn delete(&self, id: &str) -> Result<(), Fault> {
        let mut open = self.open();
        let shell = open.remove(id).ok_or_else(|| Fault::no_shell(id))?;
        self.counting.change(|counters| counters.shells_open = open.len());
        drop(open);
        shell.terminate();
        Ok(())
    }

    /// Ends all shells without a word to anyone.
    pub(crate) fn lose(&self) {
        let ids: Vec<String> = self.open().keys().cloned().collect();
        for id in ids {
            let _ = self.delete(&id);
        }
    }
}

fn of(shell: &Shell, owner: &str) -> bool {
    shell.definition.owner.eq_ignore_ascii_case(owner)
}

/// Ends a shell when it is idle or old.
async fn end(shells: Weak<Shells>, shell: Weak<Shell>) {
    loop {
        let Some((ends, pause)) = shell.upgrade().map(|shell| (shell.ends(), shell.definition.idle_timeout))
        else {
            return;
        };
        match ends {
            Some(at) if at <= Instant::now() => break,
            Some(at) => tokio::time::sleep_until(at.into()).await,
            // It is used: it will be idle for that long before it ends.
            None => tokio::time::sleep(pause.max(Duration::from_millis(1))).await,
        }
    }
    if let (Some(shells), Some(shell)) = (shells.upgrade(), shell.upgrade()) {
        let _ = shells.delete(shell.id());
    }
}
