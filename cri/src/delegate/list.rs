//! Lists: ours, then theirs in the order of their ids, as unary answers and as streams.
//!
//! Each list is field 1 of its answer, whatever the message is called, also in the answers of the streams. So lists are joined
//! without taking their items apart: nothing of an item is lost that we do not know.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{self, Call};
use super::router::Router;
use super::wire::Malformed;
use super::{Delegate, descriptors, filesystems, heard, select, wire};

/// The field of the items in an answer.
pub(super) const ITEMS: u32 = 1;
/// The most bytes of a part of a stream, unless one item alone is larger.
const PART: usize = 1 << 20;

/// A list that both sides have.
#[derive(Debug)]
pub(super) struct List {
    /// The unary call.
    pub(super) path: &'static str,
    /// The name of the call that answers it in parts, where there is one.
    pub(super) stream: Option<&'static str>,
    /// Where in an item its id stands; nowhere where items have none.
    pub(super) id: &'static [u32],
}

pub(super) const PODS: List =
    List { path: "/runtime.v1.RuntimeService/ListPodSandbox", stream: Some("StreamPodSandboxes"), id: &[1] };
pub(super) const CONTAINERS: List =
    List { path: "/runtime.v1.RuntimeService/ListContainers", stream: Some("StreamContainers"), id: &[1] };
pub(super) const IMAGES: List =
    List { path: "/runtime.v1.ImageService/ListImages", stream: Some("StreamImages"), id: &[1] };

const DESCRIPTORS: List =
    List { path: "/runtime.v1.RuntimeService/ListMetricDescriptors", stream: None, id: &[1] };
const FILESYSTEMS: List = List { path: "/runtime.v1.ImageService/ImageFsInfo", stream: None, id: &[] };

/// All lists.
pub(super) static ALL: [List; 8] = [
    PODS,
    CONTAINERS,
    IMAGES,
    List {
        path: "/runtime.v1.RuntimeService/ListContainerStats",
        stream: Some("StreamContainerStats"),
        id: &[1, 1],
    },
    List {
        path: "/runtime.v1.RuntimeService/ListPodSandboxStats",
        stream: Some("StreamPodSandboxStats"),
        id: &[1, 1],
    },
    List {
        path: "/runtime.v1.RuntimeService/ListPodSandboxMetrics",
        stream: Some("StreamPodSandboxMetrics"),
        id: &[1],
    },
    DESCRIPTORS,
    FILESYSTEMS,
];

/// Serves the unary call.
pub(super) async fn list(router: &Router, list: &'static List, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let (ours, theirs) = tokio::join!(router.ours(call.request()), router.delegate().listed(list, &message));
    let (mut first, mut then) = (frame::answered(ours).await?, theirs?);
    if list.path == FILESYSTEMS.path {
        (first, then) = filesystems::in_order(first, then).await;
    } else if list.path == DESCRIPTORS.path {
        first = descriptors::agreed(&first, &then);
    }
    Ok(frame::response(frame::framed(&joined(list, &first, &then))))
}

/// Serves the call that answers in parts: ours as they are, then theirs.
pub(super) async fn stream(
    router: &Router,
    list: &'static List,
    call: Call,
) -> Result<Response<Body>, Status> {
    let message = call.message();
    let (ours, theirs) = tokio::join!(router.ours(call.request()), router.delegate().listed(list, &message));
    let mut framed = BytesMut::from(&frame::answer(ours).await?[..]);
    for part in parts(&theirs?) {
        framed.put(frame::framed(&part));
    }
    Ok(frame::response(framed.freeze()))
}

impl Delegate {
    /// Its list, or what of that is known where it is late or away, or has lost the CRI: containerd goes on without a plugin that
    /// fails. A refusal where something else of it is known, but not this: it would seem to have nothing; and where this is older
    /// than what it has done for us, but it is only late: it would seem not to have done it.
    async fn listed(self: &Arc<Self>, list: &'static List, message: &Bytes) -> Result<Bytes, Status> {
        let kept = heard::KEPT.contains(&list.path);
        match self.ask(list.path, message.clone()).await {
            Ok(answer) => Ok(answer),
            // Figures that it does not know how to tell, it has none of.
            Err(status) if status.code() == Code::Unimplemented && !kept => Ok(Bytes::new()),
            Err(status)
                if kept
                    && (self.heard.is_outdated(list.path)
                        || !self.heard.knows(list.path) && self.heard.knows_any()) =>
            {
                Err(Status::unavailable(status.message()))
            }
            Err(_) => Ok(select::matching(list, message, &self.heard.last(list.path))),
        }
    }
}

/// The answer to a call in the order of its items' ids, where it is a list of such. One that cannot be read to its end is none:
/// what it runs would seem to be gone.
pub(super) fn ordered(path: &str, answer: &Bytes) -> Result<Bytes, Malformed> {
    let list = ALL.iter().find(|list| list.path == path && !list.id.is_empty());
    let (mut items, mut rest) = (Vec::new(), BytesMut::new());
    for field in wire::fields(answer) {
        let field = field?;
        match (list, field.content) {
            (Some(list), Some(item)) if field.number == ITEMS => items.push((id(list, &item), field.whole)),
            _ => rest.put(field.whole),
        }
    }
    items.sort();
    for (_, whole) in items {
        rest.put(whole);
    }
    Ok(rest.freeze())
}

/// Both lists in one: what of theirs has the id of one of ours is ours.
fn joined(list: &List, ours: &Bytes, theirs: &Bytes) -> BytesMut {
    let mut joined = BytesMut::from(&ours[..]);
    let known: BTreeSet<String> = items(ours).map(|item| id(list, &item)).collect();
    for field in wire::fields(theirs).flatten() {
        let again = field.number == ITEMS
            && !list.id.is_empty()
            && field.content.is_some_and(|item| known.contains(&id(list, &item)));
        if !again {
            joined.put(field.whole);
        }
    }
    joined
}

/// The items of a list.
pub(super) fn items(answer: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    wire::fields(answer).flatten().filter(|field| field.number == ITEMS).filter_map(|field| field.content)
}

/// The ids of a list's items.
pub(super) fn ids(list: &'static List, answer: &Bytes) -> impl Iterator<Item = String> + use<> {
    items(answer).map(|item| id(list, &item))
}

/// An item's id; empty where it has none.
fn id(list: &List, item: &Bytes) -> String {
    wire::text(item, list.id).unwrap_or_default()
}

/// A list in parts, none of which outgrows a message, and none of which is empty.
fn parts(answer: &Bytes) -> Vec<BytesMut> {
    let mut parts: Vec<BytesMut> = Vec::new();
    for field in wire::fields(answer).flatten() {
        match parts.last_mut() {
            Some(part) if part.len() + field.whole.len() <= PART => part.put(field.whole),
            _ => parts.push(BytesMut::from(&field.whole[..])),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::runtime::v1::{ListPodSandboxResponse, PodSandbox};

    use super::*;

    fn pods(ids: &[&str]) -> Bytes {
        let items =
            ids.iter().map(|id| PodSandbox { id: (*id).to_owned(), created_at: 7, ..Default::default() });
        ListPodSandboxResponse { items: items.collect() }.encode_to_vec().into()
    }

    fn ids(answer: &[u8]) -> Vec<String> {
        ListPodSandboxResponse::decode(answer).unwrap().items.into_iter().map(|pod| pod.id).collect()
    }

    #[test]
    fn theirs_follow_ours_in_their_order() {
        let theirs = ordered(PODS.path, &pods(&["t3", "t1", "t2"])).unwrap();
        let both = joined(&PODS, &pods(&["o2", "o1"]), &theirs);
        assert_eq!(ids(&both), ["o2", "o1", "t1", "t2", "t3"]);
        assert_eq!(ids(&joined(&PODS, &Bytes::new(), &theirs)), ["t1", "t2", "t3"]);
    }

    #[test]
    fn a_list_that_is_cut_off_is_none() {
        let whole = pods(&["t1", "t2"]);
        assert!(ordered(PODS.path, &whole).is_ok());
        assert!(ordered(PODS.path, &whole.slice(..whole.len() - 1)).is_err());
    }

    #[test]
    fn nothing_is_listed_twice() {
        assert_eq!(ids(&joined(&PODS, &pods(&["a", "b"]), &pods(&["b", "c"]))), ["a", "b", "c"]);
    }

    #[test]
    fn what_nobody_knows_of_an_item_or_a_list_is_kept() {
        let mut item = PodSandbox { id: "t".into(), ..Default::default() }.encode_to_vec();
        // A number of field 200.
        item.extend([0xc0, 0x0c, 5]);
        let mut theirs = vec![0x0a, u8::try_from(item.len()).unwrap()];
        theirs.extend(&item);
        theirs.extend([0xc0, 0x0c, 6]);
        let theirs = Bytes::from(theirs);
        let both = joined(&PODS, &pods(&["o"]), &ordered(PODS.path, &theirs).unwrap()).freeze();
        assert_eq!(items(&both).last().unwrap(), item);
        assert!(wire::fields(&both).flatten().any(|field| field.whole[..] == [0xc0, 0x0c, 6]));
    }

    #[test]
    fn parts_are_bounded_and_complete() {
        let names: Vec<String> = (0..3000).map(|number| format!("{number:01000}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = pods(&names);
        let parts = parts(&all);
        assert!(parts.len() == 3 && parts.iter().all(|part| part.len() <= PART));
        assert_eq!(parts.concat(), all);
        assert_eq!(self::parts(&Bytes::new()).len(), 0);
    }
}
