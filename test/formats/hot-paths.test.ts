import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { combinedFormat, commonFormat } from '../../src/formats/combined.ts'
import type { LineFormat } from '../../src/formats/line-decoder.ts'
import { linesFormat } from '../../src/formats/lines.ts'
import { RowWriter } from '../../src/formats/separated-bytes.ts'
import { wordsFormat } from '../../src/formats/words.ts'
import { decode } from './harness.ts'

const combined = readFileSync('fixtures/access.log', 'latin1').split('\n').slice(0, -1)
const common = combined.map((line) => line.replace(/ "[^"]*" "[^"]*"$/, ''))

/** The record that the hot path writes, undefined where it leaves the line to the readable path. */
function fast(format: LineFormat, line: string): string | undefined {
  const bytes = Buffer.from(`<<${line}"\n`, 'latin1')
  const out = Buffer.alloc((format.growth ?? 6) * line.length + 1024 + 3)
  const end = format.decodeBytes?.(bytes, 2, 2 + line.length, out, 3) ?? -1
  return end < 0 ? undefined : out.toString('latin1', 3, end)
}

describe.each([
  { name: 'combined', format: combinedFormat, lines: combined },
  { name: 'common', format: commonFormat, lines: common },
  { name: 'lines', format: linesFormat, lines: ['', 'plain', 'a "quoted" \\ \t\u0000\u007f word'] },
  {
    name: 'words',
    format: wordsFormat,
    lines: ['', ' ', 'one', ' "two" \\ \t\u0000\u007f words\r\u000b', 'a '.repeat(2000)],
  },
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
    const digits = fc.record({ nth: fc.nat(16), digits: fc.constantFrom('00', '24', '29', '30', '32', '60', '99') })
    fc.assert(
      fc.property(
        fc.constantFrom(...lines),
        fc.array(digits, { maxLength: 1 }),
        fc.array(edit, { maxLength: 2 }),
        (line, numbers, edits) => {
          for (const { nth, digits } of numbers) {
            let count = 0
            line = line.replace(/\d\d/g, (before) => (count++ === nth ? digits : before))
          }
          for (const { at, remove, insert } of edits) {
            const place = Math.min(at, line.length)
            line = line.slice(0, place) + insert + line.slice(place + remove)
          }
          fc.pre(isUtf8(Buffer.from(line, 'latin1')))
          const record = fast(format, line)
          if (record !== undefined)
            expect(record).toBe(
              [format.decode(line)]
                .flat()
                .map((one) => `${one as string}\n`)
                .join(''),
            )
        },
      ),
      { numRuns: 5000 },
    )
  })

  it('takes nearly all lines', () => {
    const taken = lines.filter((line) => fast(format, line) !== undefined).length
    expect(taken).toBeGreaterThanOrEqual(Math.floor(lines.length * 0.97))
  })
})

describe.each([false, true])('the hot path of csv with infer %s', (inferred) => {
  it('says what the readable path says', () => {
    const number = fc.stringMatching(/^-?[019]{0,3}[.e]?[-+]?[0-9]{0,15}$/)
    const field = fc.oneof(
      number,
      fc.constantFrom('', 'true', 'false', 'null', 'x,y', 'a\\b', 'tab\t', 'é', '😀', '-', 't'),
    )
    const rows = fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 4 })
    return fc.assert(
      fc.asyncProperty(rows, fc.constantFrom('\n', '\r\n'), async (rows, lineEnd) => {
        const quoted = (text: string): string => `"${text}"`
        const plain = (text: string): string => (text.includes(',') ? quoted(text) : text)
        const file = (how: (text: string) => string): Buffer =>
          Buffer.from(`a,"b ""c"""${lineEnd}${rows.map((row) => row.map(how).join(',') + lineEnd).join('')}`)
        // Rows with quotes never take the hot path.
        const readable = await decode(['csv'], { infer: inferred }, [file(quoted)])
        expect(readable.rejected).toEqual([])
        expect(await decode(['csv'], { infer: inferred }, [file(plain)])).toEqual(readable)
      }),
      { numRuns: 2000 },
    )
  })

  it('takes plain rows, and refuses none', () => {
    const writer = new RowWriter(['{"a":', ',"b":'], ',', inferred)
    const out = Buffer.alloc(100)
    const write = (row: string): string | undefined => {
      const end = writer.write(Buffer.from(`,${row},`), 1, row.length + 1, out, 1)
      return end < 0 ? undefined : out.toString('latin1', 1, end)
    }
    expect(write('x,7')).toBe(inferred ? '{"a":"x","b":7}\n' : '{"a":"x","b":"7"}\n')
    for (const row of ['x', 'x,y,z', '"x",y', 'x,y\\']) expect(write(row), row).toBeUndefined()
  })
})
