//! Why an object couldn't be reconciled, where that's no condition of the object.

use crate::apply::ApplyError;
use crate::certificate::CertificateError;

/// It's tried again later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a call or couldn't be reached.
    #[error("{what} failed")]
    Api {
        /// What was to be done.
        what: &'static str,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// A child couldn't be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A certificate couldn't be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The proxies' configuration can't be written: a defect.
    #[error("the proxies' configuration can't be written")]
    Config(#[from] serde_saphyr::ser::Error),
    /// The API server didn't answer in time.
    #[error("the API server didn't answer in time")]
    TimedOut,
    /// A deleted object's database isn't gone yet.
    #[error("the preview's database isn't gone yet")]
    NotYet(std::time::Duration),
    /// The operator is ending.
    #[error("the operator is ending")]
    Ending(#[from] kube::runtime::reflector::store::WriterDropped),
    /// The finalizer couldn't be set or removed.
    #[error("the finalizer couldn't be set or removed")]
    Finalizer(#[source] Box<kube::runtime::finalizer::Error<Error>>),
}

impl Error {
    /// Wraps what the API server answered.
    pub fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { what, source }
    }

    /// What the API server said, if that's it.
    fn status(&self) -> Option<&kube::core::Status> {
        let source = match self {
            Self::Api { source, .. } | Self::Apply(ApplyError::Api { source, .. }) => source,
            Self::Finalizer(error) => match &**error {
                kube::runtime::finalizer::Error::ApplyFailed(error)
                | kube::runtime::finalizer::Error::CleanupFailed(error) => return error.status(),
                kube::runtime::finalizer::Error::AddFinalizer(source)
                | kube::runtime::finalizer::Error::RemoveFinalizer(source) => source,
                _ => return None,
            },
            _ => return None,
        };
        match source {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// It's only to be waited for, so long.
    #[must_use]
    pub fn not_yet(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotYet(wait) => Some(*wait),
            Self::Finalizer(error) => match &**error {
                kube::runtime::finalizer::Error::CleanupFailed(error) => error.not_yet(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The API server refuses: a right is missing, or an admission policy objects. The message is its own.
    #[must_use]
    pub fn forbidden(&self) -> Option<&str> {
        self.status()
            .filter(|status| status.code == 403)
            .map(|status| status.message.as_str())
    }

    /// The API server finds an object invalid. The message is its own.
    #[must_use]
    pub fn invalid(&self) -> Option<&str> {
        self.status()
            .filter(|status| matches!(status.code, 400 | 422))
            .map(|status| status.message.as_str())
    }

    /// Somebody else changed the object in between, or it's gone: trying again helps, and nobody need know.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|status| matches!(status.code, 404 | 409))
    }
}
