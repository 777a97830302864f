INSERT INTO orders(id, user_id) VALUES (90001, 3), (90002, 99999), (90003, 88888);
INSERT INTO orders(id, user_id) VALUES (90001, 3);
INSERT INTO users(id, email) VALUES (7000, 'p@x');
INSERT INTO orders(id, user_id) VALUES (90002, 7000), (90003, 4);
-- up users: id = 950
DELETE FROM users WHERE id = 950;
-- up users: id = 901
DELETE FROM users WHERE id = 901;
INSERT INTO orders(id, user_id) VALUES (90004, 901);
-- up orders: id = 7
UPDATE orders SET user_id = 901 WHERE id = 7;
-- up orders: id = 7
UPDATE orders SET user_id = 7000, note = 'x' WHERE id = 7;
INSERT INTO full_refs VALUES (100, 1, NULL);
INSERT INTO full_refs VALUES (100, NULL, NULL), (101, 30, 'p30');
INSERT INTO full_refs VALUES (102, 30, 'p31');
INSERT INTO emp VALUES (100, 101, 'a'), (101, 100, 'b');
INSERT INTO emp VALUES (103, 104, 'a');
INSERT INTO emp VALUES (105, 30, 'a'), (106, NULL, 'b');
INSERT INTO strict_refs VALUES (3, NULL, NULL), (4, 7000, 106);
INSERT INTO items VALUES (90001, 1, 'x', 1), (90002, 1, 'y', 1);
INSERT INTO items VALUES (99999, 1, 'x', 1);
CREATE TABLE own(id int, user_id bigint REFERENCES users, boss int REFERENCES emp ON DELETE CASCADE);
INSERT INTO own VALUES (1, 5, 8), (2, 7000, NULL);
INSERT INTO own VALUES (3, 99999, NULL);
-- up users: id = 5
DELETE FROM users WHERE id = 5;
-- up emp: id = 8
DELETE FROM emp WHERE id = 8;
SELECT * FROM {own} ORDER BY id;
SELECT count(*), sum(id) FROM {emp};
