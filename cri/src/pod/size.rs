//! The size of a machine: the container's limits, else the pod's, else the image's, else the node's default.

use images::Facts;

use crate::config::MachineDefaults;
use crate::error::{Error, Result};
use crate::store::Resources;

/// The least memory that any guest boots with, in MiB.
const LEAST_MEMORY_MIB: u64 = 32;
/// The most processors that one machine may have.
const MOST_CPUS: u64 = 255;

/// Processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// Decides the size. A part of a processor becomes a whole one: the cgroup bounds what it may use.
pub(super) fn size(
    container: Resources,
    pod: Resources,
    facts: &Facts,
    defaults: &MachineDefaults,
) -> Result<Size> {
    let cpus = match container.milli_cpus.or(pod.milli_cpus) {
        Some(milli) => milli.div_ceil(1000).max(1),
        None => u64::from(facts.cpus.unwrap_or(defaults.cpus)).max(1),
    };
    if cpus > MOST_CPUS {
        return Err(Error::invalid(format!(
            "{cpus} processors are too many for a machine; {MOST_CPUS} are the most"
        )));
    }
    let memory_mib = match container.memory_bytes.or(pod.memory_bytes) {
        Some(bytes) => bytes >> 20,
        None => u64::from(facts.memory_mib.unwrap_or(defaults.memory_mib)),
    };
    if memory_mib < LEAST_MEMORY_MIB {
        return Err(Error::invalid(format!(
            "a memory limit of {memory_mib} MiB is too small for a machine; give it at least {LEAST_MEMORY_MIB} MiB"
        )));
    }
    let too_large =
        |_| Error::invalid(format!("a memory limit of {memory_mib} MiB is too large for a machine"));
    Ok(Size {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        memory_mib: u32::try_from(memory_mib).map_err(too_large)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(
        container: (Option<u64>, Option<u64>),
        pod: (Option<u64>, Option<u64>),
        facts: &Facts,
    ) -> Result<Size> {
        let resources = |(milli_cpus, memory_bytes)| Resources { milli_cpus, memory_bytes };
        size(resources(container), resources(pod), facts, &MachineDefaults { cpus: 1, memory_mib: 512 })
    }

    #[test]
    fn the_nearest_word_decides() {
        let image = Facts { cpus: Some(2), memory_mib: Some(1024), ..Facts::default() };
        let none = (None, None);
        assert_eq!(sized(none, none, &Facts::default()).unwrap(), Size { cpus: 1, memory_mib: 512 });
        assert_eq!(sized(none, none, &image).unwrap(), Size { cpus: 2, memory_mib: 1024 });
        let pod = (Some(2500), Some(256 << 20));
        assert_eq!(sized(none, pod, &image).unwrap(), Size { cpus: 3, memory_mib: 256 });
        let container = (Some(100), Some(128 << 20));
        assert_eq!(sized(container, pod, &image).unwrap(), Size { cpus: 1, memory_mib: 128 });
    }

    #[test]
    fn too_little_memory_is_refused_with_the_least() {
        let error = sized((None, Some(1 << 20)), (None, None), &Facts::default()).unwrap_err();
        assert!(error.to_string().contains("at least 32 MiB"), "{error}");
    }
}
