#!/usr/bin/env node
// The long programme of exactly once: kills each pipeline of pipelines.ts a thousand times over 200,000 records. It goes in pieces and may be
// stopped at any time: what was done stands in FOLDER/proof.tsv, and the next run goes on with the pipeline that has been killed least.
// Usage: proof.mjs [--kills 1000] [--records 200000] [--seconds 120: of a piece] [--pieces N: no more than that] [--folder DIR] [PIPELINE…]
// Exits 1 at the first failure, whose store and history stay in FOLDER/failed-….
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '1000' },
    records: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '120' },
    pieces: { type: 'string', default: '1000000' },
    folder: { type: 'string', default: join(tmpdir(), 'beck-proof') },
  },
})
const [kills, records, seconds, pieces] = ['kills', 'records', 'seconds', 'pieces'].map((name) => Number(values[name]))
const folder = resolve(values.folder)
const table = join(folder, 'proof.tsv')
const report = join(folder, 'report.json')
mkdirSync(folder, { recursive: true })

const root = fileURLToPath(new URL('../..', import.meta.url))
const vitest = join(root, 'node_modules/.bin/vitest')
const SUFFIX = ': killed anywhere, the output is that of an undisturbed run'

/** All pipelines that there are. */
const listed = () => {
  const { stdout } = spawnSync(vitest, ['list', 'test/crash/pipelines.test.ts', '--json'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, BECK_KILLS: '1' }, // not the short suite's choice
  })
  return JSON.parse(stdout.slice(stdout.indexOf('['))).map(({ name }) => name.replace(SUFFIX, ''))
}
const chosen = positionals.length > 0 ? positionals : listed()

/** Kills of a pipeline so far. */
const done = (name) =>
  (existsSync(table) ? readFileSync(table, 'utf8').split('\n') : [])
    .map((line) => line.split('\t'))
    .filter(
      ([pipeline, , count, , , , result]) => pipeline === name && Number(count) === records && result === 'passed',
    )
    .reduce((sum, [, count]) => sum + Number(count), 0)

if (!existsSync(table)) appendFileSync(table, 'pipeline\tkills\trecords\tmidway\trounds\tseconds\tresult\n')
for (let piece = 0; piece < pieces; piece++) {
  const [name, before] = chosen.map((name) => [name, done(name)]).sort(([, a], [, b]) => a - b)[0]
  if (before >= kills) break
  rmSync(report, { force: true })
  const begin = Date.now()
  const { status, stdout, stderr } = spawnSync(
    vitest,
    ['run', 'test/crash/pipelines.test.ts', '-t', `^${name.replaceAll(/[^\w ]/g, '\\$&')}${SUFFIX}`],
    {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        NO_COLOR: '1',
        BECK_KILLS: String(kills - before),
        BECK_RECORDS: String(records),
        BECK_SECONDS: String(seconds),
        BECK_PROOF_FOLDER: folder,
        BECK_PROOF_REPORT: report,
      },
    },
  )
  const found = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { kills: 0, midway: 0, rounds: 0 }
  const passed = status === 0 && found.kills > 0
  const took = Math.round((Date.now() - begin) / 1000)
  const row = [name, found.kills, records, found.midway, found.rounds, took, passed ? 'passed' : 'FAILED']
  appendFileSync(table, `${row.join('\t')}\n`)
  writeSync(1, `${row.join('\t')}\t(${before + found.kills} of ${kills})\n`)
  if (!passed) {
    writeSync(1, stdout + stderr)
    process.exit(1)
  }
}
