import { appendFileSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { expect, test } from 'vitest'
import { hasPostgres, Postgres } from '../postgres.ts'
import { bin, temporaryFolder } from '../shell.ts'
import { inOneProcess, intoPostgres, type Pipeline, pipelines, prove, runsInAPipe } from './pipelines.ts'

/** More of both: see docs/exactly-once.md. */
const KILLS = Number(process.env['BECK_KILLS'] ?? (process.env['BECK_CRASH'] === 'full' ? 10 : 1))
const isLong = process.env['BECK_KILLS'] !== undefined || process.env['BECK_CRASH'] === 'full'
const RECORDS = Number(process.env['BECK_RECORDS'] ?? 20_000)
/** Set by proof.mjs: for so many seconds, in a folder that stays, and a file that gets what was found. */
const seconds = process.env['BECK_SECONDS']
const folder = process.env['BECK_PROOF_FOLDER']
const report = process.env['BECK_PROOF_REPORT']

const env = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter) }
const timeout = 60_000 + KILLS * 20_000

async function kill(pipeline: Pipeline, more: { env?: NodeJS.ProcessEnv; clear?: () => Promise<unknown> } = {}) {
  const found = await prove(pipeline, {
    folder: folder ?? temporaryFolder(),
    records: RECORDS,
    kills: KILLS,
    ...(seconds !== undefined && { seconds: Number(seconds) }),
    ...more,
    env: { ...env, ...more.env },
  })
  if (report !== undefined) appendFileSync(report, `${JSON.stringify(found)}\n`)
  if (seconds === undefined) expect(found.kills).toBe(KILLS)
  if (found.kills > 50) expect(found.midway).toBeGreaterThan(found.kills / 20)
}

const promise = 'killed anywhere, the output is that of an undisturbed run'

// In the short suite two of them; CI takes them all.
for (const pipeline of pipelines.filter((_, at) => isLong || at % 11 === 1))
  test(`${pipeline.name}: ${promise}`, { timeout }, async () => kill(pipeline))

/** In one process the code is the same but for who hands control frames on: two inputs. The others are for CI. */
const ways = ['join of two topics, and windows of it']
for (const pipeline of pipelines.filter(({ name }) => isLong || ways.includes(name)).map(inOneProcess)) {
  test(`${pipeline.name}: ${promise}`, { timeout }, async () => kill(pipeline))
}

test(`${runsInAPipe.name}: ${promise}`, { timeout }, async () => kill(runsInAPipe))

test.skipIf(!hasPostgres)(`${intoPostgres.name}: ${promise}`, { timeout }, async () => {
  const server = await Postgres.make()
  await kill(intoPostgres.of(server), {
    env: { URL: server.url },
    clear: () => server.query('DROP TABLE IF EXISTS t, beck_commits'),
  })
})
