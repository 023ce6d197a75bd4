//! `Status`, `RuntimeConfig` and `UpdateRuntimeConfig`: one answer for two runtimes.
//!
//! The two conditions that a kubelet looks at are true while they are on either side, for a kubelet that finds them false does
//! nothing for any pod. That is wanted as long as the delegate may run what nobody here has heard of: `RuntimeReady` is false
//! then. Two conditions of our own, `InfranetesReady` and `DelegateReady`, tell each side by itself, with the reason. What the
//! delegate tells beyond that (its other conditions, fields that are not known here) stands beside ours, its `info` under
//! `delegate.`; of the handlers it tells, those that are its own on this node.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Response;
use prost::Message;
use proto::runtime::v1::{
    RuntimeCondition, RuntimeConfigResponse, RuntimeFeatures, RuntimeHandler, RuntimeStatus, StatusRequest,
    StatusResponse,
};
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{self, Call};
use super::heard::Heard;
use super::router::Router;
use super::wire;

pub(super) const STATUS: &str = "/runtime.v1.RuntimeService/Status";
pub(super) const CONFIG: &str = "/runtime.v1.RuntimeService/RuntimeConfig";
const UPDATE_CONFIG: &str = "/runtime.v1.RuntimeService/UpdateRuntimeConfig";
/// What a kubelet needs.
const NEEDED: [&str; 2] = ["RuntimeReady", "NetworkReady"];
/// The fields of a Status that are known here.
const KNOWN: std::ops::RangeInclusive<u32> = 1..=4;

/// Serves `Status`.
pub(super) async fn status(router: &Router, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let StatusRequest { verbose } =
        StatusRequest::decode(message.clone()).map_err(|_| super::router::malformed(&wire::Malformed))?;
    let delegate = router.delegate();
    let (ours, theirs) = tokio::join!(router.ours(call.request()), delegate.ask(STATUS, message));
    let ours = read(&frame::answered(ours).await?)?;
    let why = theirs.as_ref().err().map(|status| status.message().to_owned());
    // What it can do does not change while it is away.
    let raw = theirs.unwrap_or_else(|_| delegate.heard.last(STATUS));
    let mut answer = merged(ours, read(&raw)?, why.as_deref(), &delegate.handlers);
    if delegate.heard.may_miss_some() {
        hold(&mut answer, delegate.peer.endpoint());
    }
    if verbose {
        let version = delegate.version().await;
        let told = match &version {
            Ok(version) => json!({
                "endpoint": delegate.peer.endpoint(),
                "handlers": delegate.handlers,
                "name": version.runtime_name,
                "version": version.runtime_version,
                "apiVersion": version.runtime_api_version,
            }),
            Err(why) => {
                json!({ "endpoint": delegate.peer.endpoint(), "handlers": delegate.handlers, "error": why })
            }
        };
        answer.info.insert("delegate".to_owned(), told.to_string());
    }
    let mut bytes = BytesMut::from(&answer.encode_to_vec()[..]);
    let unknown = wire::fields(&raw).flatten().filter(|field| !KNOWN.contains(&field.number));
    unknown.for_each(|field| bytes.put(field.whole));
    Ok(frame::response(frame::framed(&bytes)))
}

/// Serves `RuntimeConfig`: what is configured here, else what the delegate expects.
pub(super) async fn config(router: &Router, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let ours = frame::answered(router.ours(call.request()).await).await?;
    let configured = RuntimeConfigResponse::decode(ours.clone()).is_ok_and(|config| config.linux.is_some());
    let delegate = router.delegate();
    let answer = if configured {
        ours
    } else {
        delegate.ask(CONFIG, message).await.or_else(|status| configuration(&delegate.heard, status))?
    };
    Ok(frame::response(frame::framed(&answer)))
}

/// What the delegate expects, where it does not say so now. A kubelet asks again after an error, and never after an answer: an empty
/// one is for a delegate that does not know the call.
fn configuration(heard: &Heard, status: Status) -> Result<Bytes, Status> {
    if status.code() == Code::Unimplemented || heard.knows(CONFIG) {
        Ok(heard.last(CONFIG))
    } else {
        Err(status)
    }
}

/// Serves `UpdateRuntimeConfig`: told to both. The kubelet repeats it where the delegate could not be told.
pub(super) async fn update_config(router: &Router, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let ours = frame::answered(router.ours(call.request()).await).await?;
    match router.delegate().ask(UPDATE_CONFIG, message).await {
        Err(status) if status.code() != Code::Unimplemented => Err(status),
        _ => Ok(frame::response(frame::framed(&ours))),
    }
}

fn read(message: &Bytes) -> Result<StatusResponse, Status> {
    StatusResponse::decode(message.clone())
        .map_err(|error| Status::internal(format!("a Status cannot be read: {error}")))
}

/// Both in one. `away` says why the delegate does not answer: what is known of it is from before then.
fn merged(
    ours: StatusResponse,
    theirs: StatusResponse,
    away: Option<&str>,
    handlers: &BTreeSet<String>,
) -> StatusResponse {
    let StatusResponse { status, mut info, mut runtime_handlers, features } = ours;
    let mine = status.unwrap_or_default().conditions;
    let its = theirs.status.unwrap_or_default().conditions;
    let fault = |conditions: &[RuntimeCondition], kind: &str| match find(conditions, kind) {
        Some(condition) if condition.status => None,
        Some(condition) => Some(format!("{}: {}", condition.reason, condition.message)),
        None => Some(format!("it tells no {kind}")),
    };
    let mut conditions = Vec::new();
    let (mut of_mine, mut of_its) = (Vec::new(), Vec::new());
    for kind in NEEDED {
        let here = fault(&mine, kind);
        let there = if let Some(why) = away { Some(why.to_owned()) } else { fault(&its, kind) };
        let told = [("infranetes", &here), ("delegate", &there)];
        let told: Vec<String> =
            told.iter().filter_map(|(side, fault)| Some(format!("{side}: {}", fault.as_ref()?))).collect();
        let reason = ["", "OneSideNotReady", "BothSidesNotReady"][told.len()];
        conditions.push(condition(kind, told.len() < 2, reason, told.join("; ")));
        of_mine.extend(here);
        of_its.extend(there);
    }
    of_its.dedup();
    for (kind, faults, reason) in [
        ("InfranetesReady", of_mine, "NotReady"),
        ("DelegateReady", of_its, if away.is_some() { "DelegateAway" } else { "NotReady" }),
    ] {
        let reason = if faults.is_empty() { "" } else { reason };
        conditions.push(condition(kind, faults.is_empty(), reason, faults.join("; ")));
    }
    let further =
        |list: Vec<RuntimeCondition>| list.into_iter().filter(|it| !NEEDED.contains(&it.r#type.as_str()));
    conditions.extend(further(mine));
    if away.is_none() {
        conditions.extend(further(its));
        info.extend(theirs.info.into_iter().map(|(key, value)| (format!("delegate.{key}"), value)));
    }
    let told = theirs.runtime_handlers.into_iter().filter(|handler| handlers.contains(&handler.name));
    runtime_handlers.extend(told);
    // A handler that it does not tell of can be named all the same.
    for name in handlers {
        if !runtime_handlers.iter().any(|handler| handler.name == *name) {
            runtime_handlers.push(RuntimeHandler { name: name.clone(), features: None });
        }
    }
    StatusResponse {
        status: Some(RuntimeStatus { conditions }),
        info,
        runtime_handlers,
        features: Some(common(features.unwrap_or_default(), theirs.features.unwrap_or_default())),
    }
}

/// Keeps the kubelet from every pod: it would take those that the delegate runs for gone.
fn hold(answer: &mut StatusResponse, endpoint: &str) {
    let message = format!(
        "nothing is known yet of what the delegate at {endpoint} runs; start it, or correct `endpoint` in [delegate]"
    );
    let conditions = answer.status.iter_mut().flat_map(|status| &mut status.conditions);
    for found in conditions.filter(|found| found.r#type == NEEDED[0]) {
        *found = condition(NEEDED[0], false, "DelegateNeverHeard", message.clone());
    }
}

/// What holds whichever side a pod is on.
fn common(ours: RuntimeFeatures, theirs: RuntimeFeatures) -> RuntimeFeatures {
    RuntimeFeatures {
        supplemental_groups_policy: ours.supplemental_groups_policy && theirs.supplemental_groups_policy,
        user_namespaces_host_network: ours.user_namespaces_host_network
            && theirs.user_namespaces_host_network,
    }
}

fn find<'a>(conditions: &'a [RuntimeCondition], kind: &str) -> Option<&'a RuntimeCondition> {
    conditions.iter().find(|condition| condition.r#type == kind)
}

fn condition(kind: &str, status: bool, reason: &str, message: String) -> RuntimeCondition {
    RuntimeCondition { r#type: kind.to_owned(), status, reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ready: bool, handlers: &[&str]) -> StatusResponse {
        let conditions = vec![
            condition("RuntimeReady", ready, if ready { "" } else { "Broken" }, String::new()),
            condition("NetworkReady", true, "", String::new()),
        ];
        StatusResponse {
            status: Some(RuntimeStatus { conditions }),
            runtime_handlers: handlers
                .iter()
                .map(|name| RuntimeHandler { name: (*name).to_owned(), features: None })
                .collect(),
            features: Some(RuntimeFeatures { supplemental_groups_policy: true, ..Default::default() }),
            ..StatusResponse::default()
        }
    }

    fn told(answer: &StatusResponse) -> Vec<(&str, bool, &str)> {
        let conditions = &answer.status.as_ref().unwrap().conditions;
        conditions.iter().map(|it| (it.r#type.as_str(), it.status, it.reason.as_str())).collect()
    }

    fn delegated() -> BTreeSet<String> {
        ["", "runc"].map(str::to_owned).into()
    }

    #[test]
    fn one_side_alone_keeps_the_node_ready() {
        let both = merged(answer(true, &["vm"]), answer(true, &["", "runc", "kata"]), None, &delegated());
        assert_eq!(
            told(&both),
            [
                ("RuntimeReady", true, ""),
                ("NetworkReady", true, ""),
                ("InfranetesReady", true, ""),
                ("DelegateReady", true, "")
            ]
        );
        let names: Vec<_> = both.runtime_handlers.iter().map(|handler| handler.name.as_str()).collect();
        assert_eq!(names, ["vm", "", "runc"]);
        assert!(both.features.unwrap().supplemental_groups_policy);

        let one = merged(answer(false, &["vm"]), answer(true, &[]), None, &delegated());
        assert_eq!(told(&one)[0], ("RuntimeReady", true, "OneSideNotReady"));
        assert_eq!(told(&one)[2], ("InfranetesReady", false, "NotReady"));
        let none = merged(answer(false, &["vm"]), answer(false, &[]), None, &delegated());
        assert_eq!(told(&none)[0], ("RuntimeReady", false, "BothSidesNotReady"));
    }

    #[test]
    fn a_delegate_that_is_away_is_told_with_the_reason() {
        let before = answer(true, &["", "runc"]);
        let away = merged(answer(true, &["vm"]), before, Some("no such file"), &delegated());
        assert_eq!(told(&away)[0], ("RuntimeReady", true, "OneSideNotReady"));
        let conditions = &away.status.as_ref().unwrap().conditions;
        let it = find(conditions, "DelegateReady").unwrap();
        assert_eq!(
            (it.status, it.reason.as_str(), it.message.as_str()),
            (false, "DelegateAway", "no such file")
        );
        assert!(away.features.unwrap().supplemental_groups_policy, "what it can do is known from before");
        assert_eq!(away.runtime_handlers.len(), 3);
    }

    #[test]
    fn a_delegate_that_was_never_heard_holds_the_node() {
        let mut held = merged(answer(true, &["vm"]), answer(true, &[]), Some("no such file"), &delegated());
        hold(&mut held, "unix:///run/x.sock");
        assert_eq!(
            told(&held)[..2],
            [("RuntimeReady", false, "DelegateNeverHeard"), ("NetworkReady", true, "OneSideNotReady")]
        );
        let why = &find(&held.status.as_ref().unwrap().conditions, "RuntimeReady").unwrap().message;
        assert!(why.contains("unix:///run/x.sock"), "{why}");
    }

    #[test]
    fn what_was_never_heard_is_no_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let heard = || Heard::open(&folder.path().join("run"), folder.path()).unwrap();
        let away = || Status::unavailable("away");
        assert_eq!(configuration(&heard(), away()).unwrap_err().code(), Code::Unavailable);
        assert!(configuration(&heard(), Status::unimplemented("older")).unwrap().is_empty());
        std::fs::write(folder.path().join("delegate-config"), [0x0a, 0]).unwrap();
        assert_eq!(configuration(&heard(), away()).unwrap()[..], [0x0a, 0]);
    }
}
