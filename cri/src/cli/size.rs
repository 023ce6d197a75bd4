//! Sizes of machines as people and Kubernetes write them.

use proto::runtime::v1::LinuxContainerResources;

/// Microseconds over which processor time is counted.
const PERIOD: i64 = 100_000;
/// Processors that one machine can have.
const MOST_CPUS: u64 = 255;

/// Processors, in thousandths: `2`, `0.5`, `1500m`.
pub(super) fn cpus(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of processors; write 2, 0.5 or 1500m");
    let milli = if let Some(milli) = text.strip_suffix('m') {
        milli.parse().map_err(|_| wrong())?
    } else {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
        whole.checked_mul(1000).and_then(|whole| whole.checked_add(part)).ok_or_else(wrong)?
    };
    if milli == 0 || milli > MOST_CPUS * 1000 {
        return Err(format!("{text:?} is not more than 0 and at most {MOST_CPUS} processors"));
    }
    Ok(milli)
}

/// Bytes of memory: `512Mi`, `1Gi`, `1G`, `536870912`.
pub(super) fn memory(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of memory; write 512Mi, 1Gi or a number of bytes");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "Ki" => 1 << 10,
        "M" => 1_000_000,
        "Mi" => 1 << 20,
        "G" => 1_000_000_000,
        "Gi" => 1 << 30,
        "T" => 1_000_000_000_000,
        "Ti" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok()).ok_or_else(wrong)
}

/// Both as the CRI has them; nothing where neither is asked for.
pub(super) fn resources(
    milli_cpus: Option<u64>,
    memory_bytes: Option<u64>,
) -> Option<LinuxContainerResources> {
    if milli_cpus.is_none() && memory_bytes.is_none() {
        return None;
    }
    let milli = milli_cpus.and_then(|milli| i64::try_from(milli).ok());
    let bytes = memory_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    Some(LinuxContainerResources {
        cpu_period: milli.map_or(0, |_| PERIOD),
        cpu_quota: milli.map_or(0, |milli| milli * PERIOD / 1000),
        cpu_shares: milli.map_or(0, |milli| milli * 1024 / 1000),
        memory_limit_in_bytes: bytes.unwrap_or_default(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors() {
        for (text, milli) in [("2", 2000), ("0.5", 500), ("1500m", 1500), ("1.25", 1250), ("255", 255_000)] {
            assert_eq!(cpus(text), Ok(milli), "{text}");
        }
        for text in ["", "0", "-1", "256", "1.", "1.2345", "x", "1e3", "99999999999999999999", "0m"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memories() {
        for (text, bytes) in [("512Mi", 512 << 20), ("1Gi", 1 << 30), ("1G", 1_000_000_000), ("7", 7)] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for text in ["", "Mi", "0", "1.5Gi", "1gb", "-1", "9999999999999Ti"] {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resources_are_the_protocol_s() {
        assert_eq!(resources(None, None), None);
        let told = resources(Some(1500), Some(1 << 30)).unwrap();
        assert_eq!((told.cpu_period, told.cpu_quota, told.cpu_shares), (100_000, 150_000, 1536));
        assert_eq!(told.memory_limit_in_bytes, 1 << 30);
    }
}
