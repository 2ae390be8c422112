// The kernel's way of spreading lines over partitions is the readable one's.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseFieldPath } from '../../src/core/field-path.ts'
import { decodeGaps } from '../../src/log/gaps.ts'
import { KeyHash, NO_KEY } from '../../src/log/key-hash.ts'
import { createScanner } from '../../src/ndjson/index.ts'

const key = fc.oneof(
  { weight: 10, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => JSON.stringify(text)) },
  { weight: 5, arbitrary: fc.integer().map(String) },
  fc.constantFrom(
    '1.0',
    '-0',
    '0',
    '1e3',
    'null',
    'true',
    '"\\u0061"',
    '"\\n"',
    '{"a":1}',
    '[]',
    '1234567890123456',
    '-12',
  ),
)

test('partitions, lines and ranks', () => {
  const scanner = createScanner({ reads: [parseFieldPath('k')], strict: false })
  let scattered = 0
  fc.assert(
    fc.property(
      fc.array(key, { minLength: 1, maxLength: 700 }),
      fc.integer({ min: 1, max: 60 }),
      (keys, partitions) => {
        const lines = keys.map((text, i) => `{"i":${i},"k":${text},"pad":"${'x'.repeat(i % 600)}"}\n`)
        scanner.begin({ file: '', base: 0, lineAt: () => 1 })
        const bytes = Buffer.from(lines.join(''))
        scanner.room().set(bytes)
        const { batch } = scanner.scan(bytes.length, true)
        const got = batch.scatter?.(0, partitions)
        const { ids, byId } = new KeyHash(scanner.keyTable([0]), 1, partitions).of(batch)
        const expected = keys.map((_, row) => byId[ids[row] as number] as number)
        if (!got) {
          expect(keys.some((text) => !/^(?:"[^\\]*"|-?\d{1,15})$/.test(text) || text === '-0')).toBe(true)
          return
        }
        scattered++
        expect(expected).not.toContain(NO_KEY)
        expect([...got.targets]).toEqual(expected)
        for (const [p, part] of got.partitions.entries()) {
          const rows = expected.flatMap((target, row) => (target === p ? [row] : []))
          expect(part.count).toBe(rows.length)
          expect(Buffer.from(part.lines).toString()).toBe(rows.map((row) => lines[row]).join(''))
          const ranks = new Uint32Array(part.count)
          expect(decodeGaps(part.ranks, 0, -1, ranks)).toBe(part.ranks.length)
          expect([...ranks]).toEqual(rows)
        }
      },
    ),
    { numRuns: 300 },
  )
  expect(scattered).toBeGreaterThan(10)
})
