//! Sizes: what a message asks for, at first and as a change, and what it is told in return.
//!
//! What bounds a cgroup alone (shares, sets of processors, huge pages) is neither a machine's business nor a guest's.

use proto::runtime::v1::LinuxContainerResources;

use crate::pod::{Limit, Update};
use crate::store::Resources;

/// The period that quotas are told for, and meant for where a message names none; in microseconds.
const PERIOD: i64 = 100_000;

/// The size in a message. A limit that is not positive is none.
pub fn size(message: &LinuxContainerResources) -> Resources {
    change(message).over(Resources::default())
}

/// What a message changes: zero leaves a limit as it is, a negative one lifts it.
pub fn change(message: &LinuxContainerResources) -> Update {
    let LinuxContainerResources {
        cpu_period,
        cpu_quota,
        memory_limit_in_bytes,
        cpu_shares: _,
        oom_score_adj: _,
        cpuset_cpus: _,
        cpuset_mems: _,
        hugepage_limits: _,
        unified: _,
        memory_swap_limit_in_bytes: _,
    } = *message;
    let limit = |value: i64| match u64::try_from(value) {
        Ok(0) => Limit::Kept,
        Ok(value) => Limit::Set(value),
        Err(_) => Limit::Lifted,
    };
    let period = u64::try_from(cpu_period).ok().filter(|period| *period > 0);
    let period = period.unwrap_or(PERIOD.unsigned_abs());
    Update {
        milli_cpus: match limit(cpu_quota) {
            Limit::Set(quota) => Limit::Set(quota.saturating_mul(1000).div_ceil(period)),
            other => other,
        },
        memory_bytes: limit(memory_limit_in_bytes),
    }
}

/// The message of a size.
pub fn message(size: Resources) -> LinuxContainerResources {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    LinuxContainerResources {
        cpu_period: size.milli_cpus.map_or(0, |_| PERIOD),
        cpu_quota: size.milli_cpus.map_or(0, |milli| signed(milli).saturating_mul(PERIOD / 1000)),
        memory_limit_in_bytes: size.memory_bytes.map_or(0, signed),
        ..LinuxContainerResources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cpu_period: i64, cpu_quota: i64, memory_limit_in_bytes: i64) -> LinuxContainerResources {
        LinuxContainerResources { cpu_period, cpu_quota, memory_limit_in_bytes, ..Default::default() }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = Resources { milli_cpus: Some(500), memory_bytes: Some(64) };
        let after = |message: &LinuxContainerResources| change(message).over(before);
        assert_eq!(after(&told(0, 0, 0)), before);
        let set = LinuxContainerResources { cpuset_cpus: "0-1".into(), cpu_shares: 2, ..told(100_000, 0, 0) };
        assert_eq!(after(&set), before, "what only bounds a cgroup changes nothing");
        assert_eq!(after(&told(50_000, 25_001, 0)), Resources { milli_cpus: Some(501), ..before });
        assert_eq!(after(&told(0, -1, 128)), Resources { milli_cpus: None, memory_bytes: Some(128) });
        assert_eq!(after(&told(0, 0, -1)), Resources { memory_bytes: None, ..before });
    }

    #[test]
    fn a_size_comes_back_as_it_was_told() {
        for told in [told(0, 0, 0), told(100_000, 150_000, 1 << 30), told(100_000, 100, 0)] {
            assert_eq!(message(size(&told)), told);
        }
        assert_eq!(size(&told(-5, -1, -1)), Resources::default());
    }
}
