//! The SQL of the overlay, in fresh: what is provisioned, and what keeps it true while clients write and change the schema.
//!
//! # Objects in fresh
//! Everything of ours is owned by the owner role (a superuser of fresh, `previewpg` by default); the app role gets what is said here.
//! `N` stands for the upper relation's OID.
//!
//! | object | what | app role |
//! |---|---|---|
//! | schema `previewpg` | tables of lineage and state, functions | USAGE; SELECT on the tables |
//! | `previewpg.relation` | one row for each relation that has, had or should have a lower: `upper` (OID), production's schema and name, `key_columns`, `state` (`merged`, `detached`, `read_only`, `unsupported`), `reason`, `same_shape`, `row_security`, `claims` and `copy_up` (whose claims table and copy function serve it) | SELECT |
//! | `previewpg.attribute` | (upper's OID, attnum) → SQL expression over the foreign table's columns | SELECT |
//! | `previewpg.news`, `.dirty`, `.change`, `.replica` and functions | what replicas tell each other, see [`crate::replicas`] | SELECT |
//! | `previewpg.changed()` | for who changes fresh behind the proxies' back: all of them read the catalog again | none |
//! | `previewpg.is_written(oid) returns boolean` | whether anybody wrote to it, or tried to | EXECUTE |
//! | `previewpg.production` | every relation of production that was brought, as it was described when its changes were last brought in | SELECT |
//! | foreign server `previewpg_production` and the owner's user mapping | | none |
//! | `previewpg_fdw.rN` | the foreign table: production's shape | none |
//! | `previewpg_lower.rN` | the projection view: upper's shape and column order, one column for each live upper column; empty once detached | SELECT |
//! | `previewpg_claims.rN` | the claimed keys: the key's columns with upper's names, primary key; keyless: `(all_rows bool primary key)`; `previewpg_copied` tells rows of production from the preview's own | SELECT, INSERT |
//! | `previewpg_copy.rN(previewpg_lower.rN[]) returns bigint` | copies up: claims the rows' keys (waiting for other claimers), inserts the rows newly claimed into upper with `session_replication_role = replica` | EXECUTE |
//! | `previewpg.copy_up_whole(oid[], patience text) returns bigint` | makes tables the preview's own: all their rows copied up, within the limit, and detached | EXECUTE |
//! | `previewpg.copy_up_all(oid, detach bool) returns bigint` | copies the whole table up, within the limit; with `detach` lower is not looked at any more (always, for a keyless table, call it with `detach`) | EXECUTE |
//! | `previewpg.copy_up_available(oid, previewpg_lower.rN[], wanted bigint, otherwise text) returns bigint` | copies up the first `wanted` rows (NULL: all) that nobody else holds a claim of, without waiting; held ones are left out (`'skip'`) or an error 55P03 (`'error'`) | EXECUTE |
//! | `previewpg.touched(oid) returns void` | marks a relation, and what shares its claims, as written to (`PPG02`, see below) | EXECUTE |
//! | `previewpg.renamed() returns boolean` | an error (`PPG04`) when it's planned: a merged text's name for a relation means another one by now, see [`merged::still_means`] | EXECUTE |
//! | `previewpg.renamed(relations text[], routines text[]) returns void` | the same when it runs, where one of these names, which meant nothing, means something by now | EXECUTE |
//! | `previewpg.held(names text[], oid[]) returns void` | locks tables that functions' bodies name (ACCESS SHARE), and raises `PPG04` where a name means another one by now | EXECUTE |
//! | `previewpg.permit(oid) returns void` | lets the *next* UPDATE/DELETE/MERGE/ON CONFLICT DO UPDATE statement of the client itself on that table through (see below) | EXECUTE |
//! | triggers `0previewpg_*` on upper tables | guard, uniqueness, claims, foreign keys, exclusion, truncation, children. The name sorts before PostgreSQL's own | |
//! | event triggers `previewpg_*` | DDL follow-up | |
//!
//! Other names in `previewpg_copy`: `iN` (the inner half of copy-up), `nN`/`uN` (checks after INSERT / UPDATE), `dN`/`cN` (children, after DELETE / UPDATE of a parent),
//! `xI` (unique index I), `fC` (foreign key C), and for a deferrable constraint C the table `kC` and its trigger function `gC`.
//!
//! # Whose rights
//! The owner's rights handle catalogs only. Whatever evaluates code of the app role (checks, defaults, generated columns, index expressions, casts) runs with
//! the app role's rights: the check triggers run as whoever writes, copy-up inserts through functions that the app role owns. That is why the app role may INSERT into the claims:
//! it hides a row of production from its own preview, which DELETE lets it do anyhow.
//!
//! # In-band signal
//! When the schema or a relation's state changed, a trigger says `RAISE INFO 'previewpg' USING ERRCODE = 'PPG01'`.
//! INFO is sent whatever `client_min_messages` says; the proxy swallows it and reads the catalog again on that session.
//! What other sessions will see (not a temporary object's change) stands in `previewpg.change`, too, as a part of the same transaction.
//!
//! When a relation is written to by what isn't named in the client's statement (a function, a trigger, a referential action, any INSERT), `previewpg.touched` says
//! `RAISE INFO 'previewpg' USING ERRCODE = 'PPG02', DETAIL = OID`, once in a session for each relation: it is dirty from now on.
//! A temporary table that goes at the end of its transaction (ON COMMIT DROP), and DISCARD, fire no event trigger and say nothing.
//!
//! # Session settings of ours
//! `previewpg.permit`, `previewpg.touched` and `previewpg.copying` (the OID of the relation that is being copied up, whose INSERT trigger looks away): clients must not set them.
//!
//! # The guard
//! A BEFORE UPDATE / DELETE statement trigger on each lower-backed upper refuses (0A000) a write that nobody copied up for,
//! for example from a function's body: a write that would silently miss production's rows. The proxy calls `previewpg.permit` (in the same transaction, in front of the
//! statement, after the copy-up); the guard takes the permit back. A permit counts for a statement of the client itself only (`PG_CONTEXT` shows nothing below the
//! guard), so what a statement leaves of it can't serve a function. PostgreSQL's own referential actions pass (recognised by `PG_CONTEXT`), because a trigger on the parent has copied the children up.
//!
//! # Production changes
//! `sql/fingerprint.sql` is production's schema in one value. When it is another one, [`provision::drift`] compares descriptions of production, old and new, with the
//! preview, and gives what is to be done: statements for upper, and lower anew (`previewpg.reattach`). A relation whose rows can't be shown truly is *halted*: its state is
//! `unsupported`, `previewpg.relation.halted` has the one that it returns to, and its guards stay. What a session with an older catalog does meanwhile ends in an error of
//! production (foreign tables ask by column names, and have no NOT NULLs that a planner could take for granted), never in wrong rows.
//!
//! # What DDL can't follow
//! `ALTER COLUMN .. TYPE .. USING` needs `previewpg.copy_up_all(oid, true)` first (refused otherwise). `ADD FOREIGN KEY` over existing rows of upper is checked by PostgreSQL itself, which sees
//! upper parents only: an event trigger copies them up first, as far as it recognises the constraint in the statement's text (`FOREIGN KEY (..) REFERENCES ..` of an ALTER TABLE);
//! otherwise the error is PostgreSQL's. Refused: `ALTER TYPE .. RENAME VALUE` of an enum that production's rows use, joining or leaving a partition or inheritance tree,
//! and changes of a partitioned table that take a copy-up of the whole. A partition's claims are its root's; dropping or truncating one claims all its keys.

pub mod merged;
pub mod names;
pub mod provision;
