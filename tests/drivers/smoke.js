// node-postgres with its defaults: what it sees is printed, to be compared with what it sees on a full copy.
'use strict'
const { Client, Pool } = require('pg')

const [host, port, user, password, database] = process.argv.slice(2)
const settings = { host, port: Number(port), user, password, database }

function show(what, result) {
  const fields = result.fields.map((f) => [f.name, f.dataTypeID < 16384 ? f.dataTypeID : 'own', f.columnID])
  console.log(what, result.command, result.rowCount, JSON.stringify(fields))
  for (const row of result.rows) console.log('  ', JSON.stringify(row))
}

async function fails(client, text, values) {
  try {
    await client.query(text, values)
    console.log('no error from', text)
  } catch (e) {
    console.log(e.code, e.message, e.detail, e.schema, e.table, e.column, e.constraint, e.position)
  }
}

async function main() {
  const client = new Client(settings)
  await client.connect()
  show('plain', await client.query('SELECT id, name, balance, settings, tags, born FROM users WHERE id < 4 ORDER BY id'))
  show('parameters', await client.query('SELECT id, status FROM orders WHERE user_id = $1 ORDER BY id', [8]))
  for (const id of [5, 6, 7]) {
    show('named', await client.query({ name: 'rename', text: 'UPDATE users SET name = $1 WHERE id = $2 RETURNING id, name', values: ['n' + id, id] }))
  }
  const both = await client.query('SELECT count(*) FROM users; SELECT count(*) FROM orders')
  both.forEach((r) => show('of two', r))
  show('array mode', await client.query({ text: 'SELECT a.id, b.id FROM users a JOIN users b ON b.id = a.id + 1 WHERE a.id < 3 ORDER BY 1', rowMode: 'array' }))
  await fails(client, 'INSERT INTO users (id, email, name) VALUES (5, $1, $2)', ['x', 'x'])
  await fails(client, 'INSERT INTO orders (user_id) VALUES (987654)')
  await fails(client, 'SELECT nothing FROM users')
  await fails(client, 'UPDATE users SET name = $1 WHERE id = 8', [''])
  await client.query('BEGIN')
  await client.query('DELETE FROM counters WHERE name = $1', ['c1'])
  await client.query('SAVEPOINT s')
  await fails(client, 'SELECT 1 / 0')
  await client.query('ROLLBACK TO s')
  show('inside', await client.query('SELECT count(*) FROM counters'))
  await client.query('ROLLBACK')
  show('after', await client.query('SELECT count(*) FROM counters'))
  const heard = new Promise((resolve) => client.once('notification', (m) => resolve(m.payload)))
  await client.query('LISTEN news')
  const pool = new Pool({ ...settings, max: 3 })
  await pool.query("NOTIFY news, 'hello'")
  console.log('heard', await heard)
  const sums = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => pool.query('SELECT sum(total) FROM orders WHERE user_id % $1 = 0', [n])))
  sums.forEach((r) => show('pool', r))
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => pool.query('UPDATE counters SET value = value + 1000 WHERE name = $1', ['c' + n])))
  show('added', await pool.query('SELECT sum(value) FROM counters'))
  await pool.end()
  await client.end()
}

main().catch((e) => {
  console.log('FAILED', e)
  process.exit(1)
})
