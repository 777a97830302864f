UPDATE part SET colour = 'BLUE' WHERE colour IS NULL;
ALTER TABLE part ADD CONSTRAINT part_colour CHECK (colour IN ('RED', 'GREEN', 'BLUE'));
DELETE FROM depot.movement WHERE amount % 5 = 0;
CREATE UNIQUE INDEX part_reference ON part (reference);
CREATE INDEX movement_at ON depot.movement (at);
