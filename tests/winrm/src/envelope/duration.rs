//! Durations as XML Schema writes them.

use std::time::Duration;

/// Reads `PnDTnHnMn.nS`; years and months are no measure of time and are refused, as is a duration below zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let rest = text.trim().strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let seconds = sum(days, &[('D', 86_400.0)])? + sum(time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    (!rest.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// The sum of numbers, each followed by its unit, in the units' order.
fn sum(mut text: &str, units: &[(char, f64)]) -> Option<f64> {
    let mut total = 0.0;
    for &(unit, seconds) in units {
        if let Some((number, rest)) = text.split_once(unit) {
            total += number.parse::<f64>().ok()? * seconds;
            text = rest;
        }
    }
    text.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let millis = |text| parse(text).map(|duration| duration.as_millis());
        assert_eq!(millis("PT60S"), Some(60_000));
        assert_eq!(millis("PT0.500S"), Some(500));
        assert_eq!(millis("PT1M30.5S"), Some(90_500));
        assert_eq!(millis("P1DT2H"), Some(93_600_000));
        assert_eq!(millis("P0DT0H0M1S"), Some(1000));
        for wrong in ["", "P", "60", "PT60", "P1Y", "PT-1S", "PTxS"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
