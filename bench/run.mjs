#!/usr/bin/env node
// Usage: npm run bench [-- NAME…]: measures beck beside its peers, and keeps the result in bench/results/<date>.json.
// With names, only the rows whose name or area contains one; rows that take minutes by their whole area alone. See bench/README.md.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compare } from './compare.mjs'
import * as kit from './kit.mjs'
import { markdown } from './table.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const usualRounds = 5
const tenth = 0.1

if (!existsSync(join(here, 'node_modules')))
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: here,
    stdio: ['ignore', 2, 2],
  })

const wanted = process.argv.slice(2)
const everyRow = []
for (const file of readdirSync(join(here, 'rows')).toSorted()) {
  const area = file.replace('.mjs', '')
  for (const row of (await import(`./rows/${file}`)).default) everyRow.push({ area, ...row })
}
const names = new Set(everyRow.map(({ name }) => name))
/** A row's whole name is that row alone. Rows that take minutes are named by their area. */
const chooses = (word, { area, name, long }) =>
  names.has(word) ? word === name : long ? word === area : `${area} ${name}`.includes(word)
const rows = everyRow.filter((row) => (wanted.length === 0 ? !row.long : wanted.some((word) => chooses(word, row))))

/** A side of a row as a measurement. Slow tools get a tenth of the data; their time is scaled. */
function measurement(side, options) {
  if (side.sql) return () => kit.query(side.sql, { memory: side.memory, ...options })
  if (side.tenth) return () => kit.run(side.tenth, { file: kit.clicks(tenth), ...options }) / (options ? 1 : tenth)
  return () => {
    if (side.before) kit.run(side.before, options)
    return kit.run(side.node ?? side.line, options)
  }
}

/** The sides that this machine has the tools for. */
const present = (sides) =>
  Object.entries(sides)
    .map(([name, side]) => [name, name === 'beck' && typeof side === 'string' ? { node: side } : side])
    .map(([name, side]) => [name, typeof side === 'string' ? { line: side } : side])
    .filter(([name]) => kit.has({ Miller: 'mlr', jq: 'jq', mawk: 'mawk' }[name] ?? 'sh'))

const inputs = { clicks: kit.clicks, sessions: kit.sessions, text: kit.text }
/** Throws when the sides do not agree. */
function compareOutputs(sides, order, input) {
  const outputs = present(sides).map(([name, side]) => {
    const output = join(kit.scratch, name)
    measurement(side, { file: inputs[input](tenth), output })()
    return output
  })
  for (const other of outputs.slice(1)) compare(outputs[0], other, { order })
}

async function measure(row) {
  const { sides, bar, order, compare: compared = sides, once, input = 'clicks', rounds = usualRounds } = row
  if (row.measure) {
    const value = await row.measure(kit)
    return { value, met: value <= bar.most }
  }
  if (compared) compareOutputs(compared, order, input)
  kit.takeNotes()
  if (once) kit.run(once)
  const all = present(sides)
  const slow = ([, side]) => side.tenth !== undefined
  const whole = input === 'clicks' ? undefined : { file: inputs[input]() }
  const measurements = (list) => Object.fromEntries(list.map(([name, side]) => [name, measurement(side, whole)]))
  const runs = {
    ...kit.inTurn(rounds, { node: () => kit.run('node -e 0'), ...measurements(all.filter((one) => !slow(one))) }),
    ...kit.inTurn(1, measurements(all.filter(slow))),
  }
  const start = kit.median(runs.node)
  const ms = Object.fromEntries(all.map(([name, side]) => [name, kit.median(runs[name]) - (side.node ? start : 0)]))
  const ratio = ms.beck / ms[bar.against]
  const notes = kit.takeNotes()
  return { ms, runs, ratio, met: ratio <= bar.ratio, ...(notes.length > 0 && { notes }) }
}

const tidy = (_, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value)
const version = (command, ...words) => {
  try {
    return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split('\n')[0]
  } catch {
    return undefined
  }
}
const date = new Date().toISOString().slice(0, 10)
const file = join(here, 'results', `${date}.json`)
const result = {
  machine: {
    cpu: `${cpus().length} × ${cpus()[0].model}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    platform: version('uname', '-sr'),
  },
  versions: {
    beck: `${JSON.parse(readFileSync(join(here, '../package.json'), 'utf8')).version} (${version('git', 'rev-parse', '--short', 'HEAD')})`,
    node: process.version,
    DuckDB: JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).dependencies['@duckdb/node-api'],
    jq: version('jq', '--version')?.replace('jq-', ''),
    Miller: version('mlr', '--version')?.replace('mlr ', ''),
  },
  rows: existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).rows : [],
}
for (const row of rows) {
  console.error(`${row.area}: ${row.name} …`)
  const outcome = await measure(row).catch((error) => {
    console.error(`  FAILED: ${error.message}`)
    process.exitCode = 1
  })
  if (!outcome) continue
  const { area, name, unit, bar } = row
  const work = row.work ?? row.sides.beck.replaceAll(/^beck | "\$(CLICKS|INPUT)"/g, '')
  const measured = { area, name, work, unit, bar, ...outcome }
  const known = result.rows.findIndex((other) => other.area === area && other.name === name)
  result.rows.splice(known < 0 ? result.rows.length : known, known < 0 ? 0 : 1, measured)
  mkdirSync(join(here, 'results'), { recursive: true })
  writeFileSync(file, JSON.stringify(result, tidy, 1) + '\n')
  console.error(`  ${measured.met ? 'met' : 'NOT MET'}`)
}
console.log(markdown({ ...result, date }, rows))
