import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addDecimals, type Decimal, formatDecimal, formatRatio, parseDecimal } from '../../src/core/decimal.ts'
import { DecimalSums } from '../../src/aggregate/decimal-sums.ts'
import { runReduce } from './run.ts'

/** JSON numbers as people, sensors and doubles write them. */
const number = fc.oneof(
  fc.integer({ min: -1000, max: 1000 }).map(String),
  fc.integer({ min: -100_000, max: 100_000 }).map((n) => (n / 100).toFixed(2)),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }).map((n) => JSON.stringify(n)),
  fc.maxSafeInteger().map(String),
  fc.bigInt({ min: -(10n ** 22n), max: 10n ** 22n }).map(String),
  fc.constantFrom(
    '0',
    '-0',
    '0.0',
    '1.0',
    '1',
    '1e0',
    '10e-1',
    '9007199254740993',
    '1e25',
    '1e-25',
    '0.30000000000000001',
  ),
)
const anything = fc.oneof(
  number,
  fc.constantFrom(
    'null',
    'true',
    'false',
    '""',
    '"a"',
    '"\\u0061"',
    '"b"',
    '"ü"',
    '"\\u00fc"',
    '[1,2]',
    '[1, 2.0]',
    '{"a":1}',
  ),
)
const record = fc
  .record({
    k: fc.option(fc.constantFrom('1', '1.0', '"1"', '"x"', 'null', '[1]'), { nil: undefined }),
    n: fc.option(number, { nil: undefined }),
    v: fc.option(anything, { nil: undefined }),
  })
  .map(
    (members) =>
      `{${Object.entries(members)
        .filter(([, text]) => text !== undefined)
        .map(([name, text]) => `"${name}":${text}`)
        .join(',')}}`,
  )

const ALL = [
  'count, count(v), sum(n), avg(n), var(n), stddev(n), min(n), max(n), min(v), max(v), median(n), p10(n), p99.9(n)',
  'first(v), last(v), list(v), distinct(v), count_distinct(v), mode(v), top(v, 3), argmin(v, n), argmax(v, n)',
  'histogram(n, 3), concat(n, "; "), approx_median(n), approx_count_distinct(v)',
  'few = count where r.n > 0, twice = sum(n) where r.v, both = list(r => [r.n, r.v])',
  'total = fold((s, r) => s + (r.v ? 1 : 0), 0, (a, b) => a + b)',
].join(', ')

const scanner = fc.constantFrom('reference' as const, 'wasm' as const)

describe('however the work is split', () => {
  test('over workers, in batches, merged in any order', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(record, { maxLength: 30 }),
        fc.array(fc.nat(2), { minLength: 30, maxLength: 30 }),
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom(undefined, 'k', 'k,v'),
        scanner,
        async (lines, workers, mergeOrder, batchRows, by, scanner) => {
          const flags = { scanner, ...(by && { by }) }
          const whole = await runReduce(ALL, lines, flags)
          const split = await runReduce(ALL, lines, { ...flags, worker: (i) => workers[i]!, mergeOrder, batchRows })
          expect(split).toEqual(whole)
        },
      ),
      { numRuns: 30 },
    ))

  test('into runs with --partial that --merge puts together', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(record, { maxLength: 10 }), { minLength: 1, maxLength: 4 }),
        fc.option(fc.constant('k'), { nil: undefined }),
        scanner,
        async (runs, by, scanner) => {
          const flags = { scanner, ...(by && { by }) }
          const whole = await runReduce(ALL, runs.flat(), flags)
          const partial: string[] = []
          for (const run of runs) partial.push(...(await runReduce(ALL, run, { ...flags, partial: true })).lines)
          expect(await runReduce(ALL, partial, { ...flags, merge: true })).toEqual(whole)
          // And in two steps.
          const again = await runReduce(ALL, partial, { ...flags, merge: true, partial: true })
          expect(await runReduce(ALL, again.lines, { ...flags, merge: true })).toEqual(whole)
        },
      ),
      { numRuns: 30 },
    ))
})

describe('however little memory there is', () => {
  test('groups that are spilled, by one worker or several, come out the same', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(record, { maxLength: 30 }),
        fc.array(fc.nat(2), { minLength: 30, maxLength: 30 }),
        fc.constantFrom(0, 500, 2000, 5000),
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        scanner,
        async (lines, workers, memoryBytes, batchRows, parallel, scanner) => {
          const flags = { scanner, batchRows, by: 'k' }
          const whole = await runReduce(ALL, lines, flags)
          expect(whole.spillFiles).toBe(0)
          const worker = (line: number): number => (parallel ? workers[line]! : 0)
          const spilled = await runReduce(ALL, lines, { ...flags, memoryBytes, worker, shared: parallel })
          expect(spilled.lines).toEqual(whole.lines)
          expect(spilled.openSpillFiles).toBe(0)
          if (memoryBytes === 0 && lines.length > 0) expect(spilled.spillFiles).toBeGreaterThan(0)
        },
      ),
      { numRuns: 30 },
    ))

  test('many groups, parted again and again', async () => {
    const lines = Array.from({ length: 4000 }, (_, i) => `{"k":"key ${(i * 7919) % 3001}","x":${i}}`)
    const program = 'count, sum(x), list(x), count_distinct(x), p50(x)'
    const whole = await runReduce(program, lines, { by: 'k', scanner: 'wasm', batchRows: 500 })
    const little = { by: 'k', scanner: 'wasm' as const, batchRows: 500, memoryBytes: 20_000 }
    const spilled = await runReduce(program, lines, little)
    expect(spilled.lines).toEqual(whole.lines)
    expect(spilled.spillFiles).toBeGreaterThan(64 * 2)
    // Parted until they fit, and no further.
    expect(spilled.spillFiles).toBeLessThan(5 * 3001)
    expect(spilled.openSpillFiles).toBe(0)
    const shared = await runReduce(program, lines, { ...little, shared: true })
    expect(shared.lines).toEqual(whole.lines)
    expect(shared.openSpillFiles).toBe(0)
  })

  test('a group that began with a rejected record, in parts', async () => {
    const input = [
      '{"k":"a","x":"bad"}',
      '{"k":"b","x":1}',
      '{"k":"c","x":"bad"}',
      '{"k":"d","x":1}',
      '{"k":"a","x":2}',
    ]
    for (const batchRows of [1, 2, 5]) {
      for (const worker of [() => 0, (line: number) => line % 2]) {
        const { lines } = await runReduce('sum(x)', input, { by: 'k', batchRows, memoryBytes: 0, worker })
        expect(lines).toEqual(['{"k":"b","sum_x":1}', '{"k":"d","sum_x":1}', '{"k":"a","sum_x":2}'])
      }
    }
  })
})

describe('exact', () => {
  const value = (text: string): Decimal => parseDecimal(text)!
  const compareDecimals = (a: Decimal, b: Decimal): number => {
    const difference = addDecimals(a, { mantissa: -b.mantissa, scale: b.scale }).mantissa
    return difference < 0n ? -1 : difference > 0n ? 1 : 0
  }
  const integer = (n: number): Decimal => ({ mantissa: BigInt(n), scale: 0 })

  test('sums, averages and the order of numbers are those of BigInt fractions', () =>
    fc.assert(
      fc.asyncProperty(fc.array(number, { minLength: 1, maxLength: 40 }), scanner, async (numbers, scanner) => {
        const { lines } = await runReduce(
          'sum(n), avg(n), min(n), max(n), p50(n)',
          numbers.map((n) => `{"n":${n}}`),
          { scanner },
        )
        const sum = numbers.map(value).reduce(addDecimals)
        const sorted = numbers
          .map((text) => ({ text, value: value(text) }))
          .sort((a, b) => compareDecimals(a.value, b.value))
        const [low, high] = [sorted[(numbers.length - 1) >> 1]!, sorted[numbers.length >> 1]!]
        const middle = addDecimals(low.value, high.value)
        const greatest = sorted.at(-1)!.value
        expect(lines).toEqual([
          `{"sum_n":${formatDecimal(sum)},"avg_n":${formatRatio(sum, integer(numbers.length))},` +
            `"min_n":${sorted[0]!.text},"max_n":${sorted.find((item) => compareDecimals(item.value, greatest) === 0)!.text},` +
            `"p50_n":${formatDecimal({ mantissa: middle.mantissa * 5n, scale: middle.scale + 1 })}}`,
        ])
      }),
      { numRuns: 100 },
    ))

  test('variance is the textbook’s', () =>
    fc.assert(
      fc.asyncProperty(fc.array(number, { minLength: 2, maxLength: 20 }), scanner, async (numbers, scanner) => {
        const { lines } = await runReduce(
          'var(n)',
          numbers.map((n) => `{"n":${n}}`),
          { scanner },
        )
        // Σ (n x − Σx)² over n² (n − 1), in integers of one scale.
        const values = numbers.map(value)
        const scale = Math.max(...values.map((x) => x.scale))
        const whole = values.map((x) => x.mantissa * 10n ** BigInt(scale - x.scale))
        const n = BigInt(whole.length)
        const sum = whole.reduce((a, b) => a + b)
        const squares = whole.map((x) => (n * x - sum) ** 2n).reduce((a, b) => a + b)
        const variance = formatRatio({ mantissa: squares, scale: 2 * scale }, { mantissa: n * n * (n - 1n), scale: 0 })
        expect(lines).toEqual([`{"var_n":${variance}}`])
      }),
      { numRuns: 100 },
    ))

  test('decimal sums carry, merge and clear without losing a digit', () => {
    const mantissa = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(2 ** 53, -(2 ** 53), 2 ** 50, 2 ** 53 - 1))
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), slot: fc.nat(2), mantissa, scale: fc.nat(22) }),
      fc.record({ do: fc.constant('text' as const), slot: fc.nat(2), text: number }),
      fc.record({ do: fc.constant('merge' as const), slot: fc.nat(2), from: fc.nat(2) }),
      fc.record({ do: fc.constant('clear' as const), slot: fc.nat(2) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const sums = new DecimalSums()
        sums.reserve(3)
        const zero: Decimal = { mantissa: 0n, scale: 0 }
        const model = [zero, zero, zero]
        for (const step of steps) {
          const { slot } = step
          if (step.do === 'add') {
            sums.add(slot, step.mantissa, step.scale)
            model[slot] = addDecimals(model[slot]!, { mantissa: BigInt(step.mantissa), scale: step.scale })
          } else if (step.do === 'text') {
            sums.addText(slot, step.text)
            model[slot] = addDecimals(model[slot]!, value(step.text))
          } else if (step.do === 'merge' && step.from !== slot) {
            sums.merge(slot, step.from)
            model[slot] = addDecimals(model[slot]!, model[step.from]!)
          } else if (step.do === 'clear') {
            sums.clear(slot)
            model[slot] = zero
          }
        }
        expect([0, 1, 2].map((slot) => sums.text(slot))).toEqual(model.map(formatDecimal))
      }),
      { numRuns: 1000 },
    )
  })
})
