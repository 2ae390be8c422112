import { readFileSync } from 'node:fs'
import { parse as parseCsv } from 'csv-parse/sync'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, encode, ndjson, parsed } from './harness.ts'

/** Texts with what the formats give a meaning to, and characters of one to four bytes. */
const text = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', '0', ' ', ',', ';', '"', '\\', '\n', '\r', '\t', 't', 'é', '日', '😀', '\u0000', '-'),
  }),
  fc.string({ unit: 'grapheme' }),
)
const name = text.filter((text) => text !== '')
const table = (least: number) =>
  fc.uniqueArray(name, { minLength: least, maxLength: 4 }).chain((names) =>
    fc.record({
      names: fc.constant(names),
      rows: fc.array(fc.tuple(...names.map(() => text)), { minLength: 1, maxLength: 5 }),
    }),
  )

const objects = (names: readonly string[], rows: readonly (readonly string[])[]): Record<string, string>[] =>
  rows.map((row) => Object.fromEntries(names.map((each, index) => [each, row[index] as string])))

describe.each(['csv', 'tsv'])('%s', (format) => {
  it('gives back every text', () =>
    fc.assert(
      fc.asyncProperty(table(1), async ({ names, rows }) => {
        const records = objects(names, rows)
        // A BOM at the very beginning is one, whoever wrote it.
        fc.pre(!Object.keys(records[0] as object)[0]?.startsWith('\ufeff'))
        const encoded = await encode([format], {}, ndjson(records))
        const { output, rejected } = await decode([format], {}, [encoded])
        expect(rejected).toEqual([])
        expect(parsed(output)).toEqual(records)
      }),
    ))

  it('keeps the spelling of numbers', async () => {
    const records = '{"a":12345678901234567890,"b":1e400}\n{"a":-0,"b":1.50}\n'
    const { output } = await decode([format], {}, [await encode([format], {}, records)])
    expect(output).toBe('{"a":"12345678901234567890","b":"1e400"}\n{"a":"-0","b":"1.50"}\n')
  })
})

describe('csv beside csv-parse', () => {
  /** A row as some program may write it: any field may be quoted, either line end. */
  const written = (rows: readonly (readonly string[])[], quoted: readonly boolean[], lineEnd: string): string => {
    let next = 0
    const field = (value: string): string =>
      quoted[next++ % quoted.length] || /[",\r\n]/.test(value) || value === ''
        ? `"${value.replaceAll('"', '""')}"`
        : value
    return rows.map((row) => row.map(field).join(',') + lineEnd).join('')
  }

  it('reads what csv-parse reads', () =>
    fc.assert(
      fc.asyncProperty(
        table(1),
        fc.array(fc.boolean(), { minLength: 1 }),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        async ({ names, rows }, quoted, lineEnd, ended) => {
          let file = written([names, ...rows], quoted, lineEnd)
          if (!ended) file = file.slice(0, -lineEnd.length)
          fc.pre(!file.startsWith('\ufeff'))
          const { output, rejected } = await decode(['csv'], {}, [Buffer.from(file)])
          expect(rejected).toEqual([])
          const theirs = parseCsv(file, { record_delimiter: ['\n', '\r\n'] })
          expect(parsed(output)).toEqual(objects(theirs[0] as string[], theirs.slice(1)))
        },
      ),
    ))

  it('writes what csv-parse reads', () =>
    fc.assert(
      fc.asyncProperty(table(2), async ({ names, rows }) => {
        const records = objects(names, rows)
        const encoded = await encode(['csv'], {}, ndjson(records))
        const theirs = parseCsv(encoded, { record_delimiter: '\n' })
        expect(theirs).toEqual([Object.keys(records[0] as object), ...records.map((record) => Object.values(record))])
      }),
    ))
})

describe('json', () => {
  it.each([{}, { pretty: true }])('gives back every value with %j', (options) =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue({ maxDepth: 5 })), async (values) => {
        const records = ndjson(values)
        const encoded = await encode(['json'], options, records)
        expect(JSON.parse(encoded.toString())).toEqual(
          values.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
        )
        expect((await decode(['json'], {}, [encoded])).output).toBe(records)
      }),
    ),
  )

  it('reads any layout of a document as its elements', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue({ maxDepth: 4 })),
        fc.constantFrom(0, 1, '\t', '\n', '\r\n '),
        async (values, indent) => {
          const { output, rejected } = await decode(['json'], {}, [Buffer.from(JSON.stringify(values, null, indent))])
          expect(rejected).toEqual([])
          expect(parsed(output)).toEqual(values.map((value) => JSON.parse(JSON.stringify(value)) as unknown))
        },
      ),
    ))

  it('finds the array at a path, whatever else is there', () =>
    fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })),
        fc.array(fc.jsonValue({ maxDepth: 3 })),
        fc.constantFrom(undefined, 1),
        async (others, values, indent) => {
          const document = { ...others, a: [others, { 'b c': values, ...others }] }
          fc.pre(!('b c' in others))
          const { output } = await decode(['json'], { at: 'a[1]["b c"]' }, [
            Buffer.from(JSON.stringify(document, null, indent)),
          ])
          expect(parsed(output)).toEqual(values.map((value) => JSON.parse(JSON.stringify(value)) as unknown))
        },
      ),
    ))

  it('accepts and refuses what JSON.parse does', () =>
    fc.assert(
      fc.asyncProperty(fc.string({ unit: fc.constantFrom(...'{}[]:,"\\ \na1-.e0tn') }), async (json) => {
        fc.pre(!/\][^]*\[/.test(json)) // may be several documents
        let valid = true
        try {
          JSON.parse(`[${json}]`)
        } catch {
          valid = false
        }
        const { rejected, failed } = await decode(['json'], {}, [Buffer.from(`[${json}]`)])
        expect(rejected.length === 0 && failed === undefined).toBe(valid)
      }),
      { numRuns: 2000 },
    ))
})

describe('lines', () => {
  it('gives back every line', () =>
    fc.assert(
      fc.asyncProperty(fc.array(text.map((each) => each.replace(/[\r\n]/g, ''))), async (lines) => {
        fc.pre(!lines[0]?.startsWith('\ufeff'))
        const input = lines.map((line) => `${line}\n`).join('')
        const { output } = await decode(['lines'], {}, [Buffer.from(input)])
        expect(parsed(output)).toEqual(lines.map((line) => ({ line })))
        expect((await encode(['lines', 'line'], {}, output)).toString()).toBe(input)
      }),
    ))
})

describe('logfmt', () => {
  it('reads what a logger writes', () =>
    fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-z_.]+$/), text), { minLength: 1, selector: ([key]) => key }),
        async (pairs) => {
          const line = pairs
            .map(([key, value]) => `${key}=${/^[^\s"\\]+$/.test(value) ? value : JSON.stringify(value)}`)
            .join(' ')
          const { output, rejected } = await decode(['logfmt'], {}, [Buffer.from(line)])
          expect(rejected).toEqual([])
          expect(Object.entries(JSON.parse(output) as object)).toEqual(pairs)
        },
      ),
    ))
})

describe('encoders', () => {
  it.each([['table'], ['csv'], ['tsv'], ['json'], ['lines', 'delay']])(
    'to %s: the batches make no difference',
    async (...program) => {
      const records = readFileSync('fixtures/flights.ndjson').subarray(0, 200_000)
      const whole = await encode(program, {}, records.subarray(0, records.lastIndexOf(10) + 1))
      expect(whole.toString().split('\n').length).toBeGreaterThan(2000)
      for (const blockBytes of [97, 4096, 65536]) {
        const cut = await encode(program, {}, records.subarray(0, records.lastIndexOf(10) + 1), blockBytes)
        expect(cut.equals(whole)).toBe(true)
      }
    },
  )
})
