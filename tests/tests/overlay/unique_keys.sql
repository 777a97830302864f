INSERT INTO users(id, email) VALUES (5, 'fresh@x');
INSERT INTO users(id, email) VALUES (5001, 'a@x'), (5002, 'u7@x');
INSERT INTO users(id, email) VALUES (5001, 'U7@x');
INSERT INTO users(id, email) VALUES (5001, 'a@x'), (5002, 'b@x');
INSERT INTO users(email) VALUES ('next@x') RETURNING id;
INSERT INTO users(id, email) VALUES (5001, 'c@x');
INSERT INTO items VALUES (1, 1, 's', 2);
INSERT INTO items VALUES (1, 2, 's', 2) RETURNING *;
INSERT INTO items VALUES (1, 3, 's', 0);
INSERT INTO "Odd name" VALUES ('c', 3), ('a', 2);
INSERT INTO "Odd name" VALUES ('c', 3);
INSERT INTO seats VALUES ('a', 1, 'Dan');
INSERT INTO seats VALUES ('a', NULL, 'Dan');
INSERT INTO seats VALUES ('c', 1, 'ANN');
INSERT INTO seats VALUES ('c', -1, 'ANN');
INSERT INTO seats VALUES ('b', -2, 'cid');
-- up users: id = 1
UPDATE users SET email = 'u2@x' WHERE id = 1;
-- up users: id = 1
UPDATE users SET email = 'moved@x' WHERE id = 1;
INSERT INTO users(id, email) VALUES (5003, 'u1@x');
-- up users: id = 2
DELETE FROM users WHERE id = 2;
INSERT INTO users(id, email) VALUES (2, 'u2@x') RETURNING *;
SELECT count(*), sum(id), min(email) FROM {users};
-- up users: id = 3
UPDATE users SET id = 4 WHERE id = 3;
-- up users: id = 3
UPDATE users SET id = 6003 WHERE id = 3;
SELECT id, email, name FROM {users} WHERE id IN (3, 4, 6003) ORDER BY id;
SELECT count(*), sum(user_id) FROM {orders};
BEGIN;
-- up users: id = 10
DELETE FROM users WHERE id = 10;
INSERT INTO users(id, email) VALUES (10, 'again@x');
ROLLBACK;
SELECT id, email FROM {users} WHERE id = 10;
