//! What is known of one machine: the last that it and its guest have told, and what follows from that. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guests::figures::Figures;
use machines::Usage;
use tokio::sync::watch;
use tokio::time::Instant;

/// The shortest time that a rate is worked out over.
const SHORTEST: Duration = Duration::from_millis(100);

/// The last figures of a machine. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What the machine uses.
    pub machine: Option<Arc<Usage>>,
    /// How much of a processor it used between the last two measurements, in billionths of one.
    pub nano_cores: Option<u64>,
    /// What the guest says.
    pub guest: Option<Arc<Figures>>,
    /// When a guest that told nothing may be asked again.
    pub(super) ask_guest_at: Option<Instant>,
    /// Closed once the guest that is being asked has told its figures, or does not.
    pub(super) asking: Option<watch::Receiver<()>>,
}

/// Memory in bytes, as the guest or its balloon tells it. What was not told is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryFigures {
    /// When it was told.
    pub at: SystemTime,
    /// What cannot be had without swapping.
    pub working_set: Option<u64>,
    /// What the machine has beyond that.
    pub available: Option<u64>,
    /// All that is in use, caches included.
    pub usage: Option<u64>,
    /// What no file backs.
    pub anonymous: Option<u64>,
    /// Page faults that needed no disk.
    pub minor_faults: Option<u64>,
    /// Page faults that read from a disk.
    pub major_faults: Option<u64>,
}

impl Known {
    /// Takes a measurement of the machine in.
    pub(super) fn learn_machine(&mut self, usage: Usage) {
        if let Some(before) = &self.machine {
            let (Ok(passed), Some(used)) =
                (usage.at.duration_since(before.at), usage.vcpu_time.checked_sub(before.vcpu_time))
            else {
                // The clock was set back, or this is another run: the next measurement has a rate again.
                self.nano_cores = None;
                self.machine = Some(Arc::new(usage));
                return;
            };
            if passed < SHORTEST {
                return;
            }
            let rate = used.as_nanos() * 1_000_000_000 / passed.as_nanos();
            self.nano_cores = u64::try_from(rate).ok();
        }
        self.machine = Some(Arc::new(usage));
    }

    /// Whether its guest is being asked.
    pub(super) fn is_asked(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.has_changed().is_ok())
    }

    /// Takes the guest's figures in.
    pub(super) fn learn_guest(&mut self, figures: Figures) {
        self.guest = Some(Arc::new(figures));
        self.ask_guest_at = None;
    }

    /// The newer word on memory. A guest cannot have more than its machine.
    pub fn memory(&self) -> Option<MemoryFigures> {
        let limit = self.machine.as_ref().map(|machine| machine.memory_bytes).filter(|limit| *limit > 0);
        let guest = self.guest.as_ref().map(|guest| MemoryFigures {
            at: guest.at,
            working_set: Some(guest.memory.total.saturating_sub(guest.memory.available)),
            available: None,
            usage: Some(guest.memory.total.saturating_sub(guest.memory.free)),
            anonymous: guest.memory.anonymous,
            minor_faults: guest.memory.minor_faults,
            major_faults: guest.memory.major_faults,
        });
        let balloon = self.machine.as_ref().and_then(|machine| machine.guest_memory.as_ref());
        let balloon = balloon.map(|balloon| {
            let used = |rest: Option<u64>| Some(balloon.total?.saturating_sub(rest?));
            MemoryFigures {
                at: balloon.at,
                working_set: used(balloon.available),
                available: None,
                usage: used(balloon.free),
                anonymous: None,
                minor_faults: balloon.minor_faults,
                major_faults: balloon.major_faults,
            }
        });
        let mut memory = match (guest, balloon) {
            (Some(guest), Some(balloon)) if balloon.at > guest.at + LEAD => balloon,
            (guest, balloon) => guest.or(balloon)?,
        };
        let bounded = |value: Option<u64>| Some(value?.min(limit.unwrap_or(u64::MAX)));
        memory.working_set = bounded(memory.working_set);
        memory.usage = bounded(memory.usage);
        memory.anonymous = bounded(memory.anonymous);
        memory.available = limit.zip(memory.working_set).map(|(limit, used)| limit - used);
        Some(memory)
    }
}

/// By how much newer the balloon's word has to be: a guest that answers tells more than its balloon.
const LEAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use guests::figures::Memory;
    use machines::GuestMemory;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn usage(seconds: u64, vcpu_millis: u64) -> Usage {
        Usage {
            at: at(seconds),
            vcpu_time: Duration::from_millis(vcpu_millis),
            process_time: Duration::from_secs(9),
            resident_bytes: 5,
            disk_bytes: 7,
            memory_bytes: 1000,
            guest_memory: None,
        }
    }

    fn figures(seconds: u64, total: u64, available: u64) -> Figures {
        let memory = Memory { total, available, free: available / 2, ..Memory::default() };
        Figures {
            at: at(seconds),
            uptime: None,
            processor_time: None,
            processes: None,
            threads: None,
            memory,
            links: Vec::new(),
            file_systems: Vec::new(),
        }
    }

    #[test]
    fn a_rate_needs_two_measurements_of_one_run() {
        let mut known = Known::default();
        known.learn_machine(usage(100, 1000));
        assert_eq!(known.nano_cores, None);
        known.learn_machine(usage(110, 6000));
        assert_eq!(known.nano_cores, Some(500_000_000));
        known.learn_machine(usage(110, 6001));
        assert_eq!(
            known.machine.as_ref().unwrap().vcpu_time,
            Duration::from_millis(6000),
            "too soon for a rate"
        );
        known.learn_machine(usage(120, 100));
        assert_eq!(known.nano_cores, None, "another run");
        known.learn_machine(usage(110, 200));
        assert_eq!(known.nano_cores, None, "the clock was set back");
        known.learn_machine(usage(111, 1200));
        assert_eq!(known.nano_cores, Some(1_000_000_000));
    }

    #[test]
    fn the_guest_speaks_for_its_memory_and_its_balloon_when_it_is_silent() {
        let mut known = Known::default();
        assert_eq!(known.memory(), None);
        let balloon = GuestMemory {
            at: at(100),
            total: Some(900),
            free: None,
            available: Some(600),
            minor_faults: Some(3),
            major_faults: None,
        };
        known.learn_machine(Usage { guest_memory: Some(balloon.clone()), ..usage(100, 0) });
        let told = known.memory().unwrap();
        assert_eq!((told.working_set, told.available, told.usage), (Some(300), Some(700), None));
        known.learn_guest(figures(95, 900, 500));
        assert_eq!(known.memory().unwrap().working_set, Some(400), "a guest that answers tells more");
        let later = GuestMemory { at: at(200), ..balloon };
        known.learn_machine(Usage { guest_memory: Some(later), ..usage(200, 0) });
        assert_eq!(known.memory().unwrap().working_set, Some(300), "it has fallen silent");
    }

    #[test]
    fn a_guest_cannot_use_more_than_its_machine_has() {
        let mut known = Known::default();
        known.learn_machine(usage(100, 0));
        known.learn_guest(figures(100, u64::MAX, 10));
        let told = known.memory().unwrap();
        assert_eq!((told.working_set, told.usage, told.available), (Some(1000), Some(1000), Some(0)));
    }
}
