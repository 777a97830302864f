//! The preview's Secrets: what applications log in with, and what only the preview's own pods need.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{KeyToPath, Secret};

use super::Frame;
use super::names::Component;
use crate::generated::{AUTHORITY_UNTIL, Generated, moment};

/// Production's connection string, for proxies.
pub const PRODUCTION: &str = "production";
/// Fresh's connection string, for proxies.
pub const FRESH: &str = "fresh";
/// The managed PostgreSQL's superuser's password.
pub const FRESH_PASSWORD: &str = "fresh-password";
/// The certificates that production's is signed by.
pub const PRODUCTION_CA: &str = "production-ca.crt";
/// The certificate that logs in at production.
pub const PRODUCTION_CERTIFICATE: &str = "production-tls.crt";
/// Its key.
pub const PRODUCTION_KEY: &str = "production-tls.key";
/// The certificates that fresh's is signed by.
pub const FRESH_CA: &str = "fresh-ca.crt";
/// The certificate that logs in at fresh.
pub const FRESH_CERTIFICATE: &str = "fresh-tls.crt";
/// Its key.
pub const FRESH_KEY: &str = "fresh-tls.key";
/// The certificate that the managed PostgreSQL shows.
pub const FRESH_SERVER_CERTIFICATE: &str = "fresh-server.crt";
/// Its key.
pub const FRESH_SERVER_KEY: &str = "fresh-server.key";
/// The files that whoever connects to production needs, those that there are.
pub const PRODUCTION_FILES: [&str; 3] = [PRODUCTION_CA, PRODUCTION_CERTIFICATE, PRODUCTION_KEY];
/// The files that whoever connects to fresh needs, those that there are.
pub const FRESH_FILES: [&str; 3] = [FRESH_CA, FRESH_CERTIFICATE, FRESH_KEY];
/// The preview's authority.
pub const AUTHORITY: &str = "ca.crt";
/// Its key. Mounted by nobody.
pub const AUTHORITY_KEY: &str = "ca.key";
/// The proxies' certificate.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const CERTIFICATE_KEY: &str = "tls.key";
/// A certificate of the user's that the proxies show instead.
pub const SERVING_CERTIFICATE: &str = "serving.crt";
/// Its key.
pub const SERVING_KEY: &str = "serving.key";
/// The key of the app role's password in the access Secret.
pub const PASSWORD: &str = "password";

/// What applications need to know.
#[derive(Debug)]
pub struct Access<'a> {
    /// The Secret's name.
    pub name: &'a str,
    /// The Service's name as it's seen from any namespace.
    pub host: &'a str,
    /// The Service's port.
    pub port: u16,
    /// The database's name that applications see.
    pub database: &'a str,
    /// The role.
    pub username: &'a str,
    /// Who signs the certificate that the proxies show; absent: it isn't known.
    pub authority: Option<&'a str>,
}

/// The access Secret.
#[must_use]
pub fn access(frame: &Frame<'_>, access: &Access<'_>, password: &str) -> Secret {
    let Access {
        name,
        host,
        port,
        database,
        username,
        authority,
    } = access;
    let location = format!("{host}:{port}/{}", percent(database));
    let credentials = format!("{}:{}", percent(username), percent(password));
    let mut texts = vec![
        ("host", (*host).to_owned()),
        ("port", port.to_string()),
        ("dbname", (*database).to_owned()),
        ("username", (*username).to_owned()),
        (PASSWORD, password.to_owned()),
        (
            "uri",
            format!("postgresql://{credentials}@{location}?sslmode=require"),
        ),
        (
            "jdbc-uri",
            format!(
                "jdbc:postgresql://{location}?user={}&password={}&sslmode=require",
                percent(username),
                percent(password)
            ),
        ),
        (
            "pgpass",
            format!(
                "{}:{port}:{}:{}:{}\n",
                pgpass(host),
                pgpass(database),
                pgpass(username),
                pgpass(password)
            ),
        ),
    ];
    if let Some(authority) = authority {
        texts.push((AUTHORITY, (*authority).to_owned()));
    }
    Secret {
        metadata: frame.metadata(name, Component::Proxy),
        type_: Some("Opaque".to_owned()),
        data: Some(
            texts
                .into_iter()
                .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// The Secret that only the preview's own pods mount. `files` are those of production and fresh, by key.
#[must_use]
pub fn internal(
    frame: &Frame<'_>,
    generated: &Generated,
    files: BTreeMap<&'static str, Vec<u8>>,
) -> Secret {
    let mut data: BTreeMap<String, ByteString> = files
        .into_iter()
        .map(|(key, bytes)| (key.to_owned(), ByteString(bytes)))
        .collect();
    let mut annotations = BTreeMap::from([(
        AUTHORITY_UNTIL.to_owned(),
        moment(generated.authority.not_after),
    )]);
    let mut texts = vec![
        (FRESH_PASSWORD, &generated.fresh_password),
        (AUTHORITY, &generated.authority.certificate),
        (AUTHORITY_KEY, &generated.authority.key),
    ];
    for (kept, shown) in generated.shown() {
        texts.push((kept.certificate, &shown.issued.certificate));
        texts.push((kept.key, &shown.issued.key));
        annotations.insert(kept.until.to_owned(), moment(shown.issued.not_after));
        annotations.insert(kept.names.to_owned(), shown.names.join(","));
    }
    for (key, text) in texts {
        data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
    }
    let mut metadata = frame.metadata(&frame.names.internal, Component::Proxy);
    metadata.annotations = Some(annotations);
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// The keys of a Secret that a volume shows as files.
#[must_use]
pub fn items<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<KeyToPath> {
    keys.into_iter()
        .map(|key| KeyToPath {
            key: key.to_owned(),
            path: key.to_owned(),
            mode: None,
        })
        .collect()
}

/// Percent-encodes a part of a URI.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// A field of a password file (PostgreSQL's documentation, "The Password File").
fn pgpass(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use previewpg_proxy::net::target::{Host, SslMode, Target};

    #[test]
    fn the_access_secret_says_everything_in_every_way() {
        let frame = super::super::tests::frame();
        let secret = access(
            &frame,
            &Access {
                name: "pr-1-app",
                host: "pr-1.shop.svc",
                port: 5433,
                database: "my shop",
                username: "app",
                authority: Some("PEM"),
            },
            "s:e/c@r\\et",
        );
        let text = |key: &str| {
            let data = secret.data.as_ref().unwrap();
            String::from_utf8(data.get(key).unwrap().0.clone()).unwrap()
        };
        let target: Target = text("uri").parse().unwrap();
        assert_eq!(
            target.hosts,
            [Host {
                address: previewpg_proxy::net::target::Address::Tcp("pr-1.shop.svc".to_owned()),
                port: 5433
            }]
        );
        assert_eq!(target.password.unwrap().expose(), "s:e/c@r\\et");
        assert_eq!(
            (target.database.as_str(), target.sslmode),
            ("my shop", SslMode::Require)
        );
        assert_eq!(
            text("jdbc-uri"),
            "jdbc:postgresql://pr-1.shop.svc:5433/my%20shop?user=app&password=s%3Ae%2Fc%40r%5Cet&sslmode=require"
        );
        assert_eq!(
            text("pgpass"),
            "pr-1.shop.svc:5433:my shop:app:s\\:e/c@r\\\\et\n"
        );
        for (key, value) in [
            ("host", "pr-1.shop.svc"),
            ("port", "5433"),
            ("dbname", "my shop"),
            ("username", "app"),
            ("password", "s:e/c@r\\et"),
            ("ca.crt", "PEM"),
        ] {
            assert_eq!(text(key), value, "{key}");
        }
    }
}
