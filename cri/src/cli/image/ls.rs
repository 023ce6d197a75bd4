//! `infranetes image ls`.

use std::process::ExitCode;

use proto::runtime::v1::{Image, ListImagesRequest};

use super::super::client::{Client, refusal};
use super::super::output::{self, Format};
use super::super::table::table;
use super::super::{Global, json, view};

pub(super) async fn run(client: &Client, global: &Global) -> anyhow::Result<ExitCode> {
    let answer = client.images().list_images(client.query(ListImagesRequest::default())).await;
    let images = answer.map_err(|status| refusal("list the images", &status))?.into_inner().images;
    match global.output {
        Format::Json => output::json(&images.iter().map(json::image).collect())?,
        Format::Text => output::bytes(text(&images).as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A row for each name.
fn text(images: &[Image]) -> String {
    let rows: Vec<_> = images
        .iter()
        .flat_map(|image| {
            let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
            let names = if names.is_empty() { vec!["<none>".to_owned()] } else { names.clone() };
            names.into_iter().map(|name| {
                [
                    name,
                    view::short(&image.id).to_owned(),
                    view::bytes(image.size),
                    if image.pinned { "imported" } else { "pulled" }.to_owned(),
                ]
            })
        })
        .collect();
    table(["IMAGE", "ID", "SIZE", "FROM"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_a_row() {
        let image = Image {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: vec!["a:1".into(), "a:2".into()],
            size: 1 << 20,
            ..Default::default()
        };
        let expected = "\
IMAGE   ID             SIZE      FROM
a:1     0123456789ab   1.0 MiB   pulled
a:2     0123456789ab   1.0 MiB   pulled
";
        assert_eq!(text(&[image]), expected);
    }

    #[test]
    fn an_image_without_a_name_is_told_too() {
        assert!(text(&[Image { pinned: true, ..Default::default() }]).contains("<none>"));
    }
}
