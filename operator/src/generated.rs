//! What the operator makes up for a preview: passwords, an authority and a certificate. It's made once and read back from the preview's Secrets
//! ever after; what is missing there, or about to end, is made anew. Pure but for the random numbers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;

use crate::build::secret::{
    AUTHORITY, AUTHORITY_KEY, CERTIFICATE, CERTIFICATE_KEY, FRESH_PASSWORD, PASSWORD,
};
use crate::certificate::{self, CertificateError, Issued};

/// The annotation of the internal Secret that says how long the authority is valid.
pub const AUTHORITY_UNTIL: &str = "previewpg.dev/authority-not-after";
/// The annotation of the internal Secret that says how long the proxies' certificate is valid.
pub const SERVER_UNTIL: &str = "previewpg.dev/certificate-not-after";
/// The annotation of the internal Secret with the names in the proxies' certificate.
pub const SERVER_NAMES: &str = "previewpg.dev/certificate-names";

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
    /// The proxies' certificate.
    pub server: Issued,
    /// The names in it.
    pub server_names: Vec<String>,
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
        certificate::server_renewal(self.server.not_after)
            .min(certificate::authority_renewal(self.authority.not_after))
    }
}

/// Reads back what the Secrets hold, and makes what they don't. `preview` is the object as `namespace/name`, `names` are those that the
/// proxies' certificate is for.
///
/// # Errors
/// When there's no randomness, or a name can't be in a certificate.
pub fn read_or_make(
    preview: &str,
    access: Option<&Secret>,
    internal: Option<&Secret>,
    names: &[String],
    now: SystemTime,
) -> Result<Generated, CertificateError> {
    let authority = internal
        .and_then(|secret| issued(secret, AUTHORITY, AUTHORITY_KEY, AUTHORITY_UNTIL))
        .filter(|authority| now < certificate::authority_renewal(authority.not_after));
    let (authority, known) = match authority {
        Some(authority) => (authority, true),
        None => (certificate::authority(preview, now)?, false),
    };
    let server = internal
        .filter(|_| known)
        .filter(|secret| {
            annotation(secret, SERVER_NAMES).is_some_and(|text| text == names.join(","))
        })
        .and_then(|secret| issued(secret, CERTIFICATE, CERTIFICATE_KEY, SERVER_UNTIL))
        .filter(|server| now < certificate::server_renewal(server.not_after));
    let server = match server {
        Some(server) => server,
        None => certificate::server(preview, &authority, names, now)?,
    };
    Ok(Generated {
        app_password: password_in(access, PASSWORD),
        fresh_password: password_in(internal, FRESH_PASSWORD),
        authority,
        server,
        server_names: names.to_vec(),
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

    fn names() -> Vec<String> {
        vec!["pr-1".to_owned(), "pr-1.shop.svc".to_owned()]
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
        for (names, now) in [(names(), later), (vec!["pr-1".to_owned()], now)] {
            let again =
                read_or_make("shop/pr-1", Some(&access), Some(&internal), &names, now).unwrap();
            assert!(again.authority == made.authority);
            assert!(again.server.certificate != made.server.certificate);
            assert!(again.app_password == made.app_password);
        }
        assert!(made.renewal() < later);
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
