//! What a configuration file may say, and what is said of mistakes.

use super::*;

const MINIMAL: &str =
    "production: {urlFile: /run/secrets/production}\nfresh: {urlFile: /run/secrets/fresh}\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("previewpg.yaml")).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:6432");
    assert_eq!(config.admin, None);
    assert_eq!(config.client.user, "app");
    assert_eq!(config.limits, Limits::default());
    assert!(!config.production.allow_writable);
}

#[test]
fn a_configuration_survives_being_written_and_read() {
    let config = parse(&format!("{MINIMAL}tables: {{schemas: [public], exclude: [audit]}}\ntls: {{certificateFile: /c, keyFile: /k}}\n")).unwrap();
    assert_eq!(
        parse(&serde_saphyr::to_string(&config).unwrap()).unwrap(),
        config
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, parts) in [
        (
            format!("{MINIMAL}lissten: 127.0.0.1:1\n"),
            &["previewpg.yaml", "lissten", "line 3"][..],
        ),
        (
            format!("{MINIMAL}limits: {{maxClients: many}}\n"),
            &["line 3", "column 22"],
        ),
        (
            format!("{MINIMAL}limits: {{maxClients: 0}}\n"),
            &["limits.maxClients", "at least 1"],
        ),
        (format!("{MINIMAL}listen: localhost\n"), &["line 3"]),
        (
            format!("{MINIMAL}client: {{user: pg_read_all_data}}\n"),
            &["client.user", "reserved"],
        ),
        (
            "production: {host: h, database: d}\nfresh: {urlFile: /f}\n".to_owned(),
            &["production", "needs database and user"],
        ),
        (
            "production: {urlFile: /p, url: 'postgres://a@b/c'}\nfresh: {urlFile: /f}\n".to_owned(),
            &["exactly one of"],
        ),
        (
            "production: {urlFile: /p, port: 5433}\nfresh: {urlFile: /f}\n".to_owned(),
            &["production.port"],
        ),
        (
            "production: {url: 'mysql://a@b/c'}\nfresh: {urlFile: /f}\n".to_owned(),
            &["production.url", "postgres://"],
        ),
        ("- a list".to_owned(), &["previewpg.yaml"]),
    ] {
        let message = parse(&text).unwrap_err();
        for part in parts {
            assert!(
                message.contains(part),
                "{text:?} gives {message:?}, which lacks {part:?}"
            );
        }
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_repeated() {
    for url in [
        "postgres://u:sesame@h/d",
        "postgresql://u@h/d?password=sesame&sslmode=disable",
    ] {
        let message = parse(&format!(
            "production: {{url: '{url}'}}\nfresh: {{urlFile: /f}}\n"
        ))
        .unwrap_err();
        assert!(message.contains("passwordFile"), "{message}");
        assert!(!message.contains("sesame"), "{message}");
    }
    let message =
        parse("production: {url: 'postgres://u:sesame@h/d', mistake: 1}\nfresh: {urlFile: /f}\n")
            .unwrap_err();
    assert!(
        message.contains("mistake") && !message.contains("sesame"),
        "{message}"
    );
    assert!(!has_password("postgres://u@h:5432/d?sslmode=require"));
    assert!(!has_password("postgres://h:5432/d"));
}

#[test]
fn what_needs_a_restart_or_provisioning_is_told() {
    let config = parse(MINIMAL).unwrap();
    let newer = Config {
        listen: "0.0.0.0:5432".parse().unwrap(),
        limits: Limits {
            max_clients: 5,
            sequence_gap: 7,
            ..Limits::default()
        },
        logging: Logging {
            filter: "debug".into(),
            ..Logging::default()
        },
        ..config.clone()
    };
    assert_eq!(config.needs_restart(&newer), ["listen"]);
    assert_eq!(config.needs_provisioning(&newer), ["limits.sequenceGap"]);
    assert!(config.needs_restart(&config).is_empty());
    assert!(config.needs_provisioning(&config).is_empty());
}

/// Every example in the documentation is a valid configuration.
#[test]
fn documented_examples_are_valid() {
    let documents = [
        ("README.md", include_str!("../../../../README.md")),
        (
            "docs/configuration.md",
            include_str!("../../../../docs/configuration.md"),
        ),
    ];
    let mut examples = 0;
    for (name, document) in documents {
        for block in document.split("```yaml\n").skip(1) {
            let text = block.split("```").next().unwrap_or_default();
            if text.contains("production:") {
                examples += 1;
                if let Err(message) = parse(text) {
                    panic!("an example in {name} is wrong: {message}\n{text}");
                }
            }
        }
    }
    assert!(examples >= 2, "the documentation has {examples} examples");
}

/// The reference names every key, and no other.
#[test]
fn the_reference_is_complete() {
    fn keys(value: &serde_json::Value, prefix: &str, into: &mut Vec<String>) {
        if let serde_json::Value::Object(map) = value {
            for (key, value) in map {
                let path = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                if value.is_object() {
                    keys(value, &path, into)
                } else {
                    into.push(path)
                }
            }
        }
    }
    let endpoint = Endpoint {
        url_file: Some("/f".into()),
        url: Some("u".into()),
        host: Some("h".into()),
        port: Some(1),
        database: Some("d".into()),
        user: Some("u".into()),
        password_file: Some("/p".into()),
        tls: Some(ClientTls {
            mode: TlsMode::VerifyFull,
            ca_file: Some("/ca".into()),
        }),
    };
    let e = endpoint.clone();
    let full = Config {
        production: Production {
            url_file: e.url_file,
            url: e.url,
            host: e.host,
            port: e.port,
            database: e.database,
            user: e.user,
            password_file: e.password_file,
            tls: e.tls,
            allow_writable: true,
        },
        fresh: endpoint,
        listen: "127.0.0.1:1".parse().unwrap(),
        admin: Some("127.0.0.1:2".parse().unwrap()),
        database: Some("d".into()),
        client: Client {
            user: "app".into(),
            password_file: Some("/p".into()),
        },
        tls: Some(ServerTls {
            certificate_file: "/c".into(),
            key_file: "/k".into(),
            required: true,
        }),
        tables: Tables::default(),
        limits: Limits::default(),
        pool: Pool::default(),
        logging: Logging::default(),
    };
    let mut wanted = Vec::new();
    keys(&serde_json::to_value(&full).unwrap(), "", &mut wanted);
    wanted.sort();
    let mut documented: Vec<String> = include_str!("../../../../docs/configuration.md")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once('`')
                .map(|(key, _)| key.to_owned())
        })
        .filter(|key| !key.starts_with("PREVIEWPG_"))
        .flat_map(|key| match key.strip_prefix("*.") {
            Some(rest) => vec![format!("production.{rest}"), format!("fresh.{rest}")],
            None => vec![key],
        })
        .collect();
    documented.sort();
    assert_eq!(documented, wanted);
}
