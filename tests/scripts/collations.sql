-- needs: icu: nondeterministic collations are ICU's
-- An index whose collation finds other values equal than its column's.
CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE UNIQUE INDEX categories_anycase ON categories (name COLLATE anycase);
INSERT INTO categories (id, name) SELECT 900 + id, upper(name) FROM categories WHERE id = 2 ON CONFLICT DO NOTHING;
INSERT INTO categories (id, name) SELECT 900 + id, upper(name) FROM categories WHERE id = 3 ON CONFLICT (name COLLATE anycase) DO UPDATE SET name = excluded.name RETURNING *;
INSERT INTO categories (id, name) SELECT 900 + id, upper(name) FROM categories WHERE id = 4;
SELECT id, name FROM categories ORDER BY id;
