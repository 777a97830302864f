ALTER TYPE "mood" ADD VALUE 'deep';
--> statement-breakpoint
ALTER TABLE "bridges" RENAME COLUMN "built" TO "built_on";
--> statement-breakpoint
ALTER TABLE "bridges" ADD COLUMN "toll" numeric(8, 2) DEFAULT '1.50' NOT NULL;
--> statement-breakpoint
ALTER TABLE "rivers" ALTER COLUMN "name" SET DATA TYPE text;
--> statement-breakpoint
UPDATE bridges SET toll = toll * 2 WHERE built_on < '1920-01-01';
--> statement-breakpoint
ALTER TABLE "rivers" ADD COLUMN "slug" text GENERATED ALWAYS AS (lower("name")) STORED;
--> statement-breakpoint
CREATE UNIQUE INDEX "river_slug" ON "rivers" USING btree ("slug");
