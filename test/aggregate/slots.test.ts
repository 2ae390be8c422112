import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { NONE } from '../../src/aggregate/aggregate.ts'
import { parseAggregates } from '../../src/aggregate/parse.ts'
import { Projection } from '../../src/core/field-path.ts'
import type { StageContext } from '../../src/core/operator.ts'
import { borrow } from './run.ts'

const ALL =
  'count, count(x), sum(x), avg(x), var(x), min(x), max(x), median(x), first(x), last(x), list(x), distinct(x), mode(x), top(x, 2), ' +
  'argmax(y, x), concat(x), approx_p50(x), approx_count_distinct(x), f = fold((s, r) => s + r.x, 0, (a, b) => a + b), n = count where r.x > 2'

const SLOTS = 4

/** A set with its slots, and per slot the rows that it should hold. */
async function open(which: number): Promise<{
  add(rows: readonly number[], slots: readonly number[]): void
  merge(into: number, from: number): void
  clear(slot: number): void
  move(slot: number): void
  results(): string[]
}> {
  const projection = new Projection()
  const plan = await parseAggregates(ALL, projection, { args: {} })
  const { scan, keyTable } = borrow(projection.paths, 'wasm', which)
  const set = plan.open({ keyTable } as unknown as StageContext) // nothing is rejected here
  set.reserve(SLOTS)
  let position = 0
  return {
    add(rows, slots) {
      if (rows.length === 0) return
      scan.begin({ file: 'x', base: position, lineAt: () => 1 })
      const bytes = Buffer.from(rows.map((x) => `{"x":${x},"y":"${x}"}\n`).join(''))
      position += bytes.length
      scan.room().set(bytes)
      const { batch } = scan.scan(bytes.length, true)
      const chosen = Uint32Array.from(slots)
      expect(set.begin(batch, chosen)).toBe(0)
      set.add(batch, chosen)
    },
    merge: (into, from) => set.merge(into, from),
    clear: (slot) => set.clear(slot),
    /** Out and in again, through JSON. */
    move(slot) {
      const state = set.exportSlots(Uint32Array.of(slot))
      const text = JSON.stringify(state, (_, value: unknown) =>
        ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value,
      )
      set.clear(slot)
      set.importSlots(JSON.parse(text) as typeof state, Uint32Array.of(slot))
    },
    results: () => Array.from({ length: SLOTS }, (_, slot) => set.results(slot)),
  }
}

type Step =
  | { readonly do: 'add'; readonly rows: readonly (readonly [x: number, slot: number])[] }
  | { readonly do: 'merge' | 'clear' | 'move'; readonly slot: number; readonly other: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    rows: fc.array(fc.tuple(fc.nat(5), fc.oneof(fc.nat(SLOTS - 1), fc.constant(NONE))), { maxLength: 6 }),
  }),
  fc.record({
    do: fc.constantFrom('merge' as const, 'clear' as const, 'move' as const),
    slot: fc.nat(SLOTS - 1),
    other: fc.nat(SLOTS - 1),
  }),
)

test('slots that are filled, merged, freed and used again hold what a fresh pass over their records holds', () =>
  fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const set = await open(0)
      /** Per slot its records, by their number; a merge may bring a record twice. */
      let held: number[][] = Array.from({ length: SLOTS }, () => [])
      const values: number[] = []
      for (const step of steps) {
        if (step.do === 'add') {
          set.add(
            step.rows.map(([x]) => x),
            step.rows.map(([, slot]) => slot),
          )
          for (const [x, slot] of step.rows) {
            values.push(x)
            if (slot !== NONE) held[slot]!.push(values.length - 1)
          }
        } else if (step.do === 'clear') {
          set.clear(step.slot)
          held[step.slot] = []
        } else if (step.do === 'move') set.move(step.slot)
        else if (step.slot !== step.other && !held[step.other]!.some((record) => held[step.slot]!.includes(record))) {
          set.merge(step.slot, step.other)
          held[step.slot]!.push(...held[step.other]!)
        }
      }
      const fresh = await open(1)
      held = held.map((records) => records.toSorted((a, b) => a - b))
      held.forEach((records, slot) =>
        fresh.add(
          records.map((record) => values[record]!),
          records.map(() => slot),
        ),
      )
      expect(set.results()).toEqual(fresh.results())
    }),
    { numRuns: 100 },
  ))
