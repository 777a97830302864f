-- Partitioned tables.
SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind;
-- What production's rows are in the way of is told of the partition that holds them.
ALTER TABLE events ADD CHECK (id < 500);
ALTER TABLE events ADD CHECK (id > 5);
ALTER TABLE events ADD COLUMN needed int NOT NULL;
BEGIN;
DELETE FROM events WHERE at < '2025-01-01';
ALTER TABLE events ADD CHECK (id > 500);
ROLLBACK;
BEGIN;
DELETE FROM events WHERE at < '2025-01-01';
ALTER TABLE events ADD COLUMN needed int NOT NULL;
ROLLBACK;
BEGIN;
ALTER TABLE events ADD COLUMN empty text;
ALTER TABLE events ALTER empty SET NOT NULL;
ROLLBACK;
COPY events FROM STDIN;
9100	2024-06-01	copy	{}
9101	2025-06-01	copy	\N
\.
SELECT * FROM events WHERE kind = 'copy' ORDER BY id;
COPY events TO STDOUT;
ALTER TABLE events ADD COLUMN source text DEFAULT 'web';
SELECT source, count(*) FROM events GROUP BY source;
DELETE FROM events WHERE kind = 'buy' AND at < '2024-03-01' RETURNING id;
DELETE FROM events_2025 WHERE id % 2 = 0;
SELECT count(*), min(at) FROM events;
INSERT INTO events VALUES (9000, '2024-05-05', 'buy', '{"n": 1}'), (9001, '2025-05-05', 'view', NULL);
SELECT * FROM events WHERE id >= 9000 ORDER BY id;
SELECT count(*) FROM events_2025 WHERE id = 9001;
INSERT INTO events VALUES (9002, '2030-01-01', 'none', NULL);
INSERT INTO events_2024 VALUES (9003, '2025-01-01', 'wrong', NULL);
SELECT e.kind, count(*) FROM events e JOIN events_2024 f USING (id) GROUP BY e.kind ORDER BY 1;
INSERT INTO events VALUES (50, '2024-02-20', 'new kind') ON CONFLICT (id, at) DO UPDATE SET kind = excluded.kind RETURNING *;
UPDATE events SET kind = 'changed' WHERE id = 100 RETURNING *;
UPDATE events SET at = '2025-12-31' WHERE id = 101 RETURNING *;
SELECT count(*) FROM events_2024;
INSERT INTO events VALUES (60, '2024-03-01', 'x', NULL);
INSERT INTO events VALUES (61, NULL, 'x', NULL);
INSERT INTO events VALUES (60, '2024-03-02', 'x', NULL);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO events VALUES (1, '2026-03-03', 'new part', NULL);
SELECT count(*), max(at) FROM events;
ALTER TABLE events DETACH PARTITION events_2024;
SELECT tableoid::regclass, count(*) FROM events GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM events;
SELECT count(*) FROM events_2024;
TRUNCATE events_2025;
SELECT count(*) FROM events;
TRUNCATE events;
SELECT count(*) FROM events;
