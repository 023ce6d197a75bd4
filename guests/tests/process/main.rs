//! Processes in guests: one contract over shells and families, through real SSH servers on loopback.
//!
//! Each guest is an SSH server in a mount namespace of its own, in which `/bin/sh` and the tools are those of its family.

#![allow(clippy::unwrap_used, reason = "a failure of a test's own step is a failure of the test")]

mod boots;
mod contract;
mod machines;
#[path = "../support/roots.rs"]
mod roots;
#[path = "../../../transports/tests/servers/mod.rs"]
mod servers;
mod users;

use contract::Place;
use machines::Machine;
use roots::{BUSYBOX, FRESH};
use servers::Server;
use users::{read_only, with_sudo};

async fn dash() -> Place {
    Place::new(Server::openssh_in(FRESH, "")).await
}

async fn bash() -> Place {
    Place::new(Server::openssh_in(&format!("{FRESH}\nmount --bind /bin/bash /bin/dash"), "")).await
}

async fn busybox() -> Place {
    Place::new(Server::openssh_in(&format!("{FRESH}\n{BUSYBOX}"), "")).await
}

/// Bash whose start-up file talks on both streams and changes how the shell works.
async fn noisy() -> Place {
    let habits = "mount --bind /bin/bash /bin/dash
cat >$1/home/.bashrc <<'end'
: >>~/read
echo welcome
echo warning >&2
trap 'echo leaving' EXIT
set -o noclobber
alias cat='cat -n' sh='sh -x' mkdir=false
shopt -s expand_aliases
cd() { echo going; builtin cd \"$@\"; }
IFS=,
umask 077
end";
    let server = Server::openssh_in(&format!("{FRESH}\n{habits}"), "");
    let read = server.folder.path().join("home/read");
    let place = Place::new(server).await;
    assert!(read.exists(), "the start-up file is read");
    place
}

/// A server that knows only what newer ones have given up.
async fn legacy() -> Place {
    let extra = "KexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc\nMACs hmac-sha1";
    let mut server = Server::openssh_in(FRESH, extra);
    server.legacy_algorithms =
        ["diffie-hellman-group14-sha1", "aes128-cbc", "hmac-sha1"].map(str::to_owned).into();
    Place::new(server).await
}

contract!(dash, bash, busybox, noisy, legacy, with_sudo, read_only);

/// A machine of an image, where there is one.
async fn on_machine(image: &str, family: &str) -> Option<Place> {
    let place = Place::on(Machine::boot(image)?).await;
    assert_eq!(place.guest.name(), family);
    Some(place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_systemd() {
    let Some(place) = on_machine("systemd", "systemd").await else { return };
    every_clause(&place).await;
}

/// What rests on the system's init, users and kernel; its shell and its tools are those of `dash`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_sysvinit() {
    let Some(place) = on_machine("sysvinit", "posix").await else { return };
    contract::signals_are_told_and_end_it(&place).await;
    contract::directory_user_and_groups(&place).await;
    contract::capabilities_are_dropped(&place).await;
    contract::a_start_happens_once(&place).await;
    contract::removal_ends_all_that_it_started(&place).await;
    contract::a_terminal(&place).await;
    contract::a_killed_supervisor_is_told(&place).await;
    contract::limits_hold(&place).await;
    contract::limits_change(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_dropbear() {
    let Some(place) = on_machine("dropbear", "posix").await else { return };
    every_clause(&place).await;
}
