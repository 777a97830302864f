CREATE TABLE never (id int);
UPDATE part SET price = price + 1;
ALTER TABLE part ADD CONSTRAINT part_colour CHECK (colour = 'RED');
