ALTER TABLE part ADD COLUMN vat numeric(4, 2) NOT NULL DEFAULT 0.25, ADD COLUMN note text;
UPDATE part SET note = 'from ' || maker.name FROM maker WHERE maker.id = part.maker_id AND part.price > 40;
ALTER TABLE part ALTER COLUMN code TYPE varchar(60), ALTER COLUMN price TYPE numeric(14, 4);
ALTER TABLE maker RENAME COLUMN since TO founded;
ALTER TABLE maker ADD COLUMN country char(2);
UPDATE maker SET country = CASE WHEN id % 2 = 0 THEN 'NO' ELSE 'DE' END;
ALTER TABLE maker ALTER COLUMN country SET NOT NULL;
