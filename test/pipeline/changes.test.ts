import * as fc from 'fast-check'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { describe, expect, test } from 'vitest'
import { dedupe } from '../../commands/dedupe.ts'
import { filter } from '../../commands/filter.ts'
import { join as joinSpec } from '../../commands/join.ts'
import { reduce } from '../../commands/reduce.ts'
import { shuffle } from '../../commands/shuffle.ts'
import { sort } from '../../commands/sort.ts'
import { window } from '../../commands/window.ts'
import type { Collector, Operator, StageContext } from '../../src/core/operator.ts'
import type { Arguments, CommandSpec, OperatorStage, PairOperator, PairStage } from '../../src/core/spec.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import { realEnv } from '../../src/log/env.ts'
import { removeSnapshots, type Snapshots, StageState } from '../../src/pipeline/snapshot.ts'
import { temporaryFolder } from '../shell.ts'
import { memorySpill } from '../sort/spill.ts'

type Port = 0 | 1
type Step = readonly [port: Port, lines: readonly string[]]

/** One life of a stage's operator: it takes lines of one input or two, and its output gathers. */
class Life {
  output = ''
  readonly operator: Operator & Partial<PairOperator>
  readonly #scanners: readonly ReturnType<typeof createScanner>[]
  readonly #out: Collector
  readonly #positions: number[]
  constructor(stage: OperatorStage | PairStage, which: ScannerName, positions: readonly number[], memoryBytes: number) {
    const reads = stage.role === 'pair' ? stage.reads : [stage.reads]
    this.#scanners = reads.map((fields) => createScanner({ reads: fields, strict: false }, which))
    this.#positions = [...positions]
    const contexts = this.#scanners.map((scanner): StageContext => ({
      reject: () => {},
      keyTable: (fields) => scanner.keyTable(fields),
      now: () => 0,
      sideFile: () => ({ write() {} }),
      count: () => {},
      memoryBytes,
      workers: 1,
      spill: memorySpill().spill,
    }))
    const [first, second] = contexts as [StageContext, StageContext]
    this.operator = stage.role === 'pair' ? stage.open(first, second) : stage.open(first)
    const add = (bytes: Uint8Array): void => void (this.output += Buffer.from(bytes).toString())
    this.#out = {
      forward: (batch, mask, from = 0, to = batch.count) => add(batch.lines(mask, from, to)),
      emit: add,
      emitText: (lines) => add(Buffer.from(lines, 'latin1')),
    }
  }
  take([port, lines]: Step): void {
    const scanner = this.#scanners[port] as ReturnType<typeof createScanner>
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
    scanner.begin({ file: 'x', base: this.#positions[port] as number, lineAt: () => 1 })
    this.#positions[port]! += bytes.length
    for (let at = 0; at < bytes.length;) {
      const room = scanner.room()
      const n = bytes.copy(room, 0, at, at + Math.min(room.length, bytes.length - at))
      at += n
      this.operator.processBatch(scanner.scan(n, at === bytes.length).batch, this.#out, port)
    }
  }
  end(): void {
    for (const port of this.#scanners.keys()) this.operator.onEndOf?.(port, this.#out)
    this.operator.onEnd?.(this.#out)
  }
}

/** A line by its numbers: times go on with some disorder, some records are bad, keys are spelt in several ways. */
const record = fc.record({ t: fc.nat(40), k: fc.nat(9), n: fc.integer({ min: -99, max: 99 }), odd: fc.nat(30) })
const lineOf = ({ t, k, n, odd }: { t: number; k: number; n: number; odd: number }, step: number): string => {
  const key = odd === 1 ? `${k}.0` : odd === 2 ? `"${k}"` : odd === 3 ? `"\\u006${k}"` : String(k)
  const number = odd === 4 ? '"bad"' : odd === 5 ? `${n}e40` : odd === 6 ? `${n}.25` : String(n)
  return `{"t":${step * 10 + t},"k":${key},"n":${number}}`
}

interface Tried {
  readonly spec: CommandSpec
  readonly program: string
  readonly options: Arguments['options']
  readonly memoryBytes?: number
  /** So many make a state that is not small. */
  readonly records?: number
}
const aggregates = 'count, sum(n), var(n), list(n), p50(n), first(n), max(n), distinct(n), approx_count_distinct(n)'
const windowed = (options: Arguments['options'], program = aggregates): Tried => ({
  spec: window,
  program,
  options: { time: 't', 'time-unit': 'ms', by: 'k', delay: '15ms', ...options },
})
const times = { time: 't', 'time-unit': 'ms', delay: '15ms' }
/** The table of joins with one. */
const TABLE = [0, 1, 2, 3, 3, 3, 20].map((k) => `{"k":${k},"t":${k * 10},"of":"table"}\n`).join('')
const joined = (options: Arguments['options']): Tried => ({
  spec: joinSpec,
  program: 'table',
  options: { on: 'k', nest: 'x', ...options },
})
const inTime = (options: Arguments['options']): Tried =>
  joined({ 'time-unit': 'ms', delay: '15ms', ...('within' in options ? { time: 't' } : { 'as-of': 't' }), ...options })
const TYPES = ['inner', 'left', 'right', 'full', 'semi', 'anti']
const tried: readonly Tried[] = [
  ...TYPES.map((type) => inTime({ within: '-12ms..25ms', type })),
  inTime({ within: '40ms', delay: '0ms', type: 'full' }),
  ...TYPES.map((type) => inTime({ direction: 'nearest', type, tolerance: '30ms' })),
  inTime({ type: 'left', tolerance: '30ms' }),
  inTime({ type: 'full' }),
  inTime({ direction: 'nearest', type: 'full', 'no-exact': true, delay: '40ms' }),
  inTime({ direction: 'forward', type: 'full', 'no-exact': true, tolerance: '5ms' }),
  joined({ type: 'full' }),
  joined({ type: 'right', 'as-of': 't', 'time-unit': 'ms' }),
  { spec: dedupe, program: '', options: { by: 'k', within: '25ms', ...times } },
  { spec: dedupe, program: '', options: { by: 'k', within: '25ms', keep: 'last', count: true, ...times } },
  { spec: dedupe, program: '', options: { by: 'k,n', approx: '0.1' } },
  { spec: dedupe, program: '', options: { by: 'k', keep: 'last' } },
  { spec: dedupe, program: '', options: { by: 'k,n', count: true } },
  { spec: sort, program: '', options: { by: '-k,n' } },
  { spec: sort, program: '', options: { by: 'n', limit: '5' } },
  { spec: shuffle, program: '', options: { by: 'k', partitions: '3', sort: '-t' } },
  { spec: shuffle, program: '', options: { by: 'k' } },
  { spec: filter, program: 'i % 3', options: {} },
  {
    spec: reduce,
    program: 'x = fold((s, r) => ({n: s.n + 1n, of: r.t}), {n: 7n}), n = count where i % 2',
    options: { by: 'k' },
  },
  { spec: reduce, program: 'x = fold((s, r) => s + r.t, 1, (a, b) => a + b)', options: {} },
  windowed({ tumbling: '30ms' }, 'x = fold((s, r) => s + r.t, 1, (a, b) => a + b)'),
  // So little memory that it goes to disk, which is sealed.
  { spec: reduce, program: aggregates, options: { by: 'k' }, memoryBytes: 3000 },
  { spec: reduce, program: 'count, odd = count where i % 2', options: { by: 'k,n' }, memoryBytes: 500 },
  { spec: dedupe, program: '', options: { by: 'k,n' }, memoryBytes: 500 },
  { spec: dedupe, program: '', options: { by: 'k,n', keep: 'last', count: true }, memoryBytes: 500 },
  { spec: sort, program: '', options: { by: 'n,k' }, memoryBytes: 300 },
  { spec: reduce, program: aggregates, options: { by: 'k' } },
  { spec: reduce, program: aggregates, options: {} },
  { spec: dedupe, program: '', options: { by: 'k' } },
  windowed({ tumbling: '30ms' }),
  windowed({ hopping: '40ms/10ms', late: 'correct', lateness: '30ms' }),
  windowed({ hopping: '30ms/15ms', late: 'update', lateness: '30ms', emit: 'changes' }),
  windowed({ session: '12ms' }),
  windowed({ session: '8ms', late: 'correct', lateness: '25ms' }),
  windowed({ session: '8ms', late: 'update', lateness: '25ms', emit: 'changes' }),
  windowed({ session: '12ms' }, 'each'),
  windowed({ tumbling: '30ms', by: undefined }),
  // So little memory that windows spill; snapshots take everything back.
  { ...windowed({ tumbling: '30ms' }), memoryBytes: 2000 },
  { ...windowed({ session: '8ms', late: 'correct', lateness: '25ms' }), memoryBytes: 2000 },
  { ...windowed({ session: '12ms' }, 'each'), memoryBytes: 200 },
]

const stageOf = async ({ spec, program, options }: Tried, table = TABLE): Promise<OperatorStage | PairStage> => {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const stage = await spec.create({ program: program ? [program] : [], files: [], options: given, args: {} })
  if (stage.role !== 'table') return stage as OperatorStage | PairStage
  const scanner = createScanner({ reads: stage.reads, strict: false }, 'reference')
  const reader = stage.open({ keyTable: (fields: number[]) => scanner.keyTable(fields) } as unknown as StageContext)
  scanner.begin({ file: 'table', base: 0, lineAt: () => 1 })
  const bytes = Buffer.from(table)
  for (let at = 0; at < bytes.length;) {
    const n = bytes.copy(scanner.room(), 0, at)
    at += n
    reader.processBatch(scanner.scan(n, at === bytes.length).batch)
  }
  return stage.stage(reader.end())
}

const nameOf = ({ spec, program, options, memoryBytes }: Tried): string =>
  `${spec.name} ${program} ${JSON.stringify(options)} ${memoryBytes ?? ''}`

/** Runs steps, with a snapshot after some, and now and then a new life from the last of them. */
function run(
  stage: OperatorStage | PairStage,
  which: ScannerName,
  steps: readonly Step[],
  fates: readonly number[],
  memoryBytes = 1 << 30,
): string {
  const positions = [0, 0]
  let life = new Life(stage, which, positions, memoryBytes)
  life.operator.restore?.([])
  let chain: Buffer[] = []
  let sealed: Buffer[] = []
  let done = ''
  for (const [at, step] of steps.entries()) {
    const [port, lines] = step
    life.take(step)
    positions[port]! += lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)
    const fate = fates[at] ?? 0
    if (fate === 0) continue
    const must = life.operator.mustSnapshotWhole?.() ?? false
    const whole = must !== false || stage.snapshots === true || chain.length === 0 || fate === 1
    const state = serialize(life.operator.snapshot?.(whole))
    if (must === 'seal') [sealed, chain] = [[...sealed, state], []]
    else chain = whole && stage.snapshots !== 'appends' ? [state] : [...chain, state]
    done += life.output
    life.output = ''
    if (fate < 4) continue
    // What comes after the snapshot is lost with its life.
    const next = steps[at + 1]
    if (fate === 5 && next) life.take(next)
    life = new Life(stage, which, positions, memoryBytes)
    life.operator.restore?.([...sealed, ...chain].map((part) => deserialize(part) as unknown))
  }
  life.end()
  return done + life.output
}

describe('an operator that comes back from its snapshots goes on as if nothing had been', () => {
  test.each(tried.map((one) => [nameOf(one), one] as const))('%s', async (_, one) => {
    const stage = await stageOf(one)
    expect(stage.snapshots).toBeTruthy()
    fc.assert(
      fc.property(
        fc.array(fc.array(record, { maxLength: 6 }), { maxLength: 12 }),
        fc.array(fc.nat(5), { maxLength: 12 }),
        fc.array(fc.constantFrom<Port>(0, 1), { minLength: 12, maxLength: 12 }),
        (records, fates, ports) => {
          // A window that was on disk shows its keys as it has first seen them, not as an earlier window has.
          const spelling = one.memoryBytes === undefined ? {} : { odd: 0 }
          const steps = records.map((part, step): Step => {
            const port = stage.role === 'pair' ? (ports[step] as Port) : 0
            return [port, part.map((fields) => lineOf({ ...fields, ...spelling }, step))]
          })
          expect(run(stage, 'reference', steps, fates, one.memoryBytes)).toBe(run(stage, 'reference', steps, []))
        },
      ),
      { numRuns: Number(process.env['BECK_STATE_RUNS'] ?? 60) },
    )
  })
})

test.each([
  windowed({ tumbling: '10ms' }, 'count, sum(n)'),
  { spec: dedupe, program: '', options: { by: 'k', within: '1ms', keep: 'last', ...times, delay: '1ms' } },
])('keys that are forgotten, and get other ids, between two snapshots ($spec.name)', async (one) => {
  const stage = await stageOf(one)
  const steps = Array.from({ length: one.spec === window ? 30 : 17 }, (_, step): Step => {
    const lines = Array.from({ length: 9000 }, (_, i) => `{"t":${step * 10},"k":${step * 7000 + i},"n":${i}}`)
    return [0, lines]
  })
  const fates = steps.map((_, at) => (at % 3 === 0 ? 0 : at % 5 === 0 ? 5 : 2))
  expect(run(stage, 'wasm', steps, fates)).toBe(run(stage, 'wasm', steps, []))
})

const hour = { time: 't', 'time-unit': 'ms', delay: '1h' }
const large: readonly Tried[] = [
  { spec: reduce, program: 'count, sum(n)', options: { by: 'k' } },
  { spec: dedupe, program: '', options: { by: 'k' } },
  { spec: dedupe, program: '', options: { by: 'k', keep: 'last' } },
  { spec: dedupe, program: '', options: { by: 'k', count: true } },
  { spec: dedupe, program: '', options: { by: 'k', within: '1h', ...hour } },
  { spec: dedupe, program: '', options: { by: 'k', within: '1h', keep: 'last', count: true, ...hour } },
  { spec: dedupe, program: '', options: { by: 'k', approx: '0.0001' }, records: 100_000 },
  { spec: sort, program: '', options: { by: 'n' } },
  { spec: shuffle, program: '', options: { by: 'k' } },
  // More than the memory: what is on disk is sealed.
  { spec: sort, program: '', options: { by: 'n' }, memoryBytes: 100_000 },
  { spec: dedupe, program: '', options: { by: 'k' }, memoryBytes: 100_000 },
  windowed({ tumbling: '1h' }, 'count, sum(n)'),
  windowed({ session: '1h' }, 'count, sum(n)'),
  inTime({ within: '1h', delay: '1h', type: 'full' }),
  inTime({ delay: '1h', type: 'left' }),
  inTime({ delay: '10ms', type: 'left', direction: 'forward' }),
]

test.each(large.map((one) => [nameOf(one), one] as const))(
  'a checkpoint writes what changed, not what is held: %s',
  async (_, one) => {
    const count = one.records ?? 20_000
    const record = (i: number): string => `{"t":${i},"k":${(i * 7919) % count},"n":${i},"of":"the left, or the right"}`
    const lines = Array.from({ length: count }, (_, i) => record(i))
    const stage = await stageOf(one, lines.join('\n'))
    const place = { env: realEnv, store: temporaryFolder(), pipeline: 'p' }
    const state = new StageState(place, '0-x', 'o', stage.snapshots as Snapshots)
    const life = new Life(stage, 'wasm', [0, 0], one.memoryBytes ?? 1 << 30)
    life.operator.restore?.([])
    const folder = join(place.store, 'state/p/0-x')
    const bytesThere = (): number =>
      readdirSync(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0)
    let epoch = 0
    /** Bytes that it has written. */
    const checkpoint = (): number => {
      const before = epoch > 0 ? bytesThere() : 0
      const take = (whole: boolean): unknown => life.operator.snapshot?.(whole)
      const handle = state.write({ generation: 1, epoch: ++epoch }, take, life.operator.mustSnapshotWhole?.())
      const written = bytesThere() - before
      removeSnapshots(place, { generation: 1, epoch, handles: [handle] })
      return written
    }
    const isPair = stage.role === 'pair' && one.options['direction'] === undefined
    for (let at = 0; at < count; at += count / 4) {
      const part = lines.slice(at, at + count / 4)
      life.take([0, part])
      if (isPair) life.take([1, part])
      checkpoint()
    }
    const held = bytesThere()
    expect(held).toBeGreaterThan(100_000)
    const written = Array.from({ length: 5 }, (_, round) => {
      life.take([0, Array.from({ length: 10 }, (_, i) => record(count + 10 * round + i))])
      return checkpoint()
    })
    // One of them may write everything anew, or put files together.
    written.sort((a, b) => a - b).pop()
    for (const bytes of written) expect(bytes).toBeLessThan(held / 50)
  },
)

test('of the rows of a table that have found a partner, those since the last snapshot', async () => {
  const lines = Array.from({ length: 1000 }, (_, k) => `{"k":${k}}`)
  const life = new Life(await stageOf(joined({ type: 'full' }), lines.join('\n')), 'wasm', [0, 0], 1 << 30)
  life.operator.restore?.([])
  life.take([0, lines.slice(0, 500)])
  life.operator.snapshot?.(true)
  life.take([0, lines.slice(495, 505)])
  expect(life.operator.snapshot?.(false)).toEqual({ rows: Uint32Array.of(500, 501, 502, 503, 504) })
})
