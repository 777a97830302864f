UPDATE "Member" SET points = points + id WHERE id % 10 = 0;
UPDATE _prisma_migrations SET id = migration_name;
