INSERT INTO prof VALUES (77777, 'x');
BEGIN;
INSERT INTO prof VALUES (77777, 'x'), (77778, 'y');
INSERT INTO users(id, email) VALUES (77777, 'seven@x'), (77778, 'eight@x');
COMMIT;
BEGIN;
INSERT INTO prof VALUES (88888, 'x');
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO prof VALUES (88888, 'x');
SET CONSTRAINTS prof_user_id_fkey IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO prof VALUES (88888, 'x');
-- up prof: user_id = 88888
DELETE FROM prof WHERE user_id = 88888;
COMMIT;
BEGIN;
INSERT INTO prof VALUES (88888, 'x'), (600, 'real');
SAVEPOINT a;
INSERT INTO prof VALUES (88889, 'x');
ROLLBACK TO a;
-- up prof: user_id = 88888
UPDATE prof SET user_id = 601 WHERE user_id = 88888;
COMMIT;
INSERT INTO now_or_later VALUES (50, 99999);
BEGIN;
SET CONSTRAINTS nol_user DEFERRED;
INSERT INTO now_or_later VALUES (50, 99999);
SET CONSTRAINTS nol_user IMMEDIATE;
ROLLBACK;
BEGIN;
SET CONSTRAINTS nol_user DEFERRED;
INSERT INTO now_or_later VALUES (50, 99999);
INSERT INTO users(id, email) VALUES (99999, 'late@x');
COMMIT;
SELECT * FROM {now_or_later} ORDER BY id;
BEGIN;
-- up users: id = 992
DELETE FROM users WHERE id = 992;
ROLLBACK;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
-- up users: id = 992
DELETE FROM users WHERE id = 992;
INSERT INTO users(id, email) VALUES (992, 'back@x');
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
-- up users: id = 993
DELETE FROM users WHERE id = 993;
COMMIT;
INSERT INTO slots VALUES (100, 5, NULL);
BEGIN;
INSERT INTO slots VALUES (100, 5, NULL);
-- up slots: id = 5
UPDATE slots SET place = 105 WHERE id = 5;
COMMIT;
BEGIN;
-- up slots: id = 6
UPDATE slots SET place = 7 WHERE id = 6;
-- up slots: id = 7
UPDATE slots SET during = during WHERE id = 7;
COMMIT;
-- up slots: true
UPDATE slots SET place = place + 1 WHERE id < 20;
-- up slots: id BETWEEN 8 AND 9
UPDATE slots SET place = place + 1 WHERE id BETWEEN 8 AND 9;
SELECT * FROM {slots} ORDER BY id;
INSERT INTO slots VALUES (200, 200, int4range(52, 53));
INSERT INTO slots VALUES (200, 200, int4range(57, 58));
INSERT INTO slots VALUES (201, 201, int4range(56, 58));
-- up slots: id = 200
UPDATE slots SET during = int4range(57, 62) WHERE id = 200;
ALTER TABLE now_or_later ALTER CONSTRAINT nol_user INITIALLY DEFERRED;
BEGIN;
INSERT INTO now_or_later VALUES (60, 424242);
COMMIT;
ALTER TABLE prof DROP CONSTRAINT prof_user_id_fkey;
INSERT INTO prof VALUES (424242, 'x');
