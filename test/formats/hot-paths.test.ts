import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { combinedFormat, commonFormat } from '../../src/formats/combined.ts'
import { linesFormat } from '../../src/formats/lines.ts'

const combined = readFileSync('fixtures/access.log', 'latin1').split('\n').slice(0, -1)
const common = combined.map((line) => line.replace(/ "[^"]*" "[^"]*"$/, ''))

/** The record that the hot path writes, undefined where it leaves the line to the readable path. */
function fast(format: typeof linesFormat, line: string): string | undefined {
  const bytes = Buffer.from(`<<${line}"\n`, 'latin1')
  const out = Buffer.alloc(6 * line.length + 1024 + 3)
  const end = format.decodeBytes?.(bytes, 2, 2 + line.length, out, 3) ?? -1
  return end < 0 ? undefined : out.toString('latin1', 3, end)
}

describe.each([
  { name: 'combined', format: combinedFormat, lines: combined },
  { name: 'common', format: commonFormat, lines: common },
  { name: 'lines', format: linesFormat, lines: ['', 'plain', 'a "quoted" \\ \t\u0000\u007f word'] },
])('the hot path of $name', ({ format, lines }) => {
  it('says what the readable path says, or nothing', () => {
    const piece = fc.constantFrom(
      '"',
      '\\',
      ' ',
      '-',
      '[',
      ']',
      '0',
      '00',
      '1',
      'x',
      ':',
      '\u0001',
      '\u00c3\u00a9',
      'HTTP/',
      '31',
      '',
    )
    const edit = fc.record({ at: fc.nat(300), remove: fc.nat(4), insert: piece })
    fc.assert(
      fc.property(fc.constantFrom(...lines), fc.array(edit, { maxLength: 3 }), (line, edits) => {
        for (const { at, remove, insert } of edits) {
          const place = Math.min(at, line.length)
          line = line.slice(0, place) + insert + line.slice(place + remove)
        }
        fc.pre(isUtf8(Buffer.from(line, 'latin1')))
        const record = fast(format, line)
        if (record !== undefined) expect(record).toBe(`${format.decode(line) as string}\n`)
      }),
      { numRuns: 5000 },
    )
  })

  it('takes nearly all lines', () => {
    const taken = lines.filter((line) => fast(format, line) !== undefined).length
    expect(taken).toBeGreaterThanOrEqual(Math.floor(lines.length * 0.97))
  })
})
