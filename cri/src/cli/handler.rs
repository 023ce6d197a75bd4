//! The runtime handler of a command that names none: the daemon's default one, unless ordinary pods have that on this node, and
//! another runtime runs them.

use anyhow::bail;
use proto::runtime::v1::{StatusRequest, StatusResponse};
use serde::Deserialize;

use super::client::{Client, refusal};

/// What Status tells of the runtime beside this one.
#[derive(Deserialize)]
struct Delegate {
    handlers: Vec<String>,
}

/// The handler that was asked for, or is meant where none was.
pub(super) async fn meant(client: &Client, asked: &str) -> anyhow::Result<String> {
    if !asked.is_empty() {
        return Ok(asked.to_owned());
    }
    let answer = client.runtime().status(client.query(StatusRequest { verbose: true })).await;
    default(&answer.map_err(|status| refusal("ask the daemon for its handlers", &status))?.into_inner())
}

fn default(status: &StatusResponse) -> anyhow::Result<String> {
    let delegate = status.info.get("delegate").map(|told| serde_json::from_str(told)).transpose()?;
    let Some(Delegate { handlers: theirs }) =
        delegate.filter(|it: &Delegate| it.handlers.contains(&String::new()))
    else {
        return Ok(String::new());
    };
    let all = status.runtime_handlers.iter().map(|handler| &handler.name);
    let ours: Vec<&String> = all.filter(|name| !theirs.contains(name)).collect();
    match ours[..] {
        [only] => Ok(only.clone()),
        [] => {
            bail!("all handlers of this node are those of its other runtime; configure one under [handlers]")
        }
        _ => bail!(
            "name a handler by --handler: {} (pods without one are run by this node's other runtime)",
            {
                let names: Vec<&str> = ours.iter().map(|name| name.as_str()).collect();
                names.join(" or ")
            }
        ),
    }
}

#[cfg(test)]
mod tests {
    use proto::runtime::v1::RuntimeHandler;

    use super::*;

    #[test]
    fn a_command_never_means_the_other_runtime() {
        let status = |delegate: Option<&str>, names: &[&str]| StatusResponse {
            info: delegate.map(|told| ("delegate".to_owned(), told.to_owned())).into_iter().collect(),
            runtime_handlers: names
                .iter()
                .map(|name| RuntimeHandler { name: (*name).to_owned(), features: None })
                .collect(),
            ..StatusResponse::default()
        };
        let theirs = Some(r#"{"endpoint":"unix:///x","handlers":["","runc"]}"#);
        assert_eq!(default(&status(None, &["", "vm"])).unwrap(), "");
        assert_eq!(default(&status(Some(r#"{"handlers":["runc"]}"#), &["", "runc"])).unwrap(), "");
        assert_eq!(default(&status(theirs, &["vm", "", "runc"])).unwrap(), "vm");
        let several = default(&status(theirs, &["vm", "vm-fleet", "", "runc"])).unwrap_err().to_string();
        assert!(several.contains("--handler: vm or vm-fleet"), "{several}");
        assert!(default(&status(theirs, &["", "runc"])).is_err());
    }
}
