// The kernel's memory is one for a whole thread: what is given back is used again, however many scanners come and go.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FreeList } from '../../src/ndjson/free-list.ts'
import { heap, heapApart, leaveHeap } from '../../src/ndjson/heap.ts'
import { createScanner } from '../../src/ndjson/index.ts'
import type { Scanner } from '../../src/ndjson/scanner.ts'
import { feed } from './scan.ts'

const runs = Math.min(Number(process.env['BECK_FUZZ_RUNS'] ?? 300), 20_000)

describe('the list of free memory', () => {
  it('gives nothing twice, and joins what touches', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean(), fc.nat()), { maxLength: 80 })
    fc.assert(
      fc.property(steps, (list) => {
        const free = new FreeList()
        let top = 0
        /** Of each byte, whether somebody has it. */
        const taken: boolean[] = []
        const held: { start: number; size: number }[] = []
        for (const [size, gives, which] of list) {
          if (gives && held.length > 0) {
            const [{ start, size: bytes }] = held.splice(which % held.length, 1) as [(typeof held)[number]]
            taken.fill(false, start, start + bytes)
            free.add(start, start + bytes)
            top = free.lower(top)
          } else {
            let start = free.take(size)
            // The first place where it fits.
            const fits = taken.findIndex(
              (_, at) => at + size <= top && taken.slice(at, at + size).every((one) => !one) && at < top,
            )
            expect(start).toBe(fits < 0 ? undefined : fits)
            if (start === undefined) {
              start = top
              top += size
            }
            expect(taken.slice(start, start + size).some(Boolean)).toBe(false)
            taken.fill(true, start, start + size)
            for (let at = start; at < start + size; at++) taken[at] = true
            held.push({ start, size })
          }
          taken.length = top
          expect(top === 0 || taken[top - 1]).toBe(true)
          let extents = 0
          for (let at = 0; at < top; at++) if (!taken[at] && (at === 0 || taken[at - 1])) extents++
          expect(free.extents).toBe(extents)
        }
      }),
      { numRuns: runs },
    )
  })

  it('refuses what is free already', () => {
    const free = new FreeList()
    free.add(10, 20)
    for (const [start, end] of [
      [10, 20],
      [5, 11],
      [19, 25],
      [12, 13],
      [0, 40],
    ] as const)
      expect(() => free.add(start, end)).toThrow('given back')
    expect(free.take(10)).toBe(10)
  })
})

describe('scanners that come and go', () => {
  const text = Buffer.from('{"a":"x","b":1}\n{"a":"y","b":[2]}\n')
  /** A scanner that has been used, as the stages of a pipeline use it. */
  function used(fields: number, apart: boolean, size: number): Scanner {
    const reads = Array.from({ length: fields }, (_, field) => [field === 0 ? 'a' : `b${field}`] as const)
    const scanner = createScanner({ reads, strict: false, apart, blockBytes: size })
    scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
    const tables = [scanner.keyTable([0]), scanner.keyTable(reads.map((_, field) => field))]
    let rows = 0
    feed(scanner, text, [], ({ batch }) => {
      for (const table of tables) table.intern(batch)
      rows += batch.count
    })
    expect(rows).toBe(2)
    return scanner
  }

  it('leave their memory to others, in any order', () => {
    const living: Scanner[] = []
    let after = 0
    for (let i = 0; i < 3000; i++) {
      living.push(used(1 + (i % 5), false, 1 << (16 + (i % 5))))
      if (living.length > 8) living.splice((i * 7) % 8, 1)[0]!.close()
      // Nothing is garbage yet when a loop never waits.
      if (i === 300) after = heap().usedBytes
    }
    expect(heap().usedBytes).toBeLessThanOrEqual(1.5 * after)
    for (const scanner of living) {
      scanner.close()
      scanner.close()
    }
    const before = heap().usedBytes
    used(3, false, 1 << 20).close()
    expect(heap().usedBytes).toBe(before)
  })

  it('leave a heap of their own to the next', () => {
    const first = used(1, true, 1 << 16)
    first.close()
    const idle = heapApart()
    const most = idle.usedBytes
    leaveHeap(idle)
    for (let i = 0; i < 1000; i++) used(1 + (i % 3), true, 1 << 16).close()
    const again = heapApart()
    expect(again).toBe(idle)
    expect(again.usedBytes).toBe(most)
    leaveHeap(again)
  })
})
