//! Specs as their users write them, and what becomes of them.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use previewpg_proxy::net::target::{Address, RootCertificates, SslMode, Target};

use super::*;
use crate::api::{DatabaseStatus, PreviewDatabaseStatus, Reason};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
const URI: &str = "postgres://reader:sesame@prod.db.svc/shop";

fn object(spec: &str) -> PreviewDatabase {
    let text = format!(
        "apiVersion: previewpg.dev/v1alpha1\nkind: PreviewDatabase\nmetadata: {{name: pr-1, namespace: shop, creationTimestamp: \"2026-01-01T00:00:00Z\"}}\nspec:\n{spec}"
    );
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn with_uri(rest: &str) -> PreviewDatabase {
    object(&format!(
        "  production: {{connection: {{uri: {{secretKeyRef: {{name: prod, key: uri}}}}}}}}\n{rest}"
    ))
}

fn found(secrets: &[(&str, &[(&str, &str)])]) -> Resolved {
    let mut resolved = Resolved::default();
    for (name, values) in secrets {
        let data = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        let secret = Secret {
            data: Some(data.collect()),
            ..Secret::default()
        };
        resolved.add_secret(*name, secret);
    }
    resolved
}

/// Everything that the tests refer to, with this URI.
fn usual(uri: &str) -> Resolved {
    let mut resolved = found(&[
        (
            "prod",
            &[
                ("uri", uri),
                ("username", "reader"),
                ("password", "sesame\n"),
            ],
        ),
        (
            "fresh",
            &[(
                "uri",
                "postgres://admin:open@fresh.db.svc/postgres?sslmode=require",
            )],
        ),
        ("ca", &[("ca.crt", CERTIFICATE), ("nothing", "hello")]),
        (
            "tls",
            &[
                ("tls.crt", CERTIFICATE),
                ("tls.key", KEY),
                ("ca.crt", CERTIFICATE),
            ],
        ),
        ("half", &[("tls.crt", CERTIFICATE), ("tls.key", "hello")]),
    ]);
    resolved.add_config_map(
        "bundle",
        ConfigMap {
            data: Some([("ca.crt".to_owned(), CERTIFICATE.to_owned())].into()),
            ..ConfigMap::default()
        },
    );
    resolved
}

fn valid(object: &PreviewDatabase, uri: &str) -> ValidPreview {
    validate(object, &usual(uri)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn wrong(object: &PreviewDatabase, uri: &str) -> Vec<Problem> {
    match validate(object, &usual(uri)) {
        Ok(valid) => panic!("nothing is wrong: {valid:#?}"),
        Err(problems) => problems,
    }
}

#[test]
fn the_smallest_spec_has_a_value_for_everything() {
    let preview = valid(&with_uri(""), URI);
    assert_eq!(
        (preview.namespace.as_str(), preview.name.as_str()),
        ("shop", "pr-1")
    );
    let target = preview.production.endpoint.target();
    assert_eq!(
        target.hosts.first().unwrap().address,
        Address::Tcp("prod.db.svc".into())
    );
    assert_eq!(target.sslmode, SslMode::VerifyFull);
    assert_eq!(target.sslrootcert, Some(RootCertificates::System));
    assert_eq!(
        target.options.as_deref(),
        Some("-c statement_timeout=30000")
    );
    assert_eq!(
        preview.production.statement_timeout,
        Duration::from_secs(30)
    );
    assert!(!preview.production.allow_writable_role);
    assert_eq!(preview.fresh, Fresh::Managed(Managed::default()));
    assert_eq!(preview.reclaim, ReclaimPolicy::Delete);
    assert_eq!(
        preview.tables,
        Tables {
            schemas: vec![],
            exclude: vec![],
            empty: vec![],
            sequence_gap: 1_000_000,
            max_copy_up_rows: 100_000,
            max_copy_up_bytes: 256 << 20,
        }
    );
    assert_eq!(preview.sync_interval, Duration::from_secs(60));
    assert_eq!(preview.on_conflict, OnConflict::Halt);
    assert_eq!((preview.expiration, preview.reset.as_deref()), (None, None));
    assert_eq!((preview.proxy.replicas, preview.proxy.port), (1, 5432));
    assert_eq!(
        (preview.proxy.max_clients, preview.proxy.production_sessions),
        (200, 8)
    );
    assert_eq!(preview.proxy.network, Network::Namespace);
    assert_eq!(
        preview.access,
        Access {
            secret_name: "pr-1-app".into(),
            username: "app".into(),
            database: "shop".into(),
        }
    );
    assert_eq!(preview.database(), "shop");
}

#[test]
fn parameters_stand_for_a_uri() {
    let preview = valid(
        &object(
            "  production:
    connection:
      parameters:
        host: prod.db.svc
        port: 5433
        database: shop
        username: {secretKeyRef: {name: prod, key: username}}
        password: {secretKeyRef: {name: prod, key: password}}
    tls: {ca: {configMapKeyRef: {name: bundle, key: ca.crt}}}
    statementTimeout: 1m30s
",
        ),
        URI,
    );
    let endpoint = &preview.production.endpoint;
    assert_eq!(
        endpoint.target_in(Path::new("/secrets")),
        Target {
            sslrootcert: Some(RootCertificates::File("/secrets/production-ca.crt".into())),
            options: Some("-c statement_timeout=90000".into()),
            ..Target::parse("postgres://reader:sesame@prod.db.svc:5433/shop?sslmode=verify-full")
                .unwrap()
        }
    );
    let files: Vec<_> = endpoint.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["production-ca.crt"]);
}

#[test]
fn the_spec_s_tls_counts_for_more_than_the_uri_s() {
    let ca = "ca: {secretKeyRef: {name: ca, key: ca.crt}}";
    for (tls, uri, mode, roots) in [
        ("", "", SslMode::VerifyFull, Some(RootCertificates::System)),
        (
            "",
            "?sslmode=prefer",
            SslMode::VerifyFull,
            Some(RootCertificates::System),
        ),
        ("", "?sslmode=disable", SslMode::Disable, None),
        ("", "?sslmode=require", SslMode::Require, None),
        (
            "",
            "?sslrootcert=system",
            SslMode::VerifyFull,
            Some(RootCertificates::System),
        ),
        (
            "mode: disable",
            "?sslmode=verify-full",
            SslMode::Disable,
            None,
        ),
        ("mode: require", "", SslMode::Require, None),
        (
            ca,
            "?sslmode=verify-ca",
            SslMode::VerifyCa,
            Some(RootCertificates::File("/s/production-ca.crt".into())),
        ),
    ] {
        let object = object(&format!(
            "  production:\n    connection: {{uri: {{secretKeyRef: {{name: prod, key: uri}}}}}}\n    tls: {{{tls}}}\n"
        ));
        let target = valid(&object, &format!("{URI}{uri}"))
            .production
            .endpoint
            .target_in(Path::new("/s"));
        assert_eq!(
            (target.sslmode, target.sslrootcert),
            (mode, roots),
            "{tls:?} over {uri:?}"
        );
    }
}

#[test]
fn a_client_certificate_is_handed_on_as_files() {
    let preview = valid(
        &object(
            "  production:
    connection: {uri: {secretKeyRef: {name: prod, key: uri}}}
    tls: {clientCertificate: {secretRef: {name: tls}}}
",
        ),
        URI,
    );
    let target = preview.production_from_fresh(Path::new("/etc/previewpg"));
    assert_eq!(
        target.sslcert.unwrap(),
        Path::new("/etc/previewpg/production-tls.crt")
    );
    assert_eq!(
        target.sslkey.unwrap(),
        Path::new("/etc/previewpg/production-tls.key")
    );
    assert!(!format!("{preview:?}").contains("BEGIN"), "keys are shown");
    assert!(
        !format!("{preview:?}").contains("sesame"),
        "passwords are shown"
    );
}

#[test]
fn a_server_of_the_user_s_holds_a_database_for_each_preview() {
    let preview = valid(
        &object(
            "  production:
    connection: {uri: {secretKeyRef: {name: prod, key: uri}}}
    tls: {ca: {secretKeyRef: {name: ca, key: ca.crt}}}
  fresh:
    connection:
      uri: {secretKeyRef: {name: fresh, key: uri}}
      productionCaPath: /etc/ssl/production.crt
    reclaimPolicy: Retain
",
        ),
        URI,
    );
    assert_eq!(preview.database(), "shop_pr-1");
    assert_eq!(preview.access.username, "shop_pr-1");
    assert_eq!(preview.access.database, "shop");
    assert_eq!(preview.reclaim, ReclaimPolicy::Retain);
    assert_eq!(
        preview
            .production_from_fresh(Path::new("/nowhere"))
            .sslrootcert,
        Some(RootCertificates::File("/etc/ssl/production.crt".into()))
    );
    let Fresh::Connection(connection) = preview.fresh else {
        panic!("another kind")
    };
    assert_eq!(connection.endpoint.target().sslmode, SslMode::Require);
}

#[test]
fn long_database_names_stay_apart() {
    let (one, other) = (
        database_name(&"n".repeat(40), &format!("{}1", "p".repeat(40))),
        database_name(&"n".repeat(40), &format!("{}2", "p".repeat(40))),
    );
    assert_ne!(one, other);
    assert_eq!((one.len(), other.len()), (63, 63));
    assert_ne!(database_name("a-b", "c"), database_name("a", "b-c"));
}

/// A replica of another name, say: the preview's changes are in the database that there is.
#[test]
fn a_managed_database_keeps_its_name() {
    let mut object = with_uri("");
    let first = valid(&object, URI);
    assert_eq!(
        (first.database(), first.access.database.as_str()),
        ("shop", "shop")
    );
    object.status = Some(PreviewDatabaseStatus {
        fresh: Some(DatabaseStatus {
            version: "18".into(),
            database: "shop".into(),
        }),
        ..PreviewDatabaseStatus::default()
    });
    let moved = valid(
        &object,
        "postgres://reader:sesame@replica.db.svc/shop_replica",
    );
    assert_eq!(
        (moved.database(), moved.access.database.as_str()),
        ("shop", "shop_replica")
    );
}

#[test]
fn sessions_on_production_are_shared_out() {
    for (replicas, most, size, each) in [
        (1, "", "", 8),
        (2, "", "", 4),
        (3, "", "", 2),
        (16, "maxConnections: 8", "", 1),
        (2, "maxConnections: 100", "", 50),
        (2, "maxConnections: 100", "productionPoolSize: 5", 5),
        (2, "maxConnections: 4", "productionPoolSize: 50", 2),
    ] {
        let preview = valid(
            &object(&format!(
                "  production: {{connection: {{uri: {{secretKeyRef: {{name: prod, key: uri}}}}}}, {most}}}\n  proxy: {{replicas: {replicas}, pool: {{{size}}}}}\n"
            )),
            URI,
        );
        assert_eq!(
            preview.proxy.production_sessions, each,
            "{replicas} proxies, {most:?}, {size:?}"
        );
    }
}

#[test]
fn a_life_ends_after_its_time_or_at_one() {
    for (lifetime, end) in [
        ("{}", None),
        ("{ttl: 72h}", Some("2026-01-04T00:00:00Z")),
        (
            "{expiresAt: \"2027-05-06T07:08:09Z\"}",
            Some("2027-05-06T07:08:09Z"),
        ),
    ] {
        let preview = valid(&with_uri(&format!("  lifetime: {lifetime}\n")), URI);
        assert_eq!(
            preview.expiration,
            end.map(|end| end.parse().unwrap()),
            "{lifetime}"
        );
    }
}

#[test]
fn a_reset_is_asked_for_by_annotation() {
    let mut object = with_uri("");
    object
        .annotations_mut()
        .insert(RESET_ANNOTATION.to_owned(), "2".to_owned());
    assert_eq!(valid(&object, URI).reset.as_deref(), Some("2"));
}

#[test]
fn a_certificate_of_the_user_s_is_shown() {
    let preview = valid(&with_uri("  proxy: {tls: {secretRef: {name: tls}}}\n"), URI);
    assert_eq!(
        preview.proxy.serving.unwrap().ca.as_deref(),
        Some(CERTIFICATE.trim_end())
    );
}

#[test]
fn what_is_wrong_has_a_reason_a_condition_and_a_message() {
    let tls = |tls: &str| {
        object(&format!(
            "  production: {{connection: {{uri: {{secretKeyRef: {{name: prod, key: uri}}}}}}, tls: {{{tls}}}}}\n"
        ))
    };
    let named = |name: &str| {
        object(&format!(
            "  production: {{connection: {{uri: {{secretKeyRef: {{name: {name}}}}}}}}}\n"
        ))
    };
    let production = ConditionType::ProductionReachable;
    for (object, uri, condition, reason, parts) in [
        (
            named("other, key: uri"),
            "",
            production,
            Reason::SecretNotFound,
            &["secret \"other\" key \"uri\"", "create it"][..],
        ),
        (
            named("prod, key: url"),
            "",
            production,
            Reason::SecretKeyNotFound,
            &[
                "secret \"prod\" key \"url\"",
                "only password, uri, username",
            ],
        ),
        (
            with_uri(""),
            "",
            production,
            Reason::SecretInvalid,
            &["secret \"prod\" key \"uri\"", "is empty"],
        ),
        (
            with_uri(""),
            "mysql://h/d",
            production,
            Reason::SecretInvalid,
            &["secret \"prod\" key \"uri\"", "connection string"],
        ),
        (
            with_uri(""),
            "postgres://prod.db.svc/shop",
            production,
            Reason::SecretInvalid,
            &["no user"],
        ),
        (
            with_uri(""),
            "postgres://u:sesame@/d?host=/var/run",
            production,
            Reason::SecretInvalid,
            &["directory"],
        ),
        (
            with_uri(""),
            "postgres://u:sesame@h/d?sslrootcert=/etc/passwd",
            production,
            Reason::SecretInvalid,
            &["spec.production.tls"],
        ),
        (
            with_uri(""),
            "postgres://u:sesame@h/d?sslkey=/etc/passwd",
            production,
            Reason::SecretInvalid,
            &["spec.production.tls"],
        ),
        (
            with_uri(""),
            "postgres://u:sesame@h/d?sslmode=verify-ca",
            production,
            Reason::InvalidSpec,
            &["spec.production.tls", "verify-ca needs ca"],
        ),
        (
            tls("ca: {secretKeyRef: {name: ca, key: ca.crt}}"),
            "postgres://u:sesame@h/d?sslmode=require",
            production,
            Reason::InvalidSpec,
            &["sslmode=require", "set mode"],
        ),
        (
            tls("ca: {secretKeyRef: {name: ca, key: nothing}}"),
            URI,
            production,
            Reason::SecretInvalid,
            &["secret \"ca\" key \"nothing\"", "no certificate"],
        ),
        (
            tls("ca: {configMapKeyRef: {name: none, key: ca.crt}}"),
            URI,
            production,
            Reason::ConfigMapNotFound,
            &["configmap \"none\" key \"ca.crt\""],
        ),
        (
            tls("ca: {configMapKeyRef: {name: bundle, key: none}}"),
            URI,
            production,
            Reason::ConfigMapKeyNotFound,
            &["configmap \"bundle\" key \"none\"", "only ca.crt"],
        ),
        (
            tls("clientCertificate: {secretRef: {name: half}}"),
            URI,
            production,
            Reason::SecretInvalid,
            &["secret \"half\" key \"tls.key\"", "private key"],
        ),
        (
            tls("clientCertificate: {secretRef: {name: ca}}"),
            URI,
            production,
            Reason::SecretKeyNotFound,
            &["secret \"ca\" key \"tls.crt\""],
        ),
        (
            with_uri("  proxy: {tls: {secretRef: {name: none}}}\n"),
            URI,
            ConditionType::ProxyAvailable,
            Reason::SecretNotFound,
            &["secret \"none\" key \"tls.crt\""],
        ),
        (
            with_uri("  proxy: {replicas: 0}\n"),
            URI,
            ConditionType::ProxyAvailable,
            Reason::InvalidSpec,
            &["spec.proxy.replicas"],
        ),
        (
            with_uri("  fresh: {connection: {uri: {secretKeyRef: {name: none, key: uri}}}}\n"),
            URI,
            ConditionType::FreshReady,
            Reason::SecretNotFound,
            &["secret \"none\""],
        ),
        (
            with_uri("  fresh: {managed: {storage: {size: 10GB}}}\n"),
            URI,
            ConditionType::FreshReady,
            Reason::InvalidSpec,
            &["spec.fresh.managed.storage.size", "\"10GB\""],
        ),
        (
            with_uri("  tables: {limits: {maxCopyUpBytes: 0}}\n"),
            URI,
            ConditionType::SchemaSynced,
            Reason::InvalidSpec,
            &["spec.tables.limits.maxCopyUpBytes"],
        ),
        (
            with_uri("  sync: {interval: 1s}\n"),
            URI,
            ConditionType::Ready,
            Reason::InvalidSpec,
            &["spec.sync.interval", "at least 10s"],
        ),
        (
            with_uri("  lifetime: {ttl: soon}\n"),
            URI,
            ConditionType::Ready,
            Reason::InvalidSpec,
            &["spec.lifetime.ttl", "\"soon\""],
        ),
        (
            with_uri("  access: {username: pg_admin}\n"),
            URI,
            ConditionType::Ready,
            Reason::InvalidSpec,
            &["spec.access.username", "reserved"],
        ),
        // Three bytes each: more than an identifier has.
        (
            with_uri("  access: {database: €€€€€€€€€€€€€€€€€€€€€€}\n"),
            URI,
            ConditionType::Ready,
            Reason::InvalidSpec,
            &["spec.access.database", "63 bytes"],
        ),
    ] {
        let problems = wrong(&object, uri);
        let [problem] = problems.as_slice() else {
            panic!("{uri:?}: {problems:#?}")
        };
        assert_eq!(
            (problem.condition, problem.reason),
            (condition, reason),
            "{problem}"
        );
        for part in parts {
            assert!(problem.message.contains(part), "{problem} lacks {part:?}");
        }
        assert!(!problem.message.contains("sesame"), "{problem}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let problems = wrong(
        &object(
            "  production: {connection: {uri: {secretKeyRef: {name: none, key: uri}}}, tls: {ca: {secretKeyRef: {name: no-ca, key: ca.crt}}}, statementTimeout: never}
  fresh: {connection: {uri: {secretKeyRef: {name: nothing, key: uri}}}}
  sync: {interval: 1s}
  lifetime: {ttl: 1s}
  proxy: {tls: {secretRef: {name: no-tls}}}
",
        ),
        URI,
    );
    let reasons: Vec<_> = problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(
        reasons,
        [
            Reason::SecretNotFound,
            Reason::SecretNotFound,
            Reason::InvalidSpec,
            Reason::SecretNotFound,
            Reason::InvalidSpec,
            Reason::InvalidSpec,
            Reason::SecretNotFound,
        ],
        "{problems:#?}"
    );
}

#[test]
fn names_that_no_service_has_are_refused() {
    for name in ["1-fix", "a.b", &"a".repeat(53), "a-", ""] {
        let mut object = with_uri("");
        object.metadata.name = Some(name.to_owned());
        let problems = wrong(&object, URI);
        assert!(
            problems
                .iter()
                .any(|problem| problem.message.contains("metadata.name")),
            "{name:?}: {problems:#?}"
        );
    }
}

#[test]
fn what_to_fetch_is_what_the_spec_names() {
    let references = References::of(
        &object(
            "  production:
    connection:
      parameters:
        host: h
        database: d
        username: {secretKeyRef: {name: a, key: username}}
        password: {secretKeyRef: {name: b, key: password}}
    tls:
      ca: {configMapKeyRef: {name: c, key: ca.crt}}
      clientCertificate: {secretRef: {name: d}}
  fresh:
    connection:
      uri: {secretKeyRef: {name: e, key: uri}}
      tls: {ca: {secretKeyRef: {name: f, key: ca.crt}}}
  proxy: {tls: {secretRef: {name: g}}}
",
        )
        .spec,
    );
    assert_eq!(
        references.secrets.into_iter().collect::<Vec<_>>(),
        ["a", "b", "d", "e", "f", "g"]
    );
    assert_eq!(
        references.config_maps.into_iter().collect::<Vec<_>>(),
        ["c"]
    );
}

#[test]
fn values_that_were_fetched_are_not_shown() {
    let shown = format!("{:?}", usual(URI));
    assert!(
        shown.contains("prod") && !shown.contains("sesame"),
        "{shown}"
    );
}
