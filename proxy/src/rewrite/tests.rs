//! The planner as values: what is sent for which statement.

mod copied;

use super::plan::{Effects, Fresh, Plan};
use super::{Context, OwnReads, own_reads, plan, refuse_call, still_mean};
use crate::catalog::load::{self, Shared};
use crate::catalog::model::Catalog;
use crate::overlay::merged::merged;
use crate::sql::facts;

const SEARCH_PATH: [&str; 2] = ["pg_catalog", "public"];

/// A small shop: users and orders lower-backed, a keyless log, a table of the preview's own, a view, a function that reads users.
fn shop(written: bool) -> Catalog {
    let column = |number: i16, name: &str, type_name: &str| {
        serde_json::json!({"number": number, "name": name, "type_oid": 23, "type_name": type_name, "not_null": number == 1,
            "generated": false, "has_default": false, "default": null})
    };
    let table = |oid: u32, name: &str, columns: &[(&str, &str)], key: &[&str], backed: bool| {
        let columns: Vec<_> = columns
            .iter()
            .zip(1..)
            .map(|((name, type_name), number)| column(number, name, type_name))
            .collect();
        let keys = if key.is_empty() {
            serde_json::json!([])
        } else {
            serde_json::json!([{"name": format!("{name}_pkey"), "constraint": true, "primary": true, "exclusion": false,
                "partial": false, "expressions": key, "predicate": null, "columns": key}])
        };
        let lower = backed.then(|| {
            serde_json::json!({"state": "merged", "key": key, "production_schema": "public", "production_name": name,
                "same_shape": true, "row_security": false, "policed": false, "reason": null, "claims": oid, "copy_up": oid, "written": written})
        });
        serde_json::json!({"oid": oid, "schema": "public", "name": name, "kind": "r", "temporary": false,
            "row_security": false, "rules": false, "partition_root": null, "inherits": false, "columns": columns,
            "keys": keys, "definition": null, "reads": null, "trigger_functions": null, "children": null, "lower": lower})
    };
    let mut view = table(
        5,
        "big_spenders",
        &[("id", "integer"), ("total", "bigint")],
        &[],
        false,
    );
    view["kind"] = "v".into();
    view["definition"] = " SELECT o.user_id AS id,\n    sum(o.total) AS total\n   FROM public.orders o\n  GROUP BY o.user_id;".into();
    view["reads"] = serde_json::json!([2]);
    let routine = |oid: u32, name: &str, body: &str| {
        serde_json::json!({"oid": oid, "schema": "public", "name": name, "volatility": "s", "language": "sql",
            "aggregate": false, "body": body, "extension": null})
    };
    let mut sum_users = routine(22, "sum_users", "");
    sum_users["aggregate"] = true.into();
    sum_users["calls"] = serde_json::json!([20]);
    let mut of_session = routine(24, "of_session", "SELECT count(*) FROM users");
    of_session["schema"] = "pg_temp_3".into();
    let mut checked = table(7, "checked", &[("id", "integer")], &["id"], false);
    checked["row_functions"] = serde_json::json!([20]);
    let document = serde_json::json!({
        "fresh_major": 15, "production_major": 15, "copy_up_rows": 1000, "user_operators": false,
        "relations": [
            table(1, "users", &[("id", "integer"), ("name", "text"), ("email", "text")], &["id"], true),
            table(2, "orders", &[("id", "integer"), ("user_id", "integer"), ("total", "bigint")], &["id"], true),
            table(3, "log", &[("line", "text")], &[], true),
            table(4, "mine", &[("id", "integer")], &["id"], false),
            view,
            checked,
            table(6, "items", &[("order_id", "integer"), ("n", "integer"), ("sku", "text")], &["order_id", "n"], true),
        ],
        "routines": [
            routine(20, "count_users", "SELECT count(*) FROM users"),
            routine(21, "twice", "SELECT $1 * 2"),
            sum_users,
            routine(23, "over_users", "SELECT 1 <@@> 2"),
            of_session,
            routine(25, "count_mine", "SELECT count(*) FROM mine"),
        ],
        "operators": [{"name": "<@@>", "function": 20}],
        "types": [{"oid": 30, "schema": "public", "name": "mood", "kind": "e", "array": false},
            {"oid": 31, "schema": "public", "name": "known_user", "kind": "d", "array": false, "functions": [20]}],
    });
    let shared = Shared::default();
    shared
        .set_builtins(
            r#"[["lower","i",false],["now","s",false],["count","i",true],["sum","i",true],["random","v",false],["row_number","i",true],["nextval","v",false],["row_to_json","s",false]]"#,
        )
        .unwrap();
    load::parse(&document.to_string(), &shared).unwrap()
}

fn plans(catalog: &Catalog, text: &str) -> Vec<Plan> {
    let search_path = SEARCH_PATH.map(str::to_owned);
    let context = Context {
        catalog,
        search_path: &search_path,
    };
    let script = facts::read(text, true);
    script
        .statements
        .iter()
        .map(|statement| plan(text, statement, context))
        .collect()
}

fn one(catalog: &Catalog, text: &str) -> Plan {
    let mut plans = plans(catalog, text);
    assert_eq!(plans.len(), 1, "{text}");
    plans.remove(0)
}

/// The plan on fresh, also where production would do.
fn fresh(catalog: &Catalog, text: &str) -> Fresh {
    match one(catalog, text) {
        Plan::Fresh(fresh) => *fresh,
        Plan::Production(production) => *production.fresh,
        other => panic!("{text}: {other:?}"),
    }
}

fn merged_of(catalog: &Catalog, name: &str) -> String {
    let relation = catalog.relation("public", name).unwrap();
    merged(relation, relation.lower.as_ref().unwrap(), false)
}

#[test]
fn settings_that_hold_on_production_too_are_read_again() {
    let catalog = shop(true);
    for (text, search_path, settings) in [
        ("SET statement_timeout = '5s'", true, false),
        ("SET LOCAL bytea_output = 'escape'", true, false),
        ("RESET extra_float_digits", true, false),
        ("SET transaction_isolation = 'serializable'", true, true),
        ("SET work_mem = '1MB'", false, false),
    ] {
        let effects = Effects {
            names: false,
            current_of: false,
            schema: false,
            search_path,
            settings,
        };
        assert_eq!(one(&catalog, text), Plan::Pass(effects), "{text}");
    }
}

#[test]
fn a_whole_row_names_its_column_cast_or_not() {
    let catalog = shop(true);
    for (item, label) in [
        ("u", r#" END) AS "u" FROM"#),
        ("u::text", r#" END)::text AS "u" FROM"#),
        (
            "u::text::varchar(9)",
            r#" END)::text::varchar(9) AS "u" FROM"#,
        ),
        ("u::text || 'x'", " END)::text || 'x' FROM"),
        ("u::text AS other", " END)::text AS other FROM"),
    ] {
        let text = format!("SELECT {item} FROM users u");
        let fresh = fresh(&catalog, &text);
        let sent = fresh.text.unwrap();
        assert!(sent.contains(label), "{text}: {sent}");
    }
}

#[test]
fn names_in_bodies_are_held() {
    let catalog = shop(true);
    let context = Context {
        catalog: &catalog,
        search_path: &SEARCH_PATH.map(str::to_owned),
    };
    let held = |text: &str| {
        let statement = facts::read(text, true).statements.remove(0);
        still_mean(text, &statement, context).map(|before| before.text)
    };
    for text in [
        "SELECT count_mine()",
        "DO $$ BEGIN PERFORM count_mine(); END $$",
        "CALL count_mine()",
    ] {
        assert!(one(&catalog, text).effects().names);
        assert_eq!(
            held(text).as_deref(),
            Some("SELECT previewpg.held(ARRAY['\"public\".\"mine\"'], ARRAY[4]::pg_catalog.oid[])"),
            "{text}"
        );
    }
    // It ends the transaction, and its locks with it; nothing may run in front of it then.
    let ends = "DO $$ BEGIN PERFORM count_mine(); COMMIT; END $$";
    assert!(!one(&catalog, ends).effects().names);
    assert_eq!(held(ends), None);
    assert!(!one(&catalog, "SELECT id FROM mine").effects().names);
    let own = |text: &str| {
        let statement = facts::read(text, true).statements.remove(0);
        own_reads(&statement, context)
    };
    for (text, relations, locks) in [
        ("SELECT id FROM mine, mine AS m", &[4][..], false),
        ("SELECT id FROM users", &[], false),
        ("SELECT users.id FROM users, mine FOR UPDATE", &[1, 4], true),
        ("INSERT INTO mine SELECT id FROM mine", &[4], false),
        ("INSERT INTO mine VALUES (1)", &[], false),
        ("COPY mine TO STDOUT", &[4], false),
        ("COPY mine FROM STDIN", &[], false),
    ] {
        let expected = OwnReads {
            relations: relations.to_vec(),
            locks,
        };
        assert_eq!(own(text), expected, "{text}");
    }
}

#[test]
fn a_temporary_function_is_judged_like_any_other() {
    let catalog = shop(true);
    assert!(catalog.has_temporary());
    for schema in ["pg_temp", "pg_temp_3"] {
        let plan = one(&catalog, &format!("SELECT {schema}.of_session()"));
        assert!(
            matches!(&plan, Plan::Refuse(refusal) if *refusal.copy_up == [1]),
            "{plan:?}"
        );
    }
    // Unless it is said where it is, PostgreSQL doesn't find it: nor does it run.
    let unknown = one(&catalog, "SELECT of_session()");
    assert!(matches!(unknown, Plan::Pass(_)), "{unknown:?}");
}

#[test]
fn a_statement_without_production_tables_passes() {
    let catalog = shop(true);
    for text in [
        "SELECT 1",
        "SELECT * FROM mine",
        "INSERT INTO mine VALUES (1)",
        "SELECT * FROM nothing_known",
        "BEGIN",
        "SELECT 'users'",
        "WITH users AS (SELECT 1 AS id) SELECT * FROM users",
        "SELECT users FROM mine AS users",
        "SHOW work_mem",
        "FETCH 1 FROM c",
    ] {
        assert!(
            matches!(one(&catalog, text), Plan::Pass(_)),
            "{text}: {:?}",
            one(&catalog, text)
        );
    }
}

#[test]
fn a_read_is_merged_wherever_a_table_can_stand() {
    let catalog = shop(true);
    let users = merged_of(&catalog, "users");
    let orders = merged_of(&catalog, "orders");
    for (text, expected) in [
        (
            "SELECT * FROM users",
            format!("SELECT * FROM ({users}) AS \"users\""),
        ),
        (
            "SELECT u.* FROM public.users u",
            format!("SELECT u.* FROM ({users}) u"),
        ),
        (
            "SELECT * FROM ONLY users AS u (a, b)",
            format!("SELECT * FROM ({users}) AS u (a, b)"),
        ),
        (
            "TABLE users",
            format!("(SELECT * FROM ({users}) AS \"users\")"),
        ),
        (
            "SELECT public.users.id FROM public.users",
            format!("SELECT \"users\".id FROM ({users}) AS \"users\""),
        ),
        (
            "SELECT 1 FROM mine JOIN users USING (id) WHERE EXISTS (SELECT FROM orders o WHERE o.user_id = users.id)",
            format!(
                "SELECT 1 FROM mine JOIN ({users}) AS \"users\" USING (id) WHERE EXISTS (SELECT FROM ({orders}) o WHERE o.user_id = users.id)"
            ),
        ),
        (
            "CREATE TABLE t AS SELECT * FROM users",
            format!("CREATE TABLE t AS SELECT * FROM ({users}) AS \"users\""),
        ),
        (
            "COPY (SELECT id FROM users) TO STDOUT",
            format!("COPY (SELECT id FROM ({users}) AS \"users\") TO STDOUT"),
        ),
        (
            "COPY users (id) TO STDOUT WITH (FORMAT csv)",
            format!("COPY (SELECT \"id\" FROM ({users}) AS \"users\") TO STDOUT WITH (FORMAT csv)"),
        ),
        (
            "DECLARE c CURSOR FOR SELECT * FROM users",
            format!("DECLARE c SCROLL CURSOR FOR SELECT * FROM ({users}) AS \"users\""),
        ),
        (
            "DECLARE c BINARY NO SCROLL CURSOR FOR SELECT * FROM users",
            format!("DECLARE c BINARY NO SCROLL CURSOR FOR SELECT * FROM ({users}) AS \"users\""),
        ),
        (
            "DECLARE c CURSOR FOR SELECT count(*) FROM users",
            format!("DECLARE c CURSOR FOR SELECT count(*) FROM ({users}) AS \"users\""),
        ),
        (
            "DECLARE c CURSOR FOR SELECT users.id FROM users, mine",
            format!("DECLARE c CURSOR FOR SELECT users.id FROM ({users}) AS \"users\", mine"),
        ),
        (
            "DECLARE c BINARY CURSOR FOR SELECT users.id FROM users, mine ORDER BY 1",
            format!(
                "DECLARE c BINARY SCROLL CURSOR FOR SELECT users.id FROM ({users}) AS \"users\", mine ORDER BY 1"
            ),
        ),
        (
            "INSERT INTO mine SELECT id FROM users",
            format!("INSERT INTO mine SELECT id FROM ({users}) AS \"users\""),
        ),
        (
            "SELECT id FROM users UNION SELECT user_id FROM orders",
            format!(
                "SELECT id FROM ({users}) AS \"users\" UNION SELECT user_id FROM ({orders}) AS \"orders\""
            ),
        ),
        (
            "SELECT u.id, u.name, count(*) FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.id",
            format!(
                "SELECT u.id, u.name, count(*) FROM ({users}) u JOIN ({orders}) o ON o.user_id = u.id GROUP BY u.id, \"u\".\"name\""
            ),
        ),
    ] {
        assert_eq!(
            fresh(&catalog, text).text.as_deref(),
            Some(expected.as_str()),
            "{text}"
        );
    }
}

#[test]
fn the_key_is_grouped_by_where_it_is_an_item_of_the_list() {
    let catalog = shop(true);
    let users = merged_of(&catalog, "users");
    let added = |select: &str, group: &str| {
        let text = format!("SELECT {select} FROM users u GROUP BY {group}");
        let changed = fresh(&catalog, &text).text.unwrap().to_string();
        let expected = format!("SELECT {select} FROM ({users}) u GROUP BY {group}");
        changed
            .strip_prefix(&expected)
            .unwrap_or(&changed)
            .to_owned()
    };
    for (select, group) in [
        ("u.id, u.name", "1"),
        ("u.id AS key, u.name", "1"),
        ("u.id \"The Key\", u.name", "\"The Key\""),
        ("id AS key, u.name", "KEY"),
        ("count(*), u.name, (u.id)", "3"),
        ("u.name", "(u.id)"),
        ("u.name", "((lower(u.email)), (u.id))"),
        ("u.name", "lower('(,'), u.id"),
    ] {
        assert_eq!(
            added(select, group),
            ", \"u\".\"name\"",
            "{select} / {group}"
        );
    }
    for (select, group) in [
        ("max(u.name)", "u.id / 10"),
        ("max(u.name)", "(u.id + 1)"),
        ("max(u.name)", "(u.id) + (u.id)"),
        (
            "max(u.name)",
            "EXISTS (SELECT 1 FROM mine m WHERE m.id = u.id)",
        ),
        ("u.id / 10, max(u.name)", "1"),
        ("u.id / 10 AS id10, max(u.name)", "id10"),
        ("u.id % 10 email, max(u.name)", "email"),
        ("max(u.name), *", "2"),
        ("max(u.name), 'u.id'", "2"),
        ("max(u.name)", "-u.id"),
    ] {
        assert_eq!(added(select, group), "", "{select} / {group}");
    }
}

#[test]
fn a_view_is_expanded() {
    let catalog = shop(true);
    let text = fresh(&catalog, "SELECT * FROM big_spenders b")
        .text
        .unwrap();
    let orders = merged_of(&catalog, "orders");
    assert_eq!(
        &*text,
        format!(
            "SELECT * FROM (SELECT o.user_id AS id,\n    sum(o.total) AS total\n   FROM ({orders}) o\n  GROUP BY o.user_id) b"
        )
    );
}

#[test]
fn clean_tables_are_read_on_production() {
    let clean = shop(false);
    for (text, expected) in [
        (
            "SELECT * FROM users WHERE id = $1",
            Some("SELECT * FROM \"public\".\"users\" AS \"users\" WHERE id = $1"),
        ),
        (
            "SELECT count(*) FROM users u",
            Some("SELECT count(*) FROM \"public\".\"users\" u"),
        ),
        (
            "SELECT now(), id FROM users",
            Some("SELECT now(), id FROM \"public\".\"users\" AS \"users\""),
        ),
        ("SELECT random() FROM users", None),
        ("SELECT twice(id) FROM users", None),
        ("SELECT * FROM users, mine", None),
        ("SELECT * FROM users FOR UPDATE", None),
        ("SELECT 'happy'::mood FROM users", None),
        ("SELECT current_user FROM users", None),
        ("SELECT id::regclass FROM users", None),
    ] {
        let found = match one(&clean, text) {
            Plan::Production(production) => {
                assert_eq!(
                    production.transaction_time,
                    text.contains("now()"),
                    "{text}"
                );
                Some(production.text.to_string())
            }
            _ => None,
        };
        assert_eq!(found.as_deref(), expected, "{text}");
    }
    let dirty = shop(true);
    assert!(matches!(one(&dirty, "SELECT * FROM users"), Plan::Fresh(_)));
}

#[test]
fn two_schemas_tables_of_one_name_are_told_apart() {
    let mut catalog = shop(true);
    let mut other = catalog
        .relation("public", "users")
        .unwrap()
        .as_ref()
        .clone();
    other.oid = 99;
    other.schema = "billing".to_owned();
    catalog
        .by_name
        .entry("billing".to_owned())
        .or_default()
        .insert("users".to_owned(), 99);
    catalog.relations.insert(99, other.into());
    catalog.backed.insert(99);
    let text = fresh(
        &catalog,
        "SELECT public.users.name FROM public.users JOIN billing.users ON billing.users.id = public.users.id",
    )
    .text
    .unwrap();
    assert!(
        text.starts_with("SELECT \"public.users\".name FROM ("),
        "{text}"
    );
    assert!(
        text.ends_with(") AS \"billing.users\" ON \"billing.users\".id = \"public.users\".id"),
        "{text}"
    );
}

#[test]
fn what_would_be_wrong_is_refused() {
    let catalog = shop(true);
    for (text, construct) in [
        ("SELECT ctid FROM users", "system_column"),
        ("SELECT u.xmin FROM users u", "system_column"),
        ("SELECT * FROM users TABLESAMPLE SYSTEM (1)", "tablesample"),
        ("SELECT count_users()", "function_body"),
        (
            "SELECT query_to_xml('SELECT * FROM users', true, true, '')",
            "text_query",
        ),
        (
            "DO $$ BEGIN PERFORM count(*) FROM users; END $$",
            "function_body",
        ),
        (
            "PREPARE p AS UPDATE users SET name = 'x' WHERE CURRENT OF c",
            "where_current_of",
        ),
        (
            "CREATE MATERIALIZED VIEW m AS SELECT * FROM users",
            "materialized_view",
        ),
        (
            "PREPARE p AS DELETE FROM users WHERE id = $1",
            "prepare_write",
        ),
        ("DELETE FROM big_spenders", "write_view"),
        (
            "CREATE POLICY p ON mine USING (EXISTS (SELECT FROM users))",
            "stored_query",
        ),
        ("SELECT * FROM previewpg_lower.r1", "own_name"),
        ("SET previewpg.copying = 'on'", "own_name"),
        (
            "SELECT set_config('previewpg.copying', 'on', false)",
            "own_name",
        ),
        ("CREATE SCHEMA previewpg_mine", "own_name"),
        ("DROP SCHEMA IF EXISTS \"previewpg\" CASCADE", "own_name"),
    ] {
        match one(&catalog, text) {
            Plan::Refuse(refusal) => assert_eq!(refusal.construct, construct, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn catalogs_do_not_show_ours() {
    let catalog = shop(true);
    let text = fresh(
        &catalog,
        "SELECT nspname FROM pg_namespace WHERE pg_catalog.pg_namespace.oid > 1",
    )
    .text
    .unwrap();
    assert_eq!(
        &*text,
        "SELECT nspname FROM (SELECT * FROM pg_catalog.\"pg_namespace\" WHERE nspname !~ '^previewpg') AS \"pg_namespace\" WHERE pg_namespace.oid > 1"
    );
    let triggers = fresh(
        &catalog,
        "SELECT tgenabled FROM pg_trigger t WHERE t.tableoid > 0",
    )
    .text
    .unwrap();
    assert!(
        triggers.starts_with("SELECT tgenabled FROM (SELECT tableoid, oid, ")
            && triggers.contains("WHEN tgisinternal AND tgenabled = 'D' THEN 'O'"),
        "{triggers}"
    );
    let settings = fresh(
        &catalog,
        "SELECT set_config(name, 'view', false) FROM pg_settings WHERE name = 'x'",
    );
    assert!(
        settings
            .text
            .unwrap()
            .contains("name <> 'restrict_nonsystem_relation_kind'")
    );
}

mod properties {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static SHOP: LazyLock<Catalog> = LazyLock::new(|| shop(true));

    /// Pieces of statements that name no table of production, in any order.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("SELECT"),
            Just("*"),
            Just("FROM"),
            Just("mine"),
            Just("m"),
            Just("WHERE"),
            Just("id"),
            Just("="),
            Just("$1"),
            Just("'users'"),
            Just("$$orders$$"),
            Just("-- users\n"),
            Just("/* FROM users */"),
            Just("("),
            Just(")"),
            Just(","),
            Just("INSERT INTO"),
            Just("UPDATE"),
            Just("DELETE FROM"),
            Just("SET"),
            Just("VALUES"),
            Just("1"),
            Just("WITH"),
            Just("AS"),
            Just("JOIN"),
            Just("ON"),
            Just("GROUP BY"),
            Just("ORDER BY"),
            Just("LIMIT"),
            Just("FOR UPDATE"),
            Just("RETURNING"),
            Just("CREATE TABLE"),
            Just("ALTER TABLE"),
            Just("\"Weird \u{fc} name\""),
            Just("lower"),
            Just("E'\\''"),
        ];
        prop::collection::vec(piece, 1..24).prop_map(|pieces| pieces.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// What names no table of production leaves byte for byte as it came, or, where nobody can read it, is refused.
        #[test]
        fn a_statement_without_known_tables_is_never_changed(text in pieces()) {
            for plan in plans(&SHOP, &text) {
                match plan {
                    Plan::Pass(_) | Plan::Refuse(_) => {}
                    Plan::Fresh(fresh) => prop_assert!(fresh.text.is_none() && fresh.before.is_empty(), "{text}: {fresh:?}"),
                    Plan::Production(production) => prop_assert!(false, "{text}: {production:?}"),
                }
            }
        }

        /// No bytes make the planner panic.
        #[test]
        fn anything_can_be_planned(text in ".{0,200}") {
            let _ = plans(&SHOP, &text);
        }
    }
}

#[test]
fn code_that_a_statement_does_not_name_is_found() {
    let catalog = shop(true);
    for text in [
        "SELECT 1 <@@> 2",
        "SELECT 1 OPERATOR(public.<@@>) 2",
        "SELECT over_users()",
        "SELECT sum_users(id) FROM mine",
        "SELECT 'x'::known_user",
        "INSERT INTO checked VALUES (1)",
        "UPDATE checked SET id = 2",
        "COPY checked FROM STDIN",
        "SELECT m.count_users FROM mine m",
        "SELECT (m).count_users FROM mine m",
    ] {
        let Plan::Refuse(refusal) = one(&catalog, text) else {
            panic!("{text}: {:?}", one(&catalog, text));
        };
        assert_eq!(refusal.construct, "function_body", "{text}");
    }
    for text in [
        "DELETE FROM checked",
        "SELECT * FROM checked",
        "SELECT 'count_users' FROM mine m",
    ] {
        assert!(matches!(one(&catalog, text), Plan::Pass(_)), "{text}");
    }
}

#[test]
fn a_call_by_oid_is_refused_like_one_by_name() {
    let catalog = shop(true);
    let oid = |name: &str| catalog.routines[name][0].oid;
    let context = Context {
        catalog: &catalog,
        search_path: &[],
    };
    let refused = |oid| refuse_call(oid, context).map(|refusal| refusal.construct);
    assert_eq!(refused(oid("count_users")), Some("function_body"));
    assert_eq!(refused(2924), Some("text_query"), "query_to_xml");
    assert_eq!(refused(oid("count_mine")), Some("function_call"));
    assert_eq!(refused(1), None);
}

#[test]
fn a_partitioned_table_alone_has_no_rows() {
    let catalog = shop(true);
    let mut partitioned = (**catalog.relation("public", "orders").unwrap()).clone();
    partitioned.kind = crate::catalog::model::RelationKind::Partitioned;
    let mut catalog = catalog;
    catalog
        .relations
        .insert(2, std::sync::Arc::new(partitioned));
    assert!(fresh(&catalog, "SELECT * FROM orders").text.is_some());
    assert!(!matches!(
        one(&catalog, "SELECT * FROM ONLY orders"),
        Plan::Fresh(_) | Plan::Production(_) | Plan::Refuse(_)
    ));
}
