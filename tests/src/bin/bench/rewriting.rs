//! What planning a statement costs the proxy, over the preview's own catalog and without any I/O.

use std::time::Instant;

use previewpg_proxy::catalog::load::{self, Shared};
use previewpg_proxy::rewrite::Context;
use previewpg_proxy::rewrite::plan::Plan;
use previewpg_proxy::session::planner::{Planner as _, Rewriter};
use previewpg_proxy::sql::facts::Script;
use previewpg_tests::client::Session;

use crate::measure::Times;
use crate::places::Places;
use crate::table::{Goal, Side, Table, Unit};

/// Short statements, as applications send them.
const STATEMENTS: [(&str, &str); 4] = [
    (
        "point select",
        "SELECT id, status, amount FROM orders WHERE id = $1",
    ),
    (
        "join",
        "SELECT o.id, u.name, o.amount FROM orders o JOIN users u ON u.id = o.user_id WHERE u.email = $1 ORDER BY o.created_at DESC LIMIT 20",
    ),
    (
        "INSERT",
        "INSERT INTO orders (id, user_id, status, amount, discount, created_at) VALUES ($1, $2, $3, $4, $5, now()) RETURNING id",
    ),
    (
        "UPDATE by key",
        "UPDATE orders SET status = $1, amount = amount + $2 WHERE id = $3",
    ),
];
/// How often each is planned.
const TIMES: usize = 5000;

/// Statements that were seen before are planned, others are read first. The tables are dirty, so that what can be rewritten is.
pub(crate) fn measure(places: &Places, table: &mut Table) {
    let behind = Session::connect(&places.preview.behind());
    let document = behind.expect("log in at fresh").value(load::QUERY);
    let shared = Shared::default();
    let catalog = load::parse(&document, &shared).expect("the catalog is well-formed");
    for relation in catalog.relations.keys() {
        shared.mark(*relation);
    }
    let search_path = ["pg_catalog".to_owned(), "public".to_owned()];
    let context = Context {
        catalog: &catalog,
        search_path: &search_path,
    };
    let plan = |text: &str, script: &Script| {
        let plan = Rewriter.plan(text, &script.statements[0], context);
        assert!(!matches!(plan, Plan::Refuse(_)), "{text}: {plan:?}");
    };
    for (name, text) in STATEMENTS {
        let first = times(|| plan(text, &Rewriter.read(text, true)));
        let script = Rewriter.read(text, true);
        let again = times(|| plan(text, &script));
        for (which, times, limit) in [("seen before", again, 15.0), ("first time", first, 60.0)] {
            table.add(
                &format!("rewriting: {name}, {which}, p50"),
                Unit::Microseconds,
                &[(Side::Preview, times.percentile(50))],
                Goal::AtMost(limit),
            );
        }
    }
}

/// Microseconds.
fn times(mut work: impl FnMut()) -> Times {
    let mut all = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let started = Instant::now();
        work();
        all.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Times::sorted(all)
}
