ALTER TYPE "Role" ADD VALUE 'GUEST';
ALTER TABLE "Member" RENAME COLUMN "name" TO "full_name";
ALTER TABLE "Member" ADD COLUMN "active" BOOLEAN NOT NULL DEFAULT true;
ALTER TABLE "notes" ALTER COLUMN "stars" SET DATA TYPE BIGINT, ALTER COLUMN "price" SET DATA TYPE DECIMAL(14,4), ADD COLUMN "slug" TEXT;
UPDATE notes SET slug = lower(replace(title, ' ', '-')) || '-' || member_id;
ALTER TABLE "notes" ALTER COLUMN "slug" SET NOT NULL;
CREATE UNIQUE INDEX "notes_slug_key" ON "notes"("slug");
CREATE TABLE "Like" (
    "note_id" TEXT NOT NULL,
    "member_id" INTEGER NOT NULL,
    CONSTRAINT "Like_pkey" PRIMARY KEY ("note_id","member_id")
);
INSERT INTO "Like" SELECT id, member_id FROM notes WHERE stars > 25;
