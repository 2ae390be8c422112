import { array, assert, constantFrom, integer, property, tuple } from 'fast-check'
import { expect, it } from 'vitest'
import { PositionRuns } from '../../src/sort/position-runs.ts'
import { memorySpill } from './spill.ts'

/** What comes out, of lines given to runs; and how many files are still open. */
function merged(lines: readonly (readonly [run: number, text: string])[], memoryBytes: number) {
  const files = memorySpill()
  const runs = new PositionRuns(() => files.spill(), memoryBytes)
  const byRun = new Map<number, { position: number; line: string }[]>()
  for (const [position, [run, text]] of lines.entries()) {
    const some = byRun.get(run) ?? []
    byRun.set(run, some)
    some.push({ position: position * 2 ** 33, line: `${text}\n` })
  }
  for (const some of byRun.values()) {
    runs.add(
      Float64Array.from(some, ({ position }) => position),
      (write) => {
        for (const { line } of some) write(Buffer.from(line))
      },
    )
  }
  const out: Buffer[] = []
  runs.drain((bytes) => out.push(Buffer.from(bytes)))
  return { text: Buffer.concat(out).toString(), open: files.open }
}

it('lines leave in the order of their numbers, whatever run they are in', () => {
  const text = tuple(constantFrom(0, 1, 15, 16, 17, 100, 5000, 300_000), integer({ min: 0, max: 9 })).map(
    ([length, digit]) => String(digit).repeat(length),
  )
  const lines = array(tuple(integer({ min: 0, max: 5 }), text), { maxLength: 60 })
  assert(
    property(lines, constantFrom(1, 1 << 20), (list, memoryBytes) => {
      const { text, open } = merged(list, memoryBytes)
      expect(text).toBe(list.map(([, line]) => `${line}\n`).join(''))
      expect(open).toBe(0)
    }),
    { numRuns: 60 },
  )
})

it('many runs become one, and go on', () => {
  const lines = Array.from({ length: 6000 }, (_, n): [number, string] => [(n * 7919) % 2500, `line ${n}`])
  const { text, open } = merged(lines, 1 << 16)
  expect(text).toBe(lines.map(([, line]) => `${line}\n`).join(''))
  expect(open).toBe(0)
})
