import { array, assert, boolean, constantFrom, integer, property, string, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ExternalSorter } from '../../src/sort/external.ts'
import { memorySpill } from './spill.ts'

/** Keys that do not begin each other, as sort keys do: a text and a zero. */
function run(items: readonly (readonly [string, string])[], memoryBytes: number, grouped: boolean) {
  const files = memorySpill()
  const sorter = new ExternalSorter({ memoryBytes, spill: files.spill, grouped })
  for (const [key, payload] of items) {
    const bytes = Buffer.from(payload)
    const keyBytes = Buffer.from(`x${key}\0`)
    sorter.insert(keyBytes, 1, keyBytes.length, bytes, 0, bytes.length)
  }
  const cursor = sorter.sorted()
  let text = ''
  const keys: string[] = []
  while (cursor.advance()) {
    text += Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end)).toString()
    keys.push(Buffer.from(cursor.key.subarray(cursor.keyStart, cursor.keyEnd - 1)).toString())
  }
  return { text, keys, files, spilled: sorter.spilled }
}
const byKey = ([a]: readonly [string, string], [b]: readonly [string, string]): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b))

const keys = tuple(
  constantFrom('', 'same prefix of many bytes ', 'ab'),
  string({ unit: constantFrom('a', 'b', 'é', '\u0001') }),
).map(([a, b]) => a + b)

describe.each([
  { memory: 1 << 30, spills: false },
  { memory: 2000, spills: true },
])('with $memory bytes', ({ memory, spills }) => {
  it('sorts as a stable sort of the keys', () => {
    let spilled = false
    assert(
      property(array(keys, { maxLength: 300, size: 'max' }), boolean(), (texts, grouped) => {
        const items = texts.map((key, index) => [key, `${key}:${index}\n`] as const)
        const got = run(items, memory, grouped)
        const expected = [...items].sort(byKey)
        expect(got.text).toBe(expected.map(([, payload]) => payload).join(''))
        if (!grouped) expect(got.keys).toEqual(expected.map(([key]) => key))
        expect(got.files.open).toBe(0)
        spilled ||= got.spilled
      }),
      { numRuns: 200 },
    )
    expect(spilled).toBe(spills)
  })
})

it('begins anew after everything was read, from memory and from disk', () => {
  const files = memorySpill()
  const sorter = new ExternalSorter({ memoryBytes: 100_000, spill: files.spill, grouped: true })
  // A few entries, as many as spill, and again.
  for (const count of [10, 5000, 3000, 5000, 10]) {
    const key = (index: number): string => String((index * 7919) % count).padStart(4, '0')
    for (let index = 0; index < count; index++) {
      const [keyBytes, bytes] = [Buffer.from(`${key(index)}\0`), Buffer.from(`${key(index)}\n`)]
      sorter.insert(keyBytes, 0, keyBytes.length, bytes, 0, bytes.length)
    }
    expect(sorter.spilled).toBe(count > 10)
    let text = ''
    const cursor = sorter.sorted()
    while (cursor.advance()) text += Buffer.from(cursor.bytes.subarray(cursor.start, cursor.end)).toString()
    const expected = Array.from({ length: count }, (_, index) => `${key(index)}\n`).sort()
    expect(text).toBe(expected.join(''))
    sorter.clear()
  }
  expect(files.open).toBe(0)
})

it('merges runs of runs in order', () => {
  // 100 KB leave room for few buffers, so that runs are merged in several steps.
  const items = Array.from({ length: 20_000 }, (_, index) => [String((index * 7919) % 97), `${index},`] as const)
  const { text, files } = run(items, 100_000, false)
  expect(files.made).toBeGreaterThan(15)
  expect(text).toBe(
    [...items]
      .sort(byKey)
      .map(([, payload]) => payload)
      .join(''),
  )
})

it('sorts many entries by digits of 16 bits', () => {
  const items = Array.from({ length: 40_000 }, (_, index) => [String((index * 7919) % 40_009), `${index},`] as const)
  expect(run(items, 1 << 30, false).text).toBe(
    [...items]
      .sort(byKey)
      .map(([, payload]) => payload)
      .join(''),
  )
})

it('groups equal keys up to a limit, and takes payloads of any size', () => {
  assert(
    property(array(integer({ min: 0, max: 200_000 }), { maxLength: 20 }), (sizes) => {
      const items = sizes.map((size, index) => [index % 2 ? 'a' : 'b', `${index}${'.'.repeat(size)}\n`] as const)
      const got = run(items, 100_000, true)
      expect(got.text).toBe(
        [...items]
          .sort(byKey)
          .map(([, payload]) => payload)
          .join(''),
      )
    }),
    { numRuns: 20 },
  )
})
