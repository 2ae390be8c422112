import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { pipelineOf } from '../../src/log/pipelines.ts'
import { Store } from '../../src/log/store.ts'
import { hasPostgres, Postgres } from '../postgres.ts'
import { bin, temporaryFolder } from '../shell.ts'
import { attempt, makeStore, outcome, type Pipeline, records, torture } from './pipelines.ts'

/**
 * A sink whose output is in a database, killed before each of its writes to the journal: before and after the database has committed an
 * epoch. The next run asks the database what has become of it.
 */
const hasStrace = spawnSync('strace', ['-V']).status === 0
const base = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter), UV_THREADPOOL_SIZE: '1' }
const COUNT = 400

interface Target {
  /** What the sink is told. */
  readonly target: string
  readonly env: Readonly<Record<string, string>>
  /** An empty database for a new store. */
  begin(): Promise<void>
  /** Epoch of the only pipeline, and its rows in their order. */
  read(folder: string): Promise<{ epoch: number; ids: number[] }>
}

const sqlite: Target = {
  target: 'sqlite:out.db',
  env: base,
  begin: async () => {},
  async read(folder) {
    const { DatabaseSync } = loadSqlite()
    const db = new DatabaseSync(join(folder, 'out.db'))
    try {
      const tables = db
        .prepare('SELECT name FROM sqlite_schema')
        .all()
        .map(({ name }) => name)
      const ids = tables.includes('t') ? db.prepare('SELECT id FROM t ORDER BY rowid').all() : []
      const commits = tables.includes('beck_commits') ? db.prepare('SELECT epoch FROM beck_commits').get() : undefined
      return { epoch: Number(commits?.['epoch'] ?? 0), ids: ids.map(({ id }) => Number(id)) }
    } finally {
      db.close()
    }
  },
}

const postgres = (server: Postgres): Target => ({
  target: '$URL',
  env: { ...base, URL: server.url },
  async begin() {
    await server.query('DROP TABLE IF EXISTS t, beck_commits')
  },
  async read() {
    const tables = await server.query("SELECT to_regclass('t') AS t, to_regclass('beck_commits') AS commits")
    const ids = tables[0]?.['t'] ? await server.query('SELECT id::int FROM t ORDER BY ctid') : []
    const commits = tables[0]?.['commits'] ? await server.query('SELECT epoch FROM beck_commits') : []
    return { epoch: Number(commits[0]?.['epoch'] ?? 0), ids: ids.map(({ id }) => Number(id)) }
  },
})

/** Kills the sink before its n-th write to the journal, for each n of the first epochs. */
async function killAround({ target, env, begin, read }: Target): Promise<void> {
  const folders = temporaryFolder()
  const pristine = join(folders, 'pristine')
  makeStore(pristine, records(COUNT), COUNT / 4)
  let ahead = 0
  for (let when = 1; when <= 5; when++) {
    await begin()
    const folder = join(folders, `store-${when}`)
    cpSync(pristine, folder, { recursive: true })
    const consume = 'beck consume in -g g --exactly-once --checkpoint 0s'
    const inject = `-e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=${when}`
    const strace = `strace -f -qq -o trace -P ${folder}/journal/*.ndjson ${inject}`
    const options = { env: { ...env, BECK_STORE: folder }, cwd: folder }
    const killed = await attempt(`${consume} | ${strace} beck into ${target} t`, options)
    expect(killed.exit, killed.stderr).not.toBe(0)
    const store = Store.open(folder)
    const { epoch = 0, prepared } = pipelineOf(store, 'g') ?? {}
    store.close()
    const there = await read(folder)
    if (prepared && there.epoch === prepared.epoch) ahead++
    else expect(there.epoch).toBe(epoch)
    const again = await attempt(`${consume} | beck filter true | beck into ${target} t`, options)
    expect({ exit: again.exit, stderr: again.stderr }).toEqual({ exit: 0, stderr: '' })
    expect((await read(folder)).ids).toEqual(Array.from({ length: COUNT }, (_, id) => id))
  }
  expect(ahead).toBeGreaterThan(0)
}

describe('killed around the commit of a database', () => {
  test.skipIf(!hasStrace)('SQLite', { timeout: 240_000 }, () => killAround(sqlite))

  test.skipIf(!hasStrace || !hasPostgres)('PostgreSQL', { timeout: 240_000 }, async () => {
    await killAround(postgres(await Postgres.make()))
  })
})

/** More of both: see docs/exactly-once.md. */
const KILLS = Number(process.env['BECK_KILLS'] ?? 6)
const RECORDS = Number(process.env['BECK_RECORDS'] ?? 20_000)

describe.skipIf(!hasPostgres)('PostgreSQL', () => {
  const consume = 'beck consume in -g g --exactly-once --checkpoint 5ms'
  const into = (server: Postgres): Pipeline => ({
    name: 'into PostgreSQL',
    line: `${consume} --drain | beck window 'count, sum(ms)' --tumbling 1m --delay 2s --time ts --by path | beck into "$URL" t`,
    async read() {
      const there = await server.query("SELECT to_regclass('t') AS t")
      const rows = there[0]?.['t'] ? await server.query('SELECT row_to_json(t)::text AS row FROM t ORDER BY ctid') : []
      return rows.map(({ row }) => `${String(row)}\n`).join('')
    },
  })

  test('stages are killed anywhere, and so is the server', { timeout: 60_000 + KILLS * 30_000 }, async () => {
    const server = await Postgres.make()
    const pipeline = into(server)
    const folders = temporaryFolder()
    const pristine = join(folders, 'pristine')
    makeStore(pristine, records(RECORDS), RECORDS / 200)
    const env = { ...base, URL: server.url }
    const calm = join(folders, 'calm')
    cpSync(pristine, calm, { recursive: true })
    const { exit, stderr, ms } = await attempt(pipeline.line, { env: { ...env, BECK_STORE: calm }, cwd: calm })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const { output: expected, epoch } = await outcome(calm, pipeline)
    expect(epoch).toBeGreaterThan(5)
    let seed = Number(process.env['BECK_SEED'] ?? Date.now())
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return seed / 2 ** 32
    }
    const clear = (): Promise<unknown> => server.query('DROP TABLE IF EXISTS t, beck_commits')
    await clear()
    const setup = { folder: join(folders, 'store'), pristine, env, kills: KILLS, expected, usualMs: ms, clear }
    const { kills } = await torture({ ...pipeline, name: `${pipeline.name} (BECK_SEED=${seed})` }, setup, random)
    expect(kills).toBe(KILLS)

    // The server itself.
    let dead = 0
    for (let round = 0; dead < Math.max(2, KILLS / 4) && round < 100; round++) {
      await clear()
      const folder = join(folders, `server-${round}`)
      mkdirSync(folder)
      cpSync(pristine, folder, { recursive: true })
      const options = { env: { ...env, BECK_STORE: folder }, cwd: folder }
      for (let run = 0; run < 20; run++) {
        const killing =
          run < 3 && new Promise((resolve) => setTimeout(resolve, random() * ms)).then(() => server.kill())
        const attempted = await attempt(pipeline.line, options)
        if (killing) {
          await killing
          await server.start()
        }
        if (attempted.exit !== 0) {
          dead++
          expect(attempted.stderr).toMatch(/postgres:[^@]*@127\.0\.0\.1/)
        }
        const { output, left } = await outcome(folder, pipeline)
        expect(expected.startsWith(output), attempted.stderr).toBe(true)
        if (attempted.exit === 0 && left === 0) {
          expect(output).toBe(expected)
          break
        }
      }
    }
    expect(dead).toBeGreaterThan(0)
  })
})
