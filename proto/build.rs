//! Compiles the protocol definitions under `proto/` to Rust, without `protoc`.
//!
//! Every `.proto` file of the folder is read, so a new one needs no change here. The outcome is the
//! messages, the client and the server of each service, and the encoded descriptors of it all.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    let files = proto_files(&root.join("runtime/v1"))?;
    rerun_if_changed(root);

    let mut compiler = protox::Compiler::new([root])?;
    compiler.open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let described = compiler.include_source_info(true).file_descriptor_set();
    tonic_prost_build::configure()
        .btree_map(".")
        .emit_rerun_if_changed(false)
        // These may carry secrets: `src/redacted.rs` writes their `Debug`.
        .skip_debug([".runtime.v1.AuthConfig", ".runtime.v1.KeyValue"])
        .compile_fds(described)?;
    Ok(())
}

/// The definitions in `folder`, in a fixed order so that the outcome never varies.
fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Tells cargo, which listens to this script's output, when to run it again.
#[allow(clippy::disallowed_macros, reason = "cargo takes its orders from a build script's output")]
fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
