CREATE TYPE "mood" AS ENUM('calm', 'wild');
--> statement-breakpoint
CREATE TABLE "rivers" (
	"id" serial PRIMARY KEY NOT NULL,
	"name" varchar(80) NOT NULL,
	"mood" "mood" DEFAULT 'calm',
	"length" integer,
	"details" jsonb DEFAULT '{}'::jsonb,
	CONSTRAINT "rivers_name_unique" UNIQUE("name")
);
--> statement-breakpoint
CREATE TABLE "bridges" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"river_id" integer NOT NULL,
	"name" text NOT NULL,
	"built" date
);
--> statement-breakpoint
ALTER TABLE "bridges" ADD CONSTRAINT "bridges_river_id_rivers_id_fk" FOREIGN KEY ("river_id") REFERENCES "public"."rivers"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "bridge_name" ON "bridges" USING btree ("name");
--> statement-breakpoint
INSERT INTO rivers (name, mood, length, details) SELECT 'River ' || i, CASE WHEN i % 3 = 0 THEN 'wild' ELSE 'calm' END::mood, i * 9, jsonb_build_object('n', i) FROM generate_series(1, 80) i;
--> statement-breakpoint
INSERT INTO bridges (river_id, name, built) SELECT i % 80 + 1, 'Bridge ' || i, date '1900-01-01' + i * 40 FROM generate_series(1, 500) i;
