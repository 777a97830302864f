CREATE TABLE country (code char(2) PRIMARY KEY, name text);
INSERT INTO country SELECT DISTINCT country, 'Land of ' || country FROM maker;
ALTER TABLE maker ADD CONSTRAINT maker_country FOREIGN KEY (country) REFERENCES country;
CREATE TABLE picture AS SELECT id AS part_id, picture AS content FROM part WHERE id % 3 = 0;
ALTER TABLE picture ADD PRIMARY KEY (part_id), ADD FOREIGN KEY (part_id) REFERENCES part ON DELETE CASCADE;
ALTER TABLE part DROP COLUMN picture;
CREATE VIEW dear_part AS SELECT p.id, p.code, m.name AS maker, p.price * (1 + p.vat) AS gross FROM part p JOIN maker m ON m.id = p.maker_id WHERE p.price > 80;
ALTER TABLE depot.move RENAME TO movement;
