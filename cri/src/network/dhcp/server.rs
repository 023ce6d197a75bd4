//! The socket of a pod's answerer, and its loop.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc::sync_channel;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::super::Attachment;
use super::super::error::{Error, Result};
use super::packet::Lease;

/// The longest packet that is read, in bytes: what fits an Ethernet frame.
const LONGEST: usize = 1500;
/// DHCP's ports.
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// A socket on port 67 of the pod's tap. A socket stays in the namespace it was made in, so a thread of its own goes
/// there, makes it, and ends.
pub(super) async fn socket(attachment: &Attachment) -> Result<UdpSocket> {
    let failed = |error: std::io::Error| {
        Error::failed(format!("cannot answer DHCP in {}", attachment.netns.display()), error)
    };
    let (netns, tap) = (attachment.netns.clone(), attachment.tap.clone());
    let visit = move || {
        let (answer, made) = sync_channel(1);
        let visitor = std::thread::spawn(move || {
            let there = || -> std::io::Result<Socket> {
                let namespace = std::fs::File::open(&netns)?;
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )?;
                open(&tap)
            };
            let _ = answer.send(there());
        });
        let result = made.recv().unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")));
        let _ = visitor.join();
        result
    };
    let socket = tokio::task::spawn_blocking(visit).await.map_err(|error| failed(error.into()))?;
    UdpSocket::from_std(socket.map_err(failed)?.into()).map_err(failed)
}

fn open(tap: &str) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(tap.as_bytes()))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SERVER_PORT).into())?;
    Ok(socket)
}

/// Answers for ever. Replies are broadcast: the guest has no address yet, and nobody else is on its tap.
pub(super) async fn answer(socket: UdpSocket, lease: Lease) {
    let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
    let mut packet = [0; LONGEST];
    loop {
        let length = match socket.recv_from(&mut packet).await {
            Ok((length, _)) => length,
            Err(error) => {
                tracing::warn!(%error, "the DHCP socket failed; this guest is no longer answered");
                return;
            }
        };
        if let Some(reply) = lease.answer(&packet[..length])
            && let Err(error) = socket.send_to(&reply, everyone).await
        {
            tracing::debug!(%error, "a DHCP reply could not be sent; the guest asks again");
        }
    }
}
