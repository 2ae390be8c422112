import * as fc from 'fast-check'
import { deserialize, serialize } from 'node:v8'
import { describe, expect, test } from 'vitest'
import { dedupe } from '../../commands/dedupe.ts'
import { filter } from '../../commands/filter.ts'
import { reduce } from '../../commands/reduce.ts'
import { shuffle } from '../../commands/shuffle.ts'
import { sort } from '../../commands/sort.ts'
import { window } from '../../commands/window.ts'
import type { Collector, Operator, StageContext } from '../../src/core/operator.ts'
import type { Arguments, CommandSpec, OperatorStage } from '../../src/core/spec.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import { memorySpill } from '../sort/spill.ts'

/** One life of a stage's operator: it takes lines, and its output gathers. */
class Life {
  output = ''
  readonly operator: Operator
  readonly #scanner: ReturnType<typeof createScanner>
  readonly #out: Collector
  #position: number
  constructor(stage: OperatorStage, which: ScannerName, position: number, memoryBytes: number) {
    this.#scanner = createScanner({ reads: stage.reads, strict: false }, which)
    this.#position = position
    const context: StageContext = {
      reject: () => {},
      keyTable: (fields) => this.#scanner.keyTable(fields),
      now: () => 0,
      sideFile: () => ({ write() {} }),
      count: () => {},
      memoryBytes,
      workers: 1,
      spill: memorySpill().spill,
    }
    this.operator = stage.open(context)
    const add = (bytes: Uint8Array): void => void (this.output += Buffer.from(bytes).toString())
    this.#out = {
      forward: (batch, mask, from = 0, to = batch.count) => add(batch.lines(mask, from, to)),
      emit: add,
      emitText: (lines) => add(Buffer.from(lines, 'latin1')),
    }
  }
  take(lines: readonly string[]): void {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
    this.#scanner.begin({ file: 'x', base: this.#position, lineAt: () => 1 })
    this.#position += bytes.length
    for (let at = 0; at < bytes.length;) {
      const room = this.#scanner.room()
      const n = bytes.copy(room, 0, at, at + Math.min(room.length, bytes.length - at))
      at += n
      this.operator.processBatch(this.#scanner.scan(n, at === bytes.length).batch, this.#out, 0)
    }
  }
  end(): void {
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
}
const aggregates = 'count, sum(n), var(n), list(n), p50(n), first(n), max(n), distinct(n), approx_count_distinct(n)'
const windowed = (options: Arguments['options'], program = aggregates): Tried => ({
  spec: window,
  program,
  options: { time: 't', 'time-unit': 'ms', by: 'k', delay: '15ms', ...options },
})
const times = { time: 't', 'time-unit': 'ms', delay: '15ms' }
const tried: readonly Tried[] = [
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

const stageOf = async ({ spec, program, options }: Tried): Promise<OperatorStage> => {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return (await spec.create({
    program: program ? [program] : [],
    files: [],
    options: given,
    args: {},
  })) as OperatorStage
}

/** Runs steps, with a snapshot after some, and now and then a new life from the last of them. */
function run(
  stage: OperatorStage,
  which: ScannerName,
  steps: readonly (readonly string[])[],
  fates: readonly number[],
  memoryBytes = 1 << 30,
): string {
  let life = new Life(stage, which, 0, memoryBytes)
  life.operator.restore?.([])
  let chain: Buffer[] = []
  let sealed: Buffer[] = []
  let done = ''
  let position = 0
  let kept = { at: 0, position: 0 }
  for (let at = 0; at < steps.length; at++) {
    const lines = steps[at] as readonly string[]
    life.take(lines)
    position += lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)
    const fate = fates[at] ?? 0
    if (fate === 0) continue
    const must = life.operator.mustSnapshotWhole?.() ?? false
    const whole = must !== false || stage.snapshots === true || chain.length === 0 || fate === 1
    const state = serialize(life.operator.snapshot?.(whole))
    if (must === 'seal') [sealed, chain] = [[...sealed, state], []]
    else chain = whole && stage.snapshots !== 'appends' ? [state] : [...chain, state]
    done += life.output
    life.output = ''
    kept = { at, position }
    if (fate < 4) continue
    // What comes after the snapshot is lost with its life.
    if (fate === 5 && at + 1 < steps.length) life.take(steps[at + 1] as readonly string[])
    life = new Life(stage, which, kept.position, memoryBytes)
    life.operator.restore?.([...sealed, ...chain].map((part) => deserialize(part) as unknown))
  }
  life.end()
  return done + life.output
}

describe('an operator that comes back from its snapshots goes on as if nothing had been', () => {
  test.each(
    tried.map(
      (one) =>
        [`${one.spec.name} ${one.program} ${JSON.stringify(one.options)} ${one.memoryBytes ?? ''}`, one] as const,
    ),
  )('%s', async (_, one) => {
    const stage = await stageOf(one)
    expect(stage.snapshots).toBeTruthy()
    fc.assert(
      fc.property(
        fc.array(fc.array(record, { maxLength: 6 }), { maxLength: 12 }),
        fc.array(fc.nat(5), { maxLength: 12 }),
        (records, fates) => {
          // A window that was on disk shows its keys as it has first seen them, not as an earlier window has.
          const spelling = one.memoryBytes === undefined ? {} : { odd: 0 }
          const steps = records.map((part, step) => part.map((fields) => lineOf({ ...fields, ...spelling }, step)))
          expect(run(stage, 'reference', steps, fates, one.memoryBytes)).toBe(run(stage, 'reference', steps, []))
        },
      ),
      { numRuns: Number(process.env['BECK_STATE_RUNS'] ?? 60) },
    )
  })
})

test('keys that are forgotten, and get other ids, between two snapshots', async () => {
  const stage = await stageOf(windowed({ tumbling: '10ms' }, 'count, sum(n)'))
  const steps = Array.from({ length: 30 }, (_, step) =>
    Array.from({ length: 9000 }, (_, i) => `{"t":${step * 10},"k":${step * 7000 + i},"n":${i}}`),
  )
  const fates = steps.map((_, at) => (at % 3 === 0 ? 0 : at % 5 === 0 ? 5 : 2))
  expect(run(stage, 'wasm', steps, fates)).toBe(run(stage, 'wasm', steps, []))
})
