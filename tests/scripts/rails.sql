-- What Active Record sends to PostgreSQL: on connecting, to learn the schema, to migrate under its advisory lock, and for a model's life.
SET client_min_messages TO 'warning';
SET standard_conforming_strings = on;
SET intervalstyle = iso_8601;
SET SESSION timezone TO 'UTC';
SELECT t.typname, t.typelem <> 0, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'text', 'jsonb', 'daterange', 'numeric', 'order_status', 'price') ORDER BY 1;
SHOW max_identifier_length;
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r','v','m','p','f') ORDER BY 1;
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relname = 'users' AND c.relkind IN ('r','v','m','p','f');
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated as attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"users"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
SELECT a.attname FROM ( SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index WHERE indrelid = '"order_items"'::regclass AND indisprimary ) i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx] ORDER BY i.idx;
SELECT distinct i.relname, d.indisunique, d.indkey, pg_get_indexdef(i.oid), pg_catalog.obj_description(i.oid, 'pg_class') AS comment, d.indisvalid, ARRAY(SELECT pg_get_indexdef(d.indexrelid, k + 1, true) FROM generate_subscripts(d.indkey, 1) AS k ORDER BY k) AS columns FROM pg_class t INNER JOIN pg_index d ON t.oid = d.indrelid INNER JOIN pg_class i ON d.indexrelid = i.oid LEFT JOIN pg_namespace n ON n.oid = t.relnamespace WHERE i.relkind IN ('i', 'I') AND d.indisprimary = 'f' AND t.relname = 'users' AND n.nspname = ANY (current_schemas(false)) ORDER BY i.relname;
SELECT t2.relname AS to_table, c.conname AS name, c.confupdtype AS on_update, c.confdeltype AS on_delete, c.convalidated AS valid, c.condeferrable AS deferrable, c.condeferred AS deferred, c.conkey, c.confkey FROM pg_constraint c JOIN pg_class t1 ON c.conrelid = t1.oid JOIN pg_class t2 ON c.confrelid = t2.oid JOIN pg_namespace n ON c.connamespace = n.oid WHERE c.contype = 'f' AND t1.relname = 'order_items' AND n.nspname = ANY (current_schemas(false)) ORDER BY c.conname;
SELECT conname, pg_get_constraintdef(c.oid, true) AS constraintdef, c.convalidated AS valid FROM pg_constraint c JOIN pg_class t ON c.conrelid = t.oid JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.contype = 'c' AND t.relname = 'products' AND n.nspname = ANY (current_schemas(false));
SELECT conname, pg_get_constraintdef(c.oid, true) AS constraintdef, c.condeferrable, c.condeferred FROM pg_constraint c JOIN pg_class t ON c.conrelid = t.oid JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.contype = 'x' AND t.relname = 'bookings' AND n.nspname = ANY (current_schemas(false));
SELECT type.typname AS name, type.OID::regtype::text, n.nspname AS schema, array_agg(enum.enumlabel ORDER BY enum.enumsortorder) AS value FROM pg_enum AS enum JOIN pg_type AS type ON (type.oid = enum.enumtypid) JOIN pg_namespace n ON type.typnamespace = n.oid WHERE n.nspname = ANY (current_schemas(false)) GROUP BY type.OID, n.nspname, type.typname;
SELECT pg_catalog.obj_description('users'::regclass, 'pg_class');
SELECT extname FROM pg_extension ORDER BY 1;
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_.*' AND nspname NOT IN ('information_schema') ORDER by nspname;
SELECT attr.attname, nsp.nspname, seq.relname FROM pg_class seq, pg_attribute attr, pg_depend dep, pg_constraint cons, pg_namespace nsp WHERE seq.oid = dep.objid AND seq.relkind = 'S' AND attr.attrelid = dep.refobjid AND attr.attnum = dep.refobjsubid AND attr.attrelid = cons.conrelid AND attr.attnum = cons.conkey[1] AND seq.relnamespace = nsp.oid AND cons.contype = 'p' AND dep.classid = 'pg_class'::regclass AND dep.refobjid = '"orders"'::regclass;

-- A migration: tables of its own, the advisory lock, DDL in a transaction, then the version.
SELECT pg_try_advisory_lock(3141592653589793);
CREATE TABLE "schema_migrations" ("version" character varying NOT NULL PRIMARY KEY);
CREATE TABLE "ar_internal_metadata" ("key" character varying NOT NULL PRIMARY KEY, "value" character varying, "created_at" timestamp(6) NOT NULL, "updated_at" timestamp(6) NOT NULL);
INSERT INTO "ar_internal_metadata" ("key", "value", "created_at", "updated_at") VALUES ('environment', 'production', '2026-01-01 10:00:00.123456', '2026-01-01 10:00:00.123456') RETURNING "key";
SELECT "schema_migrations"."version" FROM "schema_migrations" ORDER BY "schema_migrations"."version" ASC;
BEGIN;
ALTER TABLE "users" ADD "nickname" character varying(40), ADD "visits" integer DEFAULT 0 NOT NULL, ADD "confirmed_at" timestamp(6);
ALTER TABLE "orders" ADD "coupon" character varying DEFAULT 'none' NOT NULL;
UPDATE "users" SET "nickname" = lower("users"."name") WHERE "users"."id" BETWEEN 1 AND 1000;
UPDATE "users" SET "nickname" = lower("users"."name") WHERE "users"."id" IN (SELECT "users"."id" FROM "users" WHERE "users"."nickname" IS NULL ORDER BY "users"."id" ASC LIMIT 500);
ALTER TABLE "users" ALTER COLUMN "nickname" SET DEFAULT 'nobody';
CREATE INDEX "index_users_on_nickname" ON "users" ("nickname");
CREATE TABLE "comments" ("id" bigserial primary key, "user_id" bigint NOT NULL, "order_id" integer, "body" text, "lock_version" integer DEFAULT 0 NOT NULL, "created_at" timestamp(6) NOT NULL, CONSTRAINT "fk_rails_03de2dc08c" FOREIGN KEY ("user_id") REFERENCES "users" ("id"));
CREATE INDEX "index_comments_on_user_id" ON "comments" ("user_id");
ALTER TABLE "comments" ADD CONSTRAINT "fk_rails_5d2b1a2f6c" FOREIGN KEY ("order_id") REFERENCES "orders" ("id") ON DELETE CASCADE NOT VALID;
INSERT INTO "schema_migrations" ("version") VALUES ('20260101100000') RETURNING "version";
COMMIT;
ALTER TABLE "comments" VALIDATE CONSTRAINT "fk_rails_5d2b1a2f6c";
CREATE INDEX CONCURRENTLY "index_orders_on_coupon" ON "orders" ("coupon");
BEGIN;
ALTER TABLE "products" RENAME COLUMN "name" TO "title";
ALTER TABLE "orders" ALTER COLUMN "note" TYPE character varying(200);
ALTER TABLE "orders" ALTER COLUMN "reference" SET NOT NULL;
ALTER TABLE "counters" RENAME TO "tallies";
ALTER INDEX "counters_pkey" RENAME TO "tallies_pkey";
INSERT INTO "schema_migrations" ("version") VALUES ('20260102100000') RETURNING "version";
COMMIT;
SELECT pg_advisory_unlock(3141592653589793);

-- Models: bound values, prepared statements of the driver, RETURNING, optimistic and pessimistic locks, savepoints.
-- params: 7, 1
SELECT "users"."id", "users"."name", "users"."nickname", "users"."visits" FROM "users" WHERE "users"."id" = $1 LIMIT $2;
-- params: 'user5@example.org', 1
SELECT 1 AS one FROM "users" WHERE "users"."email" = $1 LIMIT $2;
-- params: 'rails@example.org', 'Rails', '2026-01-01 10:00:00'
INSERT INTO "users" ("email", "name", "created_at") VALUES ($1, $2, $3) RETURNING "id", "nickname";
BEGIN;
-- params: 9
SELECT "users"."id", "users"."balance" FROM "users" WHERE "users"."id" = $1 FOR UPDATE;
SAVEPOINT active_record_1;
-- params: 9, 'Renamed'
UPDATE "users" SET "name" = $2 WHERE "users"."id" = $1;
-- params: 'Renamed', 9
INSERT INTO "comments" ("user_id", "body", "created_at") VALUES ($2, $1, '2026-01-01') RETURNING "id";
RELEASE SAVEPOINT active_record_1;
SAVEPOINT active_record_1;
INSERT INTO "users" ("email", "name") VALUES ('user9@example.org', 'Twice');
ROLLBACK TO SAVEPOINT active_record_1;
COMMIT;
-- params: 'changed', 1, 0
UPDATE "comments" SET "body" = $1, "lock_version" = 1 WHERE "comments"."id" = $2 AND "comments"."lock_version" = $3;
-- params: 'stale', 1, 0
UPDATE "comments" SET "body" = $1, "lock_version" = 1 WHERE "comments"."id" = $2 AND "comments"."lock_version" = $3;
UPDATE "users" SET "visits" = COALESCE("users"."visits", 0) + 1 WHERE "users"."id" = 9;
INSERT INTO "users" ("email", "name", "visits") VALUES ('user3@example.org', 'Upserted', 5), ('upsert@example.org', 'Upserted', 6) ON CONFLICT ("email") DO UPDATE SET "name" = excluded."name", "visits" = CASE WHEN ("users"."name" IS NOT DISTINCT FROM excluded."name") THEN "users"."visits" ELSE excluded."visits" END RETURNING "id", "visits";
INSERT INTO "users" ("email", "name") VALUES ('user4@example.org', 'Ignored') ON CONFLICT DO NOTHING RETURNING "id";
SELECT "orders"."id" AS t0_r0, "orders"."status" AS t0_r1, "users"."id" AS t1_r0, "users"."nickname" AS t1_r1 FROM "orders" LEFT OUTER JOIN "users" ON "users"."id" = "orders"."user_id" WHERE "users"."visits" > 0 ORDER BY "orders"."id" ASC;
SELECT DISTINCT "users"."id", "users"."created_at" AS alias_0 FROM "users" LEFT OUTER JOIN "orders" ON "orders"."user_id" = "users"."id" WHERE "orders"."total" > 490 ORDER BY "users"."created_at" DESC, "users"."id" LIMIT 5;
SELECT COUNT(*) AS "count_all", "orders"."status" AS "orders_status" FROM "orders" INNER JOIN "users" ON "users"."id" = "orders"."user_id" WHERE "users"."active" = TRUE GROUP BY "orders"."status" ORDER BY 2;
SELECT COUNT(*) FROM (SELECT 1 AS one FROM "orders" WHERE "orders"."coupon" = 'none' LIMIT 50) subquery_for_count;
SELECT "users"."id" FROM "users" WHERE "users"."id" > 1990 ORDER BY "users"."id" ASC LIMIT 1000;
DELETE FROM "order_items" WHERE "order_items"."order_id" IN (SELECT "orders"."id" FROM "orders" WHERE "orders"."user_id" = 300);
DELETE FROM "comments" WHERE "comments"."id" = 1;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT SUM("orders"."total") FROM "orders" WHERE "orders"."user_id" = 40;
UPDATE "orders" SET "coupon" = 'used' WHERE "orders"."user_id" = 40;
COMMIT;
SELECT "tallies".* FROM "tallies" WHERE "tallies"."name" IN ('c1', 'c2') ORDER BY "tallies"."name" ASC;
SELECT SUM(visits), COUNT(nickname), MIN(nickname) FROM users;
EXPLAIN (COSTS OFF) SELECT "schema_migrations".* FROM "schema_migrations";
-- Back again.
BEGIN;
ALTER TABLE "tallies" RENAME TO "counters";
ALTER INDEX "tallies_pkey" RENAME TO "counters_pkey";
ALTER TABLE "products" RENAME COLUMN "title" TO "name";
ALTER TABLE "orders" ALTER COLUMN "note" TYPE text;
DROP INDEX "index_orders_on_coupon";
DROP TABLE "comments";
ALTER TABLE "users" DROP COLUMN "nickname", DROP COLUMN "visits", DROP COLUMN "confirmed_at";
ALTER TABLE "orders" DROP COLUMN "coupon";
DELETE FROM "schema_migrations" WHERE "schema_migrations"."version" = '20260101100000';
COMMIT;
SELECT * FROM users WHERE id < 12 ORDER BY id;
SELECT count(*), max(note) FROM orders;
