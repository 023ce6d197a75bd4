//! Doing something inside another network namespace: a thread of its own goes there, and ends.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a function in a namespace.
pub(super) fn visit<T: Send>(namespace: &Path, task: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            let namespace = std::fs::File::open(namespace).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            task()
        });
        visitor.join().unwrap()
    })
}

/// Answers each connection to port 80 of a namespace with the caller's address, a line end, and a mebibyte.
pub(super) fn serve(namespace: &Path) {
    let listener = visit(namespace, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap());
    // It ends with the test's process.
    std::thread::spawn(move || {
        while let Ok((mut stream, from)) = listener.accept() {
            let _ = stream.write_all(format!("{}\n", from.ip()).as_bytes());
            let _ = stream.write_all(&vec![b'x'; 1 << 20]);
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

/// Connects and reads it all; the address that the server saw.
pub(super) fn seen_from(address: IpAddr, port: u16) -> Result<IpAddr, std::io::Error> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (from, rest) = text.split_once('\n').unwrap();
    assert_eq!(rest.len(), 1 << 20, "every byte arrives");
    Ok(from.parse().unwrap())
}
