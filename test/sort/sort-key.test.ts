import { assert, constantFrom, oneof, property, string, integer, double, json, tuple } from 'fast-check'
import { expect, it } from 'vitest'
import { ByteBuffer } from '../../src/core/byte-buffer.ts'
import { compareValues } from '../../src/core/order.ts'
import { appendSortKey } from '../../src/sort/sort-key.ts'

function keyOf(json: string, descending = false): Buffer {
  const into = new ByteBuffer(1)
  // A missing value is 0, 0, wherever the block begins with.
  const bytes = Buffer.from(`{${json}}`)
  appendSortKey(into, bytes, json ? 1 : 0, json ? bytes.length - 1 : 0, descending)
  return Buffer.from(into.view())
}
const sign = (n: number): number => Math.sign(n) + 0
const binary = (json: string): string => Buffer.from(json).toString('latin1')

const digits = constantFrom(
  '0',
  '1',
  '9',
  '12',
  '9007199254740993',
  '9007199254740992',
  '0.1',
  '0.10000000000000000001',
  '1.0',
)
const exponents = constantFrom('', 'e0', 'e1', 'e-1', 'E+20', 'e308', 'e309', 'e400', 'e-400', 'e-320', 'e-17', 'e-310')
const numbers = oneof(
  tuple(constantFrom('', '-'), digits, exponents).map((parts) => parts.join('')),
  integer().map(String),
  double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
)
const strings = oneof(
  string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
  string({ unit: 'binary' }).map((text) => JSON.stringify(text)),
  constantFrom(
    '""',
    '"a"',
    '"a\\u0000"',
    '"a\\u0000b"',
    '"a\\u0001"',
    '"\\u0061"',
    '"\\/"',
    '"/"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\uffff"',
  ),
)
const values = oneof(
  constantFrom('', 'null', 'false', 'true', '[1.0]', '[1]', '{"b":1,"a":2}', '{"a":2,"b":1}'),
  numbers,
  strings,
  json(),
)

it('bytes are in the order of values', () => {
  assert(
    property(values, values, (a, b) => {
      const expected = sign(compareValues(binary(a), binary(b)))
      expect(sign(Buffer.compare(keyOf(a), keyOf(b)))).toBe(expected)
      expect(sign(Buffer.compare(keyOf(a, true), keyOf(b, true)))).toBe(0 - expected + 0)
    }),
    { numRuns: 5000 },
  )
})

it('no value begins another one', () => {
  assert(
    property(values, values, (a, b) => {
      for (const descending of [false, true]) {
        const [first, second] = [keyOf(a, descending), keyOf(b, descending)]
        if (!first.equals(second)) expect(second.subarray(0, first.length).equals(first)).toBe(false)
      }
    }),
    { numRuns: 2000 },
  )
})

it.each([
  ['9007199254740992', '9007199254740993'],
  ['0.1', '0.10000000000000000001'],
  ['-0.10000000000000000001', '-0.1'],
  ['1e400', '1e401'],
  ['-1e401', '-1e400'],
  ['0', '1e-400'],
  ['-1e-400', '0'],
  ['4.9e-324', '5e-324'],
])('%s comes before %s, though doubles cannot tell', (a, b) => expect(Buffer.compare(keyOf(a), keyOf(b))).toBe(-1))

it.each([
  ['1', '1.0'],
  ['100', '1e2'],
  ['-0', '0.0e9'],
  ['0.10000000000000000', '1e-1'],
  ['9007199254740993', '9007199254740993.0'],
  ['', 'null'],
])('%s is %s', (a, b) => expect(keyOf(a)).toEqual(keyOf(b)))
