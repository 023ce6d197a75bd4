//! What the demo reads out of answers.

use anyhow::{Context, Result};
use serde_json::Value;

/// The address of a pod in what `infranetes run` printed last: `ID  NAME  ADDRESS`.
pub(super) fn address(lines: &[String]) -> Result<String> {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    let address = last.and_then(|line| line.split_whitespace().nth(2));
    let address = address.filter(|address| address.parse::<std::net::IpAddr>().is_ok());
    address.map(str::to_owned).context("`infranetes run` told no address")
}

/// State, reason and exit code in what `infranetes inspect` printed.
pub(super) fn end(text: &str) -> Result<(String, String, i64)> {
    let told: Value = serde_json::from_str(text).context("`infranetes inspect` printed no JSON")?;
    let status = &told["container"]["status"];
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    Ok((text("state"), text("reason"), status["exitCode"].as_i64().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{address, end};

    #[test]
    fn the_address_stands_in_the_last_line() {
        let lines = ["made pod 0a at 10.89.0.3 (0.1 s)".to_owned(), "0a  legacy  10.89.0.2".to_owned()];
        assert_eq!(address(&lines).unwrap(), "10.89.0.2");
        assert!(address(&lines[..1]).is_err());
    }

    #[test]
    fn the_end_of_a_machine_is_read() {
        let told = r#"{"container":{"status":{"state":"exited","reason":"Completed","exitCode":0}}}"#;
        assert_eq!(end(told).unwrap(), ("exited".to_owned(), "Completed".to_owned(), 0));
    }
}
