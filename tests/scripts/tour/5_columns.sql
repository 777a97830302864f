-- Old rows show NULL or the default in a column that the preview added; a dropped one is gone.
ALTER TABLE users ADD COLUMN nickname text;
ALTER TABLE users ADD COLUMN plan text NOT NULL DEFAULT 'free';
SELECT id, nickname, plan FROM users ORDER BY id LIMIT 3;
UPDATE users SET nickname = 'Nick', plan = 'paid' WHERE id = 2;
SELECT plan, count(*), count(nickname) FROM users GROUP BY plan ORDER BY plan;
ALTER TABLE users DROP COLUMN born;
SELECT born FROM users;
SELECT * FROM users WHERE id IN (1, 2) ORDER BY id;
