//! The SQL of the overlay, in fresh: what is provisioned, and what keeps it true while clients write and change the schema.
//!
//! # Objects in fresh
//! Everything of ours is owned by the owner role (a superuser of fresh, `previewpg` by default); the app role gets what is said here.
//! `N` stands for the upper relation's OID.
//!
//! | object | what | app role |
//! |---|---|---|
//! | schema `previewpg` | tables of lineage and state, functions | USAGE; SELECT on the tables |
//! | `previewpg.relation` | one row for each lower-backed relation: upper's OID, production's schema and name, key columns, state (`merged`, `detached`, `read_only`), same_shape, dirty | SELECT |
//! | `previewpg.attribute` | (upper OID, attnum) → SQL expression over the foreign table's columns | SELECT |
//! | foreign server `previewpg_production` and the owner's user mapping | | none |
//! | `previewpg_fdw.rN` | the foreign table: production's shape | none |
//! | `previewpg_lower.rN` | the projection view: upper's shape and column order, one column for each live upper column | SELECT |
//! | `previewpg_claims.rN` | the claimed keys: the key's columns with upper's names, primary key; keyless: `(all_rows bool primary key)` | SELECT |
//! | `previewpg_copy.rN(previewpg_lower.rN[]) returns bigint` | copies up: claims the rows' keys (waiting for other claimers), inserts the rows newly claimed into upper with `session_replication_role = replica` | EXECUTE |
//! | `previewpg.copy_up_all(oid, detach bool) returns bigint` | copies the whole table up, within the limit; with `detach` lower is not looked at any more | EXECUTE |
//! | `previewpg.permit(oid) returns void` | lets the *next* UPDATE/DELETE/MERGE/ON CONFLICT DO UPDATE statement on that table through (see below) | EXECUTE |
//! | triggers `previewpg_*` on upper tables | guard, uniqueness, claims, foreign keys, exclusion, truncation | |
//! | event triggers `previewpg_*` | DDL follow-up | |
//!
//! # In-band signal
//! When the schema or a relation's state changed, a trigger says `RAISE INFO 'previewpg' USING ERRCODE = 'PPG01'`.
//! INFO is sent whatever `client_min_messages` says; the proxy swallows it and reads the catalog again on that session.
//!
//! # The guard
//! A BEFORE UPDATE / DELETE statement trigger on each lower-backed upper refuses (0A000) a write that nobody copied up for,
//! for example from a function's body: a write that would silently miss production's rows. The proxy calls `previewpg.permit` (in the same transaction, in front of the
//! statement, after the copy-up); the guard takes the permit back. PostgreSQL's own referential actions pass (recognised by `PG_CONTEXT`), because a trigger on the parent has copied the children up.

pub mod merged;
pub mod names;
pub mod provision;
