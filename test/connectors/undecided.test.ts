import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { pipelineOf, prepareEpoch } from '../../src/log/pipelines.ts'
import { Store } from '../../src/log/store.ts'
import { shell, temporaryFolder } from '../shell.ts'

const line = 'beck consume in -g g --exactly-once | beck into sqlite:out.db t'

/** A pipeline that has committed an epoch, and has prepared the next one: nobody but its database knows what has become of that. */
async function undecided() {
  const cwd = temporaryFolder()
  const run = (line: string) => shell(`set -o pipefail; ${line}`, { cwd })
  writeFileSync(join(cwd, 'records'), '{"n":1}\n{"n":2}\n{"n":3}\n')
  const { exit, stderr } = await run(`beck append in records; ${line.replace('consume', 'consume --limit 2')}`)
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  const store = Store.open(join(cwd, '.beck'))
  store.transact(true, (transaction) => {
    const { generation, stages, handles, sink } = pipelineOf(store, 'g')!
    const commit = { name: 'g', generation, epoch: 2, offsets: { 'in/0': 3 }, stages, handles, sink: sink! }
    expect(prepareEpoch(store, transaction, commit)).toBe(true)
  })
  store.close()
  const query = (sql: string): unknown[] => {
    const { DatabaseSync } = loadSqlite()
    const db = new DatabaseSync(join(cwd, 'out.db'))
    const rows = db.prepare(sql).all()
    db.close()
    return rows.map((row) => Object.values(row)).flat()
  }
  return { cwd, run, query }
}

test('a database that has not committed it gets its rows again', async () => {
  const { run, query } = await undecided()
  const { exit, stderr } = await run(line)
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  expect(query('SELECT n FROM t')).toEqual([1, 2, 3])
})

test('a database that has committed it gets nothing twice', async () => {
  const { run, query } = await undecided()
  query('INSERT INTO t VALUES (3)')
  query('UPDATE beck_commits SET epoch = 2')
  const { exit, stderr } = await run(line)
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  expect(query('SELECT n FROM t')).toEqual([1, 2, 3])
})

test.each([0, 3, 7])('a database that stands at epoch %i is another one', async (epoch) => {
  const { run, query } = await undecided()
  query(`UPDATE beck_commits SET epoch = ${epoch}`)
  const { exit, stderr } = await run(line)
  expect(exit).toBe(4)
  expect(stderr).toContain(`has committed up to its epoch ${epoch}, and the store up to epoch 1`)
  expect(query('SELECT n FROM t')).toEqual([1, 2])
  // The right one is back: the question was left open.
  query('INSERT INTO t VALUES (3)')
  query('UPDATE beck_commits SET epoch = 2')
  expect((await run(line)).exit).toBe(0)
  expect(query('SELECT n FROM t')).toEqual([1, 2, 3])
})

test('an empty database in its place does not know', async () => {
  const { cwd, run } = await undecided()
  rmSync(join(cwd, 'out.db'))
  const { exit, stderr } = await run(line)
  expect(exit).not.toBe(0)
  expect(stderr).toContain('only that can say whether it did')
})
