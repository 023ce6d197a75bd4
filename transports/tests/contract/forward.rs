//! Connections to ports of the guest, which for these servers are ports of this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use transports::{ByteStream, Error, PortForward};

use super::*;

async fn connect(forward: &dyn PortForward, port: u16) -> Result<Box<dyn ByteStream>, Error> {
    forward.connect("127.0.0.1", port).await
}

pub async fn a_forward_carries_both_ways_and_closes_by_halves(guest: Guest) {
    let session = guest.session().await;
    let Some(forward) = guest.port_forward(&*session) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    });
    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = connect(forward, port).await.expect("a connection");
    let mut back = Vec::new();
    timeout(PATIENCE, async {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut back).await.unwrap();
    })
    .await
    .expect("all comes back");
    assert!(back == sent, "{} bytes came back, of {}", back.len(), sent.len());
    server.await.unwrap();
}

pub async fn a_forward_to_nothing_says_so(guest: Guest) {
    let session = guest.session().await;
    let Some(forward) = guest.port_forward(&*session) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = connect(forward, port).await.err().expect("nobody listens");
    assert!(matches!(&error, Error::Unreachable(why) if why.contains(&port.to_string())), "{error:?}");
}

pub async fn an_unread_forward_harms_no_other(guest: Guest) {
    let session = guest.session().await;
    let Some(forward) = guest.port_forward(&*session) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stalled_sender, mut stalled) = tokio::sync::mpsc::channel(1);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let piece = vec![b'y'; 64 << 10];
        let mut sent = 0_usize;
        loop {
            match timeout(Duration::from_secs(2), stream.write(&piece)).await {
                Ok(Ok(count)) => sent += count,
                Ok(Err(_)) => return sent,
                Err(_) => {
                    let _ = stalled_sender.try_send(sent);
                }
            }
        }
    });
    let unread = connect(forward, port).await.expect("a connection");
    let sent = timeout(PATIENCE, stalled.recv()).await.expect("an end of what is taken").unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken that nobody reads");
    for number in 0..20 {
        let captured = timeout(PATIENCE, run(&*session, sh(&format!("echo {number}")))).await;
        assert_eq!(captured.expect("it runs on").stdout, format!("{number}\n").into_bytes());
    }
    drop(unread);
    timeout(PATIENCE, server).await.expect("the server's connection ends too").unwrap();
}
