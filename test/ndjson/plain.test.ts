// Blocks of which nothing is read take a quicker way through the kernel. It may say "I do not know", but never what `scan` would not say.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { heap } from '../../src/ndjson/heap.ts'
import { JsonLines } from './json-lines.ts'
import { openScanner, scanAll } from './scan.ts'

const runs = Number(process.env['BECK_FUZZ_RUNS'] ?? 3000)
const { kernel } = heap()
const block = heap().allocate(1 << 20) + 64
const spans = heap().allocate(1 << 20)
const odd = heap().allocate(1 << 20)
const result = heap().allocate(4096)

/** What the two ways say of a block that ends in "\n". */
function both(text: string) {
  const { bytes } = heap()
  const end = block + bytes.write(text, block)
  bytes[block - 1] = 10
  bytes.fill(0x7b, end, end + 64) // what stands behind the end must not matter
  bytes.fill(0, result, result + 64)
  kernel.scan(block, block, end, 0, 0, 0, 0, spans, 1 << 14, odd, result)
  const [rows = 0, lines = 0, odds = 0, , ascii = 0, dense = 0] = heap().u32.subarray(result >>> 2)
  return {
    plain: kernel.plainLines(block, end),
    scan: { rows, lines, odds, dense, ascii },
    plainAscii: kernel.plainAscii(),
  }
}

const SPOILERS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\',
  '\n',
  ' ',
  ',',
  '}{',
  '\r',
  '\t',
  '\0',
  'é',
  '\u007f',
  '}\n',
  '\n{',
  '\\"',
  ',}',
]

test('what is plain has no odd line', () => {
  let plain = 0
  let refused = 0
  for (let seed = 1; seed <= runs; seed++) {
    const lines = new JsonLines(seed * 7919)
    let text = ''
    for (let i = lines.below(6); i >= 0; i--) {
      const line = lines.line(true)
      // Most lines as programs write them, so that many blocks are plain.
      if (lines.below(30) === 0) text += `${line}\n`
      else if (line.trim().startsWith('{')) text += `${line.trim().replaceAll(/[\t\r]/g, '')}\n`
    }
    if (text === '') continue
    if (lines.below(3) > 0) {
      const at = lines.below(text.length)
      const spoiler = SPOILERS[lines.below(SPOILERS.length)] as string
      text = `${text.slice(0, at)}${spoiler}${text.slice(at + lines.below(2))}\n`
    }
    const got = both(text)
    if (got.plain < 0) {
      refused++
      continue
    }
    plain++
    const { rows, lines: count, odds, dense, ascii } = got.scan
    expect({ rows, count, odds, dense, ascii }, JSON.stringify(text)).toEqual({
      rows: got.plain,
      count: got.plain,
      odds: 0,
      dense: 1,
      ascii: got.plainAscii,
    })
  }
  expect(plain).toBeGreaterThan(runs / 20)
  expect(refused).toBeGreaterThan(runs / 20)
})

test('ordinary lines are plain, however long and wherever chunks end', () => {
  const value = fc.oneof(
    fc.integer(),
    fc.string({ unit: 'grapheme', maxLength: 90 }),
    fc.array(fc.integer(), { maxLength: 5 }),
    fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 20 }), { maxKeys: 3 }),
  )
  const records = fc.array(fc.dictionary(fc.string({ maxLength: 12 }), value, { maxKeys: 5 }), {
    minLength: 1,
    maxLength: 12,
  })
  fc.assert(
    fc.property(records, (list) => {
      const { plain } = both(list.map((record) => `${JSON.stringify(record)}\n`).join(''))
      expect(plain).toBe(list.length)
    }),
    { numRuns: Math.min(runs, 500) },
  )
})

test.each([
  ['', '{"a":1}\n{"a":"}"}\n'],
  ['without the last line end', '{"a":1}\n{}'],
  ['with a bad line', '{"a":1}\n{"a":\n{"a":2}\n'],
  ['with a BOM', '\ufeff{"a":1}\n{"a":2}\n'],
])('a scanner of nothing says what the readable one says %s', (_, text) => {
  expect(scanAll(openScanner('', { which: 'wasm' }), text)).toEqual(scanAll(openScanner(''), text))
})
