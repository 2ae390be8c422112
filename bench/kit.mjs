// How the benchmark measures: whole processes, by wall clock.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
/** The working folder of every measured line; gone afterwards. */
export const scratch = mkdtempSync(join(process.env.BECK_BENCH_TMP ?? tmpdir(), 'beck-bench-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

const bin = join(scratch, 'bin')
mkdirSync(bin)
symlinkSync(join(here, '../dist/beck.cjs'), join(bin, 'beck'))

const env = { ...process.env, PATH: `${bin}:${dirname(process.execPath)}:${process.env.PATH}`, BENCH: here }
delete env.NODE_EXTRA_CA_CERTS // adds 30 ms to every start of node
delete env.NODE_OPTIONS

/** The click file; `part` of it when asked. Generated once, or BECK_BENCH_DATA names an existing one. */
export function clicks(part = 1) {
  const records = 2_000_000 * part
  if (part === 1 && process.env.BECK_BENCH_DATA) return resolve(process.env.BECK_BENCH_DATA)
  const file = join(here, 'data', `clicks-${records}.ndjson`)
  if (existsSync(file)) return file
  mkdirSync(dirname(file), { recursive: true })
  console.error(`generating ${file} …`)
  const out = openSync(`${file}.fresh`, 'w')
  execFileSync(process.execPath, [join(here, 'clicks.mjs'), String(records)], { stdio: ['ignore', out, 'inherit'] })
  closeSync(out)
  renameSync(`${file}.fresh`, file)
  return file
}

/** A table of 100,000 users, most of whom click. */
export function users() {
  const file = join(here, 'data/users.ndjson')
  if (existsSync(file)) return file
  mkdirSync(dirname(file), { recursive: true })
  const user = (_, i) => `{"user_id":"u${i}","name":"User ${i}","plan":"${['free', 'plus', 'team'][i % 3]}"}\n`
  writeFileSync(file, Array.from({ length: 100_000 }, user).join(''))
  return file
}

const made = new Map()
/** A file in the working folder, made when first asked for. */
function once(name, make) {
  if (!made.has(name)) {
    made.set(name, join(scratch, name))
    make(made.get(name))
  }
  return made.get(name)
}

/** The same records, the second half first. */
export const shifted = (file = clicks()) =>
  once(`shifted-${basename(file)}`, (out) => {
    const halves = '{ tail -n +$((half + 1)) "$1"; head -n $half "$1"; } > "$2"'
    execFileSync('sh', ['-c', `half=$(($(wc -l < "$1") / 2)); ${halves}`, 'sh', file, out])
  })

/** 10,000,000 records, or `part` of them, each with a key of its own, in no order. */
export const sessions = (part = 1) =>
  once(`sessions-${part}.ndjson`, (out) => {
    const fd = openSync(out, 'w')
    const records = 10_000_000 * part
    for (let i = 0; i < records;) {
      let chunk = ''
      for (const end = Math.min(records, i + 10_000); i < end; i++) {
        // An odd factor permutes the 32-bit numbers.
        const key = (Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')
        chunk += `{"session":"s${key}","at":${1767225600000 + i},"n":${i % 10}}\n`
      }
      writeSync(fd, chunk)
    }
    closeSync(fd)
  })

/** 1 GB of text in lines of some words, or `part` of it; the words are as frequent as Zipf has it. BECK_BENCH_TEXT names an existing file of 1 GB. */
export const text = (part = 1) =>
  part === 1 && process.env.BECK_BENCH_TEXT ? resolve(process.env.BECK_BENCH_TEXT) : makeText(part)
const makeText = (part) =>
  once(`text-${part}`, (out) => {
    const words = 50_000
    const cumulative = new Float64Array(words)
    for (let i = 0, sum = 0; i < words; i++) cumulative[i] = sum += 1 / (i + 1)
    const total = cumulative[words - 1]
    // Words of one to twelve letters, the frequent ones short.
    const spelled = Array.from({ length: words }, (_, i) =>
      (i * 7 + 1)
        .toString(36)
        .replaceAll(/\d/g, (d) => 'etaoinshrd'[d])
        .repeat(1 + (i % 3 === 2)),
    )
    let state = 1
    const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * total
    const fd = openSync(out, 'w')
    for (let bytes = 0; bytes < 1e9 * part;) {
      let chunk = ''
      while (chunk.length < 1 << 20) {
        for (let word = 0; word < 10; word++) {
          const at = random()
          let [low, high] = [0, words - 1]
          while (low < high) {
            const middle = (low + high) >> 1
            if (cumulative[middle] < at) low = middle + 1
            else high = middle
          }
          chunk += spelled[low] + (word < 9 ? ' ' : '\n')
        }
      }
      writeSync(fd, chunk)
      bytes += chunk.length
    }
    closeSync(fd)
  })

/** Gives the space of those files back. */
export function forget() {
  for (const file of made.values()) rmSync(file)
  made.clear()
}

/** Is this program on the PATH? */
export const has = (program) => spawnSync('sh', ['-c', `command -v ${program}`], { env }).status === 0

/**
 * Runs a shell line, with its standard output into a file.
 * @returns its time in ms
 */
export function run(line, { file = clicks(), output = '/dev/null', more = {} } = {}) {
  const inputs = {
    CLICKS: file,
    INPUT: file,
    USERS: users(),
    COPIES: Array(5).fill(file).join(' '),
    ...(line.includes('$SHIFTED') && { SHIFTED: shifted(file) }),
  }
  const out = openSync(output, 'w')
  const start = performance.now()
  const { status } = spawnSync('sh', ['-c', line], {
    cwd: scratch,
    env: { ...env, ...inputs, ...more },
    stdio: ['ignore', out, 'inherit'],
  })
  const ms = performance.now() - start
  closeSync(out)
  if (status !== 0) throw new Error(`exit ${status}: ${line}`)
  return ms
}

const notes = new Set()
/** What has to be said beside the figures since the last call. */
export function takeNotes() {
  const taken = [...notes]
  notes.clear()
  return taken
}

/** Runs a query in a DuckDB of its own, perhaps with a limit of its memory. @returns the time of the query alone, in ms */
export function query(sql, { file = clicks(), output = '/dev/null', memory } = {}) {
  const tables = { $CLICKS: () => file, $INPUT: () => file, $USERS: users, $SHIFTED: () => shifted(file) }
  const from = sql
    .replaceAll(
      '$LINES',
      () => `read_csv('${file}', columns = {line: 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false)`,
    )
    .replaceAll('$COPIES', () => `read_ndjson([${Array(5).fill(`'${file}'`)}])`)
    .replaceAll(/\$[A-Z]+/g, (name) => `read_ndjson('${tables[name]()}')`)
  const words = [join(here, 'peers/duckdb.mjs'), `COPY (${from}) TO '${output}' (FORMAT json)`]
  if (memory) words.push(memory, scratch)
  const [ms, took] = execFileSync(process.execPath, words, { env, encoding: 'utf8' }).trim().split(' ')
  if (took !== memory) notes.add(`DuckDB: out of memory with ${memory}, took ${took}`)
  return Number(ms)
}

/** Peak resident memory of the first process of a line, in MB (10⁶ bytes). */
export function peak(line, options) {
  const note = join(scratch, 'peak')
  run(line, { ...options, more: { NODE_OPTIONS: `--require=${join(here, 'peak.cjs')}`, BECK_PEAK: note } })
  return (Number(readFileSync(note, 'utf8')) * 1024) / 1e6
}

/** Starts a command whose input and output are ours. */
export const start = (line) =>
  spawn('sh', ['-c', `exec ${line}`], { cwd: scratch, env, stdio: ['pipe', 'pipe', 'inherit'] })

/** Feeds `text` to a running line `times` times, with pauses. @returns how long the slowest took to come out, in ms */
export async function slowest(line, text, times) {
  const child = spawn('sh', ['-c', line], { cwd: scratch, env, stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  const delays = []
  for (let i = 0; i <= times; i++) {
    const begin = performance.now()
    child.stdin.write(text)
    await new Promise((seen) => child.stdout.once('data', seen))
    if (i > 0) delays.push(performance.now() - begin) // the first waits for the start of the process
    await new Promise((passed) => setTimeout(passed, 100))
  }
  process.kill(-child.pid) // with all that the line started
  return Math.max(...delays)
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

/** Medians of several measurements, taken in turn so that a slow minute of the machine hits all of them. */
export function inTurn(rounds, measurements) {
  const values = Object.fromEntries(Object.keys(measurements).map((name) => [name, []]))
  for (let round = 0; round < rounds; round++)
    for (const [name, measure] of Object.entries(measurements)) values[name].push(measure())
  return values
}
