import { expect, it } from 'vitest'
import { exactTime } from '../../src/ndjson/reference-batch.ts'
import { JsonLines } from './json-lines.ts'
import { feed, openScanner } from './scan.ts'

const scanners = { reference: openScanner('t'), wasm: openScanner('t', { which: 'wasm' }) }

const timesOf = (which: 'reference' | 'wasm', values: readonly string[]): { values: number[]; others: number } => {
  const all = { values: [] as number[], others: 0 }
  const input = Buffer.from(values.map((value) => `{"t":${value}}\n`).join(''))
  scanners[which].begin({ file: 'x.ndjson', base: 0, lineAt: () => 1 })
  feed(scanners[which], input, [], ({ batch }) => {
    const { values, others } = batch.times(0)
    all.values.push(...values)
    all.others += others
  })
  return all
}

const known: readonly (readonly [text: string, time: number])[] = [
  ['"1970-01-01T00:00:00Z"', 0],
  ['"2026-01-01T10:00:00.123Z"', 1767261600123],
  ['"2026-01-01T10:00:00.1Z"', 1767261600100],
  ['"2026-01-01T10:00:00.12Z"', 1767261600120],
  ['"2026-01-01T10:00:00.123999999Z"', 1767261600123],
  ['"2026-01-01T10:00:00+01:00"', 1767258000000],
  ['"2026-01-01T10:00:00.5-09:30"', 1767295800500],
  ['"2024-02-29T00:00:00Z"', 1709164800000],
  ['"2000-02-29T23:59:59.999Z"', 951868799999],
  ['"0000-01-01T00:00:00Z"', -62167219200000],
  ['"0001-01-01T00:00:00Z"', -62135596800000],
  ['"1969-12-31T23:59:59.999Z"', -1],
  ['"9999-12-31T23:59:59.999999999Z"', 253402300799999],
]
const none = [
  '"2023-02-29T00:00:00Z"',
  '"1900-02-29T00:00:00Z"',
  '"2026-04-31T00:00:00Z"',
  '"2026-13-01T00:00:00Z"',
  '"2026-00-01T00:00:00Z"',
  '"2026-01-00T00:00:00Z"',
  '"2026-01-32T00:00:00Z"',
  '"2026-01-01T24:00:00Z"',
  '"2026-01-01T10:60:00Z"',
  '"2026-01-01T10:00:60Z"',
  '"2026-01-01T10:00:00"',
  '"2026-01-01 10:00:00Z"',
  '"2026-01-01t10:00:00Z"',
  '"2026-01-01T10:00:00z"',
  '"2026-01-01T10:00:00.Z"',
  '"2026-01-01T10:00:00.1234567890Z"',
  '"2026-01-01T10:00:00+24:00"',
  '"2026-01-01T10:00:00+01:60"',
  '"2026-01-01T10:00:00+0100"',
  '"2026-01-01T10:00:00ZZ"',
  '"2026-01-01T10:00:00*01:00"',
  '"+02026-01-01T10:00:00Z"',
  '"/026-01-01T10:00:00Z"',
  '"2026-01-01T10:00:0:Z"',
  '"2026-01-01T10:00Z"',
  '1767261600123',
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '"2026-01-01T10:00:00\\u005a"',
  '1111111111111111111111111',
]

it.each(['reference', 'wasm'] as const)('%s reads RFC 3339 and leaves everything else', (which) => {
  // Each beside each, since the kernel remembers the minute of the row before.
  const texts = [...known.map(([text]) => text), ...none]
  for (const first of texts) {
    const values = texts.flatMap((text) => [first, text])
    const expected = values.map((text) => known.find(([other]) => other === text)?.[1] ?? NaN)
    expect(timesOf(which, values)).toEqual({ values: expected, others: expected.filter(Number.isNaN).length })
  }
  expect(timesOf(which, ['"x"']).others).toBe(1)
})

it('both agree on what is nearly a time', () => {
  const random = new JsonLines(7)
  const values = Array.from({ length: 20_000 }, () => {
    const digits = (n: number, below: number): string => String(random.below(below)).padStart(n, '0')
    let text = `${digits(4, 10_000)}-${digits(2, 14)}-${digits(2, 33)}T${digits(2, 25)}:${digits(2, 61)}:${digits(2, 61)}`
    if (random.below(2)) text += `.${digits(1 + random.below(10), 10)}`
    text += ['Z', '+00:00', '-23:59', '+5:30', ''][random.below(5)] as string
    if (random.below(4) === 0) {
      const at = random.below(text.length)
      text = text.slice(0, at) + String.fromCharCode(0x23 + random.below(0x38)) + text.slice(at + 1)
    }
    return `"${text}"`
  })
  const expected = values.map(exactTime)
  const actual = timesOf('wasm', values).values
  expect(values.filter((_, i) => !Object.is(actual[i], expected[i]))).toEqual([])
  expect(expected.filter((time) => !Number.isNaN(time)).length).toBeGreaterThan(2000)
})
