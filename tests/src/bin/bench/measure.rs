//! What is measured.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use previewpg_tests::client::Session;
use previewpg_tests::preview::binary;
use previewpg_tests::servers::{PASSWORD, Server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, Statement};

use crate::places::{Places, run_long};
use crate::table::{Goal, Side, Table, Unit};

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Scale {
    /// Rows of the largest table
    #[arg(long, env = "BENCH_ROWS", default_value_t = 1_000_000)]
    pub(crate) rows: u64,
    /// How long each throughput is measured, in seconds
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 6)]
    pub(crate) seconds: u64,
    /// Size of the large result, in MiB
    #[arg(long, env = "BENCH_MEBIBYTES", default_value_t = 1024)]
    pub(crate) mebibytes: u64,
    /// Idle clients
    #[arg(long, env = "BENCH_CLIENTS", default_value_t = 1000)]
    pub(crate) clients: u64,
    /// Tables to provision
    #[arg(long, env = "BENCH_TABLES", default_value_t = 200)]
    pub(crate) tables: u64,
}

/// Sorted durations.
pub(crate) struct Times(Vec<f64>);

impl Times {
    pub(crate) fn sorted(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get((self.0.len() * percent / 100).min(last))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// Runs `work` so often for each of so many places, in turns, after a turn of each for warming up; milliseconds.
async fn in_turns(places: usize, count: usize, mut work: impl AsyncFnMut(usize)) -> Vec<Times> {
    const TURNS: usize = 20;
    let in_a_turn = count.div_ceil(TURNS);
    let mut all = vec![Vec::with_capacity(count); places];
    for turn in 0..=count.div_ceil(in_a_turn) {
        for (place, times) in all.iter_mut().enumerate() {
            for _ in 0..in_a_turn {
                let started = Instant::now();
                work(place).await;
                if turn > 0 {
                    times.push(started.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    all.into_iter().map(Times::sorted).collect()
}

fn add_times(table: &mut Table, name: &str, measured: &[(Side, Times)], goal: Goal) {
    for (percent, goal) in [(50, goal), (99, Goal::None)] {
        let figures: Vec<(Side, f64)> = measured
            .iter()
            .map(|(side, times)| (*side, times.percentile(percent)))
            .collect();
        table.add(
            &format!("{name}, p{percent}"),
            Unit::Milliseconds,
            &figures,
            goal,
        );
    }
}

/// A client for each side, with this statement prepared.
async fn prepared(clients: Vec<(Side, Client)>, sql: &str) -> Vec<(Side, Client, Statement)> {
    let mut all = Vec::new();
    for (side, client) in clients {
        let statement = client
            .prepare(sql)
            .await
            .unwrap_or_else(|error| panic!("{side:?}: {sql}: {error:?}"));
        all.push((side, client, statement));
    }
    all
}

/// The times, each with its side.
fn of_sides(clients: &[(Side, Client, Statement)], times: Vec<Times>) -> Vec<(Side, Times)> {
    clients.iter().map(|(side, ..)| *side).zip(times).collect()
}

async fn all(places: &Places) -> Vec<(Side, Client)> {
    let mut clients = vec![
        (Side::Production, places.production().await),
        (Side::Copy, places.copy().await),
    ];
    if let Some(bouncer) = places.bouncer().await {
        clients.push((Side::Bouncer, bouncer));
    }
    clients.push((Side::Preview, places.preview().await));
    clients
}

/// `SELECT 1`, prepared: latency of one client, throughput of eight.
pub(crate) async fn pass_through(places: &Places, scale: &Scale, table: &mut Table) {
    let clients = prepared(all(places).await, "SELECT 1").await;
    let latencies = in_turns(clients.len(), 6000, async |place: usize| {
        let (_, client, statement) = &clients[place];
        client.query_one(statement, &[]).await.expect("SELECT 1");
    })
    .await;
    let latencies = of_sides(&clients, latencies);
    let direct = latencies
        .iter()
        .find(|(side, _)| *side == Side::Production)
        .map_or(0.0, |(_, times)| times.percentile(50));
    let added: Vec<(Side, f64)> = latencies
        .iter()
        .filter(|(side, _)| matches!(side, Side::Bouncer | Side::Preview))
        .map(|(side, times)| (*side, (times.percentile(50) - direct).max(0.0)))
        .collect();
    add_times(table, "SELECT 1, prepared", &latencies, Goal::None);
    table.add(
        "  added to direct, p50",
        Unit::Milliseconds,
        &added,
        Goal::AtMostTimes(1.0, Side::Bouncer),
    );

    const TURNS: u32 = 6;
    let mut eights: Vec<(Side, Vec<Prepared>)> = Vec::new();
    for _ in 0..8 {
        for (side, client, statement) in prepared(all(places).await, "SELECT 1").await {
            match eights.iter_mut().find(|(each, _)| *each == side) {
                Some((_, clients)) => clients.push(Arc::new((client, statement))),
                None => eights.push((side, vec![Arc::new((client, statement))])),
            }
        }
    }
    let mut rates: Vec<(Side, f64)> = eights.iter().map(|(side, _)| (*side, 0.0)).collect();
    for _ in 0..TURNS {
        for ((_, clients), (_, rate)) in eights.iter().zip(&mut rates) {
            let turn = Duration::from_secs(scale.seconds) / TURNS;
            *rate += throughput(clients, turn).await / f64::from(TURNS);
        }
    }
    table.add(
        "SELECT 1, 8 clients",
        Unit::PerSecond,
        &rates,
        Goal::AtLeastTimes(1.0, Side::Bouncer),
    );
}

/// A client, and what it has prepared.
type Prepared = Arc<(Client, Statement)>;

/// Statements in a second of all clients at once, for so long.
async fn throughput(clients: &[Prepared], long: Duration) -> f64 {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for client in clients {
        let client = Arc::clone(client);
        tasks.push(tokio::spawn(async move {
            let (client, statement) = &*client;
            let mut count = 0_u32;
            while started.elapsed() < long {
                client.query_one(statement, &[]).await.expect("SELECT 1");
                count += 1;
            }
            count
        }));
    }
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("a client");
    }
    f64::from(sum) / started.elapsed().as_secs_f64()
}

const AGGREGATES: [(&str, &str); 3] = [
    (
        "pricing summary (GROUP BY)",
        "SELECT status, count(*), sum(amount), sum(amount * (1 - discount)), avg(amount), avg(discount) FROM orders \
         WHERE created_at <= timestamptz '2022-01-10' GROUP BY status ORDER BY status",
    ),
    (
        "revenue change (filtered sum)",
        "SELECT sum(amount * discount) FROM orders WHERE discount BETWEEN 0.05 AND 0.07 AND amount < 500",
    ),
    (
        "best customers (join, top 10)",
        "SELECT u.name, sum(o.amount) AS revenue FROM users u JOIN orders o ON o.user_id = u.id \
         WHERE o.status = 'paid' GROUP BY u.id, u.name ORDER BY revenue DESC, u.name LIMIT 10",
    ),
];

/// Reads of tables that nobody has changed.
pub(crate) async fn clean(places: &Places, scale: &Scale, table: &mut Table) {
    for (name, sql) in AGGREGATES {
        let measured = query_times(places, sql, 7).await;
        add_times(
            table,
            &format!("clean: {name}"),
            &measured,
            Goal::AtMostTimes(1.1, Side::Production),
        );
    }
    let measured = point_times(
        places,
        scale,
        "SELECT id, status, amount FROM orders WHERE id = $1",
    )
    .await;
    add_times(
        table,
        "clean: point select, prepared",
        &measured,
        Goal::AtMostTimes(1.3, Side::Bouncer),
    );
}

async fn query_times(places: &Places, sql: &str, count: usize) -> Vec<(Side, Times)> {
    let clients = prepared(all(places).await, sql).await;
    let times = in_turns(clients.len(), count, async |place: usize| {
        let (side, client, statement) = &clients[place];
        client
            .query(statement, &[])
            .await
            .unwrap_or_else(|error| panic!("{side:?}: {error:?}"));
    })
    .await;
    of_sides(&clients, times)
}

async fn point_times(places: &Places, scale: &Scale, sql: &str) -> Vec<(Side, Times)> {
    let clients = prepared(all(places).await, sql).await;
    let mut randoms = vec![StdRng::seed_from_u64(7); clients.len()];
    let times = in_turns(clients.len(), 4000, async |place: usize| {
        let (_, client, statement) = &clients[place];
        let id = i64::try_from(randoms[place].random_range(1..=scale.rows)).unwrap_or(1);
        point(client, statement, id).await;
    })
    .await;
    of_sides(&clients, times)
}

async fn point(client: &Client, statement: &Statement, id: i64) {
    let rows = client
        .query(statement, &[&id])
        .await
        .expect("a point select");
    assert_eq!(rows.len(), 1, "order {id}");
}

/// A large result, and the proxy's memory for it.
pub(crate) async fn large(places: &Places, scale: &Scale, table: &mut Table) {
    let rows = scale.mebibytes * 1024;
    // What depends on no table runs on fresh; a table's rows would measure production's disk.
    let sql = format!("COPY (SELECT repeat('x', 1023) FROM generate_series(1, {rows})) TO STDOUT");
    let pid = places.preview.pid();
    reset_peak(pid);
    let clients = all(places).await;
    let times = in_turns(clients.len(), 3, async |place: usize| {
        let (side, client) = &clients[place];
        let stream = client.copy_out(&sql).await.expect("COPY");
        let bytes: u64 = stream
            .try_fold(
                0_u64,
                |sum, chunk| async move { Ok(sum + chunk.len() as u64) },
            )
            .await
            .expect("the result");
        assert_eq!(bytes, rows * 1024, "{side:?} lost bytes");
    })
    .await;
    #[allow(clippy::cast_precision_loss)]
    let mebibytes = scale.mebibytes as f64;
    let figures: Vec<(Side, f64)> = clients
        .iter()
        .zip(times)
        .map(|((side, _), times)| (*side, mebibytes * 1e3 / times.percentile(50)))
        .collect();
    let name = format!("result of {} MiB", scale.mebibytes);
    table.add(
        &name,
        Unit::MebibytesPerSecond,
        &figures,
        Goal::AtLeastTimes(0.9, Side::Production),
    );
    let peak = memory(pid, "VmHWM");
    table.add(
        "  the proxy's memory, at most",
        Unit::Kibibytes,
        &[(Side::Preview, peak)],
        Goal::AtMost(40.0 * 1024.0),
    );
}

/// Memory for clients who do nothing.
pub(crate) async fn idle(places: &Places, scale: &Scale, table: &mut Table) {
    let pid = places.preview.pid();
    let before = memory(pid, "VmRSS");
    let mut sessions = Vec::new();
    for _ in 0..scale.clients {
        sessions.push(
            Session::connect(&places.preview.address)
                .unwrap_or_else(|error| panic!("client {}: {error:?}", sessions.len())),
        );
    }
    for session in &mut sessions {
        session.must("SELECT 1");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    #[allow(clippy::cast_precision_loss)]
    let each = (memory(pid, "VmRSS") - before) / scale.clients as f64;
    let name = format!("memory for each of {} idle clients", scale.clients);
    table.add(
        &name,
        Unit::Kibibytes,
        &[(Side::Preview, each)],
        Goal::AtMost(40.0),
    );
}

/// Reads of tables of which 500 rows were changed.
pub(crate) async fn dirty(places: &Places, scale: &Scale, table: &mut Table) {
    let change = format!(
        "UPDATE orders SET status = 'paid' WHERE id IN (SELECT n * {} FROM generate_series(1, 500) n)",
        scale.rows / 500
    );
    let touch = "UPDATE users SET name = name || '!' WHERE id <= 100";
    for client in [places.copy().await, places.preview().await] {
        for sql in [change.as_str(), touch] {
            client
                .batch_execute(sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }
    for (name, sql, goal) in [
        (
            "ORDER BY .. LIMIT 20",
            "SELECT * FROM orders ORDER BY created_at DESC LIMIT 20",
            Goal::AtMost(10.0),
        ),
        (
            "join of recent rows, LIMIT 50",
            "SELECT o.id, u.name, o.amount FROM orders o JOIN users u ON u.id = o.user_id ORDER BY o.created_at DESC LIMIT 50",
            Goal::None,
        ),
        (
            "GROUP BY status",
            "SELECT status, count(*), sum(amount) FROM orders GROUP BY status",
            Goal::None,
        ),
    ] {
        let measured = query_times(places, sql, 15).await;
        add_times(table, &format!("dirty: {name}"), &measured, goal);
    }
    let measured = point_times(
        places,
        scale,
        "SELECT id, status, amount FROM orders WHERE id = $1",
    )
    .await;
    add_times(
        table,
        "dirty: point select, prepared",
        &measured,
        Goal::None,
    );
}

/// Who can be written to: native is the full copy.
async fn written(places: &Places) -> Vec<(Side, Client)> {
    vec![
        (Side::Copy, places.copy().await),
        (Side::Preview, places.preview().await),
    ]
}

/// Writes.
pub(crate) async fn writes(places: &Places, table: &mut Table) {
    let few = single_updates(places, 0).await;
    let mut bulk = Vec::new();
    for (side, client) in &written(places).await {
        let sql = "INSERT INTO orders SELECT 1000000000 + n, 1 + n % 1000, 'new', 1, 0, timestamptz '2030-01-01' FROM generate_series(1, 100000) n";
        let started = Instant::now();
        client
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{side:?}: {error:?}"));
        bulk.push((*side, started.elapsed().as_secs_f64() * 1e3));
    }
    let many = single_updates(places, 20_000).await;
    table.add(
        "INSERT .. SELECT of 100,000 rows, keys checked",
        Unit::Milliseconds,
        &bulk,
        Goal::AtMostTimes(1.3, Side::Copy),
    );
    let name = "UPDATE of one of production's rows by key";
    add_times(table, name, &few, Goal::AtMostTimes(5.0, Side::Copy));
    add_times(table, "  the same after that INSERT", &many, Goal::None);
}

/// Updates, each of another row of production's (that is what must be copied up), from a key on.
async fn single_updates(places: &Places, from: i64) -> Vec<(Side, Times)> {
    let sql = "UPDATE orders SET amount = amount + 1 WHERE id = $1";
    let clients = prepared(written(places).await, sql).await;
    let mut ids = vec![from; clients.len()];
    let times = in_turns(clients.len(), 600, async |place: usize| {
        let (_, client, statement) = &clients[place];
        ids[place] += 13;
        let id = ids[place];
        let count = client.execute(statement, &[&id]).await.expect("an update");
        assert_eq!(count, 1, "order {id}");
    })
    .await;
    of_sides(&clients, times)
}

/// Provisioning of many tables, empty ones and full ones; servers run already.
pub(crate) fn provisioning(places: &Places, scale: &Scale, table: &mut Table) {
    for (name, rows) in [
        ("many_empty", 0),
        ("many_full", scale.rows * 10 / scale.tables.max(1)),
    ] {
        let mut admin = places.production.connect("postgres");
        run_long(&mut admin, &format!("CREATE DATABASE {name}"));
        let mut session = places.production.connect(name);
        for number in 1..=scale.tables {
            let parent = if number > 1 {
                format!("REFERENCES t{}", number - 1)
            } else {
                String::new()
            };
            run_long(
                &mut session,
                &format!(
                    "CREATE TABLE t{number} (id int PRIMARY KEY, parent int {parent}, v text, at timestamptz DEFAULT now()); CREATE INDEX ON t{number} (parent)"
                ),
            );
            if rows > 0 {
                run_long(
                    &mut session,
                    &format!(
                        "INSERT INTO t{number} SELECT n, NULL, 'row', now() FROM generate_series(1, {rows}) n"
                    ),
                );
            }
        }
        run_long(&mut session, "ANALYZE");
        let fresh = Server::start("provisioned");
        let started = Instant::now();
        let status = Command::new(binary())
            .arg("provision")
            .env(
                "PREVIEWPG_PRODUCTION_URL",
                places.production.tcp("reader", name).url(),
            )
            .env(
                "PREVIEWPG_FRESH_URL",
                fresh.tcp("postgres", "postgres").url(),
            )
            .env("PREVIEWPG_CLIENT_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("run previewpg provision");
        let took = started.elapsed().as_secs_f64() * 1e3;
        assert!(status.success(), "previewpg provision: {status}");
        let title = format!("provisioning {} tables of {rows} rows", scale.tables);
        table.add(
            &title,
            Unit::Milliseconds,
            &[(Side::Preview, took)],
            Goal::AtMost(5000.0),
        );
    }
}

/// A figure of /proc/PID/status, in KiB; 0 when it can't be read.
fn memory(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0.0)
}

/// Forgets the highest memory so far (proc(5), `clear_refs`).
fn reset_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
