-- COPY FROM: good rows, a bad row, a duplicate of production's.
COPY counters FROM STDIN;
copied1	11
copied2	12
\.
SELECT * FROM counters WHERE name LIKE 'copied%' ORDER BY name;
COPY counters (value, name) FROM STDIN WITH (FORMAT csv);
13,copied3
14,"copied, 4"
\.
-- ignore: context: the preview looks at production's rows when the COPY has ended, where no line is told
COPY counters FROM STDIN;
copied5	15
c1	16
copied6	17
\.
SELECT count(*) FROM counters;
COPY counters FROM STDIN;
copied7	not a number
\.
COPY counters FROM STDIN;
copied8
\.
COPY users (id, email, name, tags, settings) FROM STDIN;
9400	copy@example.org	Copy	{a,b}	{"a": 1}
9401	copy2@example.org	Copy 2	{}	{}
\.
SELECT id, email, tags, settings FROM users WHERE id >= 9400 ORDER BY id;
-- ignore: context: the preview looks at production's rows when the COPY has ended, where no line is told
COPY users (email, name) FROM STDIN;
user5@example.org	Duplicate
\.
COPY users (email, name) FROM STDIN;
fine@example.org	
\.
COPY orders (user_id, status, total) FROM STDIN;
1	paid	5
2	new	6
\.
COPY orders (user_id, status, total) FROM STDIN;
1	paid	5
987654	new	6
\.
COPY orders (user_id, status, total) FROM STDIN;
1	lost	5
\.
SELECT count(*), max(id) FROM orders;
-- ignore: context: the preview looks at production's rows when the COPY has ended, where no line is told
COPY bookings FROM STDIN;
6000	4	[2025-01-02,2025-01-04)
\.
COPY log_lines FROM STDIN WITH (FORMAT csv, HEADER);
at,level,line
2026-02-02,copy,"a ""quoted"" line"
\.
SELECT * FROM log_lines WHERE level = 'copy';
COPY counters FROM STDIN WHERE value > 50;
where1	49
where2	51
\.
SELECT name FROM counters WHERE name LIKE 'where%';
BEGIN;
COPY counters FROM STDIN;
rolled back	1
\.
ROLLBACK;
SELECT count(*) FROM counters WHERE name = 'rolled back';
COPY active_users FROM STDIN;
1	x	y	5
\.
COPY products (sku, name, price) FROM STDIN;
C-1	Copied	12.5
\.
SELECT id, sku, taxed FROM products WHERE sku = 'C-1';
COPY categories FROM STDIN;
\.
SELECT what, row_id FROM audit ORDER BY row_id, what, new::text;
