//! What is stored of a password.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, gen_salted_password};
use sha2::{Digest, Sha256};

/// The bytes of a salt, as PostgreSQL makes them.
const SALT: usize = 16;
/// The bytes of SHA-256's output.
const HASH: usize = 32;

/// A SCRAM-SHA-256 verifier, as PostgreSQL stores it (`pg_authid.rolpassword`). It isn't shown: guessing passwords begins with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    salt: Vec<u8>,
    iterations: usize,
    stored_key: [u8; HASH],
    server_key: [u8; HASH],
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// The text isn't `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SCRAM-SHA-256 verifier: expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>"
)]
pub struct VerifierError;

impl Verifier {
    /// Makes one of a password, with a random salt and 4096 iterations. Takes some milliseconds.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self::with_salt(password, &rand::random::<[u8; SALT]>(), SCRAM_ITERATIONS)
    }

    fn with_salt(password: &str, salt: &[u8], iterations: usize) -> Self {
        let salted = gen_salted_password(password, salt, iterations);
        let secret = ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, iterations);
        let (stored_key, server_key) = match secret {
            ScramSecret::Verifier {
                stored_key,
                server_key,
                ..
            } => (stored_key, server_key),
            // Never made by that function; no password fits these.
            ScramSecret::SaltedPassword { .. } => (Vec::new(), Vec::new()),
        };
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: stored_key.try_into().unwrap_or_else(|_| rand::random()),
            server_key: server_key.try_into().unwrap_or_else(|_| rand::random()),
        }
    }

    /// Reads one as PostgreSQL stores it.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let parse = || {
            let rest = text.strip_prefix("SCRAM-SHA-256$")?;
            let (parameters, keys) = rest.split_once('$')?;
            let (iterations, salt) = parameters.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            let key = |text| STANDARD.decode(text).ok()?.try_into().ok();
            Some(Self {
                salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
                iterations: iterations.parse().ok().filter(|count| *count > 0)?,
                stored_key: key(stored_key)?,
                server_key: key(server_key)?,
            })
        };
        parse().ok_or(VerifierError)
    }

    /// Whether it is this password's. Takes some milliseconds.
    #[must_use]
    pub fn fits(&self, password: &str) -> bool {
        Self::with_salt(password, &self.salt, self.iterations) == *self
    }

    /// As PostgreSQL stores it, for `CREATE ROLE .. PASSWORD '..'`.
    #[must_use]
    pub fn to_postgres(&self) -> String {
        format!(
            "SCRAM-SHA-256${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key),
        )
    }

    /// A verifier that no password fits, for a user that doesn't exist: the same salt for the same name, as long as the process lives.
    pub(super) fn mock(user: &str) -> Self {
        static NONCE: OnceLock<[u8; HASH]> = OnceLock::new();
        let nonce = NONCE.get_or_init(rand::random);
        let hash = Sha256::new()
            .chain_update(nonce)
            .chain_update(user)
            .finalize();
        Self {
            salt: hash.iter().copied().take(SALT).collect(),
            iterations: SCRAM_ITERATIONS,
            stored_key: rand::random(),
            server_key: rand::random(),
        }
    }

    pub(super) fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: self.stored_key.to_vec(),
            server_key: self.server_key.to_vec(),
        }
    }
}
