//! Holds our definitions of `runtime.v1` against those that Kubernetes publishes as a Go package.
//!
//! `tests/go` prints the published ones. Both sides become a set of plain sentences, one for each
//! message, field, value, method; the sets have to be equal, so a failure reads as a list of
//! what is missing and what is extra. Where Go is not installed there is nothing to compare with:
//! the test says so in one line and passes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, FieldDescriptorProto, FieldOptions, FileDescriptorSet,
    MessageOptions, ServiceDescriptorProto,
};

const PACKAGE: &str = "runtime.v1";

#[test]
fn definitions_equal_the_published_ones() {
    let Some(published) = published() else {
        // Straight to the standard error: the harness hides what a passing test prints.
        writeln!(std::io::stderr(), "skipped: go is not installed").expect("stderr takes a line");
        return;
    };
    let ours = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("our descriptors decode");
    let published =
        FileDescriptorSet::decode(published.as_slice()).expect("the published descriptors decode");

    let ours = sentences(&ours);
    let published = sentences(&published);
    assert!(
        published.len() > 800,
        "the published definitions have only {} parts: are they the whole of them?",
        published.len()
    );
    let missing: Vec<_> = published.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&published).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing here: {missing:#?}\nextra here: {extra:#?}");
}

/// The encoded definitions of the Go package, or nothing where there is no Go.
fn published() -> Option<Vec<u8>> {
    let go = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("go"))
        .find(|path| path.is_file())?;
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go");
    let output = Command::new(go)
        .args([OsStr::new("run"), OsStr::new(".")])
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .current_dir(&module)
        .output()
        .expect("go starts");
    assert!(
        output.status.success(),
        "`go run .` in {} failed; it needs Go 1.26 and, the first time, a Go module proxy:\n{}",
        module.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output.stdout)
}

/// All that two sides have to agree on, whichever files it is spread over.
fn sentences(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package() == PACKAGE) {
        told.insert(format!("syntax {}", file.syntax()));
        for message in &file.message_type {
            message_sentences(PACKAGE, message, &mut told);
        }
        for kind in &file.enum_type {
            enum_sentences(PACKAGE, kind, &mut told);
        }
        for service in &file.service {
            service_sentences(service, &mut told);
        }
        assert!(file.extension.is_empty(), "proto3 files extend nothing");
    }
    told
}

fn message_sentences(scope: &str, message: &DescriptorProto, told: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    let map = message.options.as_ref().is_some_and(MessageOptions::map_entry);
    told.insert(format!("message {name}, map entry {map}"));
    for field in &message.field {
        told.insert(field_sentence(&name, field, message));
    }
    for oneof in &message.oneof_decl {
        told.insert(format!("oneof {name}.{}", oneof.name()));
    }
    for reserved in &message.reserved_range {
        let (start, end) = (reserved.start(), reserved.end());
        told.insert(format!("reserved {name} {start}..{end}"));
    }
    for reserved in &message.reserved_name {
        told.insert(format!("reserved {name} {reserved}"));
    }
    for nested in &message.nested_type {
        message_sentences(&name, nested, told);
    }
    for nested in &message.enum_type {
        enum_sentences(&name, nested, told);
    }
}

fn field_sentence(scope: &str, field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let deprecated = field.options.as_ref().is_some_and(FieldOptions::deprecated);
    let oneof = field
        .oneof_index
        .and_then(|index| usize::try_from(index).ok())
        .map_or("none", |index| message.oneof_decl[index].name());
    format!(
        "field {scope}.{} = {}: {} {} {}, json {}, oneof {oneof}, optional {}, deprecated {deprecated}",
        field.name(),
        field.number(),
        Label::try_from(field.label.unwrap_or_default()).expect("a known label").as_str_name(),
        Type::try_from(field.r#type.unwrap_or_default()).expect("a known type").as_str_name(),
        field.type_name(),
        field.json_name(),
        field.proto3_optional(),
    )
}

fn enum_sentences(scope: &str, kind: &EnumDescriptorProto, told: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", kind.name());
    let alias = kind.options.as_ref().is_some_and(EnumOptions::allow_alias);
    told.insert(format!("enum {name}, aliases {alias}"));
    for value in &kind.value {
        told.insert(format!("value {name}.{} = {}", value.name(), value.number()));
    }
}

fn service_sentences(service: &ServiceDescriptorProto, told: &mut BTreeSet<String>) {
    let name = format!("{PACKAGE}.{}", service.name());
    told.insert(format!("service {name}"));
    for method in &service.method {
        told.insert(format!(
            "method {name}.{}: {} (stream {}) -> {} (stream {})",
            method.name(),
            method.input_type(),
            method.client_streaming(),
            method.output_type(),
            method.server_streaming(),
        ));
    }
}
