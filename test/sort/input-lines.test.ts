import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KeptInput } from '../../src/core/operator.ts'
import { storeHeap } from '../../src/sort/arena.ts'
import { ExternalSorter, type RunHandle } from '../../src/sort/external.ts'
import { BLOCK_BYTES, InputLines } from '../../src/sort/input-lines.ts'
import { temporaryFolder } from '../shell.ts'
import { memorySpill } from './spill.ts'

const folder = temporaryFolder()
let files = 0
/** Files with these contents one after the other; of some nothing is kept. */
function keep(contents: readonly { readonly text: Buffer; readonly kept: boolean }[]): KeptInput[] {
  let base = 0
  return contents.flatMap(({ text, kept }) => {
    const name = join(folder, `input-${files++}`)
    writeFileSync(name, text)
    base += text.length
    return kept && text.length > 0 ? [{ name, fd: openSync(name, 'r+'), base: base - text.length }] : []
  })
}

/** Lines that take some blocks, of all lengths. */
const lines = (count: number, seed: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => Buffer.from(`${n} ${'.'.repeat((n * seed * 7919) % 60_000)}\n`))

it('lines are found by their positions, in any order, over several inputs', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ count: fc.nat(12), kept: fc.boolean() }), { maxLength: 4 }),
      fc.infiniteStream(fc.nat()),
      fc.constantFrom(2, 3, 50),
      (parts, picks, blocks) => {
        const contents = parts.map(({ count, kept }, index) => ({ lines: lines(count, index + 1), kept }))
        const inputs = keep(contents.map(({ lines, kept }) => ({ text: Buffer.concat(lines), kept })))
        const places: { line: Buffer; position: number }[] = []
        let position = 0
        for (const { lines, kept } of contents) {
          for (const line of lines) {
            if (kept) places.push({ line, position })
            position += line.length
          }
        }
        const found = new InputLines(inputs.toReversed(), blocks * BLOCK_BYTES)
        for (let times = 0; times < 60 && places.length > 0; times++) {
          const { line, position } = places[picks.next().value! % places.length]!
          found.reserve(line.length)
          const address = found.find(position, line.length)
          expect(line.equals(storeHeap().bytes.subarray(address, address + line.length))).toBe(true)
        }
        for (const { fd } of inputs) closeSync(fd)
      },
    ),
    { numRuns: 40 },
  )
})

it.each(['shorter', 'other'])('a file that is %s than it was is an error', (way) => {
  const [input] = keep([{ text: Buffer.from(`${'x'.repeat(2 * BLOCK_BYTES)}\nline\n`), kept: true }]) as [KeptInput]
  const found = new InputLines([input], BLOCK_BYTES)
  const position = 2 * BLOCK_BYTES + 1
  const address = found.find(position, 5)
  expect(storeHeap().bytes.toString('latin1', address, address + 5)).toBe('line\n')
  if (way === 'shorter') ftruncateSync(input.fd, position)
  else writeSync(input.fd, 'LINES', position)
  // What is at hand is as it was.
  const again = new InputLines([input], BLOCK_BYTES)
  expect(() => again.find(position, 5)).toThrow('was changed while it was read')
  closeSync(input.fd)
})

describe('a sorter whose lines can be read again', () => {
  const MEMORY = 3_000_000
  const spill = memorySpill()
  const keyOf = (n: number): string => String(n).padStart(9, '0')

  /** Sorts a line for each number, as blocks of some lines; the blocks may be read again. */
  function sort(numbers: readonly number[]): { handed: RunHandle[]; sorted: boolean; lines: number } {
    const texts = numbers.map((n) => Buffer.from(`{"k":"${keyOf(n)}","pad":"${'x'.repeat(580)}"}\n`))
    const [input] = keep([{ text: Buffer.concat(texts), kept: true }]) as [KeptInput]
    const sorter = new ExternalSorter({ memoryBytes: MEMORY, spill: spill.spill, grouped: false })
    let position = 0
    for (let from = 0; from < texts.length; from += 50) {
      const some = texts.slice(from, from + 50)
      const block = Buffer.concat(some)
      let place = sorter.place(block, 0, block.length, { input, position })
      position += block.length
      for (const [index, line] of some.entries()) {
        const key = Buffer.from(`${keyOf(numbers[from + index]!)}\0`)
        sorter.add(sorter.key(key, 0, key.length), place, line.length)
        place += line.length
      }
    }
    const handed = sorter.handOver()
    const other = new ExternalSorter({ memoryBytes: MEMORY, spill: spill.spill, grouped: false })
    other.takeOver(handed.map((run) => ({ ...run, file: spill.spill(run) })))
    const cursor = other.sorted()
    const expected = texts.toSorted(Buffer.compare)
    let at = 0
    let sorted = true
    for (; cursor.advance(); at++) {
      sorted &&= expected[at]!.equals(cursor.bytes.subarray(cursor.start, cursor.end))
    }
    closeSync(input.fd)
    return { handed, sorted, lines: at }
  }
  const referring = (handed: readonly RunHandle[]): number => handed.filter(({ inputs }) => inputs).length

  it('refers to lines that are nearly in order, after some runs that hold theirs', () => {
    const numbers = Array.from({ length: 27_000 }, (_, n) => 2 * (n + (n % 20 === 0 ? (n * 7919) % 300 : 0)) + (n % 2))
    const { handed, sorted, lines } = sort(numbers)
    expect({ sorted, lines }).toEqual({ sorted: true, lines: numbers.length })
    expect(referring(handed.slice(0, 3))).toBe(0)
    expect(referring(handed)).toBeGreaterThan(0)
    const [first, referred] = [handed[0]!, handed.find(({ inputs }) => inputs)!]
    expect(referred.size).toBeLessThan(first.size / 4)
  })

  it('holds lines that are in no order', () => {
    const { handed, sorted, lines } = sort(Array.from({ length: 27_000 }, (_, n) => (n * 7919) % 27_011))
    expect({ sorted, lines }).toEqual({ sorted: true, lines: 27_000 })
    expect(referring(handed)).toBe(0)
    expect(spill.open).toBe(0)
  })
})
