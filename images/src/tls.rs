//! The one cryptographic provider of the process: ring.
//!
//! The HTTP client asks for the process default when it is built. [`install`] sets it once; where the daemon has set it
//! already, that one stays.

use std::sync::Once;

static INSTALLED: Once = Once::new();

/// Makes ring the default provider unless there is one already. May be called any number of times.
pub(crate) fn install() {
    INSTALLED.call_once(|| {
        // An error means that another part of the process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
