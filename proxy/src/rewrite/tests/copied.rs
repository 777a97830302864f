//! Writes and row locks: what is copied up in front of them.

use super::*;

#[test]
fn a_write_copies_up_first() {
    let catalog = shop(true);
    let start = "SELECT previewpg_copy.r1(pg_catalog.array_agg(previewpg_r)) FROM (SELECT ROW(\"users\".*)::previewpg_lower.r1 AS previewpg_r FROM previewpg_lower.r1 AS \"users\" WHERE NOT EXISTS (SELECT FROM previewpg_claims.r1 AS previewpg_c WHERE previewpg_c.\"id\" = \"users\".\"id\")";
    for (text, expected) in [
        (
            "UPDATE users SET name = 'x' WHERE id = 5",
            vec![format!(
                "{start} AND NOT EXISTS (SELECT FROM previewpg_claims.r1 AS previewpg_k WHERE previewpg_k.\"id\" = 5) AND (id = 5) LIMIT 1001) AS previewpg_s HAVING pg_catalog.count(*) > 0"
            )],
        ),
        (
            "DELETE FROM public.users WHERE public.users.id = $1",
            vec![format!(
                "{start} AND NOT EXISTS (SELECT FROM previewpg_claims.r1 AS previewpg_k WHERE previewpg_k.\"id\" = $1 AND pg_catalog.pg_typeof($1)::pg_catalog.oid IN (20, 21, 23, 1700)) AND (\"users\".id = $1) LIMIT 1001) AS previewpg_s HAVING pg_catalog.count(*) > 0"
            )],
        ),
        (
            "UPDATE users SET name = 'x' WHERE id = 5 AND random() < 0.5",
            vec![format!(
                "{start} AND NOT EXISTS (SELECT FROM previewpg_claims.r1 AS previewpg_k WHERE previewpg_k.\"id\" = 5) AND (id = 5) LIMIT 1001) AS previewpg_s HAVING pg_catalog.count(*) > 0"
            )],
        ),
        (
            "UPDATE users SET name = 'x'",
            vec!["SELECT previewpg.copy_up_all(1, false)".to_owned()],
        ),
        (
            "DELETE FROM users WHERE random() < 0.5",
            vec!["SELECT previewpg.copy_up_all(1, false)".to_owned()],
        ),
    ] {
        let fresh = fresh(&catalog, text);
        let mut before: Vec<String> = fresh
            .before
            .iter()
            .map(|before| before.text.clone())
            .collect();
        assert_eq!(
            before.pop().as_deref(),
            Some("SELECT previewpg.permit(1)"),
            "{text}"
        );
        assert_eq!(before, expected, "{text}");
        assert_eq!(fresh.text, None, "{text}");
        assert_eq!(fresh.dirties, [1], "{text}");
        let parameters = u16::from(text.contains("$1"));
        assert_eq!(fresh.before[0].parameters, parameters, "{text}");
    }
}

#[test]
fn an_insert_copies_up_only_what_it_may_conflict_with() {
    let catalog = shop(true);
    assert!(
        fresh(&catalog, "INSERT INTO users VALUES (1, 'a', 'b')")
            .before
            .is_empty()
    );
    let upsert = fresh(
        &catalog,
        "INSERT INTO users (name, id) VALUES ('a', $1), ('b', 7) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    );
    let before: Vec<&str> = upsert
        .before
        .iter()
        .map(|before| before.text.as_str())
        .collect();
    assert_eq!(
        before,
        [
            "SELECT previewpg_copy.r1(pg_catalog.array_agg(previewpg_r)) FROM (WITH previewpg_row (\"id\") AS (VALUES (CAST($1 AS integer)), (CAST(7 AS integer))), \
             previewpg_new (previewpg_1) AS MATERIALIZED (SELECT id FROM previewpg_row) \
             SELECT ROW(\"users\".*)::previewpg_lower.r1 AS previewpg_r FROM previewpg_lower.r1 AS \"users\" \
             WHERE NOT EXISTS (SELECT FROM previewpg_claims.r1 AS previewpg_c WHERE previewpg_c.\"id\" = \"users\".\"id\") \
             AND ((id) = ANY (ARRAY(SELECT previewpg_1 FROM previewpg_new))) LIMIT 1001) AS previewpg_s HAVING pg_catalog.count(*) > 0",
            "SELECT previewpg.permit(1)",
        ]
    );
    let composite = fresh(
        &catalog,
        "INSERT INTO items SELECT 1, 2, 'x' ON CONFLICT DO NOTHING",
    );
    let [before] = composite.before.as_slice() else {
        panic!("{composite:?}")
    };
    assert!(
        before
            .text
            .contains("(order_id, n) IN (SELECT previewpg_1, previewpg_2 FROM previewpg_new)")
    );
}

#[test]
fn what_depends_on_rows_that_the_statement_changes_is_copied_up_whole() {
    let catalog = shop(true);
    let moved = fresh(
        &catalog,
        "WITH d AS (DELETE FROM orders WHERE id = 1 RETURNING user_id) UPDATE users SET name = 'x' WHERE id IN (SELECT user_id FROM d)",
    );
    let before: Vec<&str> = moved
        .before
        .iter()
        .map(|before| before.text.as_str())
        .collect();
    assert!(
        before[0].starts_with("SELECT previewpg_copy.r2(") && before[0].contains("(id = 1)"),
        "{before:?}"
    );
    assert_eq!(
        before[1..],
        [
            "SELECT previewpg.permit(2)",
            "SELECT previewpg.copy_up_all(1, false)",
            "SELECT previewpg.permit(1)"
        ]
    );
}

#[test]
fn a_lock_copies_up_what_it_locks_and_leaves_the_table_itself() {
    let catalog = shop(true);
    let queue = fresh(
        &catalog,
        "SELECT id FROM orders WHERE total > 0 ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED",
    );
    assert_eq!(queue.text, None);
    assert_eq!(
        queue.before[0].text,
        "SELECT previewpg.copy_up_available(2::oid, ARRAY(SELECT ROW(\"orders\".*)::previewpg_lower.r2 AS previewpg_r FROM previewpg_lower.r2 AS \"orders\" \
         WHERE NOT EXISTS (SELECT FROM previewpg_claims.r2 AS previewpg_c WHERE previewpg_c.\"id\" = \"orders\".\"id\") AND (total > 0) ORDER BY id LIMIT (3)::bigint + 256), (3)::bigint, 'skip')"
    );
    let share = fresh(&catalog, "SELECT * FROM users WHERE id = 1 FOR SHARE");
    assert!(share.before[0].apart);
    let joined = fresh(
        &catalog,
        "SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE o.id = 1 FOR UPDATE OF u",
    );
    let orders = merged_of(&catalog, "orders");
    assert_eq!(
        joined.text.as_deref(),
        Some(format!("SELECT * FROM users u JOIN ({orders}) o ON o.user_id = u.id WHERE o.id = 1 FOR UPDATE OF u").as_str())
    );
    assert!(joined.before[0].text.contains(&format!(
        "FROM previewpg_lower.r1 u JOIN ({orders}) o ON o.user_id = u.id WHERE"
    )));
}

/// Which row a worker takes depends on what the others hold: the search for it leaves the choice to upper's own locks.
#[test]
fn a_write_of_what_a_skip_locked_query_chooses_waits_for_nobody() {
    let catalog = shop(true);
    let choice =
        "(SELECT id FROM orders WHERE total > 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)";
    for text in [
        format!("UPDATE orders SET total = 0 WHERE id = {choice}"),
        format!("WITH c AS {choice} DELETE FROM orders USING c WHERE orders.id = c.id"),
    ] {
        let plan = fresh(&catalog, &text);
        let [available, copy_up, ..] = plan.before.as_slice() else {
            panic!("{text}: {plan:?}");
        };
        assert!(available.text.contains("copy_up_available"), "{text}");
        assert!(copy_up.text.contains(choice), "{text}: {}", copy_up.text);
    }
    let blocking = fresh(
        &catalog,
        "DELETE FROM orders WHERE id = (SELECT id FROM orders ORDER BY id LIMIT 1 FOR UPDATE)",
    );
    assert!(
        blocking
            .before
            .iter()
            .all(|before| !before.text.contains("FOR UPDATE"))
    );
}

#[test]
fn a_choice_of_rows_that_copying_up_may_change_is_settled() {
    let catalog = shop(true);
    let settles = |text| {
        let before = fresh(&catalog, text).before;
        before
            .iter()
            .any(|before| before.text.starts_with("SELECT previewpg.settle(2::oid, "))
    };
    for text in [
        "UPDATE orders SET total = 1 WHERE id = (SELECT id FROM orders ORDER BY total LIMIT 1)",
        "UPDATE orders SET total = 1 WHERE id IN (SELECT id FROM orders OFFSET 5)",
        "DELETE FROM orders o USING (SELECT DISTINCT ON (total) id FROM orders) s WHERE s.id = o.id",
        "DELETE FROM orders WHERE id IN (SELECT id FROM (SELECT id, count(*) OVER (ORDER BY total) AS n FROM orders) q WHERE n < 5)",
        "WITH s AS (SELECT id FROM orders LIMIT 5) DELETE FROM orders USING s WHERE s.id = orders.id",
        "SELECT * FROM orders WHERE id IN (SELECT id FROM orders ORDER BY total LIMIT 3) FOR UPDATE",
        "MERGE INTO orders o USING (SELECT id FROM orders LIMIT 3) s ON s.id = o.id WHEN MATCHED THEN DELETE",
    ] {
        assert!(settles(text), "{text}: {:?}", one(&catalog, text));
    }
    for text in [
        "UPDATE orders SET total = 1 WHERE id = 1",
        "UPDATE orders SET total = 1 WHERE id = (SELECT max(id) FROM orders)",
        "UPDATE orders SET total = 1 WHERE id = (SELECT id FROM orders ORDER BY total LIMIT 1 FOR UPDATE SKIP LOCKED)",
    ] {
        assert!(!settles(text), "{text}");
    }
}

#[test]
fn what_is_refused_says_which_tables_would_have_to_be_copied_up() {
    let tables = |catalog: &Catalog, text: &str| match one(catalog, text) {
        Plan::Refuse(refusal) => refusal.copy_up.into_vec(),
        other => panic!("{text}: {other:?}"),
    };
    let catalog = shop(true);
    for (text, expected) in [
        ("SELECT count_users()", &[1][..]),
        ("SELECT count_users() FROM orders", &[1]),
        ("SELECT ctid FROM users", &[1]),
        ("SELECT id FROM big_spenders FOR UPDATE", &[2]),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT * FROM big_spenders, users",
            &[1, 2],
        ),
        ("CREATE TABLE heir () INHERITS (users)", &[1]),
        (
            "DO $$ BEGIN UPDATE users SET name = ''; INSERT INTO orders VALUES (1); END $$",
            &[1],
        ),
        ("DO $$ BEGIN DELETE FROM ONLY public.users; END $$", &[1]),
        (
            "DO $$ BEGIN EXECUTE format('DELETE FROM %I', 'users'); END $$",
            &[1],
        ),
        (
            "DO $$ BEGIN INSERT INTO items VALUES (1) ON CONFLICT DO NOTHING; END $$",
            &[6],
        ),
        ("DO $$ BEGIN EXECUTE x; END $$", &[1, 2, 3, 6]),
        (
            "SELECT query_to_xml('SELECT 1', true, true, '')",
            &[1, 2, 3, 6],
        ),
        ("SELECT * FROM previewpg.relation", &[]),
    ] {
        assert_eq!(*tables(&catalog, text), *expected, "{text}");
    }
    assert!(matches!(
        one(
            &catalog,
            "DO $$ BEGIN INSERT INTO orders VALUES (1); END $$"
        ),
        Plan::Pass(_) | Plan::Fresh(_)
    ));

    // More than the limit, in rows or in bytes.
    for (rows, bytes) in [(1001, 0), (0, 300 << 20)] {
        let mut catalog = shop(true);
        let mut users = (*catalog.relations[&1]).clone();
        if let Some(lower) = &mut users.lower {
            (lower.rows, lower.bytes) = (rows, bytes);
        }
        catalog.relations.insert(1, users.into());
        match one(&catalog, "SELECT count_users()") {
            Plan::Refuse(refusal) => {
                assert_eq!(*refusal.copy_up, [0; 0]);
                assert!(
                    refusal.detail.contains("the limit is 1000 rows and 256 MB"),
                    "{}",
                    refusal.detail
                );
            }
            other => panic!("{other:?}"),
        }
        // It may change rows, but needn't come to it: the guard sees to that.
        assert!(!matches!(
            one(&catalog, "DO $$ BEGIN UPDATE users SET name = ''; END $$"),
            Plan::Refuse(_)
        ));
    }
}

#[test]
fn parents_of_unserved_rows_stay() {
    let mut catalog = shop(true);
    let mut orders = (*catalog.relations[&2]).clone();
    if let Some(lower) = &mut orders.lower {
        lower.unsupported = Some("It is too strange.".to_owned());
    }
    let mut users = (*catalog.relations[&1]).clone();
    users.children = vec![2];
    catalog.relations.insert(1, users.into());
    catalog.relations.insert(2, orders.into());
    for (text, refused) in [
        ("DELETE FROM users WHERE id = 1", true),
        ("UPDATE users SET id = 2 WHERE id = 1", true),
        ("UPDATE users SET name = 'x' WHERE id = 1", false),
        ("DELETE FROM items WHERE n = 1", false),
        ("INSERT INTO users VALUES (1)", false),
        (
            "INSERT INTO users VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2",
            true,
        ),
        (
            "INSERT INTO users VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'x'",
            false,
        ),
    ] {
        let is_refused = matches!(one(&catalog, text), Plan::Refuse(refusal) if refusal.construct == "unserved_child");
        assert_eq!(is_refused, refused, "{text}");
    }
}

#[test]
fn what_policies_are_forced_on_is_served_once_copied() {
    for (policed, copied) in [(false, vec![]), (true, vec![2])] {
        let mut catalog = shop(true);
        let mut orders = (*catalog.relations[&2]).clone();
        if let Some(lower) = &mut orders.lower {
            lower.unsupported = Some("Its policies can't be applied.".to_owned());
            lower.policed = policed;
        }
        let mut users = (*catalog.relations[&1]).clone();
        users.children = vec![2];
        catalog.relations.insert(1, users.into());
        catalog.relations.insert(2, orders.into());
        for text in [
            "SELECT * FROM orders",
            "SELECT * FROM big_spenders",
            "INSERT INTO orders VALUES (1)",
            "UPDATE orders SET user_id = 1 WHERE id = 1",
            "COPY orders TO STDOUT",
            "COPY orders FROM STDIN",
            "DELETE FROM users WHERE id = 1",
        ] {
            match one(&catalog, text) {
                Plan::Refuse(refusal) => assert_eq!(*refusal.copy_up, *copied, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_tree_without_a_key_is_changed_as_a_whole() {
    let mut catalog = shop(true);
    let part = |oid: u32, heirs: &[u32], views: &[&str]| {
        let mut part = (*catalog.relations[&oid]).clone();
        part.inherits = true;
        part.heirs = heirs.to_vec();
        if let Some(lower) = &mut part.lower {
            (lower.root, lower.key, lower.copy_up) = (1, Vec::new(), None);
            lower.heirs = views.iter().map(|view| (*view).to_owned()).collect();
        }
        part
    };
    let (users, orders) = (part(1, &[2], &["previewpg_lower.r2"]), part(2, &[], &[]));
    catalog.relations.insert(1, users.into());
    catalog.relations.insert(2, orders.into());
    let copied = |text: &str| match one(&catalog, text) {
        Plan::Refuse(refusal) => refusal.copy_up.to_vec(),
        _ => Vec::new(),
    };
    for text in [
        "ALTER TABLE orders ADD COLUMN n int",
        "TRUNCATE orders",
        "DROP TABLE users",
        "SELECT ctid FROM orders",
    ] {
        assert_eq!(copied(text), vec![1], "{text}");
    }
    for text in [
        "CREATE INDEX ON users (name)",
        "INSERT INTO orders VALUES (1)",
    ] {
        assert!(copied(text).is_empty(), "{text}");
    }
    let text = |text: &str| fresh(&catalog, text).text.unwrap().to_string();
    assert!(text("SELECT count(*) FROM users").contains("FROM previewpg_lower.r2)"));
    assert!(!text("SELECT count(*) FROM ONLY users").contains("previewpg_lower.r2"));
    let update = fresh(&catalog, "UPDATE orders SET total = 1 WHERE id = 1");
    assert_eq!(
        update.before[0].text,
        "SELECT previewpg.copy_up_all(2, false)"
    );
}
