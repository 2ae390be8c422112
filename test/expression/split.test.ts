// Texts that are taken apart as bytes: what comes out is what the user's function makes, row by row.
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Projection } from '../../src/core/field-path.ts'
import { resolveExpression } from '../../src/expression/index.ts'
import { planMap } from '../../src/expression/operators.ts'
import { runMap } from './run.ts'

const kindOf = (expression: string): string => {
  const args = { sep: ' ', wide: 'ab' }
  return planMap(resolveExpression(expression, new Projection(), { args, mode: 'auto' }), 'auto', true).kind
}

const QUICK = [
  'r => r.line.split(" ").map(word => ({word}))',
  'r.line.split(" ").map(w => ({w}))',
  'r.line.split(" ").map((x) => ({"w": x}))',
  'r.line.split(/ /).filter(Boolean).map(w => ({w}))',
  'r.line.split(" ").filter(w => w).map(w => ({w}))',
  'r.line.split(/\\s+/).map(w => ({w}))',
  'r.line.split(/\\s+/).filter(x => x !== "").map(w => ({w}))',
  'r.line.split(/\\s/g).filter(x => x.length > 0).map(w => ({w}))',
  'r.line.trim().split(/\\s+/u).map(w => ({w}))',
  'r.line.trim().split(" ").map(w => ({w}))',
  'r.line.trim().split(",").map(w => ({w}))',
  'r.line.split(/ +/).map(w => ({w}))',
  'r.line.split(",").map(w => ({w}))',
  'r.line.split(",").filter(w => w.length).map(w => ({w}))',
  'r.line.split(args.sep).map(w => ({"ü\\"": w}))',
  'r.deep.line.split("a").map(w => ({w}))',
]
const SLOW = [
  'r.line.split("").map(w => ({w}))',
  'r.line.split("ab").map(w => ({w}))',
  'r.line.split(args.wide).map(w => ({w}))',
  'r.line.split("\\"").map(w => ({w}))',
  'r.line.split("ü").map(w => ({w}))',
  'r.line.split(" ", 2).map(w => ({w}))',
  'r.line.split(/\\s+/i).map(w => ({w}))',
  'r.line.split(/\\W+/).map(w => ({w}))',
  'r.line.split().map(w => ({w}))',
  'r.line.split(r.sep).map(w => ({w}))',
  'r.line.split(" ").map((w, at) => ({w, at}))',
  'r.line.split(" ").map(w => ({w: w + 1}))',
  'r.line.split(" ").map(w => ({w: r}))',
  'r.line.split(" ").map(w => ({[w]: w}))',
  'r.line.split(" ").map(w => ({"__proto__": w}))',
  'r.line.split(" ").map(w => w)',
  'r.line.split(" ")',
  'r.line.split(" ").filter(w => !w).map(w => ({w}))',
  'r.line.split(" ").filter(w => w.length > 3).map(w => ({w}))',
  'Boolean => Boolean.line.split(" ").filter(Boolean).map(w => ({w}))',
  'r.line[0].split(" ").map(w => ({w}))',
  'r.split(" ").map(w => ({w}))',
  '(r, i) => i > 0 ? [] : r.line.split(" ").map(w => ({w}))',
]

const character = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom(...'ab, ') },
  { weight: 2, arbitrary: fc.constantFrom('"', '\\', '/', '\t', '\n', '\u0001', 'ü', '日', '😀', '\u007f') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...'\u00a0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff\u0085\u180e\u2014',
    ),
  },
)
const text = fc.array(character, { maxLength: 12 }).map((list) => list.join(''))
/** Spelt plainly, or with each character escaped. */
const json = fc
  .tuple(text, fc.nat(9))
  .map(([line, escaped]) =>
    escaped > 0
      ? JSON.stringify(line)
      : `"${Array.from({ length: line.length }, (_, at) => `\\u${line.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`,
  )
const value = fc.oneof({ weight: 8, arbitrary: json }, fc.constantFrom('1', 'null', '["a b"]', '{"x":" "}', 'true'))
const record = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.tuple(value, value).map(([line, deep]) => `{"line":${line},"sep":" ","deep":{"line":${deep}}}`),
  },
  fc.constantFrom('{}', '"a b"', '7'),
)

describe('a text taken apart', () => {
  it.each(QUICK)('%s is done as bytes', (expression) => expect(kindOf(expression)).toBe('split'))
  it.each(SLOW)('%s is left to JavaScript', (expression) => expect(kindOf(expression)).toBe('rows'))

  it('comes to the same records as with the function, row by row', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...QUICK),
        fc.array(record, { maxLength: 12 }),
        fc.boolean(),
        fc.constantFrom('wasm' as const, 'reference' as const),
        (expression, records, words, scanner) => {
          const input = records.map((line) => `${line}\n`).join('')
          const options = { flat: true, args: { sep: ' ' }, reads: [['line'], ['deep', 'line']] as const, scanner }
          const expected = runMap(expression, input, { ...options, mode: 'fields' })
          expect(runMap(expression, input, { ...options, words }), expression).toBe(expected)
        },
      ),
      { numRuns: Number(process.env['BECK_FUZZ_RUNS'] ?? 500) },
    )
  })

  it('hands long texts on in pieces, and one that is too long for the scanner as bytes', () => {
    const long = `${'b'.repeat(999)} `.repeat(1200)
    const input = Array.from({ length: 60 }, (_, at) => `{"line":"${at} ${'x '.repeat(5000)}"}\n`).join('')
    const expression = 'r.line.split(/ +/).filter(Boolean).map(w => ({w}))'
    for (const text of [input, `{"line":"\\"q\\" ${long}"}\n`, `{"line":"${long}"}\n${input}`]) {
      const expected = runMap(expression, text, { flat: true, mode: 'fields' })
      expect(runMap(expression, text, { flat: true, words: true, scanner: 'wasm' }) === expected).toBe(true)
      expect(runMap(expression, text, { flat: true, scanner: 'wasm' }) === expected).toBe(true)
    }
  })
})
