//! How the embedded server is configured: values and the text of its files.

use std::path::Path;

pub use crate::preview::likeness::{Likeness, LocaleProvider, identifier, literal};

/// The owner of everything of ours in an embedded server: its superuser.
pub const OWNER: &str = "previewpg";

/// The text of `postgresql.auto.conf`'s neighbour, `previewpg.conf`: small, private, quick to start. A server that is thrown away
/// afterwards (`kept` is false) needs no care for its disk.
#[must_use]
pub fn configuration(
    socket_directory: &Path,
    kept: bool,
    max_prepared_transactions: u32,
) -> String {
    let mut text = format!(
        "# Written by previewpg at each start.
listen_addresses = ''
unix_socket_directories = {}
unix_socket_permissions = 0700
max_connections = 300
max_prepared_transactions = {max_prepared_transactions}
password_encryption = 'scram-sha-256'
shared_buffers = '32MB'
max_wal_size = '1GB'
min_wal_size = '64MB'
wal_level = replica
max_wal_senders = 0
checkpoint_timeout = '15min'
jit = off
autovacuum_naptime = '30s'
log_min_messages = 'warning'
log_min_error_statement = 'panic'
log_line_prefix = '%m [%p] '
log_checkpoints = off
lc_messages = 'C'
",
        literal(&socket_directory.to_string_lossy())
    );
    if !kept {
        text.push_str("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n");
    }
    text
}

/// The text of `pg_hba.conf`: only through the private socket; the owner as whoever can enter its directory (we), everybody else by password.
#[must_use]
pub fn access() -> String {
    format!(
        "# Written by previewpg at each start. The socket's directory may be entered by its owner only.
local all {OWNER} trust
local all all scram-sha-256
"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_server_listens_on_nothing_but_its_socket() {
        let text = configuration(Path::new("/tmp/it's"), true, 3);
        assert!(text.contains("listen_addresses = ''\n"));
        assert!(text.contains("unix_socket_directories = '/tmp/it''s'\n"));
        assert!(text.contains("max_prepared_transactions = 3\n"));
        assert!(
            !text.contains("fsync"),
            "a kept database must survive a crash"
        );
        assert!(configuration(Path::new("/x"), false, 0).contains("fsync = off"));
        assert!(!access().contains("host"));
    }

    #[test]
    fn quoting() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }
}
