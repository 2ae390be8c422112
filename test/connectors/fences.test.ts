import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Database, RefusedRow } from '../../src/connectors/database-sink.ts'
import { PostgresDatabase } from '../../src/connectors/postgres/database.ts'
import type { Row } from '../../src/connectors/rows.ts'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { SqliteDatabase } from '../../src/connectors/sqlite/database.ts'
import { BeckError } from '../../src/core/errors.ts'
import { hasPostgres, Postgres } from '../postgres.ts'
import { temporaryFolder } from '../shell.ts'

const shape = { names: ['n'] }
const rows = (...numbers: number[]): Row[] => numbers.map((n) => ({ shape, values: [String(n)] }))
const run = (generation: number) => ({ id: 'the id', pipeline: 'p', generation })
const epoch = (generation: number, epoch: number) => ({
  ...run(generation),
  epoch,
  offsets: { 'in/0': epoch },
  handles: [],
})
const codeOf = async (work: Promise<unknown>): Promise<string | undefined> => {
  try {
    await work
    return undefined
  } catch (error) {
    return error instanceof BeckError ? error.code : error instanceof RefusedRow ? 'row' : String(error)
  }
}
const NEW = { keys: [], upsert: false }

/** The same for both databases. `open`: a session of its own. */
async function fences(open: () => Database, numbers: () => Promise<number[]>): Promise<void> {
  const old = open()
  await old.open()
  expect(await old.claim(run(1))).toBeUndefined()
  await old.adopt(run(1), 0)
  await old.write(rows(1), epoch(1, 1))
  // Twice is once.
  expect(await codeOf(old.write(rows(1), epoch(1, 1)))).toBe('fenced')
  expect(await codeOf(old.write(rows(9), epoch(1, 3)))).toBe('fenced')
  expect(await numbers()).toEqual([1])

  const later = open()
  await later.open()
  expect(await later.claim(run(2))).toBe(1)
  expect(await codeOf(old.write(rows(8), epoch(1, 2)))).toBe('fenced')
  // Other pipelines of its session go on.
  await old.adopt({ ...run(1), id: 'another' }, 0)
  const older = open()
  await older.open()
  expect(await codeOf(older.claim(run(1)))).toBe('fenced')
  expect(await codeOf(older.write(rows(8), epoch(1, 2)))).toBe('fenced')
  expect(await later.claim(run(2))).toBe(1)
  await later.write(rows(2), epoch(2, 2))
  // A row that is refused takes all with it, the epoch too.
  expect(await codeOf(later.write([...rows(3), { shape, values: ['7'] }, ...rows(4)], epoch(2, 3)))).toBe('row')
  expect(await later.claim(run(2))).toBe(2)
  await later.write(rows(3), epoch(2, 3))
  expect(await numbers()).toEqual([1, 2, 3])
  for (const database of [old, later, older]) await database.close()
}

describe('an older run commits nothing', () => {
  test('SQLite', async () => {
    const file = join(temporaryFolder(), 'a.db')
    const { DatabaseSync } = loadSqlite()
    const own = new DatabaseSync(file)
    own.exec('CREATE TABLE t (n INTEGER CHECK (n <> 7))')
    await fences(
      () => new SqliteDatabase(file, 't', NEW),
      async () =>
        own
          .prepare('SELECT n FROM t')
          .all()
          .map(({ n }) => Number(n)),
    )
    own.close()
  })

  test.skipIf(!hasPostgres)('PostgreSQL', async () => {
    const server = await Postgres.make()
    await server.query('CREATE TABLE t (n int CHECK (n <> 7))')
    const open = (): Database => new PostgresDatabase(server.url, 't', NEW)
    await fences(open, async () => (await server.query('SELECT n FROM t')).map(({ n }) => Number(n)))

    // One that was stopped in the middle of its transaction holds nobody up.
    const stopped = open()
    await stopped.open()
    expect(await stopped.claim(run(3))).toBe(3)
    const hanging = (stopped as unknown as { query(sql: string): Promise<unknown> }).query.bind(stopped)
    await hanging('BEGIN')
    await hanging("UPDATE beck_commits SET epoch = 4 WHERE id = 'the id'")
    const later = open()
    await later.open()
    expect(await later.claim(run(4))).toBe(3)
    expect(await codeOf(hanging('COMMIT'))).toBe('database')
    await later.write(rows(4), epoch(4, 4))
    for (const database of [stopped, later]) await database.close()
  })
})
