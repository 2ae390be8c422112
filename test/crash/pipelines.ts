import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { partitionName } from '../../src/log/layout.ts'
import { pipelineOf } from '../../src/log/pipelines.ts'
import { Store } from '../../src/log/store.ts'
import { prepareTopic } from '../../src/log/topics.ts'
import { quoted } from '../../src/run/shell-line.ts'
import type { Postgres } from '../postgres.ts'
import { program } from '../shell.ts'

/** Pipelines of real processes, of which a random one is killed at a random time, and which are started again until they are done. */
export interface Pipeline {
  readonly name: string
  /** From the topic `in`, as group `g`, to the topic `out`. It runs in the store's folder. */
  readonly line: string
  /** Reads the output where that is no topic. */
  readonly read?: (folder: string, store: Store) => string | Buffer | Promise<string>
  /** Files beside the output, which are to be the same in the end. */
  readonly sides?: readonly string[]
}

/** The records of the topic `in`: times with some disorder, a few keys. */
export function records(count: number): string[] {
  let seed = 7
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  return Array.from({ length: count }, (_, i) => {
    const time = new Date(Date.UTC(2026, 0, 1) + i * 250 - Math.floor(random() * 2000)).toISOString()
    return `{"ts":"${time}","id":${i},"path":"/${Math.floor(random() * 7)}","ms":${(random() * 900).toFixed(3)}}`
  })
}

/** A store whose topic `in` has these records in two partitions, in many commits; and `other` half as many. */
export function makeStore(folder: string, lines: readonly string[], perCommit: number): void {
  const store = Store.open(folder, { create: true })
  fill(store, 'in', lines, perCommit)
  const others = lines.filter((_, i) => i % 2 === 0).map((line) => line.replace('"id"', '"other"'))
  fill(store, 'other', others, perCommit)
  store.close()
}

function fill(store: Store, topic: string, lines: readonly string[], perCommit: number): void {
  prepareTopic(store, topic, { partitions: 2, key: undefined, time: undefined }, false)
  for (let at = 0; at < lines.length; at += perCommit) {
    const batch = lines.slice(at, at + perCommit)
    store.transact(false, (transaction) => {
      for (const p of [0, 1]) {
        const ranks = batch.flatMap((_, rank) =>
          (at + rank) % 3 === 0 ? (p === 0 ? [rank] : []) : p === 1 ? [rank] : [],
        )
        const text = ranks.map((rank) => `${batch[rank] as string}\n`).join('')
        transaction.append(partitionName(topic, p), {
          lines: [Buffer.from(text)],
          count: ranks.length,
          ranks: Uint32Array.from(ranks),
        })
      }
    })
  }
}

/** The output's records, byte for byte, and where the pipeline stands. */
export async function outcome(
  folder: string,
  { read = readTopic }: Pipeline,
): Promise<{ output: Buffer; epoch: number; left: number }> {
  const store = Store.open(folder)
  try {
    const committed = store.state.group('g').offsets
    const left = (store.state.topics.get('in')?.partitions ?? []).reduce(
      (sum, { next }, p) => sum + next - (committed.get(partitionName('in', p)) ?? 0),
      0,
    )
    const output = await read(folder, store)
    const bytes = typeof output === 'string' ? Buffer.from(output) : output
    return { output: bytes, epoch: pipelineOf(store, 'g')?.epoch ?? 0, left }
  } finally {
    store.close()
  }
}

/** What is committed of the topic `out`. */
function readTopic(folder: string, store: Store): Buffer {
  const parts = (store.state.topics.get('out')?.partitions[0]?.segments ?? []).map(({ stem, length }) => {
    const bytes = Buffer.alloc(length)
    const fd = openSync(join(folder, 'topics/out/0', `${stem}.ndjson`), 'r')
    const got = readSync(fd, bytes, 0, length, 0)
    closeSync(fd)
    return bytes.subarray(0, got)
  })
  return Buffer.concat(parts)
}

/** Whether the last results of all windows count each record once: all of them in the end. */
function counted(folder: string, store: Store): string {
  const last = new Map<string, number>()
  for (const line of readTopic(folder, store).toString().split('\n').filter(Boolean)) {
    const { path, window, count } = JSON.parse(line) as { path: string; window: object; count: number }
    last.set(JSON.stringify([path, window]), count)
  }
  const sum = [...last.values()].reduce((a, b) => a + b, 0)
  const all = (store.state.topics.get('in')?.partitions ?? []).reduce((sum, { next }) => sum + next, 0)
  return sum < all ? '' : sum === all ? 'all' : 'too many'
}

/** The complete files of the folder `parts`. A committed one may still lack its name: the next run gives it. */
function readParts(folder: string): string {
  const parts = join(folder, 'parts')
  return (existsSync(parts) ? readdirSync(parts) : [])
    .filter((name) => name.startsWith('part-'))
    .sort()
    .map((name) => readFileSync(join(parts, name), 'utf8'))
    .join('')
}

/** The rows of the table `t` in the order of their insertion. */
function readSqlite(folder: string): string {
  const file = join(folder, 'out.db')
  if (!existsSync(file)) return ''
  const { DatabaseSync } = loadSqlite()
  const db = new DatabaseSync(file)
  try {
    const made = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 't'").get()
    const rows = made ? db.prepare('SELECT * FROM t ORDER BY rowid').all() : []
    return rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  } finally {
    db.close()
  }
}

export interface Attempt {
  readonly exit: number
  readonly stderr: string
  readonly ms: number
  /** The words of the process that was killed. */
  readonly killed: string | undefined
  /** The processes that were there when it had to be ended, since it did not end. */
  readonly hung: string | undefined
}

/** Runs a pipeline once; after `killAfterMs` one of its processes is killed. */
export async function attempt(
  line: string,
  options: {
    readonly env: NodeJS.ProcessEnv
    readonly cwd: string
    readonly kill?: { afterMs: number; which: number }
    readonly limitMs?: number
  },
): Promise<Attempt> {
  const begin = Date.now()
  const { kill, limitMs = 60_000, env, cwd } = options
  const child = spawn('bash', ['-c', `set -o pipefail; ${line}`], {
    env,
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  let killed: string | undefined
  const timer =
    kill &&
    setTimeout(() => {
      const all = descendants(child.pid as number)
      const victim = all[kill.which % Math.max(1, all.length)]
      if (victim === undefined) return
      try {
        const words = commandLine(victim)
        process.kill(victim, 'SIGKILL')
        killed = words.slice(1, 3).join(' ') || 'a process that was just starting'
      } catch {
        // It was quicker.
      }
    }, kill.afterMs)
  let hung: string | undefined
  const limit = setTimeout(() => {
    hung = descendants(child.pid as number)
      .map((pid) => `${pid} ${commandLine(pid).join(' ')}`)
      .join('; ')
    process.kill(-(child.pid as number), 'SIGKILL')
  }, limitMs)
  const exit = await new Promise<number>((done) => child.on('close', (code) => done(code ?? 137)))
  clearTimeout(timer)
  clearTimeout(limit)
  return { exit, stderr, ms: Date.now() - begin, killed, hung }
}

function descendants(pid: number): number[] {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    return own.flatMap((child) => [child, ...descendants(child)])
  } catch {
    return []
  }
}

/** Empty where the process is gone. */
function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

export interface Proof {
  readonly kills: number
  /** How many of the kills came between two commits. */
  readonly midway: number
  /** How often the pipeline was brought to its end. */
  readonly rounds: number
  readonly calmMs: number
}

/**
 * Kills and restarts a pipeline until it is done, again and again until there were enough kills. Throws when at any time its output is not a
 * beginning of that of an undisturbed run, or not all of it in the end.
 */
export async function prove(
  pipeline: Pipeline,
  setup: {
    /** What is in there already, of an earlier proof of the same program, is used again. */
    readonly folder: string
    readonly env: NodeJS.ProcessEnv
    readonly records: number
    readonly kills: number
    /** No more kills after that time, however few there were. */
    readonly seconds?: number
    /** Empties what is outside the store, for a new round. */
    readonly clear?: () => Promise<unknown>
  },
): Promise<Proof> {
  const pristine = pristineStore(setup.folder, setup.records)
  await setup.clear?.()
  const calm = await undisturbed(pipeline, { ...setup, pristine })
  let seed = Number(process.env['BECK_SEED'] ?? Date.now() % 2 ** 32)
  const history = [`BECK_SEED=${seed}`]
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  const store = join(setup.folder, 'store')
  try {
    const found = await torture(pipeline, { ...setup, store, pristine, calm, history }, random)
    rmSync(store, { recursive: true, force: true })
    return { ...found, calmMs: calm.ms }
  } catch (error) {
    const failed = join(setup.folder, `failed-${slug(pipeline.name)}-${Date.now()}`)
    if (existsSync(store)) renameSync(store, failed)
    writeFileSync(`${failed}.log`, `${pipeline.line}\n${history.join('\n')}\n${String(error)}\n`)
    throw new Error(`${pipeline.name}: ${(error as Error).message}\n${history.slice(-5).join('\n')}`, { cause: error })
  }
}

/** The store that each round begins with. */
export function pristineStore(folder: string, count: number): string {
  const pristine = join(folder, `pristine-${count}`)
  if (!existsSync(pristine)) {
    rmSync(`${pristine}-making`, { recursive: true, force: true })
    makeStore(`${pristine}-making`, records(count), Math.ceil(count / 200))
    renameSync(`${pristine}-making`, pristine)
  }
  return pristine
}

interface Calm {
  /** Where the undisturbed run has run, for files beside the output. */
  readonly folder: string
  readonly output: Buffer
  readonly ms: number
}

/** What comes out when nobody is killed. */
export async function undisturbed(
  pipeline: Pipeline,
  setup: {
    readonly folder: string
    readonly pristine: string
    readonly env: NodeJS.ProcessEnv
    readonly clear?: () => Promise<unknown>
  },
): Promise<Calm> {
  const is = createHash('sha1')
    .update(`${pipeline.line}\n${setup.pristine}\n${statSync(program).mtimeMs}`)
    .digest('hex')
  const folder = join(setup.folder, `calm-${slug(pipeline.name)}-${is.slice(0, 8)}`)
  const summary = join(folder, 'summary.json')
  if (existsSync(summary)) {
    const { ms } = JSON.parse(readFileSync(summary, 'utf8')) as { readonly ms: number }
    return { folder, output: readFileSync(join(folder, 'expected')), ms }
  }
  renew(folder, setup.pristine)
  const env = { ...setup.env, BECK_STORE: folder }
  const { exit, stderr, ms } = await attempt(pipeline.line, { env, cwd: folder, limitMs: 150_000 })
  if (exit !== 0 || stderr !== '') throw new Error(`undisturbed it ends with exit ${exit}: ${stderr}`)
  const { output, epoch, left } = await outcome(folder, pipeline)
  if (left !== 0 || epoch <= 5) throw new Error(`undisturbed it stands at epoch ${epoch} with ${left} records left`)
  writeFileSync(join(folder, 'expected'), output)
  writeFileSync(summary, JSON.stringify({ ms }))
  await setup.clear?.()
  return { folder, output, ms }
}

async function torture(
  pipeline: Pipeline,
  setup: {
    readonly store: string
    readonly pristine: string
    readonly calm: Calm
    readonly env: NodeJS.ProcessEnv
    readonly kills: number
    readonly seconds?: number
    readonly clear?: () => Promise<unknown>
    /** Gets a line for each run. */
    readonly history: string[]
  },
  random: () => number,
): Promise<{ kills: number; midway: number; rounds: number }> {
  const { store, calm, history } = setup
  const env = { ...setup.env, BECK_STORE: store }
  const limitMs = Math.max(60_000, 5 * calm.ms)
  const until = Date.now() + (setup.seconds ?? Infinity) * 1000
  /** The time to a first commit, about: half of the kills come before it and half after it, whatever else the machine does. */
  let medianMs = Math.min(400, calm.ms / 2)
  let kills = 0
  let midway = 0
  let rounds = 0
  let before = 0
  renew(store, setup.pristine)
  for (let runs = 0; ; runs++) {
    const most = Date.now() < until ? setup.kills : 0
    if (runs > 20 * setup.kills + 20) throw new Error('never done')
    const anywhere = random() < 0.1
    const afterMs = anywhere ? random() * calm.ms : Math.min(calm.ms, -Math.log2(1 - random()) * medianMs)
    const kill = kills < most ? { afterMs, which: Math.floor(random() * 1000) } : undefined
    const got = await attempt(pipeline.line, { env, cwd: store, limitMs, ...(kill && { kill }) })
    if (got.killed) kills++
    const { output, left, epoch } = await outcome(store, pipeline)
    history.push(
      `run ${runs}: killed ${got.killed} after ${kill?.afterMs.toFixed(0)} ms; exit ${got.exit} after ${got.ms} ms, epoch ${epoch}, ${left} left, ${output.length} bytes; ${got.stderr}`,
    )
    if (got.killed && epoch > 0 && left > 0) midway++
    if (got.killed && !anywhere) medianMs = Math.max(20, medianMs * (epoch === before ? 1.05 : 0.95))
    before = epoch
    if (got.hung !== undefined) throw new Error(`it does not end: ${got.hung}`)
    if (!calm.output.subarray(0, output.length).equals(output))
      throw new Error('the output is not a part of what it should be')
    if (!got.killed && got.exit !== 0) throw new Error(`exit ${got.exit} although nothing was killed`)
    if (got.exit !== 0 || left !== 0) continue
    rounds++
    before = 0
    if (!output.equals(calm.output)) throw new Error('done, and the output is only a part of what it should be')
    for (const side of pipeline.sides ?? []) {
      const [is, should] = [store, calm.folder].map((where) => readFileSync(join(where, side), 'utf8'))
      if (is !== should || is === '') throw new Error(`done, and ${side} differs`)
    }
    if (kills >= most) return { kills, midway, rounds }
    await setup.clear?.()
    renew(store, setup.pristine)
  }
}

function renew(store: string, pristine: string): void {
  rmSync(store, { recursive: true, force: true })
  cpSync(pristine, store, { recursive: true })
}

/** A name as part of a file's. */
function slug(name: string): string {
  return name.replaceAll(/\W+/g, '-')
}

const consume = 'beck consume in -g g --exactly-once --checkpoint 5ms'
/** A second source, the topic `other`. */
const other = 'beck consume other -g h --exactly-once --checkpoint 7ms'

/**
 * The table `t` of a server, in the order of its transactions, and within one of insertion. By `ctid` alone it would not be: a server that was killed
 * while a table grew may fill a page later that stands before others.
 */
export async function rowsOf(server: Postgres): Promise<string> {
  const rows = await server.query('SELECT row_to_json(t)::text AS row FROM t ORDER BY xmin::text::bigint, ctid')
  return rows.map(({ row }) => `${String(row)}\n`).join('')
}

/** The same into a database that other processes are. */
export const intoPostgres = {
  name: 'windows into PostgreSQL',
  of: (server: Postgres): Pipeline => ({
    name: 'windows into PostgreSQL',
    line: `${consume} --drain | beck window 'count, sum(ms)' --tumbling 1m --delay 2s --time ts --by path | beck into "$URL" t`,
    async read() {
      const there = await server.query("SELECT to_regclass('t') AS t")
      return there[0]?.['t'] ? rowsOf(server) : ''
    },
  }),
}

/** The pipelines that are tried. */
export const pipelines: readonly Pipeline[] = [
  {
    name: 'filter and map',
    line: `${consume} | beck filter 'r.ms > 200' | beck map '{...r, slow: r.ms > 500}' | beck append out`,
  },
  {
    name: 'tumbling windows',
    line: `${consume} --drain | beck window 'count, sum(ms), p99(ms), first(id), distinct(path)' --tumbling 1m --delay 2s --time ts --by path | beck append out`,
  },
  {
    name: 'sessions that are corrected, after hopping windows',
    line: `${consume} --drain | beck window 'n = count, last(id)' --hopping 10s/5s --delay 1s --late update --lateness 5s --time ts --by path | beck window 'count, sum(n)' --time window.end --session 7s --late correct --lateness 30s --by path | beck append out`,
  },
  {
    name: 'reduce',
    line: `${consume} --drain | beck reduce 'count, avg(ms), list(id)' --by path | beck append out`,
  },
  {
    name: 'dedupe',
    line: `${consume} | beck map '{k: Math.floor(r.ms * 10), id: r.id}' | beck dedupe --by k | beck append out`,
  },
  {
    name: 'sort, and the first of a sort',
    line: `${consume} --drain | beck filter 'i % 3 > 0' | beck sort --by path,-ms --memory 100KiB | beck sort --by ms --limit 700 | beck append out`,
  },
  {
    name: 'shuffle',
    line: `${consume} --drain | beck shuffle --by path --partitions 3 --sort -id | beck append out`,
  },
  {
    name: 'dedupe within a time, and approximately',
    line: `${consume} --drain | beck dedupe --by path --within 5s --time ts --delay 2s --keep last --count | beck map '{k: Math.floor(r.ms * 10), ...r}' | beck dedupe --by k --approx 0.01 | beck append out`,
  },
  {
    name: 'dedupe that holds records',
    line: `${consume} --drain | beck dedupe --by path,ms --count | beck dedupe --by path --keep last | beck append out`,
  },
  {
    name: 'joins with tables',
    line: `${consume} --drain | beck join topic:other --on id=other --type full --prefix o_ | beck join topic:other --on path --as-of ts --nest near | beck append out --exactly-once`,
  },
  {
    name: 'merge join with a table',
    line: `${consume} --drain | beck join topic:other --merge --on id=other --type left --memory 300KiB | beck append out`,
  },
  {
    name: 'nearest as-of join of two topics',
    line: `${consume} --drain | beck join <(${other} --drain) --on path --as-of ts --delay 2s --direction nearest --tolerance 1s --type left --nest near | beck append out`,
  },
  {
    name: 'more than fits the memory',
    line: `${consume} --drain | beck map '{k: r.id * 7919 % 6007, id: r.id, path: r.path}' | beck dedupe --by k,path --memory 100KiB | beck dedupe --by k --keep last --count --memory 300KiB | beck reduce 'count, sum(count), last(path)' --by k --memory 100KiB | beck append out`,
  },
  {
    name: 'folds, and indices',
    line: `${consume} --drain | beck window 'ids = fold((s, r) => ({...s, [r.id % 3]: (s[r.id % 3] ?? 0n) + 1n}), {}), first = argmin(id, ts), odd = count where i % 2' --tumbling 20s --delay 2s --time ts --by path | beck map '{...r, i}' | beck reduce 'x = fold((s, r) => { s.n += r.first; s.last = r.i; return s }, {n: 5}), y = fold((s, r) => s + r.first, 1, (a, b) => a + b)' --by path | beck append out`,
  },
  {
    name: 'windows by the clock: each record counts once',
    line: `${consume} --drain | beck window count --processing-time --tumbling 30ms --by path --emit every 10ms --late update | beck append out --exactly-once`,
    read: counted,
  },
  {
    name: 'files beside the output',
    line: `${consume} --drain | beck map 'r.id % 11 ? r : NaN' --dead-letter bad --quiet | beck window each --tumbling 1s --time ts --delay 500ms --late-to late --quiet | beck dedupe --by path,window.start --dupes-to dupes | beck append out`,
    sides: ['bad', 'late', 'dupes'],
  },
  {
    name: 'join of two topics, and windows of it',
    line: `${consume} --drain | beck join <(${other} --drain | beck filter 'r.ms < 700') --on path --within -1s..2s --time ts --delay 2s --type full | beck window 'count, sum(right_ms), list(id)' --tumbling 10s --delay 5s --time ts --by path | beck append out`,
  },
  {
    name: 'as-of join of two topics',
    line: `${consume} --drain | beck join <(${other} --drain | beck filter 'r.ms < 100') --on path --as-of ts --tolerance 10s --delay 2s --type full | beck append out`,
  },
  {
    // So much that snapshots hold what has changed.
    name: 'join of two topics that holds much',
    line: `${consume} --drain | beck join <(${other} --drain) --on id=other --within -1h..1h --time ts --delay 2s --type full | beck append out`,
  },
  {
    name: 'much that is held, into files',
    line: `${consume} --drain | beck dedupe --by id --within 2h --time ts --delay 2s --keep last --count | beck shuffle --by path --partitions 2 | beck into file:parts --exactly-once`,
    read: readParts,
  },
  {
    name: 'other programs, into files',
    line: `${consume} | beck via -- sed 's/path/p/;/"p":"[/]3"/d' | beck via --lines -- sed -u 's/ms/m/' | beck into file:parts --exactly-once`,
    read: readParts,
  },
  {
    name: 'windows into SQLite',
    line: `${consume} --drain | beck window 'count, sum(ms)' --tumbling 1m --delay 2s --time ts --by path | beck into sqlite:out.db t --exactly-once`,
    read: readSqlite,
  },
]

/** Some stages in one process, others beside it. */
export const runsInAPipe: Pipeline = {
  name: 'runs in a pipe',
  line: `${consume} --drain | beck run "filter 'r.ms > 100' | window 'count, first(id)' --tumbling 1s --delay 2s --time ts --by path" | beck map '{...r, n: r.count}' | beck run "dedupe --by n,path | via -- cat | append out"`,
}

/** The same as a text for `beck run`, in one process. */
export function inOneProcess({ name, line, ...more }: Pipeline): Pipeline {
  // It is quicker, and commits as often all the same.
  const text = line
    .replaceAll('beck ', '')
    .replaceAll('<(', '(')
    .replaceAll(/--checkpoint [57]ms/g, '--checkpoint 1ms')
  // A shell that has nothing to do afterwards would become the process, and there would be none to kill.
  return { ...more, name: `${name}, in one process`, line: `beck run ${quoted(text)}; exit $?` }
}
