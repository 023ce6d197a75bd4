//! `Status`: whether machines can be run and pods be wired, asked anew each time.

use std::collections::BTreeMap;
use std::fmt::Display;

use proto::runtime::v1::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusRequest,
    StatusResponse,
};
use serde_json::json;

use crate::error::Result;
use crate::node::Node;

/// Serves the call.
pub async fn status(node: &Node, request: StatusRequest) -> Result<StatusResponse> {
    let context = node.context();
    let unready = unready(node).await;
    let runtime = if unready.is_empty() { Ok(()) } else { Err(unready.join("; ")) };
    let conditions = vec![
        condition("RuntimeReady", "ProviderNotReady", runtime),
        condition("NetworkReady", "NetworkNotReady", context.network.check().await),
    ];
    let mut info = BTreeMap::new();
    if request.verbose {
        let config = json!({
            "stateDir": context.config.state_dir,
            "runDir": context.config.run_dir,
            "imagesDir": context.config.images_dir(),
            "handlers": context.config.handlers.iter().map(|(name, to)| (name, &to.provider)).collect::<BTreeMap<_, _>>(),
            "version": env!("CARGO_PKG_VERSION"),
        });
        info.insert("config".to_owned(), config.to_string());
    }
    let handler = |name: &String| RuntimeHandler {
        name: name.clone(),
        features: Some(RuntimeHandlerFeatures::default()),
    };
    Ok(StatusResponse {
        status: Some(RuntimeStatus { conditions }),
        info,
        runtime_handlers: context.config.handlers.keys().map(handler).collect(),
        features: Some(RuntimeFeatures { supplemental_groups_policy: true, ..RuntimeFeatures::default() }),
    })
}

/// Why machines cannot be run; empty where they can.
async fn unready(node: &Node) -> Vec<String> {
    let context = node.context();
    let mut unready = Vec::new();
    for (name, provider) in &context.providers {
        if let Err(error) = provider.check().await {
            unready.push(format!("provider {name}: {error}"));
        }
    }
    if let Err(error) = context.store.check() {
        unready.push(error.chain());
    }
    unready
}

/// Why pods cannot be run or wired; empty where all is well.
pub async fn unwell(node: &Node) -> Vec<String> {
    let mut reasons = unready(node).await;
    if let Err(error) = node.context().network.check().await {
        reasons.push(format!("network: {error}"));
    }
    reasons
}

fn condition<E: Display>(kind: &str, reason: &str, state: Result<(), E>) -> RuntimeCondition {
    let (status, reason, message) = match state {
        Ok(()) => (true, String::new(), String::new()),
        Err(error) => (false, reason.to_owned(), error.to_string()),
    };
    RuntimeCondition { r#type: kind.to_owned(), status, reason, message }
}
