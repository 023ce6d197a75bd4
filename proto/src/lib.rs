//! The protocols that Infranetes speaks, and the code generated from their definitions.
//!
//! So far that is one: the Container Runtime Interface, `runtime.v1`, as published with Kubernetes
//! 1.36. Its definitions stand in `proto/runtime/v1`, a file for each topic; `build.rs` compiles
//! them. A test holds them against the published ones, so neither can drift unnoticed.
//!
//! Maps are ordered (`BTreeMap`), so that whatever is printed or hashed comes out the same each
//! time. Messages that may carry secrets print them as `[redacted]`.

mod redacted;

/// Protocols between a kubelet and a container runtime.
pub mod runtime {
    /// Version 1 of the Container Runtime Interface.
    #[allow(missing_docs, reason = "where the name says it all, the definitions add nothing")]
    #[allow(clippy::pedantic, reason = "generated code keeps its generator's style")]
    pub mod v1 {
        tonic::include_proto!("runtime.v1");
    }
}

/// Every definition of this crate as an encoded `google.protobuf.FileDescriptorSet`, without
/// comments; imports come before the files that need them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
