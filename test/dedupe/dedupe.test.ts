import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dedupe } from '../../commands/dedupe.ts'
import { lines, runStage, type StageSettings } from '../stage.ts'

interface Item {
  readonly id: number
  readonly key: unknown
  readonly pad: string
}
/** Records of few and of many keys, all different. */
const records = array(record({ key: constantFrom(1, '1', null, 'a', 'b', { x: 1 }, 7, 8, 9, 'long'.repeat(9)) }), {
  maxLength: 60,
}).map((items): Item[] => items.map((item, id) => ({ id, ...item, pad: '.'.repeat(id % 7) })))
const many = array(integer({ min: 0, max: 400 }), { minLength: 300, maxLength: 500 }).map((keys): Item[] =>
  keys.map((key, id) => ({ id, key, pad: '' })),
)

const groups = (items: readonly Item[]): Item[][] => {
  const byKey = new Map<string, Item[]>()
  for (const item of items) {
    const key = JSON.stringify(item.key)
    byKey.set(key, [...(byKey.get(key) ?? []), item])
  }
  return [...byKey.values()]
}
const byId = (a: Item, b: Item): number => a.id - b.id

/** What should come out, naively. */
function expected(items: readonly Item[], keep: 'first' | 'last', count: boolean): { kept: string; dupes: string } {
  const all = groups(items)
  const kept = all
    .map((group) => ({ ...(keep === 'first' ? group[0]! : group.at(-1)!), ...(count && { count: group.length }) }))
    .sort(byId)
  const ids = new Set(kept.map(({ id }) => id))
  return { kept: lines(kept), dupes: lines(items.filter(({ id }) => !ids.has(id))) }
}

describe.each([
  { name: 'in memory', memoryBytes: 1 << 30, spills: false },
  { name: 'beyond the memory', memoryBytes: 4000, spills: true },
])('dedupe $name', ({ memoryBytes, spills }) => {
  const settings = (options: StageSettings['options']): StageSettings => ({
    options: { by: 'key', ...options },
    memoryBytes,
    cuts: [200, 400, 700, 1500, 3000, 5000, 8000],
  })

  it.each([{ items: records }, { items: many }])('keeps the first of each key, in order', async ({ items }) => {
    let spilled = 0
    await assert(
      asyncProperty(items, async (list) => {
        const want = expected(list, 'first', false)
        const got = await runStage(dedupe, lines(list), settings({}))
        expect(got.output).toBe(want.kept)
        const both = await runStage(dedupe, lines(list), settings({ 'dupes-to': 'dupes' }))
        expect(both.output).toBe(want.kept)
        expect(both.side['dupes']).toBe(want.dupes)
        spilled += got.spilled
      }),
      { numRuns: 40 },
    )
    if (items === many) expect(spilled > 0).toBe(spills)
  })

  it.each([
    { keep: 'last', count: false },
    { keep: 'last', count: true },
    { keep: 'first', count: true },
  ] as const)('keeps the $keep, count $count', async ({ keep, count }) => {
    for (const items of [records, many]) {
      let spilled = 0
      await assert(
        asyncProperty(items, async (list) => {
          const want = expected(list, keep, count)
          const got = await runStage(
            dedupe,
            lines(list),
            settings({ keep, 'dupes-to': 'dupes', ...(count && { count }) }),
          )
          expect(got.output).toBe(want.kept)
          expect(got.side['dupes']?.split('\n').sort()).toEqual(want.dupes.split('\n').sort())
          spilled += got.spilled
        }),
        { numRuns: 30 },
      )
      if (items === many) expect(spilled > 0).toBe(spills)
    }
  })
})

describe('dedupe --within', () => {
  const at = (t: number, key: string, n: number) => ({ t: new Date(t * 1000).toISOString(), key, n })
  const run = (items: readonly object[], options: StageSettings['options']) =>
    runStage(dedupe, lines(items), { options: { by: 'key', within: '10s', time: 't', ...options } })

  it('counts from the record that was kept, so that a key that never pauses is seen again', async () => {
    const items = [at(0, 'a', 1), at(6, 'a', 2), at(10, 'a', 3), at(11, 'a', 4), at(17, 'a', 5), at(22, 'a', 6)]
    expect((await run(items, {})).output).toBe(lines([items[0], items[3], items[5]]))
  })

  it('takes in records that come out of order, either way', async () => {
    const items = [at(20, 'a', 1), at(12, 'a', 2), at(5, 'a', 3), at(14, 'a', 4), at(30, 'a', 5)]
    expect((await run(items, { delay: '20s' })).output).toBe(lines([items[0], items[2]]))
  })

  it('gives the last of each burst when the burst is over, with its count', async () => {
    const items = [at(0, 'a', 1), at(1, 'b', 2), at(6, 'a', 3), at(4, 'a', 4), at(12, 'a', 5), at(40, 'b', 6)]
    expect((await run(items, { keep: 'last', count: true, 'dupes-to': 'd' })).output).toBe(
      lines([
        { ...items[2], count: 3 },
        { ...items[1], count: 1 },
        { ...items[4], count: 1 },
        { ...items[5], count: 1 },
      ]),
    )
  })

  it('keeps and counts a record that may be a duplicate of one that is forgotten', async () => {
    // The burst of a is forgotten when 11 has come: what comes at 0 might be its duplicate. That of b is not.
    const items = [
      at(0, 'a', 1),
      at(4, 'b', 2),
      at(11, 'c', 3),
      at(0, 'a', 4),
      at(5, 'b', 5),
      at(30, 'd', 6),
      at(30, 'e', 7),
    ]
    const got = await run(items, {})
    expect(got.output).toBe(lines([items[0], items[1], items[2], items[3], items[5], items[6]]))
    expect(got.counts).toEqual({ 'late, so perhaps duplicates: kept': 1 })
    // Within the delay it is surely one.
    const delayed = await run(items, { delay: '11s' })
    expect(delayed.output).toBe(lines([items[0], items[1], items[2], items[5], items[6]]))
    expect(delayed.counts).toEqual({})
  })

  it.each(['reference', 'wasm'] as const)('forgets keys whose time is over (%s)', async (scanner) => {
    const keys = scanner === 'wasm' ? 150_000 : 30_000
    const items = Array.from({ length: keys + 50_000 }, (_, n) => at(n, `k${n % keys}`, n))
    const options = { by: 'key', within: '10s', time: 't' }
    expect((await runStage(dedupe, lines(items), { options, scanner })).output).toBe(lines(items))
  })
})

describe('dedupe --approx', () => {
  it('never lets a duplicate through, and drops about as many new keys as allowed', async () => {
    const keys = Array.from({ length: 150_000 }, (_, n) => ({ key: n % 2 ? n : `key ${n}` }))
    const rate = 0.01
    const got = await runStage(dedupe, lines([...keys, ...keys]), { options: { by: 'key', approx: String(rate) } })
    const kept = got.output.split('\n').filter(Boolean)
    expect(new Set(kept).size).toBe(kept.length)
    const lost = 1 - kept.length / keys.length
    expect(lost).toBeLessThan(2 * rate)
    expect(lost).toBeGreaterThan(0)
  })

  it('is exact about few keys, and knows 1 from "1" but not from 1.0', async () => {
    const input = '{"key":1}\n{"key":"1"}\n{"key":1.0}\n{}\n{"key":null}\n'
    const got = await runStage(dedupe, input, { options: { by: 'key', approx: '0.001', 'dupes-to': 'd' } })
    expect(got.output).toBe('{"key":1}\n{"key":"1"}\n{}\n')
    expect(got.side['d']).toBe('{"key":1.0}\n{"key":null}\n')
  })
})
