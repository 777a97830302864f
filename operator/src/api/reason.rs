//! Why a condition is as it is, and why an event was recorded: the one home of these words.

use std::fmt;

/// Makes the enum, its names and the list of all from one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is, or why an event was recorded. Stable: alerts and scripts may depend on these words; each has its
        /// entry in docs/operations.md, with what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in conditions and events.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    // All is well.
    /// Ready: the preview serves as the spec says.
    Serving,
    /// ProductionReachable, FreshReady: connected, logged in, and everything needed is there.
    Connected,
    /// SchemaSynced: the preview has production's schema as of the last check.
    InSync,
    /// ProxyAvailable: enough proxy pods take connections.
    Available,

    // Being worked on.
    /// The operator is at work; the message says at what.
    Reconciling,
    /// A step waits for an earlier one that hasn't succeeded; the condition of that one says why.
    Waiting,
    /// The managed PostgreSQL's pod isn't ready yet.
    FreshStarting,
    /// The preview's changes are being dropped, as the annotation or `sync.onConflict` asks.
    Resetting,
    /// The object is being deleted.
    Deleting,

    // The spec, or what it refers to.
    /// The spec asks for something that can't be, which the API server couldn't tell.
    InvalidSpec,
    /// A Secret that the spec names isn't there.
    SecretNotFound,
    /// A Secret that the spec names lacks a key.
    SecretKeyNotFound,
    /// A Secret's value can't be used: not a connection URI, not UTF-8, not a certificate.
    SecretInvalid,
    /// A ConfigMap that the spec names isn't there.
    ConfigMapNotFound,
    /// A ConfigMap that the spec names lacks a key.
    ConfigMapKeyNotFound,
    /// A ConfigMap's value can't be used: not a certificate.
    ConfigMapInvalid,
    /// An object, or a database on the server, has a name that the preview needs and belongs to somebody else.
    NameConflict,
    /// The API server refuses the operator a call: a right is missing, or an admission policy objects.
    Forbidden,

    // Databases.
    /// Nothing answers at the host and port, its name can't be resolved, or the server takes no connections now.
    ConnectionRefused,
    /// The server doesn't accept the role or its password.
    AuthenticationFailed,
    /// TLS failed: the certificate isn't trusted or is for another name, or the server has no TLS.
    CertificateInvalid,
    /// The database named in the connection doesn't exist.
    DatabaseNotFound,
    /// The server's version is too old, or fresh is older than production.
    VersionUnsupported,
    /// The role lacks a right that's needed.
    PermissionDenied,
    /// The role can write on production, and the spec doesn't allow that.
    ProductionRoleCanWrite,
    /// Fresh's database can't hold production's text, or production's locale isn't known on fresh's server.
    LocaleUnsupported,
    /// The operator's image lacks a `pg_dump` and `pg_restore` that can be run.
    ProgramsMissing,
    /// A step took longer than it may.
    TimedOut,
    /// Fresh's disk is full.
    DiskFull,
    /// A statement of ours failed in a way that has no name of its own; the message has the server's words.
    DatabaseError,

    // The schema.
    /// Some of production's relations can't be served; the rest is.
    UnsupportedTable,
    /// Production's schema changed in a way that collides with the preview's own; nothing more is brought in.
    DriftHalted,
    /// Production's schema changed and the change was brought in.
    SchemaChanged,

    // The proxies.
    /// Too few proxy pods take connections.
    ProxyUnavailable,

    // Its life.
    /// Its time is over; it's deleted.
    Expired,
    /// The preview's changes were dropped, as asked.
    ResetDone,
    /// The preview's database, or its volume, was dropped with the object.
    DatabaseDropped,
    /// The preview's database, or its volume, was kept when the object was deleted.
    DatabaseRetained,
    /// The preview's database couldn't be dropped in time; the object was let go.
    CleanupAbandoned,

    // Us.
    /// A defect of the operator, or something that it doesn't know; the message and its log say more.
    InternalError,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// metav1.Condition's own pattern and length.
    #[test]
    fn names_are_valid_in_conditions() {
        for reason in Reason::ALL {
            let name = reason.as_str();
            assert!(
                name.len() <= 64
                    && name.starts_with(|first: char| first.is_ascii_uppercase())
                    && name.chars().all(|each| each.is_ascii_alphanumeric()),
                "{name}"
            );
        }
    }
}
