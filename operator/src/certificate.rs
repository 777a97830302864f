//! The certificates that a preview's proxies show: a certificate authority for each preview, and a certificate of it for the Service's names.
//!
//! Pure but for the clock and the random numbers of the keys. Knows no Secrets.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

/// How long an authority is valid. Clients trust it by the access Secret, which follows a new one.
const AUTHORITY_DAYS: u64 = 3650;
/// How long a proxy's certificate is valid.
const SERVER_DAYS: u64 = 90;
/// A certificate is renewed when less than this part of its time is left: a third.
const RENEW_AT: u32 = 3;
/// Clocks differ: certificates are valid from a little before now.
const BACKDATE: Duration = Duration::from_secs(3600);

const DAY: Duration = Duration::from_secs(86_400);

/// A certificate or key can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't make the {what}")]
pub struct CertificateError {
    what: &'static str,
    #[source]
    source: rcgen::Error,
}

fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> CertificateError {
    move |source| CertificateError { what, source }
}

/// A certificate with its key, in PEM. `Debug` doesn't show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The end of its validity.
    pub not_after: SystemTime,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// When a certificate that ends at `not_after` and was valid for `days` is to be replaced.
fn renewal(not_after: SystemTime, days: u64) -> SystemTime {
    not_after
        .checked_sub(DAY * u32::try_from(days).unwrap_or(u32::MAX) / RENEW_AT)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When a proxy's certificate is to be replaced.
#[must_use]
pub fn server_renewal(not_after: SystemTime) -> SystemTime {
    renewal(not_after, SERVER_DAYS)
}

/// When an authority is to be replaced.
#[must_use]
pub fn authority_renewal(not_after: SystemTime) -> SystemTime {
    renewal(not_after, AUTHORITY_DAYS)
}

/// Makes an authority for one preview.
///
/// # Errors
/// When there's no randomness for its key.
pub fn authority(preview: &str, now: SystemTime) -> Result<Issued, CertificateError> {
    let key = KeyPair::generate().map_err(failed("authority's key"))?;
    let not_after = now + DAY * u32::try_from(AUTHORITY_DAYS).unwrap_or(u32::MAX);
    let certificate = authority_params(preview, now, not_after)
        .self_signed(&key)
        .map_err(failed("authority's certificate"))?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        not_after,
    })
}

/// Makes a certificate for these DNS names, signed by the preview's authority.
///
/// # Errors
/// When the authority's key can't be read, or a name is none.
pub fn server(
    preview: &str,
    authority: &Issued,
    names: &[String],
    now: SystemTime,
) -> Result<Issued, CertificateError> {
    let authority_key = KeyPair::from_pem(&authority.key).map_err(failed("authority's key"))?;
    // An issuer is its name and key: the same as in the authority's certificate, whatever its dates are.
    let params = authority_params(preview, now, authority.not_after);
    let issuer = Issuer::from_params(&params, &authority_key);
    let key = KeyPair::generate().map_err(failed("server's key"))?;
    let not_after = authority
        .not_after
        .min(now + DAY * u32::try_from(SERVER_DAYS).unwrap_or(u32::MAX));
    let mut params =
        CertificateParams::new(names.to_vec()).map_err(failed("server's certificate"))?;
    // The names are in the extension, where clients look for them; a common name has room for 64 characters only.
    params.distinguished_name = common_name("PreviewPG");
    set_validity(&mut params, now, not_after);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params
        .signed_by(&key, &issuer)
        .map_err(failed("server's certificate"))?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        not_after,
    })
}

fn authority_params(preview: &str, now: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("PreviewPG {preview}"));
    set_validity(&mut params, now, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(
        DnType::CommonName,
        name.chars().take(64).collect::<String>(),
    );
    distinguished
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, not_after: SystemTime) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |time: SystemTime| {
        let whole = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Duration::from_secs(whole)
    };
    params.not_before = epoch + since(now).saturating_sub(BACKDATE);
    params.not_after = epoch + since(not_after);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    #[test]
    fn a_client_that_trusts_the_authority_accepts_the_server() {
        let now = SystemTime::now();
        let ours = authority("shop-previews/pr-1", now).unwrap();
        let other = authority("shop-previews/pr-1", now).unwrap();
        let names = ["pr-1".to_owned(), "pr-1.shop-previews.svc".to_owned()];
        let issued = server("shop-previews/pr-1", &ours, &names, now).unwrap();

        let handshake = |root: &Issued, name: &'static str| -> Result<(), rustls::Error> {
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(root.certificate.as_bytes()).unwrap())
                .unwrap();
            let client = rustls::ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let server = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(
                    vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap(),
                )?;
            let mut client =
                rustls::ClientConnection::new(client.into(), name.try_into().unwrap())?;
            let mut server = rustls::ServerConnection::new(server.into())?;
            while client.is_handshaking() {
                let mut sent = Vec::new();
                client.write_tls(&mut sent).unwrap();
                server.read_tls(&mut sent.as_slice()).unwrap();
                server.process_new_packets()?;
                let mut sent = Vec::new();
                server.write_tls(&mut sent).unwrap();
                client.read_tls(&mut sent.as_slice()).unwrap();
                client.process_new_packets()?;
            }
            Ok(())
        };
        handshake(&ours, "pr-1.shop-previews.svc").unwrap();
        handshake(&ours, "pr-1").unwrap();
        assert!(handshake(&ours, "pr-2").is_err());
        assert!(handshake(&other, "pr-1").is_err());
    }

    #[test]
    fn certificates_are_renewed_before_they_end() {
        let now = SystemTime::now();
        let ours = authority("ns/one", now).unwrap();
        let issued = server("ns/one", &ours, &["one".to_owned()], now).unwrap();
        let at = server_renewal(issued.not_after);
        assert_eq!(at.duration_since(now).unwrap(), DAY * 60);
        assert!(at < issued.not_after && issued.not_after < ours.not_after);
        assert!(authority_renewal(ours.not_after) > now + DAY * 365);
    }

    #[test]
    fn no_key_is_shown() {
        let ours = authority("ns/one", SystemTime::now()).unwrap();
        assert!(!format!("{ours:?}").contains("PRIVATE"));
    }
}
