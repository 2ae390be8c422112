import { array, assert, integer, property } from 'fast-check'
import { expect, test } from 'vitest'
import { NONE } from '../../src/aggregate/aggregate.ts'
import { ChangedSlots } from '../../src/aggregate/changed-slots.ts'

test('the slots that were written to, once each and in order, since it was last asked', () => {
  const slot = integer({ min: 0, max: 5000 })
  assert(
    property(array(array(slot, { maxLength: 60 }), { maxLength: 5 }), (rounds) => {
      const changed = new ChangedSlots()
      for (const slots of rounds) {
        changed.mark(Uint32Array.from([...slots, NONE]), Math.max(0, ...slots) + 1)
        for (const one of slots.slice(0, 3)) changed.markOne(one + 1)
        const expected = new Set([...slots, ...slots.slice(0, 3).map((one) => one + 1)])
        expect([...changed.take()]).toEqual([...expected].sort((a, b) => a - b))
      }
    }),
  )
})
