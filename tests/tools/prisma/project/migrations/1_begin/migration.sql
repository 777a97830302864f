CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');
CREATE TABLE "Member" (
    "id" SERIAL NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT,
    "role" "Role" NOT NULL DEFAULT 'USER',
    "settings" JSONB NOT NULL DEFAULT '{}',
    "tags" TEXT[],
    "joined" TIMESTAMP(3) NOT NULL DEFAULT '2025-01-01 00:00:00'::timestamp without time zone,
    CONSTRAINT "Member_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "notes" (
    "id" TEXT NOT NULL,
    "title" VARCHAR(100) NOT NULL,
    "body" TEXT,
    "stars" INTEGER NOT NULL DEFAULT 0,
    "price" DECIMAL(8,2) NOT NULL DEFAULT 0,
    "member_id" INTEGER NOT NULL,
    CONSTRAINT "notes_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Circle" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    CONSTRAINT "Circle_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "_CircleToMember" (
    "A" INTEGER NOT NULL,
    "B" INTEGER NOT NULL,
    CONSTRAINT "_CircleToMember_AB_pkey" PRIMARY KEY ("A","B")
);
CREATE UNIQUE INDEX "Member_email_key" ON "Member"("email");
CREATE INDEX "Member_role_joined_idx" ON "Member"("role", "joined");
CREATE UNIQUE INDEX "notes_member_id_title_key" ON "notes"("member_id", "title");
CREATE UNIQUE INDEX "Circle_name_key" ON "Circle"("name");
CREATE INDEX "_CircleToMember_B_index" ON "_CircleToMember"("B");
ALTER TABLE "notes" ADD CONSTRAINT "notes_member_id_fkey" FOREIGN KEY ("member_id") REFERENCES "Member"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_CircleToMember" ADD CONSTRAINT "_CircleToMember_A_fkey" FOREIGN KEY ("A") REFERENCES "Circle"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_CircleToMember" ADD CONSTRAINT "_CircleToMember_B_fkey" FOREIGN KEY ("B") REFERENCES "Member"("id") ON DELETE CASCADE ON UPDATE CASCADE;

INSERT INTO "Member" (email, name, role, settings, tags)
SELECT 'm' || i || '@example.org', CASE WHEN i % 4 <> 0 THEN 'Member ' || i END, CASE WHEN i % 9 = 0 THEN 'ADMIN' ELSE 'USER' END::"Role",
    jsonb_build_object('level', i % 6), ARRAY['t' || i % 3] FROM generate_series(1, 150) i;
INSERT INTO notes (id, title, body, stars, price, member_id)
SELECT md5(i::text)::uuid::text, 'Note ' || i, CASE WHEN i % 3 = 0 THEN 'body ' || i END, i % 30, i % 77, i * 7 % 150 + 1 FROM generate_series(1, 800) i;
INSERT INTO "Circle" (name) SELECT 'Circle ' || i FROM generate_series(1, 12) i;
INSERT INTO "_CircleToMember" SELECT i % 12 + 1, i FROM generate_series(1, 150) i;
