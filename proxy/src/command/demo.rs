//! `previewpg demo`: a sample shop as production, a preview over it, and a tour.

use super::cli;
use super::connect::connect;
use super::error::CommandError;
use super::prepare::{local, made_password};
use super::progress::Work;
use super::settings::{Fresh, Settings};
use super::signals::Signals;
use super::tour::Tour;
use super::up::{self, Preview};
use crate::config::file::Config;
use crate::embedded::settings::{Likeness, LocaleProvider, OWNER, identifier, literal};
use crate::embedded::{Home, Server, Spec};
use crate::net::secret::Secret;
use crate::net::target::Target;

/// The sample shop's database.
const DATABASE: &str = "shop";
/// The role that reads it.
const READER: &str = "preview_reader";
/// The least version that the shop's SQL needs.
const MAJOR: u32 = 13;

/// `previewpg demo`.
///
/// # Errors
/// When something can't start, or the tour showed something wrong and was to end the program.
pub async fn demo(options: &cli::Demo) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let shop = signals.during(open_shop()).await?;
    let result = tour_and_serve(options, &shop, &mut signals).await;
    shop.server.stop().await;
    result
}

async fn tour_and_serve(
    options: &cli::Demo,
    shop: &Shop,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let settings = Settings {
        production: shop.reader.clone(),
        allow_writable: false,
        fresh: Fresh::Embedded { data: None },
        client_user: "app".to_owned(),
        client_password: None,
        config: Config {
            listen: options.listen,
            ..Config::default()
        },
    };
    let preview = signals.during(up::start(&settings)).await?;
    let url = preview.service.url(&settings, Some(&preview.password));
    let unmet = signals.during(walk(&url, shop)).await;
    if options.exit {
        let Preview { service, ready, .. } = preview;
        service.end(signals, false).await;
        if let Some(server) = ready.server {
            server.stop().await;
        }
        let unmet = unmet?;
        if !unmet.is_empty() {
            return Err(CommandError::Unmet(unmet));
        }
        println!("\nEvery expectation of the tour was met.");
        return Ok(());
    }
    match unmet {
        Ok(unmet) if unmet.is_empty() => println!("\nEvery expectation of the tour was met."),
        Ok(unmet) => println!("\nNot met: {}", unmet.join("; ")),
        Err(error @ CommandError::Interrupted) => return Err(error),
        Err(error) => println!("\n{}", super::error::explain(&error)),
    }
    println!("The preview goes on until Ctrl-C. Look around in it, and change what you like:\n");
    println!("  psql {url}\n");
    println!("And at the shop's production, directly:\n");
    println!(
        "  psql 'host={} user={OWNER} dbname={DATABASE}'\n",
        shop.server.database(DATABASE).socket_directory.display()
    );
    up::serve_until_the_end(preview, signals).await
}

struct Shop {
    server: Server,
    reader: Target,
}

/// Starts a production and fills it.
async fn open_shop() -> Result<Shop, CommandError> {
    let work = Work::start("opening a sample shop, which stands for a production database");
    let server = Server::start(Spec {
        home: Home::Temporary,
        major: MAJOR,
        max_prepared_transactions: 0,
    })
    .await?;
    server
        .prepare(&Likeness {
            major: MAJOR,
            database: DATABASE.to_owned(),
            encoding: "UTF8".to_owned(),
            provider: LocaleProvider::Libc,
            collate: "C".to_owned(),
            ctype: "C".to_owned(),
            locale: None,
            icu_rules: None,
            settings: Vec::new(),
            max_prepared_transactions: 0,
        })
        .await?;
    let owner = server.connect(DATABASE).await.map_err(CommandError::Shop)?;
    work.step("120,000 orders", 0, 0);
    owner
        .batch_execute(include_str!("demo.sql"))
        .await
        .map_err(CommandError::Shop)?;
    let password = made_password();
    let sql = format!(
        "ALTER ROLE {} PASSWORD {}",
        identifier(READER),
        literal(password.expose())
    );
    owner
        .batch_execute(&sql)
        .await
        .map_err(CommandError::Shop)?;
    work.finish("the sample shop is open: 20,000 customers, 1,000 products, 120,000 orders, 240,000 order lines");
    let reader = reader(&server, password);
    Ok(Shop { server, reader })
}

fn reader(server: &Server, password: Secret) -> Target {
    let database = server.database(DATABASE);
    Target {
        password: Some(password),
        ..local(database.socket_directory, database.port, READER, DATABASE)
    }
}

async fn walk(url: &str, shop: &Shop) -> Result<Vec<String>, CommandError> {
    let app: Target = url
        .parse()
        .map_err(|error: crate::net::target::TargetError| {
            crate::config::ConfigError::value("the client's URL", error.to_string())
        })?;
    let preview = connect("the preview", &app).await?;
    let production = shop
        .server
        .connect(DATABASE)
        .await
        .map_err(CommandError::Shop)?;
    Ok(Tour::new(&preview, &production).walk().await?)
}
