SELECT count(*), sum(id) FROM {events};
SELECT count(*), sum(id) FROM {events_old};
INSERT INTO events VALUES (5, '2020-02-20', NULL, 'twice');
INSERT INTO events_old VALUES (5, '2020-02-20', NULL, 'twice');
INSERT INTO events VALUES (5, '2021-02-20', 77777, 'no parent');
INSERT INTO events_new VALUES (5, '2021-02-20', 77777, 'no parent');
INSERT INTO events VALUES (500, '2021-02-20', 901, 'ok'), (501, '2020-02-20', 901, 'ok');
INSERT INTO events_new VALUES (502, '2021-02-20', 902, 'ok');
-- up events: id = 7
UPDATE events SET note = 'changed' WHERE id = 7;
-- up events: id = 81
UPDATE events SET day = '2021-05-05' WHERE id = 81;
-- up events: id = 80
UPDATE events SET day = '2020-05-05' WHERE id = 80 RETURNING *;
-- up events_old: id = 9
DELETE FROM events_old WHERE id = 9;
-- up events: id = 10
DELETE FROM events WHERE id = 10;
SELECT count(*), sum(id) FROM {remarks};
-- up users: id = 905
DELETE FROM users WHERE id = 905;
SELECT count(*), sum(id), sum(user_id) FROM {events};
SELECT count(*), sum(id), sum(user_id) FROM {events_old};
SELECT count(*), sum(id), sum(user_id) FROM {events_new};
INSERT INTO remarks VALUES (1000, 10, '2020-04-10');
INSERT INTO remarks VALUES (1000, 11, '2020-04-20');
ALTER TABLE events ADD COLUMN more int DEFAULT 4;
SELECT count(*), sum(more) FROM {events};
SELECT count(*), sum(more) FROM {events_new};
TRUNCATE events_gone;
SELECT count(*), sum(id) FROM {events};
SELECT count(*) FROM {events_gone};
DROP TABLE remarks;
DROP TABLE events_old;
SELECT count(*), sum(id) FROM {events};
INSERT INTO events VALUES (1, '2020-02-20');
CREATE TABLE events_next PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
INSERT INTO events VALUES (1, '2023-02-20', 77777);
INSERT INTO events VALUES (1, '2023-02-20', 902);
INSERT INTO events_next VALUES (2, '2023-02-20', 903);
SELECT count(*), sum(id), sum(more) FROM {events};
TRUNCATE events;
SELECT count(*) FROM {events};
SELECT count(*) FROM {events_new};
INSERT INTO events VALUES (1, '2023-02-20', 902);
