//! The overlay in fresh, without a proxy: every script runs on a full copy and on a preview, and must have the same outcome.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod overlay {
    pub(super) mod script;
}

use overlay::script::World;

const SHOP: &str = include_str!("overlay/shop.sql");

/// Runs one script on both and compares every step.
async fn same(script: &str) {
    let world = World::new(SHOP).await.expect("provision");
    world.run(script).await;
}

macro_rules! scripts {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            same(include_str!(concat!("overlay/", stringify!($name), ".sql"))).await;
        }
    )*};
}

scripts!(unique_keys, foreign_keys, referential_actions, deferred_constraints, schema_changes);
