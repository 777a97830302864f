//! ORMs, migration tools and applications on a production that holds data: each migrates and uses a full copy and a preview,
//! and sees and leaves the same.
//!
//! `tests/tools/NAME/run.sh` is the tool's script (see [`previewpg_tests::tool`]); `PREVIEWPG_AGAINST=copy` puts a second full
//! copy in the preview's place: for writing scripts. Those that take long are ignored here: `make tools-all` runs every one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use previewpg_tests::tool::{Apart, Tool};

/// Runs a tool that needs nothing of a superuser, or these extensions.
fn same(name: &'static str, production: &'static str, lines: usize) {
    Tool {
        name,
        production,
        lines,
        application: false,
        apart: &[],
    }
    .run();
}

/// Runs an application, of which production goes on with the old version.
fn goes_on(name: &'static str, lines: usize) {
    Tool {
        name,
        production: "",
        lines,
        application: true,
        apart: &[],
    }
    .run();
}

#[test]
fn django() {
    same("django", "CREATE EXTENSION btree_gist", 3000);
}

#[test]
fn alembic() {
    same("alembic", "", 300);
}

const SHOP: &str = "CREATE EXTENSION btree_gist; CREATE EXTENSION citext";

/// A materialized view's rows are read from production; the preview's own relation isn't populated.
const DUMPED_APART: &[Apart] = &[
    Apart {
        contains: "REFRESH MATERIALIZED VIEW public.sales;",
        why: "it isn't refreshed by a dump",
    },
    Apart {
        contains: "MATERIALIZED VIEW DATA",
        why: "the heading of that",
    },
];

#[test]
fn pg_dump() {
    Tool {
        name: "pg_dump",
        production: SHOP,
        lines: 5000,
        application: false,
        apart: DUMPED_APART,
    }
    .run();
}

#[test]
fn psql() {
    same("psql", SHOP, 1000);
}

#[test]
fn java() {
    same("java", "", 1000);
}

#[test]
fn node() {
    same("node", "CREATE EXTENSION \"uuid-ossp\"", 300);
}

#[test]
#[ignore = "takes more than a minute"]
fn prisma() {
    same("prisma", "", 200);
}

#[test]
#[ignore = "takes more than a minute, and two versions of Wagtail"]
fn wagtail() {
    goes_on("wagtail", 3000);
}

#[test]
#[ignore = "takes more than a minute, and two versions of Directus"]
fn directus() {
    goes_on("directus", 6000);
}

#[test]
#[ignore = "sqlx takes minutes to build"]
fn sqlx() {
    same("sqlx", "", 300);
}
