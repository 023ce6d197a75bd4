//! `Version`. The kubelet insists on `0.1.0` as the version of its own API.

use proto::runtime::v1::VersionResponse;

/// Serves the call.
pub fn version() -> VersionResponse {
    VersionResponse {
        version: "0.1.0".to_owned(),
        runtime_name: "infranetes".to_owned(),
        runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_api_version: "v1".to_owned(),
    }
}
