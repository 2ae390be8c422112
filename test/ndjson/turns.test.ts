import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { feedAhead, openScanner, scanAll } from './scan.ts'

const PIECE = 1 << 20

/** A line that is good or not, of up to some hundred thousand bytes. */
const line = fc
  .tuple(fc.constantFrom('{"a":1,"b":"', '{"b":"é', ' {"a":[1],"c":"', '{"a":', '\ufeff{"b":"'), fc.nat(), fc.boolean())
  .map(([begin, length, long]) => `${begin}${'x'.repeat(length % (long ? 100_000 : 300))}"}\n`)

it('blocks that are filled in turn, ahead of time, give what one block gives', () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 20 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.boolean(),
      (lines, places, ended) => {
        const text = Buffer.from(lines.join('') + (ended ? '' : '{"a":2}'))
        const cuts = places.map((place) => place % (text.length + 1)).toSorted((a, b) => a - b)
        const open = () => openScanner('a b', { which: 'wasm', strict: true, base: 1000 })
        const expected = scanAll(open(), text)
        expect(scanAll(open(), text, cuts, (...args) => feedAhead(...args, PIECE))).toEqual(expected)
      },
    ),
  )
})

it('a line may be longer than a block, and the next ones go on as before', () => {
  const long = `{"a":"${'y'.repeat(2 * PIECE)}"}\n`
  const text = Buffer.from(`{"a":1}\n${long}${'{"a":2}\n'.repeat(50_000)}${long}{"a":3}`)
  const { rows, bad } = scanAll(openScanner('a', { which: 'wasm' }), text, [], (...args) => feedAhead(...args, PIECE))
  expect(bad).toEqual([])
  expect(rows.map(([whole]) => whole?.length)).toEqual([
    7,
    long.length - 1,
    ...Array.from({ length: 50_000 }, () => 7),
    long.length - 1,
    7,
  ])
})
