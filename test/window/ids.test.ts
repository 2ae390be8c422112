import { array, assert, integer, oneof, property } from 'fast-check'
import { expect, test } from 'vitest'
import { SlotsByKey } from '../../src/window/ids.ts'

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
