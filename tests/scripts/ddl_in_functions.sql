-- Work through functions, procedures, triggers and DO.
-- expect: refused order_count: its body reads a table of production
SELECT order_count(8);
-- expect: refused order_count: the same, deep in a statement
SELECT id, order_count(id) FROM users WHERE id < 5 ORDER BY id;
-- expect: refused rename_user: its body reads and changes a table of production
SELECT rename_user(20, 'By function');
-- expect: refused "products": nothing can be copied up in front of a body's UPDATE
CALL add_stock(5, 100);
-- expect: refused "counters": the same
DO $$ BEGIN UPDATE counters SET value = value + 1 WHERE name = 'c1'; END $$;
-- expect: refused DO block: its body reads a table of production
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM users WHERE id < 10; RAISE NOTICE 'counted %', n; END $$;
-- expect: refused "counters": even where the statement is made at run time
DO $$ BEGIN EXECUTE format('DELETE FROM %I WHERE name = %L', 'counters', 'c2'); END $$;
-- A body's names aren't resolved: billing.users may be meant as well.
-- only: preview: what the refusals recommend; from here on nothing is refused
SELECT previewpg.copy_up_all('orders'::regclass, true), previewpg.copy_up_all('billing.users'::regclass, true), previewpg.copy_up_all('users'::regclass, true), previewpg.copy_up_all('products'::regclass, true), previewpg.copy_up_all('counters'::regclass, true);
SELECT order_count(8);
DELETE FROM orders WHERE id = (SELECT max(id) FROM orders WHERE user_id = 8);
SELECT order_count(8);
SELECT id, order_count(id) FROM users WHERE id < 5 ORDER BY id;
SELECT rename_user(20, 'By function');
SELECT name, version FROM users WHERE id = 20;
SELECT rename_user(424242, 'Nobody');
CALL add_stock(5, 100);
SELECT stock FROM products WHERE id = 5;
CALL add_stock(5, -1000);
DO $$ BEGIN UPDATE counters SET value = value + 1 WHERE name = 'c1'; END $$;
SELECT value FROM counters WHERE name = 'c1';
DO $$ BEGIN CREATE TABLE from_do (id int PRIMARY KEY, user_id bigint REFERENCES users); INSERT INTO from_do VALUES (1, 5); END $$;
SELECT * FROM from_do;
DO $$ BEGIN ALTER TABLE counters ADD COLUMN done int DEFAULT 7; END $$;
SELECT done, count(*) FROM counters GROUP BY done;
DO $$ DECLARE n int; BEGIN SELECT count(*) INTO n FROM users WHERE id < 10; RAISE NOTICE 'counted %', n; END $$;
DO $$ BEGIN DELETE FROM users WHERE id = 5; EXCEPTION WHEN foreign_key_violation THEN RAISE NOTICE 'kept: %', SQLERRM; END $$;
DO $$ DECLARE r record; BEGIN FOR r IN SELECT id, name FROM users WHERE id < 4 ORDER BY id LOOP RAISE NOTICE '% %', r.id, r.name; END LOOP; END $$;
DO $$ BEGIN EXECUTE format('DELETE FROM %I WHERE name = %L', 'counters', 'c2'); END $$;
SELECT count(*) FROM counters;
CREATE FUNCTION total_of(who bigint) RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT sum(total) FROM orders WHERE user_id = who $$;
SELECT total_of(15);
UPDATE orders SET total = 0 WHERE user_id = 15;
SELECT total_of(15);
CREATE FUNCTION top_orders(n int) RETURNS SETOF orders LANGUAGE sql STABLE AS $$ SELECT * FROM orders ORDER BY total DESC, id LIMIT n $$;
SELECT id, total FROM top_orders(3);
SELECT t.id, u.name FROM top_orders(2) t JOIN users u ON u.id = t.user_id ORDER BY t.id;
CREATE FUNCTION add_column() RETURNS void LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE categories ADD COLUMN via_function text DEFAULT 'f'; END $$;
SELECT add_column();
SELECT via_function, count(*) FROM categories GROUP BY 1;
CREATE FUNCTION count_down() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE products SET stock = stock - NEW.quantity WHERE id = NEW.product_id;
    RETURN NEW;
END $$;
CREATE TRIGGER items_stock AFTER INSERT ON order_items FOR EACH ROW EXECUTE FUNCTION count_down();
SELECT stock FROM products WHERE id = 30;
INSERT INTO order_items VALUES (3, 40, 30, 4);
SELECT stock FROM products WHERE id = 30;
INSERT INTO order_items VALUES (3, 41, 30, 4000);
SELECT count(*) FROM order_items WHERE order_id = 3;
DROP TRIGGER items_stock ON order_items;
ALTER TABLE users DISABLE TRIGGER users_touch;
UPDATE users SET name = 'Untouched' WHERE id = 21 RETURNING version;
ALTER TABLE users ENABLE TRIGGER users_touch;
UPDATE users SET name = 'Touched' WHERE id = 21 RETURNING version;
CREATE FUNCTION after_statement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n int; BEGIN SELECT count(*) INTO n FROM changed; RAISE NOTICE '% rows', n; RETURN NULL; END $$;
CREATE TRIGGER count_rows AFTER UPDATE ON tasks REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION after_statement();
UPDATE tasks SET state = 'x' WHERE grp = 1010;
-- expect: refused read well enough: rules of production's tables aren't followed
CREATE RULE no_delete AS ON DELETE TO bookings DO INSTEAD NOTHING;
CREATE RULE no_delete AS ON DELETE TO from_do DO INSTEAD NOTHING;
DELETE FROM from_do;
SELECT count(*) FROM from_do;
SELECT 'users'::regclass, to_regclass('nothing');
SELECT count(*) FROM audit;
