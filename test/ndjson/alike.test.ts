// Lines with the shape of the line before take a quicker way through the kernel, which must say what `scan` says, to the byte.
import { isDeepStrictEqual } from 'node:util'
import { expect, test } from 'vitest'
import { heap } from '../../src/ndjson/heap.ts'
import type { Kernel } from '../../src/ndjson/kernel-functions.ts'
import { JsonLines } from './json-lines.ts'
import { feed, openScanner, scanAll } from './scan.ts'

const runs = Number(process.env['BECK_FUZZ_RUNS'] ?? 30_000) / 100
const LINES = 30
const { kernel } = heap()

/** Where lines of this kernel go both ways; how many, and how many of them the quick one. */
const counts = { lines: 0, alike: 0 }
const bothWays: Kernel = {
  ...kernel,
  scanAlike(block, from, end, names, nameCount, fieldCount, spans, most, odd, result, work, room) {
    const { u32, bytes } = heap()
    u32[(work >>> 2) + 1] = 0 // even if it has given up
    const stampAt = (result >>> 2) + 6
    const isHigh = bytes.subarray(from, end).some((byte) => byte > 0x7f)
    const seen = (scan: () => void) => {
      const before = u32[stampAt] as number
      scan()
      const [rows = 0, lines = 0, odds = 0, next = 0, ascii = 0, dense = 0, stamp = 0] = u32.slice(
        result >>> 2,
        stampAt + 1,
      )
      return {
        // It may be in doubt: chunks reach beyond the end.
        shape: { rows, lines, odds, next, dense, wrong: ascii === 1 && isHigh },
        rows: Array.from({ length: rows }, (_, row) => {
          const at = (spans >>> 2) + row * (2 + 2 * fieldCount)
          return Array.from(u32.subarray(at, at + 2 + 2 * fieldCount))
        }),
        odd: Array.from(u32.subarray(odd >>> 2, (odd >>> 2) + 3 * odds)),
        scanned: stamp - before,
      }
    }
    const quick = seen(() =>
      kernel.scanAlike(block, from, end, names, nameCount, fieldCount, spans, most, odd, result, work, room),
    )
    const whole = seen(() => kernel.scan(block, from, end, names, nameCount, fieldCount, 0, spans, most, odd, result))
    counts.lines += whole.shape.lines
    counts.alike += Math.max(0, quick.shape.lines - quick.scanned)
    const text = (row: readonly number[]) => bytes.toString('latin1', block + row[0]!, block + row[1]!)
    // Of a wanted name that a line has twice, another one may be taken, and be odd or not; one with escapes may be such a one.
    const clear = whole.rows.every((row) => !mayHaveDuplicates(text(row)))
    // A name with something odd about it, before the wanted ones: only `scan` looks at it, where a line has escapes.
    const oddRows = new Set(quick.odd.filter((_, at) => at % 3 === 0))
    for (let at = 0; at < whole.odd.length; at += 3) {
      const row = whole.odd[at]!
      if (oddRows.has(row) || !text(whole.rows[row]!).includes('\\')) continue
      whole.odd.splice(at, 3)
      whole.shape.odds--
      at -= 3
    }
    if (clear && isDeepStrictEqual({ ...quick, scanned: 0 }, { ...whole, scanned: 0 })) return
    if (clear) expect({ ...quick, scanned: 0 }, whole.rows.map(text).join('\n')).toEqual({ ...whole, scanned: 0 })
    else {
      expect({ ...quick.shape, odds: 0 }).toEqual({ ...whole.shape, odds: 0 })
      expect(quick.rows.map((row) => row.slice(0, 2))).toEqual(whole.rows.map((row) => row.slice(0, 2)))
    }
  },
}

const NAMES = /"(?:[^"\\]|\\.)*"(?=\s*:)/g
const mayHaveDuplicates = (line: string) => {
  const names = line.match(NAMES) ?? []
  return new Set(names).size < names.length || names.some((name) => name.includes('\\'))
}

/** The line with other values. */
function varied(line: string, random: JsonLines): string {
  return line.replaceAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|-?\d[\d.eE+-]*|true|false|null/g, (token) => {
    if (token.endsWith(':')) return token
    switch (random.below(6)) {
      case 0:
        return String(random.below(1e6) / (random.below(2) ? 1 : 1000))
      case 1:
        return ['true', 'false', 'null', '-0', '1e5'][random.below(5)] as string
      case 2:
        return token
      default:
        return JSON.stringify(
          'x{y:z'.slice(random.below(3), random.below(6)).repeat(random.below(20)) +
            (['', '', '', '\\', '"', '\n', 'é', '}', '},"a":'][random.below(9)] as string),
        )
    }
  })
}

const FIELDS = [
  'a',
  'b',
  'path',
  'long_name_of_a_field',
  'a b',
  'path c',
  'é a',
  'b.a',
  'c[1] path',
  'a.b c',
  'b a path',
]
const scanners = new Map(FIELDS.map((fields) => [fields, openScanner(fields, { which: 'wasm' })]))
/** Fields of our list that the line has. */
function fieldsOf(line: string): string[] {
  if (!line.trim().startsWith('{')) return []
  const names = new Set(Object.keys(JSON.parse(line) as object))
  return FIELDS.filter((fields) => fields.split(' ').every((field) => names.has(field.split(/[.[]/)[0] as string)))
}

test('lines that are alike are scanned as others are', { timeout: 60_000 + runs * 20 }, () => {
  const whole = heap() as { kernel: Kernel }
  try {
    whole.kernel = bothWays
    for (let seed = 1; seed <= runs; seed++) {
      const random = new JsonLines(seed * 7919)
      let base = random.line(random.below(10) === 0)
      while (fieldsOf(base).length === 0) base = random.line(false)
      const other = random.line(false)
      const known = fieldsOf(base)
      const scanner = scanners.get(known[random.below(known.length)] as string)!
      scanner.begin({ file: 'x.ndjson', base: 0, lineAt: (offset) => offset })
      const lines = Array.from({ length: LINES }, () => {
        const line = varied(random.below(9) ? base : other, random)
        // Long lines cross the pieces for which marks are made.
        return random.below(60) === 0 ? line.replaceAll('x{y', 'x{y'.repeat(1500)) : line
      })
      const text = Buffer.from(`${lines.join('\n')}\n`)
      const bytes = random.below(2) ? random.mutate(text, random.below(4)) : text
      const cuts = Array.from({ length: random.below(3) }, () => random.below(bytes.length)).sort((a, b) => a - b)
      feed(scanner, bytes, cuts, () => {})
    }
  } finally {
    whole.kernel = kernel
  }
  expect(counts.alike).toBeGreaterThan(counts.lines / 8)
  expect(counts.alike).toBeLessThan(counts.lines * 0.95)
})

const record = (i: number): string => `{"id":${i},"user":{"name":"${'n'.repeat(i % 70)}"},"tags":["a","b"],"last":${i}}`
const records = (count: number): string[] => Array.from({ length: count }, (_, i) => record(i))

test.each([
  ['many', records(5000)],
  ['one that ends early', records(9).with(4, '{"id":1}}')],
  ['a comma too much', records(9).with(4, '{"id":4,"user":{"name":""},"tags":["a","b"],"last":4,}')],
  ['names that are deeper', records(9).with(4, '{"id":4,"user":{"last":5},"tags":["a","b"],"name":4}')],
  ['an open string', records(9).with(4, '{"id":4,"user":{"name":"},"tags":["a","b"],"last":4}')],
  ['two in one line', records(9).with(4, `${record(4)}${record(5)}`)],
  ['two in one line, with blanks', records(9).with(4, `${record(4)} ${record(5)}`)],
  ['a blank line', records(9).with(4, '')],
  ['blanks around', records(9).with(4, `  ${record(4)} \r`)],
  ['bytes that are no UTF-8', records(9).with(4, record(4).replace('"a"', '"\u00ff"'))],
  ['a control character', records(9).with(4, record(4).replace('"a"', '"\u0001"'))],
  ['a backslash outside', records(9).with(4, record(4).replace('["a"', '\\["a"'))],
  ['other brackets', records(9).with(4, record(4).replace('["a","b"]', '{"a":"b"}'))],
  ['Y for a bracket', records(9).with(4, record(4).replace('"b"]', '"b"Y'))],
  ['a value that is none', records(9).with(4, record(4).replace('"last":4', '"last":04'))],
  ['objects without a comma', records(9).map((line, i) => line.replace('"a","b"', i === 4 ? '{}\t{}' : '{},\t{}'))],
  ['a name with an escape', records(9).with(4, record(4).replace('"last"', '"l\\u0061st"'))],
  ['a name after an escaped quote', records(9).with(4, record(4).replace('"last"', '"\\"last"'))],
])('are scanned as the readable scanner does it: %s', (_, lines) => {
  const bytes = Buffer.from(`${lines.join('\n')}\n`, 'latin1')
  for (const fields of ['last', 'id last', 'last id user.name', 'tags[1] last']) {
    const seen = scanAll(openScanner(fields, { which: 'wasm' }), bytes)
    expect(seen).toEqual(scanAll(openScanner(fields), bytes))
  }
})
