//! The command line: options and the help that teaches them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::file::LogFormat;

const TOP_EXAMPLES: &str = "\
Try it without a database of your own:
  previewpg demo

A writable preview of a real one, on this machine:
  export PREVIEWPG_PRODUCTION_URL='postgres://reader@db.example:5432/shop?sslmode=verify-full'
  previewpg check          # what would be served, what not and why
  previewpg up             # prints the URL to connect to

Standard output carries only what a program would want to read (the client's URL, a plan, a report);
progress and logs go to standard error.";

const UP_EXAMPLES: &str = "\
Examples:
  previewpg up --production postgres://reader@db.example/shop
  previewpg up --production postgres://reader@db.example/shop --data ~/.previewpg/shop
      keep what the preview changed for the next time
  previewpg up --production ... --fresh postgres://postgres@localhost:5433/empty
      use a database of your own instead of an embedded server
  previewpg up --production ... --admin 127.0.0.1:9187 --empty 'public.sessions' --exclude audit

The first line on standard output is the URL for clients:
  psql \"$(previewpg up --production ... | head -1)\"   # in a script, keep it running instead";

const SERVE_EXAMPLES: &str = "\
Examples:
  previewpg serve --config /etc/previewpg.yaml
  previewpg serve --config previewpg.yaml --validate

A minimal file:
  production: {urlFile: /run/secrets/production}
  fresh: {urlFile: /run/secrets/fresh}
  client: {passwordFile: /run/secrets/client}
  listen: 0.0.0.0:5432
  admin: 0.0.0.0:9187

docs/configuration.md describes every key.";

const PROVISION_EXAMPLES: &str = "\
Examples:
  previewpg provision --production postgres://reader@db.example/shop --fresh postgres://postgres@localhost/shop --plan
      print what would be run in fresh, and run nothing
  previewpg provision --production ... --fresh ...
      run it; again is fine, what is there already is left alone";

const CHECK_EXAMPLES: &str = "\
Examples:
  previewpg check --production postgres://reader@db.example/shop
  previewpg check --format json | jq '.tables[] | select(.served == false)'

Exit status: 0 everything is served, 1 something isn't (the report says what), 2 production can't be asked, 3 the role can write.";

/// A writable preview of a PostgreSQL database, without copying it.
///
/// Clients connect to previewpg as to any PostgreSQL server and see all of production's data. What they change, rows and schema,
/// stays in a small database of the preview's own. Production is only ever read.
#[derive(Debug, Parser)]
#[command(name = "previewpg", version, after_help = TOP_EXAMPLES, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a preview over a production database: provision, then serve, in the foreground
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Show everything on a sample shop, in one minute
    Demo(Demo),
    /// Prepare a fresh database for a preview, or print how
    #[command(after_help = PROVISION_EXAMPLES)]
    Provision(Provision),
    /// Serve what was provisioned, as one configuration file says: what a pod runs
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Say what a preview of a database would serve, what not and why, and what it would cost
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
}

/// Where production is.
#[derive(Debug, Args)]
pub struct ProductionUrl {
    /// production's connection URL, as psql takes it; its role needs to SELECT, nothing else
    #[arg(
        long,
        value_name = "URL",
        env = "PREVIEWPG_PRODUCTION_URL",
        hide_env_values = true
    )]
    pub production: Option<String>,
}

/// Which tables.
#[derive(Debug, Default, Args)]
pub struct Selection {
    /// Bring only these schemas [default: all but the system's]
    #[arg(long, value_name = "SCHEMA", value_delimiter = ',')]
    pub schemas: Vec<String>,
    /// Leave these tables out: schema.table, schema.* or schema, `*` for any characters
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Bring these tables without production's rows: schema.table, `*` for any characters
    #[arg(long, value_name = "TABLE", value_delimiter = ',')]
    pub empty: Vec<String>,
}

/// How logs look.
#[derive(Debug, Args)]
pub struct Logs {
    /// How log lines on standard error look
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// The least level that is logged, or a filter such as `info,previewpg_proxy::session=debug`
    #[arg(long, value_name = "FILTER", env = "PREVIEWPG_LOG")]
    pub log: Option<String>,
}

/// `previewpg up`.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub production: ProductionUrl,
    /// A database of your own for the preview's changes, as a superuser [default: an embedded server]
    #[arg(
        long,
        value_name = "URL",
        env = "PREVIEWPG_FRESH_URL",
        hide_env_values = true
    )]
    pub fresh: Option<String>,
    /// Where clients connect [default: 127.0.0.1:6432]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Serve /livez, /readyz and /metrics here [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// Keep the embedded server's files here, and open them again the next time [default: a temporary directory]
    #[arg(long, value_name = "DIR", conflicts_with = "fresh")]
    pub data: Option<PathBuf>,
    /// Take from this file what the options don't say
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The role that clients log in as; its password comes from PREVIEWPG_CLIENT_PASSWORD or is made [default: app]
    #[arg(long, value_name = "ROLE")]
    pub client_user: Option<String>,
    /// The database's name that clients see [default: production's]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// How far sequences start above production's value [default: 1000000]
    #[arg(long, value_name = "N")]
    pub sequence_gap: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub selection: Selection,
    /// The most rows that one statement may copy from production into the preview [default: 100000]
    #[arg(long, value_name = "N")]
    pub max_copy_up_rows: Option<u64>,
    /// Certificate chain (PEM) for TLS towards clients
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve although production's role can write there. Production stays protected by read-only sessions and foreign tables that
    /// aren't updatable, but no longer by its own rights
    #[arg(long)]
    pub allow_writable_production: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
}

/// `previewpg demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the tour, with a non-zero status if something wasn't as it should be
    #[arg(long)]
    pub exit: bool,
    /// Where clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6432")]
    pub listen: SocketAddr,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
}

/// `previewpg provision`.
#[derive(Debug, Args)]
pub struct Provision {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub production: ProductionUrl,
    /// The database to prepare, as a superuser
    #[arg(
        long,
        value_name = "URL",
        env = "PREVIEWPG_FRESH_URL",
        hide_env_values = true
    )]
    pub fresh: Option<String>,
    /// Print what would be run, and run nothing
    #[arg(long)]
    pub plan: bool,
    /// Take from this file what the options don't say
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The role that clients log in as; its password comes from PREVIEWPG_CLIENT_PASSWORD [default: app]
    #[arg(long, value_name = "ROLE")]
    pub client_user: Option<String>,
    /// How far sequences start above production's value [default: 1000000]
    #[arg(long, value_name = "N")]
    pub sequence_gap: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub selection: Selection,
    /// The most rows that one statement may copy from production into the preview [default: 100000]
    #[arg(long, value_name = "N")]
    pub max_copy_up_rows: Option<u64>,
    /// Go on although production's role can write there
    #[arg(long)]
    pub allow_writable_production: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
}

/// `previewpg serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file; it's read again when it changes
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only check the file and the files that it names
    #[arg(long)]
    pub validate: bool,
}

/// `previewpg check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub production: ProductionUrl,
    /// Take production from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub selection: Selection,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logs: Logs,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_may_be_repeated_or_separated_by_commas() {
        let Command::Up(up) = parse("previewpg up --schemas a,b --schemas c --exclude audit")
            .unwrap()
            .command
        else {
            panic!("not up");
        };
        assert_eq!(up.selection.schemas, ["a", "b", "c"]);
        assert_eq!(up.selection.exclude, ["audit"]);
        assert_eq!(up.listen, None, "what isn't said is left to the file");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "previewpg",
            "previewpg up --tls-cert c",
            "previewpg up --tls-key k",
            "previewpg up --data d --fresh postgres://a@b/c",
            "previewpg up --listen localhost",
            "previewpg up --max-copy-up-rows many",
            "previewpg serve",
        ] {
            assert!(parse(line).is_err(), "{line} is taken");
        }
    }

    #[test]
    fn every_command_explains_itself_and_hides_secrets() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command
                .get_arguments()
                .filter(|argument| !argument.is_hide_set())
            {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    argument.get_id()
                );
                if argument
                    .get_env()
                    .is_some_and(|name| name.to_string_lossy().ends_with("_URL"))
                {
                    assert!(argument.is_hide_env_values_set(), "{}", argument.get_id());
                }
            }
            assert!(!help.is_empty());
        }
    }
}
