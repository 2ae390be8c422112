import { spawnSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { pipelineOf } from '../../src/log/pipelines.ts'
import { Store } from '../../src/log/store.ts'
import { bin, temporaryFolder } from '../shell.ts'
import { attempt, makeStore, records } from './pipelines.ts'

/**
 * A sink whose output is in a database, killed before each of its writes to the journal: before and after the database has committed an
 * epoch. The next run asks the database what has become of it.
 */
const hasStrace = spawnSync('strace', ['-V']).status === 0
const env = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter), UV_THREADPOOL_SIZE: '1' }
const COUNT = 400

interface Target {
  readonly name: string
  /** Where the sink writes; the folder is the store's. */
  target(folder: string): string
  /** Epoch of the only pipeline, and its rows in their order. */
  read(folder: string): Promise<{ epoch: number; ids: number[] }>
}

const sqlite: Target = {
  name: 'sqlite',
  target: () => 'sqlite:out.db',
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

describe.skipIf(!hasStrace)('killed around the commit of a database', () => {
  test.each([sqlite])('$name', { timeout: 240_000 }, async ({ target, read }) => {
    const base = temporaryFolder()
    const pristine = join(base, 'pristine')
    makeStore(pristine, records(COUNT), COUNT / 4)
    let ahead = 0
    for (let when = 1; when <= 5; when++) {
      const folder = join(base, `store-${when}`)
      cpSync(pristine, folder, { recursive: true })
      const journal = join(folder, 'journal')
      const into = `${target(folder)} t`
      const consume = 'beck consume in -g g --exactly-once --checkpoint 0s'
      const strace = `strace -f -qq -o trace -P ${journal}/*.ndjson -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=${when}`
      const options = { env: { ...env, BECK_STORE: folder }, cwd: folder }
      const killed = await attempt(`${consume} | ${strace} beck into ${into}`, options)
      expect(killed.exit, killed.stderr).not.toBe(0)
      const store = Store.open(folder)
      const { epoch = 0, prepared } = pipelineOf(store, 'g') ?? {}
      store.close()
      const there = await read(folder)
      if (prepared && there.epoch === prepared.epoch) ahead++
      else expect(there.epoch).toBe(epoch)
      const again = await attempt(`${consume} | beck filter true | beck into ${into}`, options)
      expect({ exit: again.exit, stderr: again.stderr }).toEqual({ exit: 0, stderr: '' })
      expect((await read(folder)).ids).toEqual(Array.from({ length: COUNT }, (_, id) => id))
    }
    expect(ahead).toBeGreaterThan(0)
  })
})
