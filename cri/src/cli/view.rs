//! How figures look to people: ages, sizes, short ids, names of states.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::runtime::v1::{ContainerState, PodSandboxState};

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The time from `then` to `now` (nanoseconds), in its greatest unit.
pub(super) fn age(then: i64, now: i64) -> String {
    let seconds = now.saturating_sub(then).max(0) / 1_000_000_000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in the unit that leaves one to four digits.
pub(super) fn bytes(size: u64) -> String {
    let mut unit = 0;
    let mut whole = size;
    let mut tenths = 0;
    while whole >= 1024 {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    match ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit] {
        "B" => format!("{whole} B"),
        name => format!("{whole}.{tenths} {name}"),
    }
}

/// The first digits of an id, without the name of its hash.
pub(super) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// An instant (nanoseconds since 1970) as RFC 3339; nothing for what has not happened.
pub(super) fn instant(nanoseconds: i64) -> Option<String> {
    if nanoseconds == 0 {
        return None;
    }
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok().map(|instant| instant.to_string())
}

/// A pod's state.
pub(super) fn pod_state(state: i32) -> &'static str {
    match PodSandboxState::try_from(state) {
        Ok(PodSandboxState::SandboxReady) => "ready",
        Ok(PodSandboxState::SandboxNotready) => "stopped",
        Err(_) => "unknown",
    }
}

/// A container's state.
pub(super) fn container_state(state: i32) -> &'static str {
    match ContainerState::try_from(state) {
        Ok(ContainerState::ContainerCreated) => "created",
        Ok(ContainerState::ContainerRunning) => "running",
        Ok(ContainerState::ContainerExited) => "exited",
        Ok(ContainerState::ContainerUnknown) | Err(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_take_the_greatest_unit() {
        let second = 1_000_000_000;
        assert_eq!(age(0, 59 * second), "59s");
        assert_eq!(age(0, 120 * second), "2m");
        assert_eq!(age(0, 7_200 * second), "2h");
        assert_eq!(age(0, 3 * 86_400 * second), "3d");
        assert_eq!(age(5, 0), "0s");
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn ids_are_cut_and_instants_are_read() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("01"), "01");
        assert_eq!(instant(0), None);
        assert_eq!(instant(1_500_000_000).as_deref(), Some("1970-01-01T00:00:01.5Z"));
    }
}
