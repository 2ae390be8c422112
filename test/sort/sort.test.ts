import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sort } from '../../commands/sort.ts'
import { compareValues } from '../../src/core/order.ts'
import { run, type RunOptions } from '../aggregate/run.ts'

const sorted = async (by: string, lines: readonly string[], options: RunOptions = {}): Promise<string[]> =>
  (await run(sort, [], lines, { by, ...options })).lines

test('the order of values', async () => {
  const values = [
    'null',
    'false',
    'true',
    '-1e400',
    '-10',
    '-1.5',
    '-1e-400',
    '0',
    '1e-400',
    '0.1',
    '0.30000000000000001',
    '0.30000000000000002',
    '2',
    '10',
    '9007199254740992',
    '9007199254740993',
    '1e400',
    '""',
    '"\\u0000"',
    '"A"',
    '"a"',
    '"a\\u0000"',
    '"aaaaaaa"',
    '"aaaaaaa\\u0000"',
    '"aaaaaaaa"',
    '"aaaaaaab"',
    '"\\u00e9"',
    '"\\uffff"',
    '"𝄞"',
    '[1]',
    '[2]',
    '{"a":1}',
  ]
  const lines = values.map((value, i) => `{"v":${value},"i":${i}}`)
  expect(await sorted('v', lines.toReversed())).toEqual(lines)
  expect(await sorted('-v', lines)).toEqual(lines.toReversed())
})

test('stable, both ways; equal spellings are equal', async () => {
  const lines = [
    '{"v":1,"i":0}',
    '{"i":1}',
    '{"v":1.0,"i":2}',
    '{"v":"\\u0061","i":3}',
    '{"v":"a","i":4}',
    '{"v":null,"i":5}',
  ]
  const at = (...order: number[]): string[] => order.map((index) => lines[index]!)
  expect(await sorted('v', lines)).toEqual(at(1, 5, 0, 2, 3, 4))
  expect(await sorted('-v', lines)).toEqual(at(3, 4, 0, 2, 1, 5))
})

test('several keys, nested and quoted', async () => {
  const lines = ['{"a":{"b":1},"c,d":2}', '{"a":{"b":1},"c,d":3}', '{"a":{"b":0},"c,d":1}']
  expect(await sorted('a.b,-["c,d"]', lines)).toEqual([lines[2], lines[1], lines[0]])
})

describe('against comparing values one by one', () => {
  const piece = fc.constantFrom(
    'a',
    'b',
    'ab',
    'https://example.org/',
    '\\u0061',
    '\\n',
    'ü',
    '\\ud83d\\ude00',
    '\\ud800',
    '~',
  )
  const text = fc.array(piece, { maxLength: 5 }).map((pieces) => `"${pieces.join('')}"`)
  const number = fc.oneof(
    fc.integer({ min: -5, max: 5 }).map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
    fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map(String),
    fc.constantFrom('1.0', '-0', '0e5', '1e0', '0.30000000000000001', '0.3'),
  )
  const value = fc.option(
    fc.oneof(text, number, fc.constantFrom('null', 'true', 'false', '[1]', '[1.0]', '{"b":1,"a":2}', '{"a":2,"b":1}')),
    { nil: undefined },
  )
  const spare = fc.array(fc.tuple(value, value), { maxLength: 300 })

  const oracle = (
    rows: readonly (readonly (string | undefined)[])[],
    lines: readonly string[],
    by: string,
  ): string[] => {
    const keys = by.split(',').map((key) => ({ index: key.endsWith('a') ? 0 : 1, sign: key.startsWith('-') ? -1 : 1 }))
    const latin1 = (text: string | undefined): string => Buffer.from(text ?? '').toString('latin1')
    return lines
      .map((_, index) => index)
      .sort((x, y) => {
        for (const { index, sign } of keys) {
          const difference = compareValues(latin1(rows[x]![index]), latin1(rows[y]![index]))
          if (difference) return difference * sign
        }
        return x - y
      })
      .map((index) => lines[index]!)
  }
  const lineOf = ([a, b]: readonly (string | undefined)[], i: number): string =>
    `{"i":${i}${a === undefined ? '' : `,"a":${a}`}${b === undefined ? '' : `,"b":${b}`}}`

  test.each(['reference', 'wasm'] as const)('with the %s scanner', (scanner) =>
    fc.assert(
      fc.asyncProperty(
        spare,
        fc.constantFrom('a', '-a', 'a,b', '-a,b', 'b,-a', '-b,-a'),
        fc.option(fc.nat(20), { nil: undefined }),
        async (rows, by, limit) => {
          const lines = rows.map(lineOf)
          const expected = oracle(rows, lines, by).slice(0, limit)
          expect(
            await sorted(by, lines, { scanner, batchRows: 64, ...(limit !== undefined && { limit: String(limit) }) }),
          ).toEqual(expected)
        },
      ),
      { numRuns: 60 },
    ),
  )

  test('many lines, so that runs are long and a limit trims', async () => {
    const rows = Array.from({ length: 30_000 }, (_, i) => [
      `"https://example.org/some/long/path/${(i * 7919) % 997}"`,
      String(((i * 104_729) % 1000) / 8),
    ])
    const lines = rows.map(lineOf)
    for (const by of ['a,b', '-b,a', 'b']) {
      const expected = oracle(rows, lines, by)
      expect(await sorted(by, lines, { scanner: 'wasm', batchRows: 5000 })).toEqual(expected)
      expect(await sorted(by, lines, { scanner: 'wasm', batchRows: 500, limit: '50' })).toEqual(expected.slice(0, 50))
    }
  })
})

test.each([
  ['', 'is not a list of keys'],
  ['a,,b', 'is not a list of keys'],
  ['-', 'is not a list of keys'],
])('--by "%s" is refused', async (by, problem) => {
  await expect(sorted(by, [])).rejects.toMatchObject({ exit: 2, message: expect.stringContaining(problem) as unknown })
})

test('--limit takes a number', async () => {
  await expect(sorted('a', [], { limit: '-1' })).rejects.toMatchObject({ exit: 2 })
})
