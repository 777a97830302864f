//! What names and settings mean in this session now: the catalog, the search path, what is known of the transaction.
//!
//! Knowledge goes out of date by events (a schema change's signal, a SET, a ROLLBACK, another session's commit); whoever needs it asks
//! [`Sight::lacks`] first and has fresh say it again, on the session's own connection, for only that one sees uncommitted schema changes and temporary tables.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::catalog::load;
use crate::catalog::model::{Catalog, Oid};
use crate::catalog::store::{Changing, Store};
use crate::preview::likeness::CARRIED;
use crate::rewrite::Context;
use crate::sql::facts::{Kind, Statement, Transaction};

use super::cursors;
use super::expect::Rows;
use super::planner::Encoding;

/// The client's own limit for a statement, in milliseconds; 0: none.
const TIMEOUT: &str = "(extract(epoch FROM pg_catalog.current_setting('statement_timeout')::pg_catalog.interval) * 1000)::pg_catalog.int8";

/// What may be another after a statement that changes a setting, and isn't reported by itself: see [`Told`].
static PATH: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT pg_catalog.json_build_object(
    'path', pg_catalog.current_schemas(true),
    'settings', pg_catalog.json_build_object('bytea_output', pg_catalog.current_setting('bytea_output'),
        'extra_float_digits', pg_catalog.current_setting('extra_float_digits')),
    'timeout', {TIMEOUT},
    'default_isolation', pg_catalog.current_setting('default_transaction_isolation'),
    'isolation', pg_catalog.current_setting('transaction_isolation'))::pg_catalog.text"
    )
});

/// At login: the same, and what ALTER ROLE, ALTER DATABASE and the client's `options` may have set.
/// A production session is given what a preview's database takes over from production ([`CARRIED`]); pins are other settings that may change results.
pub(crate) static LOGIN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT pg_catalog.json_build_object(
    'path', pg_catalog.current_schemas(true),
    'settings', pg_catalog.json_object_agg(name, setting) FILTER (WHERE name IN ({CARRIED}) AND context = 'user'),
    'timeout', {TIMEOUT},
    'default_isolation', pg_catalog.current_setting('default_transaction_isolation'),
    'isolation', pg_catalog.current_setting('transaction_isolation'),
    'pins', pg_catalog.count(*) FILTER (
        WHERE source IN ('client', 'user', 'database', 'database user', 'session')
          AND name NOT IN ({CARRIED}, 'search_path', 'client_encoding', 'application_name', 'client_min_messages', 'lock_timeout', 'statement_timeout', 'log_statement',
              'log_min_messages', 'idle_in_transaction_session_timeout', 'tcp_keepalives_idle', 'tcp_keepalives_interval',
              'tcp_keepalives_count', 'tcp_user_timeout', 'jit', 'work_mem', 'maintenance_work_mem', 'synchronous_commit',
              'default_transaction_isolation'))
    )::pg_catalog.text FROM pg_catalog.pg_settings"
    )
});

/// What LOGIN and PATH say.
#[derive(Debug, serde::Deserialize)]
struct Told {
    /// The schemas that unqualified names are looked up in.
    path: Vec<String>,
    settings: BTreeMap<String, String>,
    /// `statement_timeout`, in milliseconds.
    timeout: i64,
    default_isolation: String,
    /// The transaction's that it was asked in.
    isolation: String,
    /// How many other settings may change results.
    #[serde(default)]
    pins: i64,
}

/// What an isolation level is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Nothing has run since fresh was last ready outside of a block.
    Idle,
    ReadCommitted,
    /// Another, or not known.
    Other,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Sight {
    store: Arc<Store>,
    catalog: Arc<Catalog>,
    /// The store's version when `catalog` was taken from it, or read.
    version: u64,
    /// `catalog` was read on this session.
    own: bool,
    stale: bool,
    path: Vec<String>,
    path_known: bool,
    /// The search path changed in a transaction that may still roll back.
    path_touched: bool,
    /// The schema changed in a transaction that may still roll back.
    schema_touched: bool,
    /// Others are told so until this session's schema is published, or the transaction has ended without a change.
    changing: Option<Changing>,
    /// Other processes were told so as well.
    announced: bool,
    /// Grows whenever a name may mean something else: what was planned for an older one is planned again.
    generation: u64,
    /// Production's answers might differ from fresh's, for good.
    pinned: bool,
    default_read_committed: bool,
    isolation: Isolation,
    /// The transaction's snapshot may be older than what the catalog says: production isn't looked at any more for a table of which it may not see the copies.
    behind: bool,
    settings: BTreeMap<String, String>,
    /// `statement_timeout`, in milliseconds; 0: none.
    timeout: i64,
    /// What gives a production session these settings and this path, once it was needed.
    production_settings: Option<Arc<str>>,
    encoding: Encoding,
    /// Backslashes are ordinary in `'..'`.
    standard_strings: bool,
    /// The transaction's cursors over merged rows.
    pub(super) cursors: cursors::Merged,
    /// No planning at all: a database of the client's own.
    plain: bool,
}

impl Sight {
    pub(crate) fn new(store: Arc<Store>, plain: bool) -> Self {
        Self {
            version: store.version(),
            catalog: store.current(),
            store,
            own: false,
            stale: false,
            path: Vec::new(),
            path_known: false,
            path_touched: false,
            schema_touched: false,
            changing: None,
            announced: false,
            generation: 1,
            pinned: false,
            default_read_committed: false,
            isolation: Isolation::Idle,
            behind: false,
            settings: BTreeMap::new(),
            timeout: 0,
            production_settings: None,
            encoding: Encoding::Utf8,
            standard_strings: true,
            cursors: cursors::Merged::default(),
            plain,
        }
    }

    /// Whether statements are looked at.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether what is known of names can be true: nobody has changed them without this process's being told.
    pub(crate) fn is_current(&self) -> bool {
        self.plain || self.store.shared.lease.is_valid()
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            catalog: &self.catalog,
            search_path: &self.path,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// `standard_conforming_strings`.
    pub(crate) fn standard_strings(&self) -> bool {
        self.standard_strings
    }

    /// Whether a text's structure can be told from its bytes, so that it may be changed.
    pub(crate) fn readable(&self) -> bool {
        self.encoding != Encoding::Unsafe
    }

    /// Whether a read may leave fresh, as far as the session's state goes. `in_block`: in a transaction block.
    pub(crate) fn may_leave(&self, in_block: bool) -> bool {
        !self.pinned
            && !self.own
            && !self.schema_touched
            && self.encoding == Encoding::Utf8
            && self.standard_strings
            && self.path_known
            && self.default_read_committed
            && (!in_block || self.isolation != Isolation::Other)
    }

    /// A copy-up of its own transaction may go first: the client's would see what it committed.
    pub(crate) fn may_go_apart(&self, in_block: bool) -> bool {
        !self.schema_touched
            && self.default_read_committed
            && (!in_block || self.isolation != Isolation::Other)
    }

    /// The statements that give a production session the client's settings; also what they're remembered by.
    pub(crate) fn production_settings(&mut self) -> Arc<str> {
        let (path, settings, timeout) = (&self.path, &self.settings, self.timeout);
        Arc::clone(
            self.production_settings
                .get_or_insert_with(|| settings_text(path, settings, timeout)),
        )
    }

    /// Whether what the transaction sees is older than what is known of tables: nothing that it reads can be right.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// What has to be asked before names can be resolved: what it is, and the question.
    pub(crate) fn lacks(&mut self) -> Option<(Rows, String)> {
        if !self.path_known {
            return Some((Rows::SearchPath, PATH.clone()));
        }
        if self.version != self.store.version() {
            // What this session changed itself may be a temporary table, which the shared catalog lacks: then it asks.
            if self.own || self.stale {
                self.stale = true;
            } else {
                self.adopt();
            }
        }
        if self.stale {
            self.version = self.store.version();
            let query = if self.schema_touched {
                load::QUERY
            } else {
                load::OWN_QUERY
            };
            // The answer comes in the client's encoding, of which we may not know the characters.
            let question = match self.encoding {
                Encoding::Utf8 => query.to_owned(),
                _ => format!(
                    "SELECT pg_catalog.encode(pg_catalog.convert_to(({query})::pg_catalog.text, 'UTF8'), 'hex')"
                ),
            };
            return Some((Rows::Catalog, question));
        }
        None
    }

    /// The shared catalog's version that this session knows.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether another session has published a schema since this one's was taken.
    pub(crate) fn is_outdated(&self) -> bool {
        self.version != self.store.version()
    }

    fn adopt(&mut self) {
        self.version = self.store.version();
        let current = self.store.current();
        if self.isolation == Isolation::Other {
            let was_merged = |oid: &Oid| {
                let before = self.catalog.relations.get(oid);
                before.is_some_and(|relation| relation.lower.is_some())
            };
            let mut relations = current.relations.iter();
            self.behind |=
                relations.any(|(oid, relation)| relation.lower.is_none() && was_merged(oid));
        }
        self.catalog = current;
        self.own = false;
        self.stale = false;
        self.generation += 1;
    }

    /// What fresh answered to [`Sight::lacks`] or [`LOGIN`]. An answer that can't be read leaves the question open.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(crate) fn told(&mut self, rows: Rows, value: &[u8]) -> Result<(), String> {
        match rows {
            Rows::SearchPath => {
                let text: String = match std::str::from_utf8(value) {
                    Ok(text) => text.to_owned(),
                    Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
                };
                let told: Told = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                self.pinned |= told.pins > 0;
                self.default_read_committed = told.default_isolation == READ_COMMITTED;
                self.isolation = isolation(told.isolation == READ_COMMITTED);
                self.settings.extend(told.settings);
                self.timeout = told.timeout;
                self.production_settings = None;
                let path = told.path;
                if path != self.path {
                    self.path = path;
                    self.generation += 1;
                }
                self.path_known = true;
            }
            Rows::Catalog => {
                let document = match self.encoding {
                    Encoding::Utf8 => std::str::from_utf8(value)
                        .map_err(|error| error.to_string())?
                        .to_owned(),
                    _ => unhex(value).ok_or("not hexadecimal")?,
                };
                // It has nothing of its own; unless it has changed something since, the shared one will do.
                if document.is_empty() {
                    if !self.schema_touched {
                        self.adopt();
                    }
                    return Ok(());
                }
                let catalog = load::parse(&document, &self.store.shared)
                    .map_err(|error| error.to_string())?;
                let temporary = catalog.has_temporary();
                self.stale = false;
                if temporary || self.schema_touched {
                    self.catalog = Arc::new(catalog);
                    self.own = true;
                    self.generation += 1;
                } else {
                    self.adopt();
                }
            }
            Rows::Forward | Rows::ForwardLast | Rows::Drop | Rows::CopiedUp | Rows::Types => {}
        }
        Ok(())
    }

    /// Somebody has written to this relation, or is about to.
    pub(crate) fn dirtied(&self, oid: Oid) {
        if let Some(lower) = self
            .catalog
            .relations
            .get(&oid)
            .and_then(|relation| relation.lower.as_ref())
        {
            lower.dirty.set();
        }
    }

    /// The signal: the schema, or a relation's state, changed in this session's transaction.
    pub(crate) fn schema_changed(&mut self) {
        self.schema_touched = true;
        self.stale = true;
        let store = &self.store;
        self.changing.get_or_insert_with(|| Changing::new(store));
        self.path_changed();
    }

    /// The session is about to change the schema, or may be; gives whether other processes are still to be told.
    pub(crate) fn changing(&mut self) -> bool {
        let store = &self.store;
        self.changing.get_or_insert_with(|| Changing::new(store));
        !std::mem::replace(&mut self.announced, true)
    }

    /// ParameterStatus.
    pub(crate) fn setting(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"client_encoding" => {
                self.encoding = Encoding::named(value);
                self.remember("client_encoding", value);
            }
            b"standard_conforming_strings" => self.standard_strings = value == b"on",
            b"TimeZone" => self.remember("TimeZone", value),
            b"DateStyle" => self.remember("DateStyle", value),
            b"IntervalStyle" => self.remember("IntervalStyle", value),
            _ => {}
        }
    }

    fn remember(&mut self, name: &str, value: &[u8]) {
        self.production_settings = None;
        self.settings
            .insert(name.to_owned(), String::from_utf8_lossy(value).into_owned());
    }

    /// The search path may be another from here on.
    pub(crate) fn path_changed(&mut self) {
        self.path_known = false;
        self.path_touched = true;
    }

    /// Settings may have changed in a way that isn't reported: production isn't asked any more, and the isolation isn't known before fresh has said it again.
    pub(crate) fn settings_changed(&mut self) {
        self.pinned = true;
        self.default_read_committed = false;
        self.isolation = Isolation::Other;
        self.path_changed();
    }

    /// A statement that was sent, by its kind.
    pub(crate) fn sent(&mut self, statement: &Statement) {
        let begins = matches!(statement.kind, Kind::Transaction(Transaction::Begin { .. }));
        // What is published already, the transaction's snapshot will see.
        if begins && self.is_outdated() && !self.own && !self.stale {
            self.adopt();
        }
        if self.isolation == Isolation::Idle {
            self.isolation = isolation(self.default_read_committed);
        }
        match &statement.kind {
            Kind::Transaction(Transaction::Begin {
                isolation: Some(level),
            }) => self.isolation = isolation(level == "READ COMMITTED"),
            Kind::Transaction(Transaction::Commit) => {
                self.path_known &= !self.path_touched;
                self.transaction_ended();
            }
            // Another session made the transaction, through another process perhaps: what it changed, nobody has said here.
            Kind::Transaction(Transaction::FinishPrepared) => self.schema_touched = true,
            Kind::Transaction(Transaction::Prepare) => {
                if let Some(changing) = self.changing.take() {
                    changing.keep();
                }
            }
            Kind::Transaction(ended @ (Transaction::Rollback | Transaction::RollbackTo)) => {
                self.path_known &= !self.path_touched;
                self.stale |= self.schema_touched;
                if matches!(ended, Transaction::Rollback) {
                    self.transaction_ended();
                }
            }
            Kind::Set(set) => match set.name.as_str() {
                "transaction" | "transaction_isolation" | "default_transaction_isolation" => {
                    self.settings_changed();
                }
                "search_path" | "role" | "session_authorization" | "all" => self.path_changed(),
                _ => {}
            },
            Kind::Discard(_) => self.path_changed(),
            _ => {}
        }
    }

    /// The next one has the default isolation, unless it's chained.
    fn transaction_ended(&mut self) {
        if self.isolation == Isolation::ReadCommitted {
            self.isolation = Isolation::Idle;
        }
    }

    /// Whether ReadyForQuery has to wait until every other session knows this one's schema.
    pub(crate) fn must_publish(&self, status: u8) -> bool {
        status == b'I' && self.schema_touched
    }

    /// What this session changed is known to everybody, or was rolled back.
    pub(crate) fn published(&mut self) {
        self.changing = None;
        self.announced = false;
    }

    /// Whether this session is changing it, or is about to.
    pub(crate) fn is_changing(&self) -> bool {
        self.changing.is_some()
    }

    /// Whether another session is changing the schema, so that at its commit, which may be now, a name may come to mean something else.
    pub(crate) fn is_shaking(&self) -> bool {
        self.store.changing() > usize::from(self.changing.is_some())
            || self.store.is_changing_elsewhere()
    }

    /// ReadyForQuery. `more`: something behind it was sent already, which [`Sight::sent`] has been told of. `soon`: something else is about to be.
    pub(crate) fn ready(&mut self, status: u8, failed: bool, more: bool, soon: bool) {
        if failed || status == b'E' {
            self.path_known &= !self.path_touched;
            self.stale |= self.schema_touched;
        }
        if status == b'I' {
            self.path_known &= !self.path_touched;
            self.path_touched &= more;
            if self.schema_touched {
                // Temporary tables may have come, or gone with the transaction (ON COMMIT DROP).
                self.schema_touched = false;
                self.stale = true;
            } else if !more && !soon {
                self.published();
            }
            if !more {
                self.isolation = Isolation::Idle;
                self.behind = false;
                self.cursors.clear();
            }
        }
        self.stale |= self.own && self.catalog.incomplete;
    }
}

/// As PostgreSQL shows it.
const READ_COMMITTED: &str = "read committed";

fn isolation(read_committed: bool) -> Isolation {
    if read_committed {
        Isolation::ReadCommitted
    } else {
        Isolation::Other
    }
}

/// `timeout`: `statement_timeout`, in milliseconds; production's own limit holds where it's lower.
fn settings_text(path: &[String], settings: &BTreeMap<String, String>, timeout: i64) -> Arc<str> {
    let limit = (timeout > 0).then(|| {
        format!(
            "SELECT pg_catalog.set_config('statement_timeout', '{timeout}', false) FROM pg_catalog.pg_settings \
             WHERE name = 'statement_timeout' AND setting::pg_catalog.int8 NOT BETWEEN 1 AND {timeout}; "
        )
    });
    let path = path
        .iter()
        .filter(|schema| !schema.starts_with("pg_temp"))
        .map(|schema| format!("\"{}\"", schema.replace('"', "\"\"")))
        .collect::<Vec<_>>()
        .join(", ");
    let path = if path.is_empty() { "''" } else { &path };
    settings
        .iter()
        .map(|(name, value)| format!("SET \"{name}\" = '{}'; ", value.replace('\'', "''")))
        .chain(["RESET statement_timeout; ".to_owned()])
        .chain(limit)
        .chain([format!("SET search_path = {path}")])
        .collect::<String>()
        .into()
}

fn unhex(value: &[u8]) -> Option<String> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let bytes = value
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(default_isolation: &str) -> Sight {
        let mut sight = Sight::new(Arc::new(Store::default()), false);
        tell(&mut sight, default_isolation, default_isolation);
        sight.ready(b'I', false, false, false);
        sight
    }

    fn tell(sight: &mut Sight, default_isolation: &str, isolation: &str) {
        let told = format!(
            r#"{{"path": ["public"], "settings": {{"bytea_output": "hex"}}, "timeout": 0,
                "default_isolation": "{default_isolation}", "isolation": "{isolation}"}}"#
        );
        assert_eq!(sight.told(Rows::SearchPath, told.as_bytes()), Ok(()));
    }

    fn send(sight: &mut Sight, text: &str) {
        let script = crate::sql::facts::read(text, true);
        script.statements.iter().for_each(|sent| sight.sent(sent));
    }

    #[test]
    fn a_transaction_whose_isolation_was_set_is_not_served_from_elsewhere() {
        for set in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET transaction_isolation = 'repeatable read'",
            "SET LOCAL transaction_isolation TO 'repeatable read'",
            "SET default_transaction_isolation = 'repeatable read'",
        ] {
            let mut sight = sight("read committed");
            send(&mut sight, "BEGIN");
            assert!(sight.may_leave(true) && sight.may_go_apart(true));
            send(&mut sight, set);
            assert!(!sight.may_leave(true) && !sight.may_go_apart(true), "{set}");
            assert!(sight.lacks().is_some(), "{set}: what it is now is asked");
            tell(&mut sight, "read committed", "repeatable read");
            assert_eq!(sight.isolation, Isolation::Other, "{set}");
            assert!(!sight.may_leave(true) && !sight.may_go_apart(true), "{set}");
        }
    }

    #[test]
    fn a_setting_that_is_not_understood_leaves_the_isolation_unknown_until_fresh_says_it() {
        let mut sight = sight("read committed");
        send(&mut sight, "BEGIN; SELECT set_config('a.b', 'c', true)");
        sight.settings_changed();
        assert!(!sight.may_go_apart(true));
        assert_eq!(sight.isolation, Isolation::Other);
        tell(&mut sight, "read committed", "read committed");
        assert!(sight.may_go_apart(true) && !sight.may_leave(true));
    }

    #[test]
    fn an_implicit_transaction_has_the_default_isolation() {
        let mut sight = sight("repeatable read");
        assert_eq!(sight.isolation, Isolation::Idle, "there is no snapshot yet");
        send(&mut sight, "SELECT 1");
        assert_eq!(sight.isolation, Isolation::Other);
        sight.ready(b'I', false, false, false);
        assert_eq!(sight.isolation, Isolation::Idle);
        send(&mut sight, "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT 1");
        assert_eq!(sight.isolation, Isolation::ReadCommitted);
        send(&mut sight, "COMMIT; BEGIN");
        assert_eq!(sight.isolation, Isolation::Other);
        sight.ready(b'I', false, true, false);
        assert_eq!(
            sight.isolation,
            Isolation::Other,
            "that BEGIN is still to run"
        );
    }

    #[test]
    fn settings_of_a_transaction_are_asked_again_after_it() {
        let mut sight = sight("read committed");
        send(&mut sight, "BEGIN; SET LOCAL bytea_output = 'escape'");
        sight.path_changed();
        assert!(!sight.may_leave(true));
        tell(&mut sight, "read committed", "read committed");
        assert!(
            sight
                .production_settings()
                .contains("\"bytea_output\" = 'hex'")
        );
        send(&mut sight, "ROLLBACK");
        sight.ready(b'I', false, false, false);
        assert!(sight.lacks().is_some() && !sight.may_leave(false));
    }

    #[test]
    fn the_lower_of_two_limits_holds_on_production() {
        let text = settings_text(&[], &BTreeMap::new(), 500);
        assert!(text.starts_with("RESET statement_timeout; SELECT"));
        assert!(text.contains("set_config('statement_timeout', '500', false)"));
        assert!(text.contains("NOT BETWEEN 1 AND 500"));
    }

    #[test]
    fn settings_are_quoted() {
        let settings = BTreeMap::from([("TimeZone".to_owned(), "o'clock".to_owned())]);
        assert_eq!(
            &*settings_text(&["pg_temp_3".to_owned(), "a\"b".to_owned()], &settings, 0),
            "SET \"TimeZone\" = 'o''clock'; RESET statement_timeout; SET search_path = \"a\"\"b\""
        );
        assert_eq!(
            &*settings_text(&[], &BTreeMap::new(), 0),
            "RESET statement_timeout; SET search_path = ''"
        );
    }
}
