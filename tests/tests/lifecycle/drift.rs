//! Production changes its schema while the preview holds changed rows.

use previewpg_proxy::preview;

use super::{Looking, SHOP, World, contains, shape, wait};

#[test]
fn what_production_adds_is_brought_in() {
    let mut world = World::new(SHOP);
    let first = world.bring_up();
    assert_eq!(first.served, ["public.orders", "public.users"]);
    assert_eq!(
        (&first.brought_in, &first.collisions),
        (&Vec::new(), &Vec::new())
    );
    let again = world.bring_up();
    assert_eq!(again.brought_in, Vec::<String>::new());
    assert_eq!(again.fingerprint, first.fingerprint);
    world.change(&[
        "UPDATE users SET name = 'changed' WHERE id <= 5",
        "DELETE FROM users WHERE id = 50 AND NOT EXISTS (SELECT FROM orders WHERE user_id = 50)",
        "INSERT INTO users VALUES (1000, 'own@example.test', 'own')",
        "INSERT INTO orders VALUES (1000, 1000, 'paid', 7)",
        "UPDATE orders SET total = total + 1 WHERE id <= 3",
    ]);
    let mut running = world.serve();
    running.session.must("SELECT * FROM users WHERE id = 1");
    world.migrate(
        "ALTER TABLE users ADD COLUMN visits int NOT NULL DEFAULT 7;
         ALTER TABLE users ADD COLUMN shout text GENERATED ALWAYS AS (upper(name)) STORED;
         ALTER TABLE users ALTER COLUMN email TYPE text;
         ALTER TABLE users ALTER COLUMN name DROP NOT NULL;
         ALTER TYPE status ADD VALUE 'sent' AFTER 'paid';
         CREATE INDEX users_name ON users(name);
         CREATE UNIQUE INDEX users_email ON users(email);
         ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0);
         ALTER TABLE orders ALTER COLUMN total TYPE numeric(12, 2);
         CREATE SEQUENCE tickets START 5;
         CREATE TABLE reviews(id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders, stars int NOT NULL CHECK (stars BETWEEN 1 AND 5));
         INSERT INTO reviews SELECT n, n, n % 5 + 1 FROM generate_series(1, 20) n;
         CREATE VIEW regulars AS SELECT id, visits FROM users WHERE visits > 5;
         CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
         CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'",
    );
    let report = world.bring_up();
    assert_eq!(report.collisions, Vec::new(), "{:?}", report.brought_in);
    assert_eq!(report.not_restored, Vec::new());
    assert_eq!(report.postponed, Vec::<String>::new());
    assert_ne!(report.fingerprint, first.fingerprint);
    assert_eq!(
        report.served,
        ["public.orders", "public.reviews", "public.users"]
    );
    for part in [
        "public.users: column \"visits\" was added as integer NOT NULL",
        "public.users: column \"shout\"",
        "public.users: column \"email\" is text",
        "public.users: column \"name\" may be NULL now",
        "type public.status: value 'sent' was added",
        "index \"users_name\"",
        "constraint \"positive\"",
        "table public.reviews",
        "view public.regulars",
        "function public.twice(",
        "FUNCTION public.answer() as it is defined now",
        "sequence public.tickets",
    ] {
        assert!(
            contains(&report.brought_in, part),
            "{part}: {:?}",
            report.brought_in
        );
    }
    // The proxy that was there all the time knows, too.
    let columns = running
        .session
        .value("SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys((SELECT to_jsonb(u) FROM users u WHERE id = 1)) k");
    assert_eq!(columns, "email,id,name,shout,visits");
    assert_eq!(running.session.value("SELECT count(*) FROM reviews"), "20");
    drop(running);
    // Rows of production that the copy has, too, and that are seen through the new shape.
    world.migrate(
        "UPDATE users SET name = NULL WHERE id = 20; INSERT INTO orders VALUES (500, 1, 'sent', 9)",
    );
    world.same(&[
        "SELECT * FROM users ORDER BY id",
        "SELECT * FROM orders ORDER BY id",
        "SELECT * FROM reviews ORDER BY id",
        "SELECT * FROM regulars ORDER BY id",
        "SELECT count(*) FROM users WHERE name IS NULL",
        "SELECT answer(), twice(4), nextval('tickets')",
        "SELECT * FROM orders WHERE status = 'sent'",
        "INSERT INTO orders VALUES (2000, 1, 'new', -1)",
        "INSERT INTO users VALUES (2000, 'u7@example.test', 'duplicate')",
        "UPDATE users SET visits = visits + 1 WHERE id IN (3, 30)",
        "UPDATE orders SET status = 'sent' WHERE id IN (1, 100)",
        "INSERT INTO reviews VALUES (100, 99999, 1)",
        "INSERT INTO reviews VALUES (100, 1000, 3)",
        "DELETE FROM orders WHERE id = 199",
        "SELECT id, visits, shout FROM users WHERE id IN (3, 30, 1000) ORDER BY id",
        "SELECT o.id, status, stars FROM orders o LEFT JOIN reviews r ON r.order_id = o.id WHERE o.id IN (1, 100, 1000) ORDER BY 1",
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name IN ('users', 'orders') ORDER BY table_name, ordinal_position",
    ]);
    let last = world.bring_up();
    assert_eq!(last.brought_in, Vec::<String>::new());
    assert_eq!(last.collisions, Vec::new());
}

#[test]
fn a_row_that_the_preview_holds_gets_productions_value_of_a_new_column() {
    let mut world = World::new(SHOP);
    world.bring_up();
    world.change(&[
        "UPDATE users SET name = 'changed' WHERE id = 1",
        "INSERT INTO users VALUES (1000, 'own@example.test', 'own')",
    ]);
    // A migration with a backfill by key: on the copy it finds the preview's own row, too.
    world.migrate("ALTER TABLE users ADD COLUMN tier int DEFAULT 1; UPDATE users SET tier = id + 1 WHERE id <= 10");
    let report = world.bring_up();
    assert_eq!(report.collisions, Vec::new());
    world.same(&["SELECT id, name, tier FROM users WHERE id IN (1, 2, 40, 1000) ORDER BY id"]);
}

#[test]
fn what_production_takes_away_is_refused_until_the_preview_does_the_same() {
    let mut world = World::new(SHOP);
    world.bring_up();
    world.change(&["UPDATE users SET name = 'changed' WHERE id = 1"]);
    for (sql, production, preview, resolution) in [
        (
            "ALTER TABLE orders DROP COLUMN total",
            "column \"total\" was dropped",
            "column \"total\" shows it",
            "ALTER TABLE orders DROP COLUMN total",
        ),
        (
            "ALTER TABLE orders RENAME COLUMN user_id TO customer_id",
            "column \"user_id\" was renamed to \"customer_id\"",
            "it is \"user_id\"",
            "ALTER TABLE orders RENAME COLUMN user_id TO customer_id",
        ),
    ] {
        world.migrate(sql);
        let report = world.bring_up();
        let [collision] = report.collisions.as_slice() else {
            panic!("{sql}: {:?}", report.collisions);
        };
        assert_eq!(
            (collision.object.as_str(), collision.refused),
            ("public.orders", true)
        );
        assert!(collision.production.contains(production), "{collision:?}");
        assert!(collision.preview.contains(preview), "{collision:?}");
        assert_eq!(report.unsupported.len(), 1, "{:?}", report.unsupported);
        assert_eq!(report.served, ["public.users"]);
        // It is told each time, as long as it lasts.
        assert_eq!(world.bring_up().collisions, report.collisions);
        let mut served = world.serve();
        let answer = served.session.query("SELECT * FROM orders");
        assert_eq!(answer.sqlstate(), Some("0A000"), "{answer:?}");
        let answer = served
            .session
            .query("UPDATE orders SET id = id WHERE id = 1");
        assert_eq!(answer.sqlstate(), Some("0A000"), "{answer:?}");
        assert_eq!(
            served.session.value("SELECT name FROM users WHERE id = 1"),
            "changed"
        );
        // The same change in the preview resolves it.
        served.session.must(resolution);
        drop(served);
        let report = world.bring_up();
        assert_eq!(report.collisions, Vec::new());
        assert_eq!(report.unsupported, Vec::new());
        world.same(&[
            "SELECT * FROM orders ORDER BY id",
            "UPDATE orders SET status = 'paid' WHERE id = 1",
            "SELECT * FROM orders WHERE id < 5 ORDER BY id",
        ]);
    }
}

#[test]
fn a_table_that_production_renames_or_drops_is_refused() {
    let mut world = World::new(SHOP);
    world.bring_up();
    world.change(&["UPDATE users SET name = 'changed' WHERE id = 1"]);
    world.on_production(
        "ALTER TABLE orders RENAME TO purchases; CREATE TABLE bills(id int PRIMARY KEY)",
    );
    let report = world.bring_up();
    // The view's text follows the name.
    let (views, tables): (Vec<_>, Vec<_>) = report
        .collisions
        .iter()
        .partition(|collision| collision.object.starts_with("VIEW"));
    assert_eq!(views.len(), 1, "{views:?}");
    let [collision] = tables.as_slice() else {
        panic!("{tables:?}");
    };
    assert!(collision.refused && collision.object == "public.orders");
    assert!(
        collision.production.contains("renamed to public.purchases"),
        "{collision:?}"
    );
    assert_eq!(report.served, ["public.bills", "public.users"]);
    let mut served = world.serve();
    for statement in [
        "SELECT count(*) FROM orders",
        "SELECT * FROM paid",
        "DELETE FROM orders",
    ] {
        let answer = served.session.query(statement);
        assert_eq!(answer.sqlstate(), Some("0A000"), "{statement}: {answer:?}");
    }
    served
        .session
        .must("ALTER TABLE orders RENAME TO purchases");
    drop(served);
    let report = world.bring_up();
    assert_eq!(report.collisions, Vec::new());
    let mut served = world.serve();
    assert_eq!(
        served.session.value("SELECT count(*) FROM purchases"),
        "200"
    );
    drop(served);

    world.on_production("DROP TABLE purchases CASCADE");
    let report = world.bring_up();
    assert_eq!(report.collisions.len(), 1, "{:?}", report.collisions);
    assert!(
        report.collisions[0].production.contains("dropped"),
        "{:?}",
        report.collisions
    );
    let mut served = world.serve();
    assert_eq!(
        served.session.query("SELECT * FROM purchases").sqlstate(),
        Some("0A000")
    );
    served.session.must("DROP TABLE purchases CASCADE");
    drop(served);
    assert_eq!(world.bring_up().collisions, Vec::new());
}

#[test]
fn what_both_sides_changed_is_told_and_left_alone() {
    let mut world = World::new(SHOP);
    world.bring_up();
    let mut served = world.serve();
    for statement in [
        "ALTER TABLE users ADD COLUMN note text DEFAULT 'mine'",
        "ALTER TABLE users ADD COLUMN age int DEFAULT 3",
        "CREATE TABLE coupons(code text)",
        "INSERT INTO coupons VALUES ('mine')",
        "CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW young AS SELECT id FROM users WHERE age < 18",
        "ALTER TABLE orders RENAME TO purchases",
        "UPDATE users SET note = 'changed', age = 5 WHERE id = 1",
    ] {
        served.session.must(statement);
    }
    drop(served);
    world.on_production(
        "ALTER TABLE users ADD COLUMN note int DEFAULT 5; ALTER TABLE users ADD COLUMN age int DEFAULT 9;
         CREATE TABLE coupons(code text PRIMARY KEY, percent int);
         CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 2';
         CREATE VIEW young AS SELECT id FROM users WHERE age < 21;
         ALTER TABLE orders ADD COLUMN paid_at date",
    );
    let report = world.bring_up();
    let told: Vec<String> = report
        .collisions
        .iter()
        .map(|collision| {
            format!(
                "{} | {} | {} | {}",
                collision.object, collision.production, collision.preview, collision.refused
            )
        })
        .collect();
    for part in [
        "public.users | column \"note\" was added as integer | column \"note\" was added as text | false",
        "public.coupons | it was added | it has one of that name of its own | false",
        "FUNCTION public.answer() | it was defined anew | it was defined anew, too | false",
        "VIEW public young | it was added | it has one of that name of its own | false",
        "public.orders | column \"paid_at\" was added as date | it is public.purchases | false",
    ] {
        assert!(contains(&told, part), "{part}: {told:#?}");
    }
    assert_eq!(told.len(), 5, "{told:#?}");
    assert!(
        contains(&report.brought_in, "column \"age\" shows production's"),
        "{:?}",
        report.brought_in
    );
    let again = world.bring_up().collisions;
    assert_eq!(again, report.collisions, "told until resolved");
    let mut served = world.serve();
    for (statement, wanted) in [
        (
            "SELECT string_agg(DISTINCT note, ',' ORDER BY note) FROM users",
            "changed,mine",
        ),
        (
            "SELECT string_agg(DISTINCT age::text, ',' ORDER BY age::text) FROM users",
            "5,9",
        ),
        ("SELECT string_agg(code, ',') FROM coupons", "mine"),
        ("SELECT answer()", "1"),
        ("SELECT count(*) FROM young", "50"),
        ("SELECT count(*) FROM purchases", "200"),
    ] {
        assert_eq!(served.session.value(statement), wanted, "{statement}");
    }
    assert_eq!(
        served
            .session
            .query("SELECT paid_at FROM purchases")
            .sqlstate(),
        Some("42703")
    );
}

#[test]
fn a_key_or_type_that_changes_is_followed_or_refused() {
    let mut world = World::new(
        "CREATE TABLE clean(id int PRIMARY KEY, code text NOT NULL, n text);
         CREATE TABLE dirty(id int PRIMARY KEY, code text NOT NULL, n text);
         INSERT INTO clean SELECT n, 'c' || n, n FROM generate_series(1, 10) n;
         INSERT INTO dirty TABLE clean",
    );
    world.bring_up();
    world.change(&["UPDATE dirty SET code = 'changed' WHERE id = 1"]);
    world.migrate(
        "ALTER TABLE clean DROP CONSTRAINT clean_pkey; ALTER TABLE clean ADD PRIMARY KEY (id, code);
         ALTER TABLE dirty DROP CONSTRAINT dirty_pkey; ALTER TABLE dirty ADD PRIMARY KEY (id, code);
         ALTER TABLE clean ALTER COLUMN n TYPE int USING n::int",
    );
    let report = world.bring_up();
    let [collision] = report.collisions.as_slice() else {
        panic!("{:?}", report.collisions);
    };
    assert_eq!(
        (
            collision.object.as_str(),
            collision.production.as_str(),
            collision.preview.as_str()
        ),
        (
            "public.dirty",
            "its key is (id, code) now",
            "its changed rows are known by (id)"
        )
    );
    assert_eq!(report.served, ["public.clean"], "{:?}", report.unsupported);
    world.same(&[
        "SELECT * FROM clean ORDER BY id",
        "INSERT INTO clean VALUES (1, 'other', 5)",
        "INSERT INTO clean VALUES (1, 'c1', 5)",
        "UPDATE clean SET n = n + 1 WHERE id = 1",
        "SELECT * FROM clean ORDER BY id, code",
    ]);
    let mut served = world.serve();
    assert_eq!(
        served.session.query("SELECT * FROM dirty").sqlstate(),
        Some("0A000")
    );
    drop(served);

    // A type that can't be had without loss, with rows held.
    world.change(&["UPDATE clean SET n = 7 WHERE id = 2"]);
    world.on_production("ALTER TABLE clean ALTER COLUMN n TYPE date USING date '2020-01-01' + n");
    let report = world.bring_up();
    assert!(
        report
            .collisions
            .iter()
            .any(|collision| collision.object == "public.clean"
                && collision.refused
                && collision.production == "column \"n\" is date now"
                && collision.preview == "it is integer"),
        "{:?}",
        report.collisions
    );
    let mut served = world.serve();
    assert_eq!(
        served.session.query("SELECT * FROM clean").sqlstate(),
        Some("0A000")
    );
}

#[test]
fn changes_between_two_looks_give_an_error_or_the_right_rows() {
    let mut world = World::new(
        "CREATE TABLE t(id int PRIMARY KEY, a int NOT NULL, b text);
         INSERT INTO t SELECT n, n, 'b' || n FROM generate_series(1, 20) n",
    );
    world.bring_up();
    world.change(&["UPDATE t SET b = 'changed' WHERE id = 1"]);
    let mut served = world.serve();
    // Dirty: read through the foreign table. The proxy's catalog is older than production.
    let read = "SELECT id, a, b FROM t ORDER BY id";
    let before = shape(&mut served.session, read);
    world.on_production(
        "ALTER TABLE t ALTER COLUMN a DROP NOT NULL; UPDATE t SET a = NULL WHERE id = 2",
    );
    world
        .copy
        .must("ALTER TABLE t ALTER COLUMN a DROP NOT NULL; UPDATE t SET a = NULL WHERE id = 2");
    for statement in [
        read,
        "SELECT id FROM t WHERE a IS NULL",
        "SELECT count(*) FROM t WHERE a IS NOT NULL",
    ] {
        let seen = shape(&mut served.session, statement);
        assert_eq!(seen, shape(&mut world.copy, statement), "{statement}");
    }
    assert_ne!(shape(&mut served.session, read), before);
    for (change, back) in [
        (
            "ALTER TABLE t RENAME COLUMN a TO z",
            "ALTER TABLE t RENAME COLUMN z TO a",
        ),
        (
            "ALTER TABLE t ALTER COLUMN a TYPE text USING 'x' || a",
            "ALTER TABLE t ALTER COLUMN a TYPE int USING substr(a, 2)::int",
        ),
        (
            "ALTER TABLE t RENAME TO other",
            "ALTER TABLE other RENAME TO t",
        ),
        (
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t ADD COLUMN a int",
        ),
    ] {
        world.on_production(change);
        let answer = served.session.query(read);
        assert!(answer.sqlstate().is_some(), "{change}: {answer:?}");
        world.on_production(back);
        let answer = served.session.query(read);
        assert!(answer.sqlstate().is_none(), "{back}: {answer:?}");
    }
    // Names that changed places: the values would be plausible. The session's foreign table asks by name, so it shows production's columns as they are called now.
    world.migrate("ALTER TABLE t ADD COLUMN c int; UPDATE t SET c = id * 100, a = id");
    let report = world.bring_up();
    assert_eq!(report.collisions, Vec::new());
    world.on_production("ALTER TABLE t RENAME COLUMN a TO x; ALTER TABLE t RENAME COLUMN c TO a; ALTER TABLE t RENAME COLUMN x TO c");
    let report = world.bring_up();
    assert!(
        report.collisions.iter().any(|collision| collision.refused),
        "{:?}",
        report.collisions
    );
}

#[test]
fn a_table_in_use_is_postponed_and_followed_later() {
    let mut world = World::new("CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    world.bring_up();
    let mut client = world.superuser();
    client.must("BEGIN; SELECT * FROM t");
    world.migrate("ALTER TABLE t ADD COLUMN n int DEFAULT 4");
    let report = world.bring_up();
    assert_eq!(
        (report.postponed.len(), report.brought_in.len()),
        (1, 0),
        "{report:?}"
    );
    client.must("COMMIT");
    let report = world.bring_up();
    assert_eq!(report.postponed, Vec::<String>::new());
    assert!(
        contains(&report.brought_in, "column \"n\""),
        "{:?}",
        report.brought_in
    );
    world.same(&["SELECT * FROM t"]);
}

#[test]
fn a_new_table_is_never_seen_empty() {
    let mut world = World::new(
        "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20)",
    );
    world.bring_up();
    let mut served = world.serve();
    world.on_production(
        "CREATE TABLE fresh_one(id int PRIMARY KEY); INSERT INTO fresh_one SELECT generate_series(1, 30)",
    );
    let mut seen = Vec::new();
    let mut look = Looking(|step: &str| {
        let answer = served.session.query("SELECT count(*) FROM fresh_one");
        let told = match answer.sqlstate() {
            Some(state) => state.to_owned(),
            None => answer.rows()[0].join(","),
        };
        assert!(
            ["42P01", "42501", "0A000", "30"].contains(&told.as_str()),
            "{told} before the step {step}"
        );
        seen.push(told);
    });
    wait(preview::bring_up(&world.spec, &mut look)).expect("it is brought in");
    assert!(
        seen.contains(&"42P01".to_owned()) && seen.contains(&"0A000".to_owned()),
        "unknown at first, then refused: {seen:?}"
    );
    assert_eq!(
        served.session.must("SELECT count(*) FROM fresh_one").rows(),
        [["30"]]
    );
}
