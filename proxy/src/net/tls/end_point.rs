//! RFC 5929 `tls-server-end-point`: the hash of the server's certificate, by the hash of its signature.

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The DER encodings of the signature algorithms' object identifiers.
mod oid {
    pub(super) const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04];
    pub(super) const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
    pub(super) const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    pub(super) const SHA384_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
    pub(super) const SHA512_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
    pub(super) const SHA224_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0e];
    pub(super) const SHA1_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
    pub(super) const SHA224_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x01];
    pub(super) const SHA256_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    pub(super) const SHA384_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    pub(super) const SHA512_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The hash that SCRAM is bound to. `None` where the signature has no single hash (Ed25519, RSA-PSS): such a
/// connection can't be bound, and `-PLUS` isn't offered.
#[must_use]
pub fn tls_server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let der = certificate.as_ref();
    Some(match signature_algorithm(der)? {
        oid::MD5_RSA | oid::SHA1_RSA | oid::SHA1_ECDSA | oid::SHA256_RSA | oid::SHA256_ECDSA => {
            Sha256::digest(der).to_vec()
        }
        oid::SHA224_RSA | oid::SHA224_ECDSA => Sha224::digest(der).to_vec(),
        oid::SHA384_RSA | oid::SHA384_ECDSA => Sha384::digest(der).to_vec(),
        oid::SHA512_RSA | oid::SHA512_ECDSA => Sha512::digest(der).to_vec(),
        _ => return None,
    })
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { algorithm OBJECT IDENTIFIER, .. }, .. }`
fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    Some(oid)
}

/// The content of the element at the start, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, short], rest) = der.split_first_chunk::<2>()?;
    if first != tag {
        return None;
    }
    if short < 0x80 {
        return rest.split_at_checked(usize::from(short));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
    if bytes.len() > 4 {
        return None;
    }
    let length = bytes
        .iter()
        .fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}
