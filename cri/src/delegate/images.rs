//! Images: each side has its own, under names that may be the same.
//!
//! A kubelet says which runtime handler an image is for only where a feature of it is on, but it pulls for a pod. So a pull
//! without a handler is whose the pod is. A question or a removal without one is about ours where we have the image, else about
//! theirs: what neither has is then pulled for its pod. Where both have it a list tells ours, and a removal is of both, so that
//! whoever asks for the room of an image that is listed once gets all of it.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Response;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use proto::runtime::v1::{Image, PodSandboxMetadata};
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{self, Call};
use super::list::{self, IMAGES, ITEMS};
use super::owner::{self, Side};
use super::router::{Router, malformed};
use super::{select, wire};
use crate::fleet::Meant;
use crate::store::PodRecord;

/// The call that is asked of both sides.
const STATUS: &str = "/runtime.v1.ImageService/ImageStatus";
/// Where in the calls the image's name stands, and its handler.
const NAME: [u32; 2] = [1, 1];
const HANDLER: [u32; 2] = [1, 19];
/// Where in a pull the pod's metadata stand: in its configuration.
const POD: u32 = 3;
const METADATA: u32 = 1;

/// What a call says of its image.
struct Asked {
    name: String,
    handler: String,
    named_ours: bool,
}

impl Asked {
    fn read(router: &Router, message: &Bytes) -> Result<Self, Status> {
        let text = |path| wire::text(message, path).map_err(|error| malformed(&error));
        let (name, handler) = (text(&NAME)?, text(&HANDLER)?);
        let imported = name.strip_prefix(images::LOCAL_REGISTRY).is_some_and(|rest| rest.starts_with('/'));
        let meant = router.node().context().meant(&name);
        let named_ours = imported || matches!(meant, Ok(Meant::Machine(_) | Meant::Unknown(_)));
        Ok(Self { name, handler, named_ours })
    }

    fn image(&self) -> owner::Image<'_> {
        owner::Image { handler: &self.handler, named_ours: self.named_ours }
    }

    /// Whose it is where it may be there.
    async fn present(&self, router: &Router) -> Side {
        // A name that we cannot read may be one that the delegate can.
        let found = router.node().context().find_image(&self.name).await;
        owner::of_present(&router.delegate().handlers, &self.image(), matches!(found, Ok(Some(_))))
    }
}

/// Whose a pull is.
pub(super) fn of_pull(router: &Router, call: &Call) -> Result<Side, Status> {
    let message = call.message();
    let asked = Asked::read(router, &message)?;
    let pod = wire::content(&message, POD).map_err(|error| malformed(&error))?;
    let pod = pod.map(|pod| wire::content(&pod, METADATA)).transpose().map_err(|error| malformed(&error))?;
    let pod = pod.flatten().map(PodSandboxMetadata::decode).transpose();
    let pod = pod.map_err(|_| malformed(&wire::Malformed))?;
    let pod_is_ours = pod.map(|pod| is_ours(router, &pod));
    Ok(owner::of_pull(&router.delegate().handlers, &asked.image(), pod_is_ours))
}

/// Whose a removal is. Where both have the image ours goes first, and the rest is theirs; while ours is in use both stay.
pub(super) async fn of_removal(router: &Router, call: &Call) -> Result<Side, Status> {
    let asked = Asked::read(router, &call.message())?;
    let side = asked.present(router).await;
    let is_there = !last_known(&router.delegate().heard.last(IMAGES.path), &asked.name).is_empty();
    if !owner::is_of_both(&asked.image(), side, is_there) {
        return Ok(side);
    }
    frame::answered(router.ours(call.clone().request()).await).await?;
    Ok(Side::Theirs)
}

/// Serves `ImageStatus`. While the delegate is away its images are as they were last known, so that one of ours, which is
/// not there yet, is pulled all the same.
pub(super) async fn status(router: &Router, call: Call) -> Result<Response<Body>, Status> {
    let message = call.message();
    let asked = Asked::read(router, &message)?;
    if asked.present(router).await == Side::Ours {
        return Ok(router.ours(call.request()).await);
    }
    let answer = match router.delegate().ask(STATUS, message).await {
        Ok(answer) => answer,
        Err(status)
            if status.code() == Code::Unavailable && !router.delegate().heard.is_outdated(IMAGES.path) =>
        {
            last_known(&router.delegate().heard.last(IMAGES.path), &asked.name)
        }
        Err(status) => return Err(status),
    };
    Ok(frame::response(frame::framed(&answer)))
}

/// The answer about an image of theirs from what is known; an empty one where they had none.
fn last_known(known: &Bytes, name: &str) -> Bytes {
    let is_it = |item: &Bytes| Image::decode(item.clone()).is_ok_and(|image| select::is_called(&image, name));
    let mut answer = BytesMut::new();
    if let Some(image) = list::items(known).find(is_it) {
        // The image stands where a list has its items.
        encode_key(ITEMS, WireType::LengthDelimited, &mut answer);
        encode_varint(image.len() as u64, &mut answer);
        answer.put(image);
    }
    answer.freeze()
}

/// Whether the pod of this name is ours.
fn is_ours(router: &Router, pod: &PodSandboxMetadata) -> bool {
    let PodSandboxMetadata { name, uid, namespace, attempt: _ } = pod;
    let is_it = |pod: &PodRecord| (&pod.name, &pod.uid, &pod.namespace) == (name, uid, namespace);
    router.node().pods.views().iter().any(|view| is_it(&view.pod))
}

#[cfg(test)]
mod tests {
    use proto::runtime::v1::{ImageStatusResponse, ListImagesResponse};

    use super::*;

    #[test]
    fn an_image_that_was_listed_is_known() {
        let image =
            Image { id: "sha256:1".into(), repo_tags: vec!["r/a:1".into()], size: 5, ..Default::default() };
        let known = Bytes::from(ListImagesResponse { images: vec![image.clone()] }.encode_to_vec());
        let told = |name| ImageStatusResponse::decode(last_known(&known, name)).unwrap().image;
        assert_eq!(told("r/a:1"), Some(image));
        assert_eq!(told("r/a:2"), None);
    }
}
