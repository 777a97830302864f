//! Sessions side by side: every interleaving of every scenario, on a full copy and on a preview.
//!
//! `PREVIEWPG_AGAINST=copy` puts a second full copy in the preview's place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::sync::Mutex;
use std::time::Duration;

use previewpg_tests::digest::{difference, digest};
use previewpg_tests::interleave::{self, Scenario};
use previewpg_tests::oracle::Side;
use previewpg_tests::preview::Tenant;
use previewpg_tests::servers::{Servers, keep_logs};

/// The tables that most scenarios share, in groups of rows.
const LANES: &str = include_str!("../schema/lanes.sql");

/// The same, and a table for each group of the scenarios that change a table's shape.
fn shapes() -> String {
    format!(
        "{LANES}\nDO $$ BEGIN FOR g IN 1000..1039 LOOP
             EXECUTE format('CREATE TABLE shape_%s (id int PRIMARY KEY, v text)', g);
             EXECUTE format('INSERT INTO shape_%s VALUES (1, ''one''), (2, ''two'')', g);
             EXECUTE format('CREATE TABLE twin_%s (id int PRIMARY KEY, v text)', g);
             EXECUTE format('INSERT INTO twin_%s VALUES (2, ''deux''), (3, ''trois'')', g);
         END LOOP; END $$;"
    )
}

/// The groups that there are.
const GROUPS: std::ops::Range<u32> = 1000..2000;

const GROUP: &str = "SELECT id, email, n FROM parents WHERE grp = {g} ORDER BY id";
const FAMILY: &str = "SELECT p.id, c.id FROM parents p FULL JOIN children c ON c.parent_id = p.id \
    WHERE p.grp = {g} OR c.id / 100 = {g} ORDER BY 1, 2";
const TASKS: &str = "SELECT id, state FROM tasks WHERE grp = {g} ORDER BY id";
const BUMP: &str = "UPDATE parents SET n = n + 1 WHERE id = {g}1 RETURNING n";
const REMOVE: &str = "DELETE FROM parents WHERE id = {g}1 RETURNING n";
const CHILD: &str = "INSERT INTO children VALUES ({g}91, {g}1)";
const NEW: &str = "INSERT INTO parents VALUES ({g}7, {g}, 'new{g}@example.org') RETURNING id";
const UPSERT: &str = "INSERT INTO parents VALUES ({g}1, {g}, NULL, 100) ON CONFLICT (id) DO UPDATE SET n = parents.n + 10 RETURNING n";
const TAKE: &str = "UPDATE tasks SET state = 'taken' WHERE id = (SELECT id FROM tasks WHERE grp = {g} \
    AND state = 'ready' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id";

/// A copy-up for SKIP LOCKED or NOWAIT tries each row for a millisecond: that isn't waiting.
const PASSING: Duration = Duration::from_millis(150);

const PLAIN: Scenario = Scenario {
    name: "",
    sessions: &[],
    observe: GROUP,
    may_wait_more: false,
    settle: Duration::ZERO,
    most: 24,
    known: None,
};

macro_rules! scenarios {
    ($($name:ident: $sessions:expr $(, $field:ident = $value:expr)*;)*) => {
        $(#[test]
        fn $name() {
            const SCENARIO: Scenario = Scenario {
                name: stringify!($name),
                sessions: &$sessions,
                $($field: $value,)*
                ..PLAIN
            };
            both_sides(&SCENARIO);
        })*
    };
}

scenarios! {
    update_update: [&["BEGIN", BUMP, "COMMIT"], &["BEGIN", BUMP, "COMMIT"]];
    update_rolled_back_update: [&["BEGIN", BUMP, "ROLLBACK"], &["BEGIN", BUMP, "COMMIT"]];
    delete_update: [&["BEGIN", REMOVE, "COMMIT"], &["BEGIN", BUMP, "COMMIT"]];
    delete_rolled_back_update: [&["BEGIN", REMOVE, "ROLLBACK"], &["BEGIN", BUMP, "COMMIT"]];
    delete_delete: [&["BEGIN", REMOVE, "COMMIT"], &["BEGIN", REMOVE, "COMMIT"]];
    condition_looked_at_again: [
        &["BEGIN", "UPDATE parents SET n = 5 WHERE id = {g}1", "COMMIT"],
        &["BEGIN", "DELETE FROM parents WHERE grp = {g} AND n = 0 AND id < {g}3 AND id <> {g}2 RETURNING id", "COMMIT"]
    ];
    three_updates: [&["BEGIN", BUMP, "COMMIT"], &["BEGIN", REMOVE, "ROLLBACK"], &[BUMP]], may_wait_more = true, most = 40;
    insert_insert_same_key: [&["BEGIN", NEW, "COMMIT"], &["BEGIN", NEW, "COMMIT"]];
    insert_rolled_back_insert: [&["BEGIN", NEW, "ROLLBACK"], &["BEGIN", NEW, "COMMIT"]];
    insert_same_unique_value: [
        &["BEGIN", "INSERT INTO parents VALUES ({g}7, {g}, 'both{g}')", "COMMIT"],
        &["BEGIN", "INSERT INTO parents VALUES ({g}8, {g}, 'both{g}')", "COMMIT"]
    ];
    delete_then_insert_the_key: [
        &["BEGIN", REMOVE, "COMMIT"],
        &["BEGIN", "INSERT INTO parents VALUES ({g}1, {g}, 'again{g}')", "COMMIT"]
    ];
    delete_rolled_back_insert_the_key: [
        &["BEGIN", REMOVE, "ROLLBACK"],
        &["BEGIN", "INSERT INTO parents VALUES ({g}1, {g}, 'again{g}')", "COMMIT"]
    ];
    upsert_upsert: [&["BEGIN", UPSERT, "COMMIT"], &["BEGIN", UPSERT, "COMMIT"]];
    upsert_delete: [&["BEGIN", UPSERT, "COMMIT"], &["BEGIN", REMOVE, "COMMIT"]];
    upsert_do_nothing: [
        &["BEGIN", NEW, "COMMIT"],
        &["BEGIN", "INSERT INTO parents VALUES ({g}7, {g}, 'x{g}') ON CONFLICT DO NOTHING", "COMMIT"]
    ];
    email_moves: [
        &["BEGIN", "UPDATE parents SET email = 'moved{g}' WHERE id = {g}1", "COMMIT"],
        &["BEGIN", "INSERT INTO parents VALUES ({g}7, {g}, 'p{g}-1@example.org')", "COMMIT"]
    ];
    email_stays: [
        &["BEGIN", "UPDATE parents SET email = 'moved{g}' WHERE id = {g}1", "ROLLBACK"],
        &["BEGIN", "UPDATE parents SET email = 'p{g}-1@example.org' WHERE id = {g}3", "COMMIT"]
    ];
    child_parent_both_commit: [&["BEGIN", CHILD, "COMMIT"], &["BEGIN", REMOVE, "COMMIT"]],
        observe = FAMILY, may_wait_more = true;
    child_parent_child_rolls_back: [&["BEGIN", CHILD, "ROLLBACK"], &["BEGIN", REMOVE, "COMMIT"]],
        observe = FAMILY, may_wait_more = true;
    child_parent_parent_rolls_back: [&["BEGIN", CHILD, "COMMIT"], &["BEGIN", REMOVE, "ROLLBACK"]],
        observe = FAMILY, may_wait_more = true;
    child_parent_both_roll_back: [&["BEGIN", CHILD, "ROLLBACK"], &["BEGIN", REMOVE, "ROLLBACK"]],
        observe = FAMILY, may_wait_more = true;
    child_moves_to_deleted_parent: [
        &["BEGIN", "UPDATE children SET parent_id = {g}1 WHERE id = {g}21", "COMMIT"],
        &["BEGIN", REMOVE, "COMMIT"]
    ], observe = FAMILY, may_wait_more = true;
    child_and_key_of_parent_change: [
        &["BEGIN", CHILD, "COMMIT"],
        &["BEGIN", "UPDATE parents SET id = {g}8 WHERE id = {g}1", "COMMIT"]
    ], observe = FAMILY, may_wait_more = true;
    child_and_parent_updated: [&["BEGIN", CHILD, "COMMIT"], &["BEGIN", BUMP, "COMMIT"]], observe = FAMILY;
    two_children: [
        &["BEGIN", CHILD, "COMMIT"],
        &["BEGIN", "INSERT INTO children VALUES ({g}92, {g}1)", "COMMIT"]
    ], observe = FAMILY;
    last_child_and_parent_deleted: [
        &["BEGIN", "DELETE FROM children WHERE parent_id = {g}2", "COMMIT"],
        &["BEGIN", "DELETE FROM parents WHERE id = {g}2", "COMMIT"]
    ], observe = FAMILY, may_wait_more = true;
    for_update_update: [
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR UPDATE", BUMP, "COMMIT"],
        &["BEGIN", BUMP, "COMMIT"]
    ], most = 40;
    for_share_for_share: [
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR SHARE", "COMMIT"],
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR SHARE", "COMMIT"]
    ];
    for_share_update: [
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR SHARE", "COMMIT"],
        &["BEGIN", BUMP, "COMMIT"]
    ];
    for_key_share_update: [
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR KEY SHARE", "COMMIT"],
        &["BEGIN", BUMP, "COMMIT"]
    ], may_wait_more = true;
    nowait: [
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR UPDATE", "COMMIT"],
        &["BEGIN", "SELECT n FROM parents WHERE id = {g}1 FOR UPDATE NOWAIT", "COMMIT"]
    ], settle = PASSING;
    nowait_after_update: [
        &["BEGIN", BUMP, "COMMIT"],
        &["SELECT n FROM parents WHERE id = {g}1 FOR SHARE NOWAIT"]
    ], settle = PASSING;
    queue_of_three_workers: [&["BEGIN", TAKE, "COMMIT"], &["BEGIN", TAKE, "COMMIT"], &["BEGIN", TAKE, "ROLLBACK"]],
        observe = TASKS, settle = PASSING, most = 60;
    queue_by_select: [
        &["BEGIN", "SELECT id FROM tasks WHERE grp = {g} AND state = 'ready' ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED",
          "COMMIT"],
        &["BEGIN", "SELECT id FROM tasks WHERE grp = {g} AND state = 'ready' ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED",
          "DELETE FROM tasks WHERE id = {g}0", "COMMIT"]
    ], observe = TASKS, settle = PASSING, most = 35;
    lock_timeout: [
        &["BEGIN", BUMP, "COMMIT"],
        &["SET lock_timeout = '60ms'", BUMP, "RESET lock_timeout"]
    ], settle = Duration::from_millis(200), most = 10;
    deadlock: [
        &["BEGIN", BUMP, "UPDATE parents SET n = 7 WHERE id = {g}3", "COMMIT"],
        &["BEGIN", "UPDATE parents SET n = 8 WHERE id = {g}3", BUMP, "COMMIT"]
    ], settle = Duration::from_millis(320), most = 18;
    savepoint_lets_go: [
        &["BEGIN", "SAVEPOINT s", BUMP, "ROLLBACK TO s", "COMMIT"],
        &["BEGIN", BUMP, "COMMIT"]
    ], most = 28;
    repeatable_read_conflict: [
        &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT n FROM parents WHERE id = {g}1", BUMP, "COMMIT"],
        &["BEGIN", BUMP, "COMMIT"]
    ], most = 35;
    repeatable_read_and_delete: [
        &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM parents WHERE grp = {g}", BUMP, "COMMIT"],
        &[REMOVE]
    ];
    repeatable_read_stays: [
        &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT id, n FROM parents WHERE grp = {g} ORDER BY id",
          "SELECT id, n FROM parents WHERE grp = {g} ORDER BY id", "COMMIT"],
        &[BUMP, NEW, "DELETE FROM parents WHERE id = {g}3"]
    ], most = 35;
    read_committed_moves_on: [
        &["BEGIN", "SELECT id, n FROM parents WHERE grp = {g} ORDER BY id",
          "SELECT id, n FROM parents WHERE grp = {g} ORDER BY id", "COMMIT"],
        &["BEGIN", BUMP, "DELETE FROM parents WHERE id = {g}3", "COMMIT"]
    ], most = 35;
    serializable_write_skew: [
        &["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT sum(n) FROM parents WHERE grp = {g}",
          "UPDATE parents SET n = 1 WHERE id = {g}1", "COMMIT"],
        &["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT sum(n) FROM parents WHERE grp = {g}",
          "UPDATE parents SET n = 1 WHERE id = {g}3", "COMMIT"]
    ], most = 24;
    overlapping_bookings: [
        &["BEGIN", "INSERT INTO bookings VALUES ({g}1, {g}, '[2025-01-01,2025-01-05)')", "COMMIT"],
        &["BEGIN", "INSERT INTO bookings VALUES ({g}2, {g}, '[2025-01-04,2025-01-08)')", "COMMIT"]
    ], observe = "SELECT id FROM bookings WHERE room = {g}";
    advisory_locks: [
        &["BEGIN", "SELECT pg_advisory_xact_lock({g})", "COMMIT"],
        &["BEGIN", "SELECT pg_advisory_xact_lock({g})", "COMMIT"]
    ];
    shape_and_read: [
        &["BEGIN", "ALTER TABLE shape_{g} ADD COLUMN extra int DEFAULT 5", "COMMIT"],
        &["BEGIN", "SELECT * FROM shape_{g} ORDER BY id", "COMMIT"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    shape_and_returning: [
        &["BEGIN", "ALTER TABLE shape_{g} ADD COLUMN extra int DEFAULT 5", "COMMIT"],
        &["BEGIN", "UPDATE shape_{g} SET v = 'changed' WHERE id = 1 RETURNING *", "COMMIT"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    type_and_read: [
        &["BEGIN", "ALTER TABLE shape_{g} ALTER id TYPE bigint", "COMMIT"],
        &["SELECT * FROM shape_{g} ORDER BY id"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    column_dropped_and_read: [
        &["BEGIN", "ALTER TABLE shape_{g} DROP COLUMN v", "COMMIT"],
        &["SELECT * FROM shape_{g} ORDER BY id"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    shape_rolled_back_and_write: [
        &["BEGIN", "ALTER TABLE shape_{g} DROP COLUMN v", "ROLLBACK"],
        &["BEGIN", "UPDATE shape_{g} SET v = 'changed' WHERE id = 1", "COMMIT"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    tables_swapped_and_read: [
        &["BEGIN; ALTER TABLE shape_{g} RENAME TO spare_{g}; ALTER TABLE twin_{g} RENAME TO shape_{g}; ALTER TABLE spare_{g} RENAME TO twin_{g}", "COMMIT"],
        &["SELECT * FROM shape_{g} ORDER BY id"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    tables_swapped_and_copied: [
        &["BEGIN; ALTER TABLE shape_{g} RENAME TO spare_{g}; ALTER TABLE twin_{g} RENAME TO shape_{g}; ALTER TABLE spare_{g} RENAME TO twin_{g}", "COMMIT"],
        &["COPY shape_{g} TO STDOUT", "SELECT count(*) FROM shape_{g}"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    tables_swapped_and_changed: [
        &["BEGIN; ALTER TABLE shape_{g} RENAME TO spare_{g}; ALTER TABLE twin_{g} RENAME TO shape_{g}; ALTER TABLE spare_{g} RENAME TO twin_{g}", "COMMIT"],
        &["UPDATE shape_{g} SET v = v || '!' RETURNING id, v"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    table_put_in_the_place_of_a_new_one: [
        &["CREATE TABLE own_{g} (id int PRIMARY KEY, v text); INSERT INTO own_{g} VALUES (9, 'own')",
          "BEGIN; ALTER TABLE own_{g} RENAME TO spare_{g}; ALTER TABLE shape_{g} RENAME TO own_{g}", "COMMIT"],
        &["SELECT count(*), max(v) FROM own_{g}", "INSERT INTO own_{g} SELECT id + 10, v FROM own_{g}"]
    ], observe = "SELECT * FROM own_{g} ORDER BY id";
    // The reader waits for a table's lock, and finds a name that nobody has published yet.
    view_made_and_read: [
        &["CREATE TABLE own_{g} (v text); INSERT INTO own_{g} VALUES ('own')",
          "BEGIN; LOCK TABLE own_{g}; CREATE VIEW made_{g} AS SELECT * FROM shape_{g}", "COMMIT"],
        &["SELECT count(*), max(m.v) FROM own_{g}, made_{g} m"]
    ], observe = "SELECT * FROM made_{g} ORDER BY id";
    table_renamed_and_joined: [
        &["BEGIN; LOCK TABLE twin_{g}; ALTER TABLE shape_{g} RENAME TO made_{g}", "COMMIT"],
        &["SELECT count(*), max(m.v) FROM twin_{g} t JOIN made_{g} m USING (id)"]
    ], observe = "SELECT * FROM made_{g} ORDER BY id";
    function_made_and_called: [
        &["CREATE TABLE own_{g} (v text); INSERT INTO own_{g} VALUES ('own')",
          "BEGIN; LOCK TABLE own_{g}; CREATE FUNCTION made_{g}() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM shape_{g}'", "COMMIT"],
        &["SELECT made_{g}() FROM own_{g}"]
    ], observe = "SELECT made_{g}()";
    drop_and_read: [
        &["BEGIN", "DROP TABLE shape_{g}", "COMMIT"],
        &["BEGIN", "SELECT count(*) FROM shape_{g}", "COMMIT"]
    ], observe = "SELECT count(*) FROM shape_{g}";
    truncate_and_insert: [
        &["BEGIN", "TRUNCATE shape_{g}", "COMMIT"],
        &["BEGIN", "INSERT INTO shape_{g} VALUES (3, 'three')", "COMMIT"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
    new_constraint_and_write: [
        &["BEGIN", "CREATE UNIQUE INDEX ON shape_{g} (v)", "COMMIT"],
        &["BEGIN", "INSERT INTO shape_{g} VALUES (3, 'one')", "COMMIT"]
    ], observe = "SELECT * FROM shape_{g} ORDER BY id";
}

/// A database on both sides. Scenarios run on it one after the other, each on groups of its own.
struct Lane {
    copy: Side,
    other: Side,
    database: String,
    next_group: u32,
    /// The preview, where that is the other side.
    _preview: Option<Tenant>,
}

impl Lane {
    fn open(template: &str, schema: &str) -> Self {
        let servers = Servers::shared();
        let database = servers.database(template, schema);
        let copy = Side::new(
            "copy",
            &servers.copy.tcp("app", &database),
            &servers.copy.admin(&database),
        );
        let (other, preview) = if std::env::var("PREVIEWPG_AGAINST").as_deref() == Ok("copy") {
            let second = servers.another_copy(template);
            let other = Side::new(
                "second copy",
                &servers.copy.tcp("app", &second),
                &servers.copy.admin(&second),
            );
            (other, None)
        } else {
            let preview = Tenant::of(&database, template);
            let other = Side::new("preview", &preview.address, &preview.behind());
            (other, Some(preview))
        };
        Self {
            copy,
            other,
            database,
            next_group: GROUPS.start,
            _preview: preview,
        }
    }
}

/// Lanes that nobody uses now. One where something differed isn't put back.
static LANES_LEFT: Mutex<Vec<Lane>> = Mutex::new(Vec::new());

fn both_sides(scenario: &Scenario) {
    // What a schema change leaves behind would be in another scenario's way.
    let apart = scenario
        .sessions
        .iter()
        .copied()
        .flatten()
        .any(|sql| sql.contains("shape_"));
    let mut lane = if apart {
        Lane::open("shapes", &shapes())
    } else {
        let left = LANES_LEFT
            .lock()
            .unwrap()
            .pop_if(|lane| lane.next_group + scenario.groups() <= GROUPS.end);
        left.unwrap_or_else(|| Lane::open("lanes", LANES))
    };
    let servers = Servers::shared();
    let before = digest(&servers.production.admin(&lane.database));
    let differences = interleave::run(scenario, lane.next_group, &mut lane.copy, &mut lane.other);
    lane.next_group += scenario.groups();
    let touched = difference(&before, &digest(&servers.production.admin(&lane.database)));
    assert!(
        touched.is_empty(),
        "PRODUCTION WAS TOUCHED:\n{}",
        touched.join("\n")
    );
    if apart {
        let database = lane.database.clone();
        drop(lane);
        servers.drop_database(&database);
    } else if differences.is_empty() {
        for name in ["a", "b", "c", "control"] {
            lane.copy.forget(name);
            lane.other.forget(name);
        }
        LANES_LEFT.lock().unwrap().push(lane);
    }
    if let Some(known) = scenario.known {
        assert!(
            !differences.is_empty(),
            "known to differ ({known}), and doesn't any more: remove the mark, and its line in docs/limits.md"
        );
        return;
    }
    if !differences.is_empty() {
        keep_logs();
    }
    assert!(
        differences.is_empty(),
        "{} interleavings differ; the first of them:\n{}\n\nreproduce: cargo test -p previewpg_tests --test interleavings {}",
        differences.len(),
        differences
            .get(..differences.len().min(3))
            .unwrap_or_default()
            .join("\n"),
        scenario.name
    );
}

#[test]
fn a_difference_between_sides_is_seen() {
    let servers = Servers::shared();
    let first = servers.database("lanes", LANES);
    let side = |name, database: &str| {
        Side::new(
            name,
            &servers.copy.tcp("app", database),
            &servers.copy.admin(database),
        )
    };
    let scenario = Scenario {
        name: "self-check",
        sessions: &[&["BEGIN", BUMP, "COMMIT"], &["BEGIN", BUMP, "COMMIT"]],
        ..PLAIN
    };
    // A lock of the same place that only one side takes: the rows are the same, who waits isn't.
    let slower = || {
        let second = servers.another_copy("lanes");
        servers.copy.connect(&second).must(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
             CREATE TRIGGER wait BEFORE UPDATE ON parents FOR EACH STATEMENT EXECUTE FUNCTION wait()",
        );
        side("slower", &second)
    };
    let scenario_of_two_rows = Scenario {
        sessions: &[
            &["BEGIN", BUMP, "COMMIT"],
            &[
                "BEGIN",
                "UPDATE parents SET n = 1 WHERE id = {g}3",
                "COMMIT",
            ],
        ],
        ..scenario
    };
    let differences = interleave::run(
        &scenario_of_two_rows,
        GROUPS.start,
        &mut side("first", &first),
        &mut slower(),
    );
    assert!(!differences.is_empty());
    let allowed = Scenario {
        may_wait_more: true,
        ..scenario_of_two_rows
    };
    let second_run = interleave::run(
        &allowed,
        GROUPS.start,
        &mut side("first", &servers.another_copy("lanes")),
        &mut slower(),
    );
    assert_eq!(second_run, Vec::<String>::new());
}
