import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { pipelineOf, taskName } from '../../src/log/pipelines.ts'
import { Store } from '../../src/log/store.ts'
import { hasPostgres, Postgres } from '../postgres.ts'
import { bin, temporaryFolder } from '../shell.ts'
import {
  attempt,
  intoPostgres,
  makeStore,
  outcome,
  type Pipeline,
  pristineStore,
  records,
  undisturbed,
} from './pipelines.ts'

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
    const ids = tables[0]?.['t'] ? await server.query('SELECT id::int FROM t ORDER BY xmin::text::bigint, ctid') : []
    const commits = tables[0]?.['commits'] ? await server.query('SELECT epoch FROM beck_commits') : []
    return { epoch: Number(commits[0]?.['epoch'] ?? 0), ids: ids.map(({ id }) => Number(id)) }
  },
})

/** Part files have what the journal says, or lack the last one's name. */
const files: Target = {
  target: 'file:parts',
  env: base,
  begin: async () => {},
  async read(folder) {
    const parts = join(folder, 'parts')
    const names = existsSync(parts) ? readdirSync(parts).filter((name) => name.startsWith('part-')) : []
    const text = names
      .sort()
      .map((name) => readFileSync(join(parts, name), 'utf8'))
      .join('')
    const ids = text
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { id: number }).id)
    return { epoch: names.length, ids }
  },
}

/**
 * Kills the sink before its n-th write to the journal, sync of it, or rename: how often its output was then ahead of the journal, behind it, or
 * prepared there and not done.
 */
async function killAround(
  { target, env, begin, read }: Target,
  call: 'pwrite64' | 'fdatasync' | 'rename',
  points: readonly number[],
) {
  const folders = temporaryFolder()
  const pristine = join(folders, 'pristine')
  makeStore(pristine, records(COUNT), COUNT / 4)
  const found = { ahead: 0, behind: 0, undone: 0 }
  for (const when of points) {
    await begin()
    const folder = join(folders, `store-${when}`)
    cpSync(pristine, folder, { recursive: true })
    const consume = 'beck consume in -g g --exactly-once --checkpoint 0s'
    const where = call !== 'rename' ? `-P ${folder}/journal/*.ndjson` : ''
    const strace = `strace -f -qq -o trace ${where} -e trace=${call} -e inject=${call}:signal=KILL:when=${when}`
    const options = { env: { ...env, BECK_STORE: folder }, cwd: folder }
    const into = target.startsWith('file:') ? target : `${target} t`
    const killed = await attempt(`${consume} | ${strace} beck into ${into}`, options)
    expect(killed.exit, killed.stderr).not.toBe(0)
    const store = Store.open(folder)
    const { epoch = 0, prepared } = pipelineOf(store, 'g') ?? {}
    store.close()
    const there = await read(folder)
    if (there.epoch > epoch) {
      found.ahead++
      expect(there.epoch).toBe(prepared?.epoch)
    } else if (prepared) found.undone++
    else if (there.epoch < epoch) found.behind++
    const again = await attempt(`${consume} | beck filter true | beck into ${into}`, options)
    expect({ exit: again.exit, stderr: again.stderr }).toEqual({ exit: 0, stderr: '' })
    expect((await read(folder)).ids).toEqual(Array.from({ length: COUNT }, (_, id) => id))
  }
  return found
}

/** Writes to the journal of one task's first epochs: see `killAroundTask`. */
const around = [
  ['pwrite64', 2],
  ['fdatasync', 3],
] as const

/** The same partition by partition: of the two tasks one is left in doubt, and only the database knows. */
async function killAroundTask({ target, env, begin, read }: Target, call: string, when: number): Promise<void> {
  await begin()
  const folder = join(temporaryFolder(), 'store')
  makeStore(folder, records(COUNT), COUNT / 4)
  const options = { env: { ...env, BECK_STORE: folder }, cwd: folder }
  const consume = 'beck consume in -g g --exactly-once --per-partition --checkpoint 0s'
  const strace = `strace -f -qq -o trace -P ${folder}/journal/*.ndjson -e trace=${call} -e inject=${call}:signal=KILL:when=${when}`
  const killed = await attempt(`${consume} | ${strace} beck into ${target} t`, options)
  expect(killed.exit, killed.stderr).not.toBe(0)
  const prepared = (): number => {
    const store = Store.open(folder)
    const tasks = ['in/0', 'in/1'].filter((partition) => pipelineOf(store, taskName('g', partition))?.prepared)
    store.close()
    return tasks.length
  }
  expect(prepared()).toBe(1)
  // Without the database that knows it there is no going on.
  const other = await attempt(`${consume} | beck append out`, options)
  expect(other.exit).not.toBe(0)
  expect(other.stderr).toContain('only that can say whether it did')
  const again = await attempt(`${consume} | beck filter true | beck via -- cat | beck into ${target} t`, options)
  expect({ exit: again.exit, stderr: again.stderr }).toEqual({ exit: 0, stderr: '' })
  expect(prepared()).toBe(0)
  const { ids } = await read(folder)
  expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: COUNT }, (_, id) => id))
}

const full = process.env['BECK_CRASH'] === 'full'
const points = (quick: readonly number[]): readonly number[] => (full ? [1, 2, 3, 4, 5, 6] : quick)

describe('killed around a commit', () => {
  // The journal's lines of a database: prepared 1, decided 1, prepared 2 …
  test.skipIf(!hasStrace)('SQLite', { timeout: 240_000 }, async () => {
    expect(await killAround(sqlite, 'pwrite64', points([2]))).toEqual({ ahead: full ? 3 : 1, behind: 0, undone: 0 })
    expect(await killAround(sqlite, 'fdatasync', [3])).toEqual({ ahead: 0, behind: 0, undone: 1 })
  })

  test.skipIf(!hasStrace).each(around)('SQLite, partition by partition: %s %i', { timeout: 240_000 }, (call, when) =>
    killAroundTask(sqlite, call, when),
  )

  test.skipIf(!hasStrace || !hasPostgres)('PostgreSQL, partition by partition', { timeout: 240_000 }, async () => {
    const target = postgres(await Postgres.make())
    for (const [call, when] of around) await killAroundTask(target, call, when)
  })

  test.skipIf(!hasStrace || !hasPostgres)('PostgreSQL', { timeout: 240_000 }, async () => {
    const target = postgres(await Postgres.make())
    expect(await killAround(target, 'pwrite64', points([2]))).toEqual({ ahead: full ? 3 : 1, behind: 0, undone: 0 })
    expect(await killAround(target, 'fdatasync', [3])).toEqual({ ahead: 0, behind: 0, undone: 1 })
  })

  test.skipIf(!hasStrace)('files', { timeout: 240_000 }, async () => {
    expect(await killAround(files, 'pwrite64', full ? [1, 2, 3] : [2])).toEqual({ ahead: 0, behind: 0, undone: 0 })
    expect(await killAround(files, 'rename', full ? [1, 2, 3] : [2])).toEqual({
      ahead: 0,
      behind: full ? 3 : 1,
      undone: 0,
    })
  })
})

/** More of both: see docs/exactly-once.md. */
const KILLS = Math.ceil(Number(process.env['BECK_KILLS'] ?? 3) / 4)
const RECORDS = Number(process.env['BECK_RECORDS'] ?? 20_000)

/** A server that is killed at random times under a pipeline that is run again until it is done, again and again. */
async function killServer(
  server: Postgres,
  pipeline: Pipeline,
  calm: { readonly folder: string; readonly pristine: string; readonly ms: number },
  /** Whether it is all that should be there, or (not yet done) a part of it; else what is not. */
  isPart: (output: Buffer, done: boolean) => true | string,
): Promise<void> {
  const env = { ...base, URL: server.url }
  let seed = Number(process.env['BECK_SEED'] ?? Date.now() % 2 ** 32)
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  let dead = 0
  for (let round = 0; dead < KILLS && round < 100 * KILLS; round++) {
    await server.query('DROP TABLE IF EXISTS t, beck_commits')
    const cwd = join(calm.folder, `server-${round}`)
    cpSync(calm.pristine, cwd, { recursive: true })
    const options = { env: { ...env, BECK_STORE: cwd }, cwd }
    for (let run = 0; run < 20; run++) {
      const killing =
        run < 3 && new Promise((resolve) => setTimeout(resolve, random() * calm.ms)).then(() => server.kill())
      const attempted = await attempt(pipeline.line, options)
      if (killing) {
        await killing
        await server.start()
      }
      if (attempted.exit !== 0) {
        dead++
        expect(attempted.stderr).toMatch(/postgres:[^@]*@127\.0\.0\.1/)
      }
      const { output, left } = await outcome(cwd, pipeline)
      expect(isPart(output, false), attempted.stderr).toBe(true)
      if (attempted.exit === 0 && left === 0) {
        expect(isPart(output, true)).toBe(true)
        break
      }
    }
    rmSync(cwd, { recursive: true })
  }
  expect(dead).toBeGreaterThanOrEqual(KILLS)
}

const SERVER_MS = 60_000 + KILLS * 30_000

test.skipIf(!hasPostgres)('a PostgreSQL server is killed anywhere', { timeout: SERVER_MS }, async () => {
  const server = await Postgres.make()
  const pipeline = intoPostgres.of(server)
  const clear = (): Promise<unknown> => server.query('DROP TABLE IF EXISTS t, beck_commits')
  const folder = temporaryFolder()
  const pristine = pristineStore(folder, RECORDS)
  const calm = await undisturbed(pipeline, { folder, pristine, env: { ...base, URL: server.url }, clear })
  const wanted = calm.output.toString().split('\n')
  await killServer(server, pipeline, { folder, pristine, ms: calm.ms }, (output, done) => {
    if ((done ? calm.output : calm.output.subarray(0, output.length)).equals(output)) return true
    const rows = output.toString().split('\n')
    const at = rows.findIndex((row, index) => row !== wanted[index])
    return `${rows.length} of ${wanted.length} rows; row ${at} is ${rows[at]}, which is row ${wanted.indexOf(rows[at] ?? '')}, and should be ${wanted[at]}`
  })
})

test.skipIf(!hasPostgres)('the same, partition by partition', { timeout: SERVER_MS }, async () => {
  const server = await Postgres.make()
  const pipeline = {
    ...intoPostgres.of(server),
    line: `beck consume in -g g --exactly-once --per-partition --checkpoint 5ms | beck filter 'r.ms > 200' | beck into "$URL" t`,
  }
  const folder = temporaryFolder()
  const pristine = pristineStore(folder, RECORDS)
  const cwd = join(folder, 'calm')
  cpSync(pristine, cwd, { recursive: true })
  const env = { ...base, URL: server.url, BECK_STORE: cwd }
  const { ms, exit, stderr } = await attempt(pipeline.line, { env, cwd })
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  const idsOf = (lines: readonly string[]): number[][] => {
    const good = lines.map((line) => JSON.parse(line) as { id: number; ms: number }).filter(({ ms }) => ms > 200)
    // As `makeStore` parts them.
    return [0, 1].map((partition) => good.map(({ id }) => id).filter((id) => (id % 3 === 0 ? 0 : 1) === partition))
  }
  const all = idsOf(records(RECORDS))
  await killServer(server, pipeline, { folder, pristine, ms }, (output, done) => {
    const there = idsOf(output.toString().split('\n').filter(Boolean))
    const wanted = done ? all : all.map((ids, partition) => ids.slice(0, there[partition]?.length))
    const [is, should] = [there, wanted].map((ids) => JSON.stringify(ids))
    return is === should || `${is} should be ${should}`
  })
})
