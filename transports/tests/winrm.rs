//! The contract over a `WinRM` server: over HTTPS, and over HTTP with sealed messages.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod contract;
mod windows;

use contract::Guest;
use windows::{http, https};

/// Over HTTPS, where the password goes along with each request.
mod with_tls {
    async fn guest() -> super::Guest {
        super::https().await.guest()
    }

    crate::contract!(guest);
}

/// Over HTTP, where each message is sealed by what the login has proved.
mod with_seals {
    async fn guest() -> super::Guest {
        super::http().await.guest()
    }

    crate::contract!(guest);
}
