//! A preview's life, by the library that the operator uses: production changes its schema while the preview holds changed rows, credentials are rotated, several
//! previews share a server, and all of it ends. Where it makes sense the oracle is a full copy to which the same changes of production's schema were made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "lifecycle/drift.rs"]
mod drift;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use previewpg_proxy::net::target::Target;
use previewpg_proxy::preview::{
    self, AppRole, Error, Quiet, Reason, Report, Side, Spec, TableSelection,
};
use previewpg_tests::client::{Address, Session};
use previewpg_tests::preview::Up;
use previewpg_tests::servers::{PASSWORD, Server, Servers};

/// The fresh server of all tests of this suite, unless they need one of their own.
fn fresh() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Servers::fresh)
}

fn target(address: &Address) -> Target {
    format!("{}?sslmode=disable", address.url())
        .parse()
        .expect("a connection string")
}

/// A production, its full copy and its preview.
struct World {
    database: String,
    spec: Spec,
    production: Session,
    copy: Session,
}

impl World {
    fn new(sql: &str) -> World {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let template = format!("life{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let servers = Servers::shared();
        let database = servers.database(&template, sql);
        let spec = Spec {
            owner_tag: Some(format!("tests/{database}")),
            sequence_gap: 0,
            ..Spec::new(
                target(&servers.production.tcp("reader", &database)),
                target(&fresh().tcp("postgres", "postgres")),
                format!("preview_{database}"),
                AppRole {
                    name: "app".to_owned(),
                    password: Some(PASSWORD.to_owned()),
                },
            )
        };
        let as_app = |server: &Server| {
            let mut session = server.connect(&database);
            session.must("SET SESSION AUTHORIZATION app");
            session
        };
        World {
            production: as_app(&servers.production),
            copy: as_app(&servers.copy),
            database,
            spec,
        }
    }

    fn bring_up(&self) -> Report {
        wait(preview::bring_up(&self.spec, &mut Quiet))
            .unwrap_or_else(|error| panic!("bring_up: {error}: {error:?}"))
    }

    /// Changes of the schema on production and on the full copy.
    fn migrate(&mut self, sql: &str) {
        self.production.must(sql);
        self.copy.must(sql);
    }

    /// Changes of production alone: of rows, say, that the copy hasn't.
    fn on_production(&mut self, sql: &str) {
        self.production.must(sql);
    }

    /// A proxy over the preview, as it is.
    fn serve(&self) -> Served {
        let servers = Servers::shared();
        let (process, address, _) = Up::start(
            &servers.production.tcp("reader", &self.database).url(),
            &fresh().tcp("postgres", &self.spec.database).url(),
            &[],
        )
        .unwrap_or_else(|failure| panic!("previewpg up: {failure:?}"));
        let session = Session::connect(&address)
            .unwrap_or_else(|error| panic!("log in at the preview: {error:?}"));
        Served {
            session,
            _process: process,
        }
    }

    fn superuser(&self) -> Session {
        fresh().connect(&self.spec.database)
    }

    /// The same rows, or the same error, on the copy and through a proxy.
    fn same(&mut self, statements: &[&str]) {
        let mut served = self.serve();
        for statement in statements {
            let copy = shape(&mut self.copy, statement);
            let preview = shape(&mut served.session, statement);
            assert_eq!(preview, copy, "preview against copy: {statement}");
        }
    }

    /// Changes on both: the preview by a client, the copy directly.
    fn change(&mut self, statements: &[&str]) {
        let mut served = self.serve();
        for statement in statements {
            self.copy.must(statement);
            served.session.must(statement);
        }
    }
}

struct Served {
    session: Session,
    _process: Up,
}

/// What a statement gives, but for where it was run.
fn shape(session: &mut Session, statement: &str) -> String {
    let answer = session.query(statement);
    match answer.sqlstate() {
        Some(state) => format!("error {state}"),
        None => format!("{:?} {:?}", answer.tags(), answer.rows()),
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

fn contains(texts: &[String], part: &str) -> bool {
    texts.iter().any(|text| text.contains(part))
}

const SHOP: &str = "
CREATE TYPE status AS ENUM ('new', 'paid');
CREATE TABLE users(id int PRIMARY KEY, email varchar(40) NOT NULL, name text NOT NULL);
CREATE TABLE orders(id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, status status NOT NULL DEFAULT 'new', total numeric(8, 2));
CREATE VIEW paid AS SELECT id FROM orders WHERE status = 'paid';
CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 41';
INSERT INTO users SELECT n, 'u' || n || '@example.test', 'user ' || n FROM generate_series(1, 50) n;
INSERT INTO orders SELECT n, n % 50 + 1, CASE WHEN n % 3 = 0 THEN 'paid' ELSE 'new' END::status, n FROM generate_series(1, 200) n";

/// Whoever provisions may be stopped between the restore and what follows it.
#[test]
fn what_an_interrupted_restore_made_is_handed_over() {
    let world = World::new(SHOP);
    world.bring_up();
    let mut root = world.superuser();
    let restorer = root.value("SELECT previewpg.begin_restore()");
    root.must(&format!(
        "ALTER TABLE users OWNER TO {restorer}; ALTER VIEW paid OWNER TO {restorer}"
    ));
    world.bring_up();
    let owners = "SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname IN ('users', 'orders', 'paid')";
    assert_eq!(root.value(owners), world.spec.app.name);
    let left = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{restorer}'");
    assert_eq!(root.value(&left), "0");
}

#[test]
fn credentials_are_rotated_without_touching_rows() {
    let mut world = World::new(
        "CREATE TABLE t(id int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    );
    let reader = format!("reader_{}", world.database);
    let role = format!("role_{}", world.database);
    let mut admin = Servers::shared().production.connect("postgres");
    admin.must(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'first'; GRANT pg_read_all_data TO {reader}"
    ));
    world.spec.production = target(
        &Servers::shared()
            .production
            .tcp(&reader, &world.database)
            .role(&reader, "first"),
    );
    role.clone_into(&mut world.spec.app.name);
    world.bring_up();
    let fresh_address = fresh().tcp(&role, &world.spec.database);
    let mut open = Session::connect(&fresh_address).expect("log in as the app role");
    let lower = {
        let mut superuser = world.superuser();
        superuser.value("SELECT 'previewpg_lower.r' || upper FROM previewpg.relation")
    };
    let read = format!("SELECT count(*) FROM {lower}");
    assert_eq!(open.value(&read), "2");
    open.must("INSERT INTO t VALUES (7, 'own')");
    let mapping = |world: &World| {
        world
            .superuser()
            .value("SELECT oid || ' ' || xmin FROM pg_user_mapping")
    };
    let server = |world: &World| {
        world
            .superuser()
            .value("SELECT oid || ' ' || xmin FROM pg_foreign_server")
    };
    let before = (mapping(&world), server(&world));
    world.bring_up();
    assert_eq!(
        (mapping(&world), server(&world)),
        before,
        "nothing is altered for nothing"
    );

    admin.must(&format!("ALTER ROLE {reader} PASSWORD 'second'"));
    admin.must(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{reader}'"
    ));
    let error = wait(preview::bring_up(&world.spec, &mut Quiet)).expect_err("the old password");
    assert_eq!(
        (error.reason(), error.side()),
        (Reason::AuthenticationFailed, Side::Production)
    );
    assert!(!format!("{error:?}").contains("first"));
    world.spec.production = target(
        &Servers::shared()
            .production
            .tcp(&reader, &world.database)
            .role(&reader, "second"),
    );
    world.spec.app.password = Some("other".to_owned());
    world.bring_up();
    // The session that was open reads on, with the new password.
    assert_eq!(open.value(&read), "2");
    assert_eq!(open.value("SELECT count(*) FROM t"), "1");
    assert!(
        Session::connect(&fresh_address).is_err(),
        "the app role's old password"
    );
    assert!(Session::connect(&fresh_address.role(&role, "other")).is_ok());
    admin.must(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{reader}'"
    ));
}

#[test]
fn previews_share_a_server_and_take_nothing_from_each_other() {
    let one = World::new("CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let mut two = World::new("CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let server = Server::start("fresh");
    let at = target(&server.tcp("postgres", "postgres"));
    let mut first = one.spec.clone();
    first.fresh = at.clone();
    two.spec.fresh = at;
    let refused = |spec: &Spec| -> Error {
        wait(preview::bring_up(spec, &mut Quiet)).expect_err("somebody else's")
    };
    wait(preview::bring_up(&first, &mut Quiet)).expect("the first one");
    // Another password for the role of the first one.
    let mut thief = two.spec.clone();
    thief.app.password = Some("other".to_owned());
    let error = refused(&thief);
    assert_eq!(
        (error.reason(), error.side()),
        (Reason::NameConflict, Side::Fresh),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("tests/{}", one.database)),
        "{error}"
    );
    // A role of its own, at the same time as the first one is brought up again.
    two.spec.app.name = "app_two".to_owned();
    two.spec.app.password = Some("other".to_owned());
    let (mut quiet, mut silent) = (Quiet, Quiet);
    let (again, second) = wait(async {
        tokio::join!(
            preview::bring_up(&first, &mut quiet),
            preview::bring_up(&two.spec, &mut silent)
        )
    });
    assert_eq!(again.expect("again").brought_in, Vec::<String>::new());
    second.expect("the second one");
    // Its database isn't another's.
    let mut taking = two.spec.clone();
    taking.database.clone_from(&first.database);
    for error in [
        refused(&taking),
        wait(preview::drop_database(&taking)).expect_err("not its own"),
        wait(preview::measure(&taking)).expect_err("not its own"),
    ] {
        assert_eq!(
            (error.reason(), error.side()),
            (Reason::NameConflict, Side::Fresh),
            "{error}"
        );
    }
    let mut root = server.connect("postgres");
    root.must("CREATE DATABASE theirs");
    root.must("CREATE ROLE boss SUPERUSER");
    server.connect("theirs").must("CREATE TABLE precious()");
    "theirs".clone_into(&mut taking.database);
    assert_eq!(refused(&taking).reason(), Reason::NameConflict);
    let mut boss = two.spec.clone();
    "boss".clone_into(&mut boss.app.name);
    assert_eq!(refused(&boss).reason(), Reason::NameConflict);
    // An empty one of that name is somebody else's too, until it's marked as this preview's.
    root.must("CREATE DATABASE prepared");
    "prepared".clone_into(&mut taking.database);
    let taken = refused(&taking);
    assert_eq!(taken.reason(), Reason::NameConflict);
    let preview::Error::DatabaseTaken { handover, .. } = &taken else {
        panic!("{taken:?}");
    };
    root.must(handover);
    wait(preview::bring_up(&taking, &mut Quiet)).expect("a database that was handed over");
    wait(preview::drop_database(&taking)).expect("its own");

    // Two sessions hold on to it, one of them in a prepared transaction.
    let mut client = Session::connect(
        &server
            .tcp("app_two", &two.spec.database)
            .role("app_two", "other"),
    )
    .expect("log in");
    client.must("BEGIN; CREATE TABLE held(n int); PREPARE TRANSACTION 'held'");
    let dropped = wait(preview::drop_database(&two.spec)).expect("drop");
    assert_eq!((dropped.existed, dropped.role), (true, true));
    assert_eq!(
        root.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'preview%'"),
        "1"
    );
    assert_eq!(
        root.value(
            "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'"
        ),
        "app,boss,postgres"
    );
    let dropped = wait(preview::drop_database(&two.spec)).expect("again");
    assert_eq!((dropped.existed, dropped.role), (false, false));
}

#[test]
fn a_reset_forgets_and_a_measurement_counts() {
    let world = World::new(
        "CREATE TABLE t(id int, part int, b text, PRIMARY KEY (part, id)); CREATE TABLE keyless(n int);
         INSERT INTO t SELECT n, n % 3, 'b' || n FROM generate_series(1, 100) n; INSERT INTO keyless VALUES (1), (2)",
    );
    world.bring_up();
    let measure = |world: &World| wait(preview::measure(&world.spec)).expect("measure");
    let delta = measure(&world);
    assert_eq!(
        (
            delta.rows,
            delta.whiteouts,
            delta.copied_up_rows,
            delta.bytes
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(delta.last_connection, None);
    let mut served = world.serve();
    for statement in [
        "UPDATE t SET b = 'changed' WHERE id <= 10",
        "DELETE FROM t WHERE id IN (9, 10, 11)",
        "INSERT INTO t VALUES (1000, 1, 'own'), (1001, 1, 'own')",
        "DELETE FROM t WHERE id = 1001",
        "CREATE TABLE mine(n int)",
        "INSERT INTO mine SELECT generate_series(1, 5)",
        "INSERT INTO keyless VALUES (3)",
    ] {
        served.session.must(statement);
    }
    let delta = measure(&world);
    assert_eq!(
        (delta.rows, delta.whiteouts, delta.copied_up_rows),
        (8 + 1 + 5 + 1, 3, 8)
    );
    assert!(delta.bytes > 8192, "{delta:?}");
    let seen = delta.last_connection;
    assert!(seen.is_some(), "{delta:?}");
    drop(served);
    assert_eq!(measure(&world).last_connection, seen, "remembered");

    let report = wait(preview::reset(&world.spec, &mut Quiet)).expect("reset");
    assert_eq!(report.served, ["public.keyless", "public.t"]);
    assert_eq!(measure(&world).rows, 0);
    let mut served = world.serve();
    assert_eq!(
        served
            .session
            .value("SELECT count(*) FROM t WHERE b LIKE 'b%'"),
        "100"
    );
    // One that couldn't come back isn't dropped.
    drop(served);
    let mut lost = world.spec.clone();
    lost.production.database = "nowhere".to_owned();
    let error = wait(preview::reset(&lost, &mut Quiet)).expect_err("production isn't there");
    assert_eq!(
        (error.reason(), error.side()),
        (Reason::DatabaseNotFound, Side::Production)
    );
    assert_eq!(
        world
            .superuser()
            .value("SELECT count(*) FROM pg_class WHERE relname = 't' AND relkind = 'r'"),
        "1"
    );
}

#[test]
fn a_selection_leaves_out_tables_and_tells_what_went_with_them() {
    let mut world = World::new(
        "CREATE SCHEMA audit; CREATE SCHEMA web;
         CREATE TABLE audit.log(id int PRIMARY KEY, what text); CREATE TABLE audit.archive(id int);
         CREATE TABLE web.sessions(id int PRIMARY KEY); CREATE TABLE web.pages(id int PRIMARY KEY);
         CREATE TABLE jobs(id int PRIMARY KEY); INSERT INTO jobs VALUES (1);
         CREATE TABLE users(id int PRIMARY KEY, session int REFERENCES web.sessions, log int REFERENCES audit.log);
         CREATE VIEW recent AS SELECT * FROM audit.log; CREATE VIEW newest AS SELECT * FROM recent;
         CREATE VIEW plain AS SELECT id FROM users;
         INSERT INTO audit.log VALUES (1, 'x'); INSERT INTO web.sessions VALUES (1); INSERT INTO users VALUES (1, 1, 1)",
    );
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    world.spec.tables = TableSelection {
        schemas: Vec::new(),
        exclude: texts(&["audit.*", "web.sessions"]),
        empty: texts(&["public.jo*"]),
    };
    let report = world.bring_up();
    assert_eq!(report.served, ["public.users", "web.pages"]);
    assert_eq!(
        report.excluded,
        ["audit.archive", "audit.log", "web.sessions"]
    );
    assert_eq!(report.empty, ["public.jobs"]);
    let lost: Vec<&str> = report
        .not_restored
        .iter()
        .map(|lost| lost.object.as_str())
        .collect();
    for part in [
        "VIEW recent",
        "VIEW newest",
        "FK CONSTRAINT users users_log_fkey",
        "FK CONSTRAINT users users_session_fkey",
    ] {
        assert!(
            lost.iter().any(|object| object.starts_with(part)),
            "{part}: {lost:?}"
        );
    }
    assert_eq!(lost.len(), 4, "{lost:?}");
    assert_eq!(
        world.bring_up().not_restored,
        report.not_restored,
        "it's told again"
    );
    let mut owner = world.superuser();
    assert_eq!(owner.value("SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v') AND nspname IN ('public', 'web', 'audit')"),
        "jobs,pages,plain,users");
    assert_eq!(owner.value("SELECT count(*) FROM jobs"), "0");
    // What is left out later is refused rather than shown.
    world.spec.tables.exclude.push("web.pages".to_owned());
    let report = world.bring_up();
    assert_eq!(report.served, ["public.users"]);
    assert!(
        report
            .collisions
            .iter()
            .any(|collision| collision.object == "web.pages" && collision.refused),
        "{:?}",
        report.collisions
    );
    let error = wait(preview::bring_up(
        &Spec {
            tables: TableSelection {
                exclude: texts(&["a.b.c"]),
                ..TableSelection::default()
            },
            ..world.spec.clone()
        },
        &mut Quiet,
    ))
    .expect_err("no pattern");
    assert_eq!(error.reason(), Reason::InvalidSpec);
}

#[test]
fn production_is_looked_at_before_anything_is_made() {
    let world = World::new("CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE hidden(id int)");
    let servers = Servers::shared();
    let report = wait(preview::check_production(&world.spec)).expect("check");
    assert_eq!(
        (
            report.database.as_str(),
            report.tables,
            report.unreadable.len()
        ),
        (world.database.as_str(), 2, 0)
    );
    assert!(report.fingerprint.starts_with("sha256:") && report.fingerprint.len() == 71);
    let with = |address: Address| Spec {
        production: target(&address),
        ..world.spec.clone()
    };
    let mut admin = servers.production.connect("postgres");
    admin.must(&format!(
        "DROP ROLE IF EXISTS nobody_life; CREATE ROLE nobody_life LOGIN PASSWORD '{PASSWORD}'"
    ));
    let refused = [
        (
            with(servers.production.tcp("writer", &world.database)),
            Reason::ProductionRoleCanWrite,
        ),
        (
            with(
                servers
                    .production
                    .tcp("reader", &world.database)
                    .role("reader", "wrong"),
            ),
            Reason::AuthenticationFailed,
        ),
        (
            with(servers.production.tcp("reader", "nowhere")),
            Reason::DatabaseNotFound,
        ),
        (
            with(servers.production.tcp("nobody_life", &world.database)),
            Reason::PermissionDenied,
        ),
        (
            with(Address {
                port: 1,
                ..servers.production.tcp("reader", &world.database)
            }),
            Reason::ConnectionRefused,
        ),
    ];
    for (spec, reason) in refused {
        let error = wait(preview::check_production(&spec)).expect_err("refused");
        assert_eq!(
            (error.reason(), error.side()),
            (reason, Side::Production),
            "{error}"
        );
        assert!(!format!("{error:?} {error}").contains(PASSWORD));
    }
    let mut tls = with(servers.production.tcp("reader", &world.database));
    tls.production.sslmode = previewpg_proxy::net::target::SslMode::Require;
    let error = wait(preview::check_production(&tls)).expect_err("no TLS there");
    assert_eq!(error.reason(), Reason::CertificateInvalid, "{error:?}");
    let allowed = Spec {
        allow_writable_production: true,
        ..with(servers.production.tcp("writer", &world.database))
    };
    assert!(
        !wait(preview::check_production(&allowed))
            .expect("allowed")
            .rights
            .writes
            .is_empty()
    );
}

/// Fresh must not be older than production. Needs a newer PostgreSQL: see `.ci/postgres18`.
#[test]
fn a_fresh_that_is_older_than_production_is_refused() {
    let Some(newer) = previewpg_tests::servers::fresh_programs() else {
        eprintln!(
            "left out: {} isn't set",
            previewpg_tests::servers::FRESH_BIN
        );
        return;
    };
    let production = Server::start_from("production", None, "", Some(newer));
    let older = Server::start_from("fresh", None, "", None);
    let mut superuser = production.connect("postgres");
    superuser.must("CREATE DATABASE shop");
    superuser.must(&format!(
        "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO reader"
    ));
    production
        .connect("shop")
        .must("CREATE TABLE t(id int PRIMARY KEY)");
    let spec = Spec::new(
        target(&production.tcp("reader", "shop")),
        target(&older.tcp("postgres", "postgres")),
        "shop",
        AppRole {
            name: "app".to_owned(),
            password: Some(PASSWORD.to_owned()),
        },
    );
    wait(preview::check_production(&spec)).expect("production itself is fine");
    let error = wait(preview::bring_up(&spec, &mut Quiet)).expect_err("fresh is older");
    assert_eq!(
        (error.reason(), error.side()),
        (Reason::VersionUnsupported, Side::Fresh),
        "{error:?}"
    );
}

#[test]
fn rows_that_a_fresh_has_already_are_the_previews() {
    let mut world = World::new(
        "CREATE TABLE t(id int PRIMARY KEY, b text); INSERT INTO t SELECT n, 'b' || n FROM generate_series(1, 20) n",
    );
    fresh()
        .connect("postgres")
        .must(&format!("CREATE DATABASE {}", world.spec.database));
    world
        .superuser()
        .must(&format!(
            "DO $$ BEGIN CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
             CREATE TABLE t(id int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'mine'), (50, 'mine'); ALTER TABLE t OWNER TO app"
        ));
    world.spec.owner_tag = None;
    world.bring_up();
    world
        .copy
        .must("UPDATE t SET b = 'mine' WHERE id = 1; INSERT INTO t VALUES (50, 'mine')");
    world.same(&[
        "SELECT * FROM t ORDER BY id",
        "DELETE FROM t WHERE id IN (1, 2, 50)",
        "SELECT * FROM t ORDER BY id",
    ]);
}

/// Looks at the preview before each step.
struct Looking<F>(F);

impl<F: FnMut(&str) + Send> preview::Progress for Looking<F> {
    fn step(&mut self, _done: usize, _total: usize, name: &str) {
        (self.0)(name);
    }
}

#[test]
fn nobody_is_let_in_before_the_end() {
    let world = World::new(
        "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 20)",
    );
    let as_app = fresh().tcp("app", &world.spec.database);
    for reset in [false, true] {
        let mut looks = 0;
        let mut look = Looking(|step: &str| {
            looks += 1;
            assert!(
                Session::connect(&as_app).is_err(),
                "a client is let in before the step {step}"
            );
        });
        if reset {
            wait(preview::reset(&world.spec, &mut look)).expect("a reset");
        } else {
            wait(preview::bring_up(&world.spec, &mut look)).expect("the first time");
        }
        assert!(looks > 5, "{looks} steps");
        Session::connect(&as_app).expect("afterwards the app role gets in");
    }
    let mut superuser = world.superuser();
    superuser.must("BEGIN; DELETE FROM previewpg.meta WHERE name = 'provisioned'");
    assert_eq!(
        superuser.query("SELECT previewpg.catalog()").sqlstate(),
        Some("3F000"),
        "there's no catalog before the end either"
    );
}
