import { writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { hasPostgres, Postgres } from '../postgres.ts'
import { bin, shell, temporaryFolder } from '../shell.ts'
import { attempt, rowsOf } from './pipelines.ts'

/** As in pipelines.test.ts. */
const KILLS = Number(process.env['BECK_KILLS'] ?? (process.env['BECK_CRASH'] === 'full' ? 20 : 2))
const isLong = process.env['BECK_KILLS'] !== undefined || process.env['BECK_CRASH'] === 'full'
const RECORDS = 12_000
const ROUNDS = 6

const window = `beck window 'count, sum(n), list(n)' --tumbling 3s --delay 1s --time ts --by k`
const pipeline = (more: string, end: string): string =>
  `beck consume in -g g --exactly-once --per-partition --checkpoint 20ms ${more} | ${window} | ${end}`

/** In place of a line that shows it: a server's table. */
const ROWS = 'rows of PostgreSQL'
/** Ends of the pipe, and a line that shows all they have in order, of a partition or of a whole. */
const ends = [
  ['append', KILLS, "beck filter 'r.count > 0' | beck append out", 'beck replay out'],
  [
    'SQLite',
    Math.ceil(KILLS / 2),
    'beck into sqlite:out.db t',
    'sqlite3 -json out.db "SELECT * FROM t ORDER BY rowid" | beck from json',
  ],
  [
    'files, behind another program',
    Math.ceil(KILLS / 2),
    "beck via -- sed 's/count/many/' | beck into file:parts",
    'cat parts/*/part-*',
  ],
  ['PostgreSQL', Math.ceil(KILLS / 2), 'beck into "$URL" t', ROWS],
] as const

/** Results by key, in order. */
function byKey(text: string): Record<string, string[]> {
  const results: Record<string, string[]> = {}
  for (const line of text.split('\n').filter(Boolean)) {
    const { k } = JSON.parse(line) as { k: string }
    ;(results[k] ??= []).push(line)
  }
  return results
}

// In the short suite only the first; CI takes them all.
test.each(ends.filter(([, , , show], at) => (isLong || at === 0) && (show !== ROWS || hasPostgres)))(
  'two pipelines share the partitions of a group; a kill anywhere moves partitions with their state to the other one: %s',
  { timeout: 60_000 + KILLS * 10_000 },
  async (_, most, end, show) => {
    const cwd = temporaryFolder()
    const store = join(cwd, 'store')
    const server = show === ROWS ? await Postgres.make() : undefined
    const url = server ? { URL: server.url } : {}
    const env = {
      ...url,
      PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter),
      BECK_STORE: store,
    }
    const lines = Array.from(
      { length: RECORDS },
      (_, i) => `{"ts":${1_700_000_000_000 + i * 20 - ((i * 7919) % 900)},"k":"k${(i * 31) % 29}","n":${i}}\n`,
    )
    writeFileSync(join(cwd, 'all'), lines.join(''))
    for (let round = 0; round < ROUNDS; round++) {
      const size = RECORDS / ROUNDS
      writeFileSync(join(cwd, `part${round}`), lines.slice(round * size, (round + 1) * size).join(''))
    }
    const run = async (line: string) => shell(line, { cwd, env: { ...url, BECK_STORE: store }, timeoutMs: 60_000 })
    const shown = async (): Promise<string> => {
      if (!server) return (await run(show)).stdout.toString()
      return rowsOf(server)
    }
    await run('beck topic create in --partitions 4 --by k; beck topic create out')
    let seed = Number(process.env['BECK_SEED'] ?? Date.now())
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return seed / 2 ** 32
    }
    const phase = { busy: true, kills: 0 }
    /** One of the two, started again whenever it has ended. */
    const member = async (): Promise<void> => {
      while (phase.busy) {
        const kill = { afterMs: 200 + random() * 1200, which: Math.floor(random() * 1000) }
        const { killed, exit, stderr } = await attempt(pipeline('--follow', end), { env, cwd, kill })
        if (killed) phase.kills++
        // A partition that the other one has taken over, while what was left of this one still tried to commit.
        else expect(exit, stderr).toBe(4)
      }
    }
    const members = [member(), member()]
    for (let round = 0; round < ROUNDS || phase.kills < most; round++) {
      if (round < ROUNDS) await run(`beck append in part${round}`)
      await new Promise((passed) => setTimeout(passed, 300))
    }
    phase.busy = false
    await Promise.all(members)
    const { exit, stderr } = await run(`set -o pipefail; ${pipeline('--drain', end)}`)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    // The same end, of a plain pipe.
    const got = byKey(await shown())
    await server?.query('DROP TABLE t, beck_commits')
    const calm = `mkdir calm; cd calm; export BECK_STORE=$PWD/store; ${window} ../all | ${end}; mkdir -p parts/0; mv parts/part-* parts/0`
    const wanted = byKey(server ? (await run(calm), await shown()) : (await run(`${calm}; ${show}`)).stdout.toString())
    expect(got).toEqual(wanted)
    expect(Object.keys(wanted).length).toBe(29)
    expect(phase.kills).toBeGreaterThanOrEqual(most)
  },
)
