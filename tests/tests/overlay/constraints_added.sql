-- What PostgreSQL checks over the rows of upper, with their parents in lower.
CREATE TABLE own(id int PRIMARY KEY, user_id bigint, a int, "B b" text);
INSERT INTO own VALUES (1, 7, 1, 'p1'), (2, NULL, NULL, NULL);
ALTER TABLE own ADD CONSTRAINT own_user FOREIGN KEY (user_id) REFERENCES users;
ALTER TABLE ONLY own ADD FOREIGN KEY (a, "B b") REFERENCES public.pairs (a, b), ADD CHECK (id > 0);
INSERT INTO own VALUES (3, 70007, 1, 'p1');
INSERT INTO own VALUES (3, 7, 1, 'p2');
INSERT INTO jobs VALUES (1, 'x');
ALTER TABLE jobs ADD FOREIGN KEY (id) REFERENCES users (id);
ALTER TABLE jobs ADD CONSTRAINT jobs_emp FOREIGN KEY (id) REFERENCES emp;
CREATE TABLE orphan(id int PRIMARY KEY, user_id bigint);
INSERT INTO orphan VALUES (1, 777777);
ALTER TABLE orphan ADD FOREIGN KEY (user_id) REFERENCES users;
-- Our triggers are not the client's.
ALTER TABLE users DISABLE TRIGGER USER;
INSERT INTO users(id, email) VALUES (5, 'new@x');
INSERT INTO orders(id, user_id) VALUES (99000, 777777);
ALTER TABLE orders DISABLE TRIGGER USER;
INSERT INTO orders(id, user_id) VALUES (99000, 777777);
INSERT INTO orders(id, user_id) VALUES (5, 7);
ALTER TABLE orders ENABLE TRIGGER USER;
INSERT INTO orders(id, user_id) VALUES (99000, 8);
-- up users: id = 8
-- up orders: user_id = 8
DELETE FROM users WHERE id = 8;
SELECT count(*) FROM {orders};
ALTER TABLE slots ADD CONSTRAINT far EXCLUDE USING gist (int4range(place, place + 2) WITH &&);
SELECT count(*) FROM {slots};
ALTER TABLE slots ADD CONSTRAINT near EXCLUDE USING gist (int4range(place, place + 1) WITH &&);
SELECT count(*) FROM {slots};
-- Copying up fires nothing of the client's.
CREATE TABLE seen(what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (concat(TG_TABLE_NAME, ' ', TG_OP)); RETURN NEW; END $$;
CREATE TRIGGER see BEFORE INSERT OR UPDATE ON emp FOR EACH ROW EXECUTE FUNCTION see();
-- up emp: id = 9
UPDATE emp SET name = 'seen' WHERE id = 9;
CREATE RULE seeing AS ON INSERT TO jobs DO ALSO INSERT INTO seen VALUES ('rule');
-- up jobs: id = 909
UPDATE jobs SET name = 'seen' WHERE id = 909;
SELECT * FROM seen ORDER BY what;
DROP TRIGGER see ON emp;
-- up emp: id = 10
UPDATE emp SET name = 'unseen' WHERE id = 10;
INSERT INTO emp VALUES (11, NULL, 'x');
SELECT count(*) FROM seen;
