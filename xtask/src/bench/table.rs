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
    if let Some(processes) = figures.get("processes") {
        let (ratio, goal) = (number(&processes["ratio"]), number(&processes["goal_at_most"]));
        lines.push(compared(
            "start of a process",
            &format!("{:.1} ms", number(&processes["start_ms"])),
            &format!("{:.1} ms", number(&processes["command_ms"])),
            "a command",
            ratio,
            &format!("≤ {goal:.2}"),
            ratio <= goal,
        ));
    }
    if let Some(streams) = figures.get("streams") {
        let goal = number(&streams["goal_at_least"]);
        for (figure, what, peer) in
            [("exec", "streaming exec", "ssh"), ("port_forward", "port-forward", "ssh -L")]
        {
            let ratio = number(&streams[figure]["ratio"]);
            lines.push(compared(
                what,
                &format!("{:.0} MB/s", number(&streams[figure]["ours_mb_per_second"])),
                &format!("{:.0} MB/s", number(&streams[figure]["peer_mb_per_second"])),
                peer,
                ratio,
                &format!("≥ {goal:.2}"),
                ratio >= goal,
            ));
        }
    }
    if let Some(volumes) = figures.get("volumes") {
        let (ratio, goal) = (number(&volumes["ratio"]), number(&volumes["goal_at_most"]));
        lines.push(compared(
            "a changed volume of 1 MiB",
            &format!("{:.1} ms", number(&volumes["put_ms"])),
            &format!("{:.1} ms", number(&volumes["sftp_ms"])),
            "sftp",
            ratio,
            &format!("≤ {goal:.2}"),
            ratio <= goal,
        ));
    }
    if let Some(swaps) = figures.get("swaps") {
        let (p50, p99) = (number(&swaps["p50_ms"]), number(&swaps["p99_ms"]));
        let (goal, mixtures) = (number(&swaps["goal_p99_ms_at_most"]), number(&swaps["mixtures"]));
        lines.push(format!(
            "{:26}{p50:>7.0} ms p50, {p99:.0} ms p99, {mixtures} mixtures   (goal ≤ {goal:.0} ms and none: {})",
            format!("{} swaps of a volume", swaps["swaps"]),
            verdict(p99 <= goal && mixtures == 0.0),
        ));
    }
    if let Some(winrm) = figures.get("winrm") {
        let goal = number(&winrm["goal_at_least"]);
        for (figure, what, unit) in [
            ("exec", "WinRM exec", "/s"),
            ("upload_over_https", "WinRM upload, HTTPS", " MB/s"),
            ("upload_over_sealed_http", "WinRM upload, HTTP", " MB/s"),
        ] {
            let ratio = number(&winrm[figure]["ratio"]);
            lines.push(compared(
                what,
                &format!("{:.0}{unit}", number(&winrm[figure]["ours"])),
                &format!("{:.0}{unit}", number(&winrm[figure]["pypsrp"])),
                "pypsrp",
                ratio,
                &format!("≥ {goal:.2}"),
                ratio >= goal,
            ));
        }
        let copy = number(&winrm["copy_mb_per_second"]);
        let goal = number(&winrm["goal_copy_mb_per_second_at_least"]);
        let verdict = verdict(copy >= goal);
        lines.push(format!("WinRM copy with hashes{copy:>9.0} MB/s   (goal ≥ {goal:.0} MB/s: {verdict})"));
    }
    if let Some(calls) = figures["list"]["calls"].as_object() {
        lines.push(format!("at {} pods{:16}{:>10}{:>13}", figures["list"]["pods"], "", "p50", "p99"));
        for (name, call) in calls {
            let (p50, p99) = (number(&call["p50_ms"]), number(&call["p99_ms"]));
            let goal = call["goal_p99_ms_at_most"].as_f64();
            let verdict = goal.map(|goal| format!("   (goal ≤ {goal:.0} ms: {})", verdict(p99 <= goal)));
            lines.push(format!("  {name:24}{p50:>10.2} ms{p99:>10.2} ms{}", verdict.unwrap_or_default()));
        }
        for (what, unit, figure) in
            [("polled: of a processor", "%", "core_percent"), ("memory", "MB", "resident_mb")]
        {
            let value = number(&figures["list"][figure]);
            let goal = number(&figures["list"][format!("goal_{figure}_at_most")]);
            let verdict = verdict(value <= goal);
            lines.push(format!("  {what:24}{value:>10.2} {unit:12}   (goal ≤ {goal:.1} {unit}: {verdict})"));
        }
    }
    if let Some(calls) = figures["delegate"]["calls"].as_array() {
        let pods = &figures["delegate"]["pods"];
        lines.push(format!(
            "{:23}{:>13}{:>13}{:>13}",
            format!("at {pods} containers, p50"),
            "direct",
            "behind us",
            "added"
        ));
        for call in calls {
            let name = call["call"].as_str().unwrap_or_default();
            let added = number(&call["added_ms"]);
            let goal = call["goal_added_ms_at_most"].as_f64();
            let verdict = goal.map(|goal| format!("   (goal ≤ {goal:.1} ms: {})", verdict(added <= goal)));
            let (direct, through) = (number(&call["direct_p50_ms"]), number(&call["through_p50_ms"]));
            let verdict = verdict.unwrap_or_default();
            lines.push(format!("  {name:21}{direct:>10.2} ms{through:>10.2} ms{added:>10.2} ms{verdict}"));
        }
    }
    if let Some(calls) = figures["critest"]["calls"].as_array() {
        lines.push(format!(
            "{:23}{:>13}{:>13}{:>13}",
            "critest, p50", "infranetes", "containerd", "behind it"
        ));
        for call in calls {
            let name = call["call"].as_str().unwrap_or_default();
            let (ours, theirs) = (number(&call["ours_p50_ms"]), number(&call["containerd_p50_ms"]));
            let behind = number(&call["behind_p50_ms"]);
            lines.push(format!("  {name:21}{ours:>10.2} ms{theirs:>10.2} ms{behind:>10.2} ms"));
        }
    }
    lines
}

fn compared(what: &str, ours: &str, peer: &str, named: &str, ratio: f64, goal: &str, met: bool) -> String {
    let verdict = verdict(met);
    format!("{what:26}{ours:>10}   {named} {peer}   ratio {ratio:.2} (goal {goal}: {verdict})")
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
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
        let list = json!({"pods": 1000, "core_percent": 0.5, "goal_core_percent_at_most": 1.0, "resident_mb": 60.0,
            "goal_resident_mb_at_most": 55.0, "calls": {"both lists": {"p50_ms": 1.0, "p99_ms": 1.9,
            "goal_p99_ms_at_most": 2.0}}});
        let calls = json!([{"call": "ListImages", "ours_p50_ms": 0.25, "containerd_p50_ms": 0.4}]);
        let rates = json!({"ours": 30.0, "pypsrp": 10.0, "ratio": 3.0});
        let of_winrm = lines(
            &json!({"winrm": {"exec": rates, "upload_over_https": rates, "upload_over_sealed_http": rates,
            "goal_at_least": 2.0, "copy_mb_per_second": 39.0, "goal_copy_mb_per_second_at_least": 40.0}}),
        );
        assert!(of_winrm[1].contains("pypsrp 10 MB/s   ratio 3.00 (goal ≥ 2.00: met)"), "{of_winrm:?}");
        assert!(of_winrm[3].contains("39 MB/s   (goal ≥ 40 MB/s: missed)"), "{of_winrm:?}");
        let delegated = json!([{"call": "PodSandboxStatus", "direct_p50_ms": 1.0, "through_p50_ms": 1.1, "added_ms": 0.1,
            "goal_added_ms_at_most": 0.2}]);
        let of_delegate = lines(&json!({"delegate": {"pods": 200, "calls": delegated}}));
        assert!(
            of_delegate[1].contains("1.10 ms") && of_delegate[1].ends_with("(goal ≤ 0.2 ms: met)"),
            "{of_delegate:?}"
        );
        let of_critest = lines(&json!({"critest": {"calls": calls}}));
        assert!(of_critest[1].contains("ListImages") && of_critest[1].contains("0.25 ms"), "{of_critest:?}");
        let of_list = lines(&json!({ "list": list })).join("\n");
        for wanted in ["(goal ≤ 2 ms: met)", "(goal ≤ 1.0 %: met)", "(goal ≤ 55.0 MB: missed)"] {
            assert!(of_list.contains(wanted), "{of_list}");
        }
        assert!(told[0].contains("ratio 1.00 (goal ≤ 1.10: met)"), "{told:?}");
        assert!(told[1].contains("ratio 2.00 (goal ≥ 3.00: missed)"), "{told:?}");
    }
}
