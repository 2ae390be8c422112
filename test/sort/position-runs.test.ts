import { array, assert, constantFrom, integer, property, tuple } from 'fast-check'
import { expect, it } from 'vitest'
import { PositionRuns } from '../../src/sort/position-runs.ts'
import { memorySpill } from './spill.ts'

/** What comes out, of lines given to runs; and how many files are still open. Runs may be those of several threads, cut alike. */
function merged(
  lines: readonly (readonly [run: number, text: string])[],
  memoryBytes: number,
  { cuts = [] as readonly number[], threads = 1 } = {},
) {
  const files = memorySpill()
  const numbers = Float64Array.from(cuts, (cut) => cut * 2 ** 33)
  const all = Array.from(
    { length: threads },
    () => new PositionRuns((handle) => files.spill(handle), memoryBytes, numbers),
  )
  const byRun = new Map<number, { position: number; line: string }[]>()
  for (const [position, [run, text]] of lines.entries()) {
    const some = byRun.get(run) ?? []
    byRun.set(run, some)
    some.push({ position: position * 2 ** 33, line: `${text}\n` })
  }
  for (const [run, some] of byRun) {
    all[run % threads]!.add(
      Float64Array.from(some, ({ position }) => position),
      (from, to, write) => {
        for (const { line } of some.slice(from, to)) write(Buffer.from(line))
      },
    )
  }
  const [first, ...others] = all as [PositionRuns, ...PositionRuns[]]
  for (const other of others) for (const state of other.export()) first.import(state)
  const out: Buffer[] = []
  first.drain((bytes) => out.push(Buffer.from(bytes)))
  return { text: Buffer.concat(out).toString(), open: files.open }
}

it('lines leave in the order of their numbers, whatever run they are in', () => {
  const text = tuple(constantFrom(0, 1, 15, 16, 17, 100, 5000, 300_000), integer({ min: 0, max: 9 })).map(
    ([length, digit]) => String(digit).repeat(length),
  )
  const lines = array(tuple(integer({ min: 0, max: 5 }), text), { maxLength: 60 })
  // Also where there is nothing between two of them, or before or after all.
  const cut = array(integer({ min: 0, max: 70 }), { maxLength: 5 }).map((cuts) => cuts.sort((a, b) => a - b))
  assert(
    property(
      lines,
      constantFrom(1, 1 << 20, 1 << 30),
      cut,
      integer({ min: 1, max: 3 }),
      (list, memoryBytes, cuts, threads) => {
        const { text, open } = merged(list, memoryBytes, { cuts, threads })
        expect(text).toBe(list.map(([, line]) => `${line}\n`).join(''))
        expect(open).toBe(0)
      },
    ),
    { numRuns: 60 },
  )
})

it('cuts part what lies like the first run into pieces of the right size', () => {
  const positions = Float64Array.from({ length: 1000 }, (_, n) => n ** 3)
  expect(PositionRuns.cutsFor(positions, 4 << 20, 1 << 30)).toEqual(new Float64Array(0))
  expect(PositionRuns.cutsFor(positions, 16 << 20, 1 << 30)).toEqual(Float64Array.of(250 ** 3, 500 ** 3, 750 ** 3))
  expect(PositionRuns.cutsFor(positions, 1 << 20, 0)).toHaveLength(15)
  expect(PositionRuns.cutsFor(positions.subarray(0, 1), 1 << 30, 0)).toHaveLength(0)
})

it.each([[[]], [[100, 101, 3000]]])('many runs become one, and go on: cut at %s', (cuts) => {
  const lines = Array.from({ length: 6000 }, (_, n): [number, string] => [(n * 7919) % 2500, `line ${n}`])
  const { text, open } = merged(lines, 1 << 16, { cuts })
  expect(text).toBe(lines.map(([, line]) => `${line}\n`).join(''))
  expect(open).toBe(0)
})
