//! The figures as a table for people.

use serde_json::Value;

/// The lines of the table, for the parts that were measured.
pub(super) fn lines(figures: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    if let Some(boot) = figures.get("boot") {
        let (ratio, goal) = (number(&boot["ratio"]), number(&boot["goal_at_most"]));
        lines.push(compared(
            "cold boot to first exec",
            &format!("{:.2} s", number(&boot["ours_seconds"])),
            &format!("{:.2} s", number(&boot["bare_seconds"])),
            "bare qemu + ssh",
            ratio,
            &format!("≤ {goal:.2}"),
            ratio <= goal,
        ));
    }
    if let Some(exec) = figures.get("exec") {
        let (ratio, goal) = (number(&exec["ratio"]), number(&exec["goal_at_least"]));
        lines.push(compared(
            "warm exec",
            &format!("{:.0}/s", number(&exec["ours_per_second"])),
            &format!("{:.0}/s", number(&exec["controlmaster_per_second"])),
            "ssh ControlMaster",
            ratio,
            &format!("≥ {goal:.2}"),
            ratio >= goal,
        ));
    }
    if let Some(calls) = figures["list"]["calls"].as_object() {
        lines.push(format!("at {} pods{:16}{:>10}{:>13}", figures["list"]["pods"], "", "p50", "p99"));
        for (name, call) in calls {
            let (p50, p99) = (number(&call["p50_ms"]), number(&call["p99_ms"]));
            lines.push(format!("  {name:24}{p50:>10.2} ms{p99:>10.2} ms"));
        }
    }
    lines
}

fn compared(what: &str, ours: &str, peer: &str, named: &str, ratio: f64, goal: &str, met: bool) -> String {
    let verdict = if met { "met" } else { "missed" };
    format!("{what:26}{ours:>10}   {named} {peer}   ratio {ratio:.2} (goal {goal}: {verdict})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_measured_is_told_and_a_missed_goal_is_marked() {
        assert!(lines(&json!({"cores": 2})).is_empty());
        let told = lines(&json!({
            "exec": {"ours_per_second": 100.0, "controlmaster_per_second": 50.0, "ratio": 2.0, "goal_at_least": 3.0},
            "boot": {"ours_seconds": 8.0, "bare_seconds": 8.0, "ratio": 1.0, "goal_at_most": 1.1},
        }));
        assert!(told[0].contains("ratio 1.00 (goal ≤ 1.10: met)"), "{told:?}");
        assert!(told[1].contains("ratio 2.00 (goal ≥ 3.00: missed)"), "{told:?}");
    }
}
