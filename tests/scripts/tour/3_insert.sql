-- INSERT stays in the preview.
INSERT INTO orders (user_id, status, total) VALUES (1, 'new', 12.5), (2, 'paid', 13) RETURNING id, user_id;
INSERT INTO order_items SELECT max(id), 1, 1, 2 FROM orders RETURNING *;
SELECT count(*), max(id) FROM orders;
INSERT INTO orders (id, user_id) VALUES (1, 1);
INSERT INTO orders (user_id) VALUES (987654);
