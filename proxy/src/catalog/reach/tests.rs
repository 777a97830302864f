//! What a body may touch, as values.

use super::*;

fn names() -> Names<'static> {
    Names {
        backed: HashMap::from([("users", vec![1]), ("Orders", vec![2])]),
        own: HashMap::from([("notes", vec![3])]),
        used: HashMap::from([("audit", vec![Callee::Routine(90)])]),
        cascades: HashMap::from([("audit", vec![Callee::Routine(92)])]),
        operators: &[],
        casts: &[
            Cast {
                function: 93,
                written: false,
            },
            Cast {
                function: 95,
                written: true,
            },
        ],
        schemas: BTreeSet::from(["public"]),
        fields: HashSet::from(["total"]),
        routines: HashMap::from([("helper", vec![91]), ("total", vec![94])]),
    }
}

#[test]
fn a_table_of_the_previews_own_is_named_where_it_may_be_read() {
    let own = |body: &str| scan_procedure(body, &names()).reach.own;
    assert_eq!(
        own("BEGIN RETURN (SELECT count(*) FROM notes); END"),
        [3].into()
    );
    assert_eq!(own("BEGIN INSERT INTO notes VALUES (1); END"), [].into());
    assert_eq!(
        own("BEGIN RETURN (SELECT count(*) FROM users); END"),
        [].into()
    );
}

fn reads(body: &str) -> Vec<Oid> {
    scan_procedure(body, &names())
        .reach
        .reads
        .into_iter()
        .collect()
}

#[test]
fn a_read_is_found_wherever_it_hides() {
    for body in [
        "select count(*) from users",
        "PERFORM 1 FROM public.USERS u",
        "SELECT 1 FROM a JOIN users USING (id)",
        "select 1 from a, users",
        "EXECUTE 'select count(*) from users'",
        "RETURN QUERY TABLE users",
        "select 1 from only users",
        "UPDATE a SET x = 1 FROM users",
        "x := '-- ' || (select 1 from users)",
        "x := '\"' || (select 1 from users) || '\"'",
        "x := $q$ /* $q$; select 1 from users; /* */",
        "x := $$--$$ || (select 1 from users)",
    ] {
        assert_eq!(reads(body), [1], "{body}");
    }
    assert_eq!(reads("select * from \"Orders\""), [2]);
    assert_eq!(reads("select * from orders"), Vec::<Oid>::new());
    let names = scan("INSERT INTO users VALUES (1)", &names()).reach.names;
    assert_eq!(names, BTreeSet::from([1]));
}

#[test]
fn what_is_no_read_is_not_taken_for_one() {
    for body in [
        "INSERT INTO users VALUES (1)",
        "INSERT INTO public.users SELECT 1",
        "UPDATE users SET a = 1 WHERE users.id = NEW.id",
        "DELETE FROM users WHERE id = 1",
        "ALTER TABLE users ADD COLUMN a int",
        "ALTER TABLE IF EXISTS ONLY public.users ADD a int",
        "CREATE INDEX i ON users (a)",
        "u users%ROWTYPE; v users.id%TYPE;",
        "EXECUTE format('ALTER TABLE %I ADD x int', 'users')",
        "-- this reads from users\nRETURN NEW;",
        "/* select from users */ RETURN NEW;",
        "NEW.users := 1",
        "TRUNCATE users",
    ] {
        assert_eq!(reads(body), Vec::<Oid>::new(), "{body}");
    }
}

#[test]
fn sql_that_the_text_does_not_tell_is_opaque() {
    let opaque = |body| scan_procedure(body, &names()).reach.opaque;
    for body in [
        "EXECUTE 'SELECT ' || x",
        "select 1 from U&\"\\0075sers\"",
        "SELECT query_to_xml(q, true, false, '')",
        "PERFORM table_to_xml('users', true, false, '')",
        "SELECT * FROM public.crosstab(q)",
    ] {
        assert!(opaque(body), "{body}");
    }
    assert!(!opaque("EXECUTE 'SELECT ' || quote_literal(x)"));
    assert!(opaque("EXECUTE 'SELECT ' || helper(x)"));
    let reads = |body| scan_procedure(body, &names()).reach.reads;
    assert_eq!(
        reads("EXECUTE 'SELECT 1 FROM us' || 'ers'"),
        BTreeSet::from([1])
    );
}

#[test]
fn languages_that_cannot_be_read_are_opaque() {
    let opaque = |language: &str, name: &str, extension: Option<&str>| {
        let routine = Routine {
            oid: 1,
            schema: "public".into(),
            name: name.into(),
            volatility: b'v',
            language: language.into(),
            body: "SELECT 1".into(),
            extension: extension.map(str::to_owned),
            calls: Vec::new(),
            aggregate: false,
            reach: Reach::default(),
        };
        of_routine(&routine, &names()).reach.opaque
    };
    for (language, name, extension, expected) in [
        ("sql", "f", None, false),
        ("plpgsql", "f", None, false),
        ("internal", "f", None, false),
        ("plpython3u", "f", None, true),
        ("c", "f", None, true),
        ("c", "similarity", Some("pg_trgm"), false),
        ("c", "check_foreign_key", Some("refint"), true),
    ] {
        assert_eq!(
            opaque(language, name, extension),
            expected,
            "{language} {name}"
        );
    }
}

#[test]
fn calls_triggers_settings_and_schema_changes_are_seen() {
    let calls = |body| {
        let calls = scan(body, &names()).calls;
        calls
            .into_iter()
            .map(|callee| match callee {
                Callee::Routine(oid) | Callee::View(oid) => oid,
            })
            .collect::<Vec<_>>()
    };
    for (body, expected) in [
        (
            "PERFORM helper(1); INSERT INTO audit VALUES (1);",
            &[90, 91, 93][..],
        ),
        ("INSERT INTO public.audit VALUES (1);", &[90, 93]),
        ("DELETE FROM audit", &[90, 92, 93]),
        ("SELECT a.helper FROM a", &[91, 93]),
        ("SELECT a.total FROM a", &[93]),
        ("SELECT total(a) FROM a", &[93, 94]),
        ("SELECT a::int FROM a", &[93, 95]),
        ("SELECT CAST (a AS int) FROM a", &[93, 95]),
    ] {
        assert_eq!(calls(body), expected, "{body}");
    }
    let reach = |body| scan_procedure(body, &names()).reach;
    assert!(reach("PERFORM set_config('a.b', '1', false)").settings);
    assert!(reach("BEGIN SET search_path = a; END").settings);
    assert!(!reach("UPDATE t SET a = 1").settings);
    assert!(reach("CREATE TABLE t ()").schema);
    assert!(!reach("RETURN NEW").schema);
}
