//! What the operator makes up for a preview: passwords, an authority and a certificate. It's made once and read back from the preview's Secrets
//! ever after; what is missing there, or about to end, is made anew. Pure but for the random numbers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;

use crate::build::secret::{
    AUTHORITY, AUTHORITY_KEY, CERTIFICATE, CERTIFICATE_KEY, FRESH_PASSWORD,
    FRESH_SERVER_CERTIFICATE, FRESH_SERVER_KEY, PASSWORD,
};
use crate::certificate::{self, CertificateError, Issued};

/// The annotation of the internal Secret that says how long the authority is valid.
pub const AUTHORITY_UNTIL: &str = "previewpg.dev/authority-not-after";

/// A certificate that the preview's authority signs: where the internal Secret has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The key of the certificate.
    pub certificate: &'static str,
    /// The key of its key.
    pub key: &'static str,
    /// The annotation that says how long it's valid.
    pub until: &'static str,
    /// The annotation with the names in it.
    pub names: &'static str,
}

/// What the proxies show to applications.
pub const PROXY: Kept = Kept {
    certificate: CERTIFICATE,
    key: CERTIFICATE_KEY,
    until: "previewpg.dev/certificate-not-after",
    names: "previewpg.dev/certificate-names",
};
/// What the managed PostgreSQL shows to proxies and the operator.
pub const FRESH: Kept = Kept {
    certificate: FRESH_SERVER_CERTIFICATE,
    key: FRESH_SERVER_KEY,
    until: "previewpg.dev/fresh-certificate-not-after",
    names: "previewpg.dev/fresh-certificate-names",
};

/// The length of a password that we make, in characters of 62: about 190 bits.
const PASSWORD_LENGTH: usize = 32;

/// What was made up. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Generated {
    /// The app role's password.
    pub app_password: String,
    /// The managed PostgreSQL's superuser's password.
    pub fresh_password: String,
    /// The preview's authority.
    pub authority: Issued,
    /// What the proxies show.
    pub proxy: Shown,
    /// What the managed PostgreSQL shows, if there is one.
    pub fresh: Option<Shown>,
}

/// A certificate that the preview's authority has signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// It, with its key.
    pub issued: Issued,
    /// The names in it.
    pub names: Vec<String>,
}

/// The names that certificates are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// The proxies' names.
    pub proxy: Vec<String>,
    /// The managed PostgreSQL's; `None`: there is none.
    pub fresh: Option<Vec<String>>,
}

impl std::fmt::Debug for Generated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generated").finish_non_exhaustive()
    }
}

impl Generated {
    /// When the next certificate is to be made.
    #[must_use]
    pub fn renewal(&self) -> SystemTime {
        self.shown()
            .map(|(_, shown)| certificate::server_renewal(shown.issued.not_after))
            .fold(
                certificate::authority_renewal(self.authority.not_after),
                SystemTime::min,
            )
    }

    /// The certificates that servers of the preview show, and where the internal Secret has them.
    pub fn shown(&self) -> impl Iterator<Item = (Kept, &Shown)> {
        std::iter::once((PROXY, &self.proxy)).chain(self.fresh.as_ref().map(|shown| (FRESH, shown)))
    }
}

/// Reads back what the Secrets hold, and makes what they don't. `preview` is the object as `namespace/name`.
///
/// # Errors
/// When there's no randomness, or a name can't be in a certificate.
pub fn read_or_make(
    preview: &str,
    access: Option<&Secret>,
    internal: Option<&Secret>,
    names: &CertificateNames,
    now: SystemTime,
) -> Result<Generated, CertificateError> {
    let authority = internal
        .and_then(|secret| issued(secret, AUTHORITY, AUTHORITY_KEY, AUTHORITY_UNTIL))
        .filter(|authority| now < certificate::authority_renewal(authority.not_after));
    let (authority, known) = match authority {
        Some(authority) => (authority, true),
        None => (certificate::authority(preview, now)?, false),
    };
    let shown = |kept: Kept, names: &[String]| -> Result<Shown, CertificateError> {
        let there = internal
            .filter(|_| known)
            .filter(|secret| {
                annotation(secret, kept.names).is_some_and(|text| text == names.join(","))
            })
            .and_then(|secret| issued(secret, kept.certificate, kept.key, kept.until))
            .filter(|issued| now < certificate::server_renewal(issued.not_after));
        Ok(Shown {
            issued: match there {
                Some(issued) => issued,
                None => certificate::server(preview, &authority, names, now)?,
            },
            names: names.to_vec(),
        })
    };
    let CertificateNames { proxy, fresh } = names;
    let proxy = shown(PROXY, proxy)?;
    let fresh = fresh
        .as_deref()
        .map(|names| shown(FRESH, names))
        .transpose()?;
    Ok(Generated {
        app_password: password_in(access, PASSWORD),
        fresh_password: password_in(internal, FRESH_PASSWORD),
        authority,
        proxy,
        fresh,
    })
}

/// A password that a Secret holds already, or a new one.
fn password_in(secret: Option<&Secret>, key: &str) -> String {
    secret
        .and_then(|secret| text(secret, key))
        .filter(|password| !password.is_empty() && !password.contains('\0'))
        .unwrap_or_else(password)
}

/// A new password, of letters and digits.
#[must_use]
pub fn password() -> String {
    use rand::Rng as _;
    rand::rng()
        .sample_iter(rand::distr::Alphanumeric)
        .take(PASSWORD_LENGTH)
        .map(char::from)
        .collect()
}

fn issued(secret: &Secret, certificate: &str, key: &str, until: &str) -> Option<Issued> {
    Some(Issued {
        certificate: text(secret, certificate)?,
        key: text(secret, key)?,
        not_after: annotation(secret, until)?.parse::<Timestamp>().ok()?.into(),
    })
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}

fn annotation<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    let annotations: &BTreeMap<String, String> = secret.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

/// A moment as annotations have it (RFC 3339), to the second.
#[must_use]
pub fn moment(time: SystemTime) -> String {
    let whole = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Duration::ZERO, |since| Duration::from_secs(since.as_secs()));
    Timestamp::UNIX_EPOCH
        .checked_add(whole)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::build::secret;
    use crate::build::tests::frame;

    fn names() -> CertificateNames {
        CertificateNames {
            proxy: vec!["pr-1".to_owned(), "pr-1.shop.svc".to_owned()],
            fresh: Some(vec!["pr-1-fresh.shop.svc".to_owned()]),
        }
    }

    fn stored(generated: &Generated) -> (Secret, Secret) {
        let frame = frame();
        let access = secret::Access {
            name: "pr-1-app",
            host: "pr-1.shop.svc",
            port: 5432,
            database: "shop",
            username: "app",
            authority: None,
        };
        (
            secret::access(&frame, &access, &generated.app_password),
            secret::internal(&frame, generated, BTreeMap::new()),
        )
    }

    fn whole_second() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn what_was_made_is_read_back() {
        let now = whole_second();
        let made = read_or_make("shop/pr-1", None, None, &names(), now).unwrap();
        let (access, internal) = stored(&made);
        let again = read_or_make(
            "shop/pr-1",
            Some(&access),
            Some(&internal),
            &names(),
            now + Duration::from_secs(86_400 * 59),
        )
        .unwrap();
        assert!(made == again);
        assert_eq!(made.app_password.len(), PASSWORD_LENGTH);
        assert_ne!(made.app_password, made.fresh_password);
    }

    #[test]
    fn a_certificate_is_renewed_in_time_and_for_other_names() {
        let now = whole_second();
        let made = read_or_make("shop/pr-1", None, None, &names(), now).unwrap();
        let (access, internal) = stored(&made);
        let later = now + Duration::from_secs(86_400 * 61);
        let renamed = CertificateNames {
            proxy: vec!["pr-1".to_owned()],
            fresh: Some(vec!["pr-1-fresh".to_owned()]),
        };
        for (names, now) in [(names(), later), (renamed, now)] {
            let again =
                read_or_make("shop/pr-1", Some(&access), Some(&internal), &names, now).unwrap();
            assert!(again.authority == made.authority);
            assert!(again.proxy.issued.certificate != made.proxy.issued.certificate);
            assert!(again.fresh.unwrap() != made.fresh.clone().unwrap());
            assert!(again.app_password == made.app_password);
        }
        assert!(made.renewal() < later);
    }

    #[test]
    fn proxies_and_postgresql_show_different_certificates() {
        let made = read_or_make("shop/pr-1", None, None, &names(), whole_second()).unwrap();
        let fresh = made.fresh.as_ref().unwrap();
        assert!(fresh.issued.key != made.proxy.issued.key);
        let (_, internal) = stored(&made);
        let annotations = internal.metadata.annotations.unwrap();
        assert_eq!(annotations[FRESH.names], "pr-1-fresh.shop.svc");
        let without = CertificateNames {
            fresh: None,
            ..names()
        };
        let made = read_or_make("shop/pr-1", None, None, &without, whole_second()).unwrap();
        assert!(made.fresh.is_none());
        assert!(!stored(&made).1.data.unwrap().contains_key(FRESH.key));
    }

    #[test]
    fn a_password_that_somebody_chose_counts() {
        let now = whole_second();
        let made = read_or_make("shop/pr-1", None, None, &names(), now).unwrap();
        let (mut access, internal) = stored(&made);
        access.data.as_mut().unwrap().insert(
            PASSWORD.to_owned(),
            k8s_openapi::ByteString(b"chosen".to_vec()),
        );
        let again =
            read_or_make("shop/pr-1", Some(&access), Some(&internal), &names(), now).unwrap();
        assert_eq!(again.app_password, "chosen");
        assert!(!format!("{again:?}").contains("chosen"));
    }
}
