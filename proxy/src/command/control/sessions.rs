//! The control plane as sessions know it.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{ANSWER_WITHIN, Control, lock, within};
use crate::catalog::model::Oid;
use crate::command::error::explain;
use crate::session::Hooks;
use crate::session::server::{Hooked, Lost};
use crate::wire::startup::CancelRequest;

/// What a cancel request is told to other replicas by: who knows the session's key finds it, and who listens doesn't learn the key.
pub(super) fn cancel_digest(process: u32, secret: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(process.to_be_bytes());
    hasher.update(secret);
    hasher.finalize().iter().fold(
        String::with_capacity(2 * Sha256::output_size()),
        |text, byte| format!("{text}{byte:02x}"),
    )
}

/// The session's process and the digest, as another replica told them.
pub(super) fn cancel_told(payload: &str) -> Option<(u32, &str)> {
    let (process, digest) = payload.split_once(' ')?;
    Some((process.parse().ok()?, digest))
}

/// The control plane as sessions know it.
#[derive(Debug)]
pub struct ForSessions(pub Arc<Control>);

impl Hooks for ForSessions {
    fn mark_dirty(&self, relations: Vec<Oid>) -> Hooked {
        {
            let settled = lock(&self.0.settled);
            if relations.iter().all(|oid| settled.contains(oid)) {
                return Box::pin(std::future::ready(Ok(())));
            }
        }
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.insist(|| control.mark(&relations)).await })
    }

    fn changing(&self, own: Option<u32>) -> Hooked {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.insist(|| control.announce_changes(own)).await })
    }

    fn reload(&self) -> Hooked {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.insist(|| control.publish()).await })
    }

    fn current(&self) -> Hooked {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.valid().await })
    }

    fn cancel_elsewhere(&self, request: &CancelRequest) -> Hooked {
        let line = self.0.line.load_full();
        let digest = cancel_digest(request.process, &request.secret);
        let told = format!("{} {digest}", request.process);
        Box::pin(async move {
            let line = line.ok_or(Lost)?;
            let told = within(ANSWER_WITHIN, line.cancel(&told)).await;
            told.map_err(|error| {
                tracing::debug!(error = %explain(&error), "a cancel request did not reach the other replicas");
                Lost
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_request_is_told_without_its_key() {
        let digest = cancel_digest(4711, b"\x01\x02\x03\x04");
        let payload = format!("4711 {digest}");
        assert_eq!(cancel_told(&payload), Some((4711, digest.as_str())));
        assert_eq!(digest.len(), 64);
        assert_ne!(digest, cancel_digest(4711, b"\x01\x02\x03\x05"));
        assert_ne!(digest, cancel_digest(4712, b"\x01\x02\x03\x04"));
        for nonsense in ["", "4711", "x y", "-1 a"] {
            assert_eq!(cancel_told(nonsense), None, "{nonsense:?}");
        }
    }
}
