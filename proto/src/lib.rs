//! The CRI `runtime.v1` protocol.
