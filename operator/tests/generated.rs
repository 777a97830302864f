//! Generated files are as they would be generated now. `make generate` writes them.

#![allow(clippy::unwrap_used)]

mod support;

use previewpg_operator::crd;

#[test]
fn the_definition_is_fresh() {
    let yaml = crd::yaml().unwrap();
    support::assert_fresh("crds/previewdatabases.yaml", &yaml);
    support::assert_fresh("charts/previewpg/files/previewdatabases.yaml", &yaml);
}
