INSERT INTO maker (name, since) SELECT 'Maker ' || i, date '1990-01-01' + i * 100 FROM generate_series(1, 30) i;
INSERT INTO part (id, code, maker_id, colour, price, weight, details, tags, picture, reference, active)
SELECT i, 'C' || i, i * 7 % 30 + 1, (ARRAY['RED', 'GREEN', NULL])[i % 3 + 1], i % 90, i / 7.0, jsonb_build_object('n', i),
    CASE WHEN i % 4 <> 0 THEN ARRAY['t' || i % 5] END, decode(lpad(to_hex(i), 4, '0'), 'hex'), md5(i::text)::uuid, i % 11 <> 0
FROM generate_series(1, 800) i;
SELECT setval('part_seq', 851);
INSERT INTO depot.shelf SELECT h, p, (h * 40 + p) % 800 + 1, p % 9, (ARRAY['red', 'green', 'blue'])[p % 3 + 1]::colour
FROM generate_series(1, 10) h, generate_series(1, 40) p;
INSERT INTO depot.move (hall, place, amount, at) SELECT i % 10 + 1, i % 40 + 1, i, timestamp '2025-01-01' + interval '1 hour' * i FROM generate_series(1, 500) i;
INSERT INTO part_part SELECT i, i + 1 FROM generate_series(1, 300) i;
