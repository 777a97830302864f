//! The commands of `previewpg` as a user meets them: arguments in, standard output, standard error and status out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use previewpg_tests::client::{Address, Session};
use previewpg_tests::preview::{Failure, Preview, binary};
use previewpg_tests::servers::{PASSWORD, Server, Servers, signal};

const PATIENCE: Duration = Duration::from_secs(60);

const SHAPES: &str = "
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE keyless (v text);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM plain;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (extra text) INHERITS (parent);
CREATE TABLE audit (id int PRIMARY KEY);
CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM plain';
INSERT INTO plain SELECT n, 'row ' || n FROM generate_series(1, 100) n;
ANALYZE;
";

/// Runs a command to its end.
fn run(words: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut child = command(words, environment)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start previewpg");
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let out = std::thread::spawn(move || drain(&mut stdout));
    let err = std::thread::spawn(move || drain(&mut stderr));
    let status = wait(&mut child).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("previewpg {words:?} didn't end");
    });
    Output {
        status,
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
    }
}

fn drain(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    bytes
}

fn command(words: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(words)
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    for name in [
        "PREVIEWPG_PRODUCTION_URL",
        "PREVIEWPG_FRESH_URL",
        "PREVIEWPG_CLIENT_PASSWORD",
    ] {
        if !environment.iter().any(|(given, _)| *given == name) {
            command.env_remove(name);
        }
    }
    command
}

fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A command that goes on; ended by SIGTERM when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
    log: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(words: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("stderr");
        let mut child = command(words, environment)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .expect("start previewpg");
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self {
            child,
            lines,
            log,
            _folder: folder,
        }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!(
                "no line on standard output; standard error:\n{}",
                self.stderr()
            )
        })
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end(mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        wait(&mut self.child).and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            signal(self.child.id(), "TERM");
            if wait(&mut self.child).is_none() {
                let _ = self.child.kill();
            }
        }
    }
}

fn get(url: &str, path: &str) -> (u16, String) {
    let place = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let answer = text(&drain(&mut stream));
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default();
    (status, body)
}

fn shop() -> (String, Address) {
    let servers = Servers::shared();
    let name = servers.database("commands", SHAPES);
    let reader = servers.production.tcp("reader", &name);
    (name, reader)
}

#[test]
fn help_teaches_every_command() {
    let top = run(&["--help"], &[]);
    assert!(top.status.success());
    for command in ["up", "demo", "provision", "serve", "check"] {
        assert!(text(&top.stdout).contains(command), "{command}");
        let help = run(&[command, "--help"], &[]);
        assert!(help.status.success());
    }
    assert!(text(&run(&["up", "--help"], &[]).stdout).contains("Examples:"));
    let unknown = run(&["up", "--nonsense"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("--nonsense"));
}

#[test]
fn what_is_missing_is_said() {
    let output = run(&["check"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("PREVIEWPG_PRODUCTION_URL"),
        "{}",
        text(&output.stderr)
    );
    let output = run(
        &["provision", "--production", "postgres://u@127.0.0.1/d"],
        &[],
    );
    assert!(
        text(&output.stderr).contains("PREVIEWPG_FRESH_URL"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn check_tells_how_each_table_is_served() {
    let (_, reader) = shop();
    let output = run(&["check"], &[("PREVIEWPG_PRODUCTION_URL", &reader.url())]);
    let report = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{report}\n{}",
        text(&output.stderr)
    );
    let line = |name: &str| {
        report
            .lines()
            .find(|line| line.starts_with(&format!("public.{name} ")))
            .unwrap_or_default()
    };
    assert!(line("plain").ends_with("yes"), "{report}");
    assert!(line("keyless").ends_with("yes, no key"), "{report}");
    assert!(line("totals").ends_with("read only"), "{report}");
    assert!(
        line("parent").ends_with("yes, no key") && line("child").ends_with("yes, no key"),
        "{report}"
    );
    assert!(report.contains("Role reader: can only read"), "{report}");
    assert!(report.contains("peek() (sql): plain"), "{report}");

    let json = run(
        &["check", "--format", "json", "--empty", "*.audit"],
        &[("PREVIEWPG_PRODUCTION_URL", &reader.url())],
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("valid JSON");
    let services: BTreeMap<_, _> = json["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| {
            (
                table["name"].as_str().unwrap(),
                table["service"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(services["plain"], "full");
    assert_eq!(services["audit"], "empty");
}

#[test]
fn check_fails_where_a_table_would_be_refused() {
    let (name, _) = shop();
    let production = &Servers::shared().production;
    production.connect(&name).must(&format!(
        "CREATE ROLE narrow LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON plain TO narrow"
    ));
    let url = production.tcp("narrow", &name).url();
    let output = run(&["check", "--production", &url], &[]);
    let report = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{report}");
    let mut lines = report
        .lines()
        .skip_while(|line| !line.starts_with("public.keyless "));
    assert!(
        lines.next().is_some_and(|line| line.ends_with("NO")),
        "{report}"
    );
    let why = lines.next().unwrap_or_default();
    assert!(why.contains("may not SELECT"), "{report}");
    let of_plain = report
        .lines()
        .find(|line| line.starts_with("public.plain "));
    assert!(
        of_plain.is_some_and(|line| line.ends_with("yes")),
        "{report}"
    );
}

#[test]
fn a_role_that_can_write_is_refused_by_name_and_reason() {
    let servers = Servers::shared();
    let (name, _) = shop();
    for (user, reason) in [("writer", "pg_write_all_data"), ("postgres", "superuser")] {
        let production = servers.production.tcp(user, &name);
        let check = run(&["check", "--production", &production.url()], &[]);
        assert_eq!(check.status.code(), Some(3), "{}", text(&check.stdout));
        assert!(
            text(&check.stdout).contains(reason),
            "{}",
            text(&check.stdout)
        );
        let Err(Failure { code, stderr }) = Preview::start(&production, Servers::fresh(), &[])
        else {
            panic!("up takes a role that can write");
        };
        assert_eq!(code, Some(3), "{stderr}");
        assert!(
            stderr.contains(reason) && stderr.contains("--allow-writable-production"),
            "{stderr}"
        );
    }
    let writer = servers.production.tcp("writer", &name);
    let preview = Preview::start(&writer, Servers::fresh(), &["--allow-writable-production"])
        .expect("it was allowed");
    assert!(preview.stderr().contains("can write"));
    let mut session = preview.connect();
    session.must("UPDATE plain SET v = 'changed' WHERE id = 1");
    assert_eq!(session.value("SELECT v FROM plain WHERE id = 1"), "changed");
    assert_eq!(
        servers
            .production
            .connect(&name)
            .value("SELECT v FROM plain WHERE id = 1"),
        "row 1"
    );
}

#[test]
fn a_database_that_cant_be_reached_is_named_and_its_password_is_not() {
    let servers = Servers::shared();
    let (name, _) = shop();
    let wrong = Address::parse(
        &servers
            .production
            .tcp("reader", &name)
            .url()
            .replace(PASSWORD, "sesame"),
    );
    for (url, reason) in [
        (wrong.url(), "password authentication failed"),
        (
            "postgres://reader:sesame@127.0.0.1:1/shop".to_owned(),
            "refused",
        ),
        (
            "postgres://reader:sesame@nowhere.invalid/shop".to_owned(),
            "nowhere.invalid",
        ),
        (
            format!("{}x", servers.production.tcp("reader", &name).url()),
            "does not exist",
        ),
    ] {
        let output = run(&["check", "--production", &url], &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(reason) && said.contains("production"),
            "{said}"
        );
        assert!(
            !said.contains("sesame") && output.stdout.is_empty(),
            "{said}"
        );
    }
}

#[test]
fn up_runs_a_server_of_its_own_keeps_its_data_and_ends_it() {
    let (name, reader) = shop();
    let place = tempfile::Builder::new()
        .prefix("previewpg-up-")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(
        place.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let data = place.path().join("kept");
    let words = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
    ];
    let production = reader.url();
    let environment = [("PREVIEWPG_PRODUCTION_URL", production.as_str())];

    let mut first = Running::start(&words, &environment);
    let url = first.line();
    assert!(
        url.starts_with("postgres://app:"),
        "the password was made, so it's told: {url}"
    );
    let address = Address::parse(&url);
    assert_eq!(address.database, name, "clients see production's database");
    let mut session = Session::connect(&address).unwrap();
    session.must("UPDATE plain SET v = 'kept' WHERE id = 7");
    drop(session);
    let second = run(&words, &environment);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("in use by another previewpg"),
        "{}",
        text(&second.stderr)
    );
    assert!(
        !first.stderr().contains(&address.password),
        "the password is in the log"
    );
    assert_eq!(first.end("TERM"), Some(0));

    let mut again = Running::start(&words, &environment);
    let address = Address::parse(&again.line());
    let mut session = Session::connect(&address).unwrap();
    assert_eq!(session.value("SELECT v FROM plain WHERE id = 7"), "kept");
    assert_eq!(session.value("SELECT count(*) FROM plain"), "100");
    let pid: u32 = std::fs::read_to_string(data.join("pgdata/postmaster.pid"))
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(again.end("KILL"), None);
    eventually("the embedded server ends when previewpg is killed", || {
        !Path::new(&format!("/proc/{pid}")).exists()
    });

    let mut third = Running::start(&words, &environment);
    let mut session = Session::connect(&Address::parse(&third.line())).unwrap();
    assert_eq!(session.value("SELECT v FROM plain WHERE id = 7"), "kept");
    drop(session);
    assert_eq!(third.end("INT"), Some(0));
}

#[test]
fn the_admin_port_tells_of_health_and_numbers() {
    let (name, _) = shop();
    let preview = Preview::of(&name);
    let admin = preview.admin.clone().expect("the line `admin http://..`");
    assert_eq!(get(&admin, "/livez").0, 200);
    eventually("ready", || get(&admin, "/readyz").0 == 200);
    preview.connect().must("SELECT count(*) FROM plain");
    let (status, metrics) = get(&admin, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("previewpg_"), "{metrics}");
    let mut fresh = preview;
    fresh.fresh.stop();
    eventually("not ready without fresh", || {
        let (status, body) = get(&admin, "/readyz");
        status == 503 && body.starts_with("fresh: doesn't answer\n")
    });
    fresh.fresh.restart();
    eventually("ready again", || get(&admin, "/readyz").0 == 200);
}

#[test]
fn a_second_up_on_the_same_fresh_is_refused_and_the_first_goes_on() {
    let (name, reader) = shop();
    let preview = Preview::of(&name);
    let fresh = preview.fresh.tcp("postgres", "postgres").url();
    let output = run(
        &[
            "up",
            "--listen",
            "127.0.0.1:0",
            "--production",
            &reader.url(),
            "--fresh",
            &fresh,
        ],
        &[("PREVIEWPG_CLIENT_PASSWORD", PASSWORD)],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("another previewpg serves this fresh"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(preview.connect().value("SELECT count(*) FROM plain"), "100");
}

#[test]
fn provision_plans_without_touching_and_runs_twice() {
    let (name, reader) = shop();
    let fresh = Servers::fresh();
    let production = reader.url();
    let owner = fresh.tcp("postgres", "postgres").url();
    let words = ["provision", "--production", &production, "--fresh", &owner];
    let environment = [("PREVIEWPG_CLIENT_PASSWORD", "client-secret")];
    let databases = |server: &Server| {
        server
            .connect("postgres")
            .value("SELECT count(*) FROM pg_database WHERE NOT datistemplate")
    };
    let schemas = |server: &Server, database: &str| {
        server
            .connect(database)
            .value("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^previewpg'")
    };
    let before = databases(&fresh);

    let plan = run(&[&words[..], &["--plan"]].concat(), &environment);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let sql = text(&plan.stdout);
    assert!(
        sql.contains("CREATE DATABASE") && sql.contains("previewpg"),
        "{sql}"
    );
    assert!(
        !sql.contains("client-secret") && !sql.contains(PASSWORD),
        "a password is in the plan"
    );
    assert_eq!(schemas(&fresh, "postgres"), "0", "a plan was run");
    assert_eq!(databases(&fresh), before, "a plan made a database");

    for time in ["first", "second"] {
        let done = run(&words, &environment);
        assert!(done.status.success(), "{time}: {}", text(&done.stderr));
    }
    assert_ne!(schemas(&fresh, &name), "0");
    assert_eq!(schemas(&fresh, "postgres"), "0");
}

fn configuration(folder: &Path, production: &str, fresh: &str, more: &str) -> String {
    let put =
        |name: &str, value: &str| std::fs::write(folder.join(name), format!("{value}\n")).unwrap();
    put("production", production);
    put("fresh", fresh);
    put("client", PASSWORD);
    let at = folder.display();
    let text = format!(
        "production: {{urlFile: {at}/production}}\nfresh: {{urlFile: {at}/fresh}}\nclient: {{passwordFile: {at}/client}}\n\
         listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{more}"
    );
    let file = folder.join("previewpg.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn serve_takes_everything_from_a_file() {
    let (name, reader) = shop();
    let fresh = Servers::fresh();
    let folder = tempfile::tempdir().unwrap();
    let owner = fresh.tcp("postgres", "postgres").url();
    let file = configuration(folder.path(), &reader.url(), &owner, "");
    let valid = run(&["serve", "--config", &file, "--validate"], &[]);
    assert!(valid.status.success(), "{}", text(&valid.stderr));

    // Not provisioned yet: it waits, and says so.
    let mut serve = Running::start(&["serve", "--config", &file], &[]);
    eventually("a word of what is missing", || {
        serve.stderr().contains("isn't provisioned")
    });
    let done = run(&["provision", "--config", &file], &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let url = serve.line();
    let mut address = Address::parse(&url);
    assert!(
        address.password.is_empty(),
        "the password isn't ours to show: {url}"
    );
    PASSWORD.clone_into(&mut address.password);
    assert!(serve.line().starts_with("admin http://127.0.0.1:"));
    let mut session = Session::connect(&address).unwrap();
    assert_eq!(session.value("SELECT current_database()"), name);
    session.must("INSERT INTO plain VALUES (1000, 'new')");

    // A changed password: for new clients the new one counts, those that are there stay.
    fresh
        .connect("postgres")
        .must("ALTER ROLE app PASSWORD 'another'");
    std::fs::write(folder.path().join("client"), "another").unwrap();
    let changed = Address {
        password: "another".to_owned(),
        ..address.clone()
    };
    eventually("the new password counts", || {
        Session::connect(&changed).is_ok()
    });
    assert!(
        Session::connect(&address).is_err(),
        "the old password still counts"
    );
    assert_eq!(session.value("SELECT v FROM plain WHERE id = 1000"), "new");

    // A broken file is reported, and nothing else happens.
    std::fs::write(&file, "production: [\n").unwrap();
    eventually("a word about the broken file", || {
        serve.stderr().contains("the old one stays in force")
    });
    assert_eq!(session.value("SELECT v FROM plain WHERE id = 1000"), "new");
    assert!(Session::connect(&changed).is_ok());
    assert_eq!(serve.end("TERM"), Some(0));
}

/// As a proxy's pod is that starts while its preview's database is made.
#[test]
fn serve_waits_for_what_is_mended_and_provisioned_later() {
    let (_, reader) = shop();
    let fresh = Servers::fresh();
    let folder = tempfile::tempdir().unwrap();
    let owner = fresh.tcp("postgres", "postgres").url();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let nowhere = "postgres://postgres@127.0.0.1:1/postgres";
    let file = configuration(folder.path(), &reader.url(), nowhere, "");
    let at_a_place = std::fs::read_to_string(&file).unwrap().replace(
        "admin: 127.0.0.1:0",
        &format!("admin: {}", admin.trim_start_matches("http://")),
    );
    std::fs::write(&file, at_a_place).unwrap();
    let mut serve = Running::start(&["serve", "--config", &file], &[]);
    eventually("a word of the fresh that isn't there", || {
        serve.stderr().contains("can't serve yet")
    });
    assert_eq!(get(&admin, "/livez").0, 200);
    assert_eq!(get(&admin, "/readyz").0, 503);

    std::fs::write(folder.path().join("fresh"), &owner).unwrap();
    eventually("readyz says what is missing", || {
        let (status, body) = get(&admin, "/readyz");
        assert_eq!(status, 503, "{body}");
        body.contains("catalog: fresh") && body.contains("isn't provisioned")
    });

    let done = run(&["provision", "--config", &file], &[]);
    let provisioned = Instant::now();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut address = Address::parse(&serve.line());
    let waited = provisioned.elapsed();
    PASSWORD.clone_into(&mut address.password);
    let mut session = Session::connect(&address).expect("whoever is served may log in");
    assert_eq!(session.value("SELECT count(*) FROM plain"), "100");
    assert_eq!(get(&admin, "/readyz").0, 200);
    assert!(waited < Duration::from_secs(2), "served after {waited:?}");
    assert_eq!(serve.end("TERM"), Some(0));
}

#[test]
fn serve_comes_up_without_production_and_gets_over_it() {
    let (name, reader) = shop();
    let fresh = Servers::fresh();
    let folder = tempfile::tempdir().unwrap();
    let owner = fresh.tcp("postgres", "postgres").url();
    let file = configuration(folder.path(), &reader.url(), &owner, "");
    let done = run(&["provision", "--config", &file], &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    std::fs::write(
        folder.path().join("production"),
        format!("postgres://reader:x@127.0.0.1:1/{name}"),
    )
    .unwrap();
    let mut serve = Running::start(&["serve", "--config", &file], &[]);
    let mut address = Address::parse(&serve.line());
    PASSWORD.clone_into(&mut address.password);
    let mut session = Session::connect(&address).unwrap();
    assert_eq!(session.value("SELECT 1 + 1"), "2");
    assert!(
        serve.stderr().contains("production isn't there"),
        "{}",
        serve.stderr()
    );
}

/// What another version makes in fresh may have other arguments, or do something else under the same name.
#[test]
fn serve_refuses_what_another_version_provisioned_until_it_is_provisioned_again() {
    let (name, reader) = shop();
    let fresh = Servers::fresh();
    let folder = tempfile::tempdir().unwrap();
    let owner = fresh.tcp("postgres", "postgres").url();
    let file = configuration(folder.path(), &reader.url(), &owner, "");
    let provision = || {
        let done = run(&["provision", "--config", &file], &[]);
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    provision();
    let serve = |change: &str| {
        fresh.connect(&name).must(change);
        Running::start(&["serve", "--config", &file], &[])
    };

    // Everything is there and works: only the note tells that it's another's.
    let mut other = serve(
        "UPDATE previewpg.meta SET value = '9.8.7' WHERE name = 'runtime_version';
         UPDATE previewpg.meta SET value = '0123456789abcdef' WHERE name = 'runtime_digest'",
    );
    eventually("a word of the other version", || {
        other.stderr().contains(
            "was provisioned by previewpg 9.8.7 (functions 01234567), and this is previewpg",
        )
    });
    assert!(
        other
            .stderr()
            .contains("Run previewpg provision of this version"),
        "{}",
        other.stderr()
    );
    // One that noted nothing, and whose functions lack an argument.
    let mut older = serve(
        "DELETE FROM previewpg.meta WHERE name LIKE 'runtime%';
         DROP FUNCTION previewpg.renew(bigint, bigint, pg_snapshot)",
    );
    eventually("a word of the older version", || {
        older
            .stderr()
            .contains("was provisioned by an older previewpg")
    });
    assert!(!older.stderr().contains("42883"), "{}", older.stderr());

    // Both take it up as soon as it's theirs.
    provision();
    for serve in [&mut other, &mut older] {
        let mut address = Address::parse(&serve.line());
        PASSWORD.clone_into(&mut address.password);
        let mut session = Session::connect(&address).unwrap();
        assert_eq!(session.value("SELECT count(*) FROM plain"), "100");
    }
}

#[test]
fn mistakes_in_the_file_are_told_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(
        folder.path(),
        "postgres://r@p/d",
        "postgres://o@f/d",
        "limits: {maxClient: 5}\n",
    );
    let output = run(&["serve", "--config", &file], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("maxClient") && said.contains("line 6"),
        "{said}"
    );
}

#[test]
fn the_log_is_json_when_asked() {
    let (_, reader) = shop();
    let output = run(
        &[
            "up",
            "--production",
            &reader.url(),
            "--data",
            "/proc/nowhere",
            "--log-format",
            "json",
            "--listen",
            "127.0.0.1:0",
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("/proc/nowhere"),
        "{}",
        text(&output.stderr)
    );
    let servers = Servers::shared();
    let writer = servers.production.tcp("writer", &reader.database);
    let preview = Preview::start(
        &writer,
        Servers::fresh(),
        &["--allow-writable-production", "--log-format", "json"],
    )
    .unwrap();
    let line = preview
        .stderr()
        .lines()
        .find(|line| line.contains("can write"))
        .map(str::to_owned)
        .expect("the warning");
    let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON object");
    assert_eq!(line["level"], "WARN");
}
