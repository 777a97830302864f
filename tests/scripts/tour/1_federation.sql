-- A SELECT shows production's rows and the preview's.
SELECT count(*) FROM users;
INSERT INTO users (id, email, name) VALUES (5000, 'tour@example.org', 'Tour');
SELECT count(*) FROM users;
SELECT id, name FROM users WHERE id IN (1, 2, 5000) ORDER BY id;
SELECT id, name FROM users ORDER BY id DESC LIMIT 3;
