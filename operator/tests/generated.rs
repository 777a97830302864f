//! Generated files are as they would be generated now. `make generate` writes them.

#![allow(clippy::unwrap_used)]

mod support;

use previewpg_operator::{crd, reference};

#[test]
fn the_definition_is_fresh() {
    let yaml = crd::yaml().unwrap();
    support::assert_fresh("crds/previewdatabases.yaml", &yaml);
    support::assert_fresh("charts/previewpg/files/previewdatabases.yaml", &yaml);
}

#[test]
fn the_chart_s_readme_is_fresh() {
    let chart = support::root().join("charts/previewpg");
    let read = |name: &str| std::fs::read_to_string(chart.join(name)).unwrap();
    let readme = support::values::readme(&read("README.md.in"), &read("values.yaml"));
    support::assert_fresh("charts/previewpg/README.md", &readme);
}

#[test]
fn the_reference_is_fresh() {
    support::assert_fresh("docs/reference.md", &reference::markdown().unwrap());
}
