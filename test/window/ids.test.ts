import { array, assert, integer, oneof, property } from 'fast-check'
import { expect, test } from 'vitest'
import { SlotsByKey, sortedBy } from '../../src/window/ids.ts'

const key = oneof(integer({ min: 0, max: 60 }), integer({ min: 4000, max: 4200 }), integer({ min: 0, max: 1e6 }))

test('slots by key are what a map would have, one by one, many at once, and renumbered', () => {
  assert(
    property(
      array(key, { maxLength: 300 }),
      integer({ min: 0, max: 6000 }),
      integer({ min: 0, max: 3 }),
      (some, run, rounds) => {
        const map = new Map<number, number>()
        const slots = new SlotsByKey()
        const check = (): void => {
          expect([...slots.keys]).toEqual([...map.keys()])
          for (const probe of [...map.keys(), ...some.map((key) => key + 1)])
            expect(slots.get(probe)).toBe(map.get(probe) ?? -1)
        }
        const add = (keys: readonly number[]): void => {
          const fresh = [...new Set(keys)].filter((key) => !map.has(key))
          const own = fresh.map((_, at) => map.size + at)
          if (keys.length > 20) slots.setAll(Uint32Array.from(fresh), Uint32Array.from(own))
          else fresh.forEach((key, at) => slots.set(key, own[at] as number))
          fresh.forEach((key, at) => map.set(key, own[at] as number))
        }
        add(some.slice(0, 15))
        add(Array.from({ length: run }, (_, at) => at + 10))
        for (const one of some) add([one])
        check()
        for (let round = 0; round < rounds; round++) {
          const ids = new Uint32Array(1e6 + 2).map((_, id) => (id * 7 + round) % 1_000_003)
          slots.renumber(ids)
          const entries = [...map]
          map.clear()
          for (const [old, slot] of entries) map.set(ids[old] as number, slot)
          check()
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('items are sorted by a number, those of one number in their order, however far apart numbers are', () => {
  const time = oneof(
    integer({ min: -50, max: 50 }),
    integer({ min: -3000, max: 3000 }),
    integer({ min: -1e7, max: 1e7 }),
  )
  assert(
    property(
      array(time, { maxLength: 400 }),
      oneof(integer({ min: 1, max: 3 }), integer({ min: 1, max: 1000 })),
      integer({ min: -2e12, max: 2e12 }),
      (times, factor, base) => {
        const value = (item: number): number => (times[item] as number) * factor + base
        const items = [...times.keys()].reverse()
        expect(sortedBy(items, value)).toEqual([...items].sort((a, b) => value(a) - value(b)))
      },
    ),
    { numRuns: 300 },
  )
})
