//! The `[tracing]` section.

use serde::Deserialize;

/// Where the daemon sends its traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TracingSection {
    /// An OpenTelemetry collector that takes OTLP over gRPC, as `http://HOST:PORT`; absent: nowhere.
    pub endpoint: Option<String>,
    /// The part of the traces that begin here which is sent, from 0 to 1. Of a caller's own trace he decides.
    pub sample_ratio: f64,
}

impl Default for TracingSection {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: 1.0 }
    }
}

impl TracingSection {
    /// The key that cannot be used, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        if let Some(endpoint) = &self.endpoint {
            let uri = endpoint.parse::<tonic::transport::Uri>();
            if !uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.port().is_some()) {
                let why = format!(
                    "tracing.endpoint is {endpoint:?}; write it as http://HOST:PORT, as in http://127.0.0.1:4317"
                );
                return Some(("endpoint", why));
            }
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            let why =
                format!("tracing.sample-ratio is {}; it goes from 0 (none) to 1 (all)", self.sample_ratio);
            return Some(("sample-ratio", why));
        }
        None
    }
}
