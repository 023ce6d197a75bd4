//! What is theirs passes byte for byte, and so does what nobody here has heard of.

use bytes::{Buf, BufMut, Bytes};
use hyper_util::rt::TokioIo;
use prost::Message;
use proto::runtime::v1 as cri;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::mixed::{self, Version};

/// Messages as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn call(socket: &std::path::Path, method: &str, message: Vec<u8>) -> Result<Bytes, Status> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel: Channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path: PathAndQuery = format!("/runtime.v1.RuntimeService/{method}").parse().unwrap();
    Ok(client.unary(Request::new(message.into()), path, Raw).await?.into_inner())
}

/// A field 300 with the text `new`, as a newer protocol may have it.
const NEWER: &[u8] = &[0xe2, 0x12, 3, b'n', b'e', b'w'];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_theirs_passes_byte_for_byte() {
    mixed::on(Version::Newest, false, |mut mixed| async move {
        let mut client = mixed.client().await;
        let (pod, id) = mixed.ordinary(&mut client, "theirs", "sleep 1000").await;
        let (ours, theirs) = (mixed.node.socket(), mixed.containerd().socket());
        let status = cri::ContainerStatusRequest { container_id: id.clone(), verbose: true };
        let filter = cri::PodSandboxFilter { id: pod.clone(), ..Default::default() };
        let requests = [
            ("ContainerStatus", [&status.encode_to_vec(), NEWER].concat()),
            ("ListPodSandbox", cri::ListPodSandboxRequest { filter: Some(filter) }.encode_to_vec()),
            ("ListContainers", vec![]),
            ("ListContainers", NEWER.to_vec()),
        ];
        for (method, request) in requests {
            let through = call(&ours, method, request.clone()).await.unwrap();
            let direct = call(&theirs, method, request).await.unwrap();
            assert_eq!(through, direct, "{method}");
        }
        let nobody = cri::ContainerStatusRequest { container_id: "nobody".into(), verbose: false };
        for (method, request) in [("ContainerStatus", nobody.encode_to_vec()), ("Fly", NEWER.to_vec())] {
            let through = call(&ours, method, request.clone()).await.unwrap_err();
            let direct = call(&theirs, method, request).await.unwrap_err();
            assert_eq!((through.code(), through.message()), (direct.code(), direct.message()));
            assert_ne!(through.code(), Code::Unavailable);
        }
        // A message that is none is refused before anybody is asked.
        let broken = call(&ours, "ContainerStatus", vec![0x0a, 200]).await.unwrap_err();
        assert_eq!(broken.code(), Code::InvalidArgument, "{broken}");
        mixed::remove(&mut client, &pod).await;
    })
    .await;
}
