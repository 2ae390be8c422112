import { describe, expect, it } from 'vitest'
import { array, assert, asyncProperty, constantFrom, integer, option, record, shuffledSubarray } from 'fast-check'
import { oracle, type Item, type OracleOptions } from './oracle.ts'
import { runWindow } from './run.ts'

const item = record({
  t: integer({ min: -30, max: 60 }),
  k: option(constantFrom(1, 2, 'a', 'b')),
  n: integer({ min: -5, max: 5 }),
})
const items = array(item, { maxLength: 40 })
const batchRows = constantFrom(1, 2, 3, 7, Infinity)
const policy = {
  delay: constantFrom(0, 0, 3, 10, 100),
  lateness: constantFrom(0, 0, 2, 5, 20),
  late: constantFrom('drop', 'update', 'correct'),
  emit: constantFrom('final', 'final', 'changes'),
} as const

const flagsOf = ({ kind, delay, lateness, late, emit }: OracleOptions): string =>
  `${
    'gap' in kind ? `--session ${kind.gap}ms` : `--hopping ${kind.size}ms/${kind.advance}ms --offset ${kind.offset}ms`
  } --time t --time-unit ms --by k --delay ${delay}ms --lateness ${lateness}ms --late ${late} --emit ${emit} --late-to late`

async function compare(
  list: readonly Item[],
  options: OracleOptions,
  rows: number,
  memoryBytes = 1 << 30,
): Promise<void> {
  const wanted = oracle(list, options)
  const ran = await runWindow('count, s = sum(n)', flagsOf(options), list, { batchRows: rows, memoryBytes })
  expect(ran.lines).toEqual(wanted.lines)
  expect(ran.late).toBe(wanted.late.length)
  expect(ran.lateTo).toBe(wanted.late.map((item) => `${JSON.stringify(item)}\n`).join(''))
}

describe('windows do what keeping every record would do', () => {
  it('tumbling and hopping', async () => {
    const options = record({
      kind: record({
        size: integer({ min: 1, max: 24 }),
        advance: integer({ min: 1, max: 12 }),
        offset: constantFrom(0),
      }),
      ...policy,
    })
    await assert(asyncProperty(items, options, batchRows, constantFrom(1 << 30), compare), { numRuns: 700 })
  })
  it('tumbling alone, with offsets', async () => {
    const options = integer({ min: 1, max: 20 }).chain((size) =>
      record({
        kind: record({
          size: constantFrom(size),
          advance: constantFrom(size),
          offset: integer({ min: 1 - size, max: size - 1 }),
        }),
        ...policy,
      }),
    )
    await assert(asyncProperty(items, options, batchRows, constantFrom(1 << 30), compare), { numRuns: 500 })
  })
  it('sessions', async () => {
    const options = record({ kind: record({ gap: integer({ min: 1, max: 8 }) }), ...policy })
    const dense = array(record({ t: integer({ min: 0, max: 30 }), k: constantFrom(1, 2), n: constantFrom(1) }), {
      maxLength: 30,
    })
    // Sessions wake by buckets of gap / 64: at the larger scale a bucket holds several ends.
    const scales = constantFrom(1, 50)
    await assert(
      asyncProperty(dense, options, batchRows, scales, (list, { kind, delay, lateness, ...rest }, rows, scale) =>
        compare(
          list.map((item) => ({ ...item, t: item.t * scale })),
          { ...rest, kind: { gap: kind.gap * scale }, delay: delay * scale, lateness: lateness * scale },
          rows,
        ),
      ),
      { numRuns: 1000 },
    )
  })
})

describe('however little memory there is', () => {
  // Every batch is spilled, some are, none is.
  const memory = constantFrom(0, 2000, 20_000)
  it('tumbling and hopping', async () => {
    const options = record({
      kind: record({
        size: integer({ min: 1, max: 24 }),
        advance: integer({ min: 1, max: 12 }),
        offset: constantFrom(0),
      }),
      ...policy,
    })
    await assert(asyncProperty(items, options, batchRows, memory, compare), { numRuns: 150 })
  })

  const PROGRAM =
    'count, sum(n), avg(n), list(n), distinct(n), mode(k), p50(n), min(n), argmax(t, n), first(t), last(t), var(n), top(n, 2)'
  const kinds = constantFrom('--tumbling 7ms', '--hopping 12ms/4ms', '--hopping 10ms/3ms', '--session 4ms')
  it('all aggregates, with keys or without, and nothing is left open', async () => {
    await assert(
      asyncProperty(
        items,
        kinds,
        constantFrom('', '--by k', '--by k,n'),
        record(policy),
        batchRows,
        memory,
        constantFrom('reference' as const, 'wasm' as const),
        async (list, kind, by, { delay, lateness, late, emit }, rows, memoryBytes, scanner) => {
          const flags = `${kind} --time t --time-unit ms ${by} --delay ${delay}ms --lateness ${lateness}ms --late ${late} --emit ${emit}`
          const whole = await runWindow(PROGRAM, flags, list, { batchRows: rows })
          const spilled = await runWindow(PROGRAM, flags, list, { batchRows: rows, memoryBytes, scanner })
          expect(spilled.lines).toEqual(whole.lines)
          // And at the same time.
          expect(spilled.after).toEqual(whole.after)
          expect(spilled.late).toBe(whole.late)
          expect(whole.spillFiles).toBe(0)
          if (memoryBytes === 0 && list.length > whole.late) expect(spilled.spillFiles).toBeGreaterThan(0)
          expect(spilled.openSpillFiles).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })

  it('each with sessions: the records themselves', async () => {
    const dense = array(record({ t: integer({ min: 0, max: 60 }), k: constantFrom(1, 2), n: integer() }), {
      maxLength: 60,
    })
    await assert(
      asyncProperty(
        dense,
        integer({ min: 1, max: 9 }),
        constantFrom(0, 5, 100),
        batchRows,
        memory,
        async (list, gap, delay, rows, memoryBytes) => {
          const flags = `--session ${gap}ms --time t --time-unit ms --by k --delay ${delay}ms`
          const whole = await runWindow('each', flags, list, { batchRows: rows })
          const spilled = await runWindow('each', flags, list, { batchRows: rows, memoryBytes })
          expect(spilled.lines).toEqual(whole.lines)
          expect(spilled.after).toEqual(whole.after)
          expect(spilled.openSpillFiles).toBe(0)
        },
      ),
      { numRuns: 100 },
    )
  })
  it('a session of more records than are written together', async () => {
    const list = Array.from({ length: 3000 }, (_, t) => ({ t, k: t % 3 === 0 ? 1 : 2 }))
    const flags = '--session 5ms --time t --time-unit ms --by k --delay 50ms'
    const whole = await runWindow('each', flags, list, { batchRows: 700 })
    const spilled = await runWindow('each', flags, list, { batchRows: 700, memoryBytes: 100_000 })
    expect(spilled.lines).toEqual(whole.lines)
    expect(spilled.spillFiles).toBeGreaterThan(0)
  })
})

describe('many keys', () => {
  // More than the columns and tables begin with.
  const many = array(
    record({ t: integer({ min: 0, max: 300 }), k: integer({ min: 0, max: 400 }), n: constantFrom(1, 2) }),
    { minLength: 300, maxLength: 900 },
  )
  it.each([{ gap: 20 }, { size: 40, advance: 40, offset: 0 }, { size: 60, advance: 20, offset: 0 }])(
    '%j',
    async (kind) => {
      await assert(
        asyncProperty(many, record(policy), constantFrom(50, Infinity), (list, rest, rows) =>
          compare(list, { ...rest, kind }, rows),
        ),
        { numRuns: 15 },
      )
    },
  )
})

describe('the order of arrival within --delay cannot be seen', () => {
  it.each(['--tumbling 7ms', '--hopping 9ms/4ms', '--session 5ms', '--hopping 3ms/8ms'])('%s', async (kind) => {
    await assert(
      asyncProperty(
        array(item, { minLength: 2, maxLength: 30 }).chain((list) =>
          shuffledSubarray(list, { minLength: list.length, maxLength: list.length }).map(
            (other) => [list, other] as const,
          ),
        ),
        batchRows,
        async ([list, other], rows) => {
          const flags = `${kind} --time t --time-unit ms --by k --delay 90ms`
          const program = 'count, sum(n), avg(n)'
          const a = await runWindow(program, flags, list)
          const b = await runWindow(program, flags, other, { batchRows: rows })
          // A key is printed as first spelt, and all spellings here are the same.
          expect(b.lines).toEqual(a.lines)
          expect(a.late + b.late).toBe(0)
        },
      ),
      { numRuns: 150 },
    )
  })
})
