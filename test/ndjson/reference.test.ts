import { array, assert, constantFrom, json, nat, property, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LineChecker } from '../../src/ndjson/line.ts'
import { feed, openScanner, scanAll } from './scan.ts'

const rows = (fields: string, input: string) => scanAll(openScanner(fields), input).rows.map(([, ...values]) => values)
const problem = (line: string | Uint8Array) => {
  const [bad] = scanAll(openScanner('a'), line).bad
  return bad && `${bad.column}: ${bad.problem}`
}

describe('lines', () => {
  it('skips blank lines, takes CRLF, a BOM and an unended last line', () => {
    const { rows, positions } = scanAll(openScanner('a'), '\ufeff {"a":1} \r\n\r\n \t\n{"a":2}\n\n[]')
    expect(rows).toEqual([
      ['{"a":1}', '1'],
      ['{"a":2}', '2'],
      ['[]', undefined],
    ])
    expect(positions).toEqual([4, 19, 28])
  })

  it('drops a BOM at the start of each input only', () => {
    const scanner = openScanner('a')
    expect(scanAll(scanner, '\ufeff{"a":1}\n\ufeff{}').bad).toMatchObject([{ row: 1, column: 1 }])
    scanner.begin({ file: 'y', base: 0, lineAt: () => 1 })
    expect(scanAll(scanner, '\ufeff{"a":1}').rows).toHaveLength(1)
  })

  it('cut at every byte gives the same', () => {
    const input = '\ufeff{"a":"é\\n","b":{"c":[1,{"d":2}]}}\r\n\n{bad}\n {"a":[]}\n1'
    const whole = scanAll(openScanner('a b.c[1].d', { base: 1000 }), input)
    expect(whole.rows).toHaveLength(3)
    for (let cut = 1; cut < Buffer.from(input).length; cut++) {
      expect(scanAll(openScanner('a b.c[1].d', { base: 1000 }), input, [cut])).toEqual(whole)
    }
  })

  it('puts bad lines between the rows and says where they stand', () => {
    const { bad } = scanAll(openScanner('a', { base: 100 }), '{"a":1}\n{"a":\r\n{"a":3}\nx')
    expect(bad).toMatchObject([
      { row: 1, text: '{"a":', position: 108, column: 6 },
      { row: 2, text: 'x', position: 123, column: 1 },
    ])
  })

  it('knows the number of a line', () => {
    const scanner = openScanner('a')
    const lines: number[] = []
    scanner.begin({ file: 'x', base: 5, lineAt: (offset) => 100 * offset })
    feed(scanner, Buffer.from('{}\n\n[\n{}\n{}'), [4], ({ batch, lines: seen }) => {
      for (let row = 0; row < batch.count; row++) lines.push(batch.locate(row).line)
      lines.push(-seen)
    })
    expect(lines).toEqual([0, -2, 401, -2, 900, -1])
  })

  it('grows for a line longer than the block, and gives it away on demand', () => {
    const long = `{"a":"${'x'.repeat(5_000_000)}"}`
    expect(scanAll(openScanner('a'), `${long}\n{}`).rows[0]?.[0]).toHaveLength(long.length)
    const scanner = openScanner('a')
    scanner.room().set(Buffer.from('{}\n{"a":"xx'))
    scanner.scan(11, false)
    expect(scanner.pendingBytes).toBe(8)
    expect(Buffer.from(scanner.takePending()).toString()).toBe('{"a":"xx')
    expect(scanner.pendingBytes).toBe(0)
    scanner.skip(3)
    scanner.room().set(Buffer.from('{"a":2}\n'))
    expect(scanner.scan(8, true).batch.position(0)).toBe(14)
  })
})

describe('fields', () => {
  it('follow paths through objects and arrays', () => {
    expect(rows('a a.b t[1] t["1"]', '{"a":{"b":1}}\n{"a":2,"t":[7,{"x":1}]}\n{"t":{"1":2}}\n{"t":[1]}')).toEqual([
      ['{"b":1}', '1', undefined, undefined],
      ['2', undefined, '{"x":1}', '{"x":1}'],
      [undefined, undefined, '2', '2'],
      [undefined, undefined, undefined, undefined],
    ])
  })

  it('have names by content, whatever their escapes', () => {
    expect(rows('é.a', String.raw`{"\u00e9":{"\u0061":1}}` + '\n{"é":{"a":2}}')).toEqual([['1'], ['2']])
    expect(rows('__proto__.x', '{"__proto__":{"x":1}}')).toEqual([['1']])
  })

  it('are the last of duplicates', () => {
    expect(rows('a a.b', '{"a":{"b":1,"b":2}}\n{"a":{"b":1},"a":{}}\n{"a":1,"a":null}')).toEqual([
      ['{"b":1,"b":2}', '2'],
      ['{}', undefined],
      ['null', undefined],
    ])
  })
})

describe('problems', () => {
  it.each([
    ['{"a":', '6: the line ends where a value should be'],
    ['{"a":1,}', '8: expected a member\'s name, found "}"'],
    ['{"a" 1}', '6: expected ":" after a member\'s name, found "1"'],
    ['[1 2]', '4: expected "," or "]" after an element of an array, found "2"'],
    ['{"a":1}{"a":2}', '8: "{" after the end of the record'],
    ["{'a':1}", `2: expected a member's name, found "'"`],
    ['{"a":NaN}', '6: expected a value, found "NaN"'],
    ['{"a":01}', '6: a number with a leading zero'],
    ['{"a":1.}', '8: expected a digit after ".", found "}"'],
    ['{"a":-}', '7: expected a digit after "-", found "}"'],
    ['{"a":1e}', '8: expected a digit of the exponent, found "}"'],
    ['{"a":"x}', '6: a string without its closing quote'],
    ['{"a":"\t"}', '7: a raw control character (0x09) in a string'],
    ['{"a":\0}', '6: expected a value, found byte 0x00'],
    [String.raw`{"a":"\x"}`, '7: "x" after "\\" in a string'],
    [String.raw`{"a":"\u12"}`, '7: "\\u" in a string is not followed by four hexadecimal digits'],
    ['['.repeat(513), '513: nested deeper than 512 levels'],
    ['['.repeat(100_000), '513: nested deeper than 512 levels'],
  ])('%.40s', (line, text) => expect(problem(line)).toBe(text))

  it.each(['ff', 'c080', 'eda080', 'f4908080', 'c3', 'e282', 'f0808080', '80'])('invalid UTF-8 %s', (hex) => {
    const line = Buffer.concat([Buffer.from('{"a":"'), Buffer.from(hex, 'hex'), Buffer.from('"}')])
    expect(problem(line)).toBe(`7: invalid UTF-8 (byte 0x${hex.slice(0, 2)})`)
  })

  it('none with 512 levels', () => expect(problem('['.repeat(512) + ']'.repeat(512))).toBeUndefined())
})

/** JSON text as it may come, with odd white space, escapes and numbers. */
const jsonText = json({ maxDepth: 4, stringUnit: 'binary' }).map((text) => Buffer.from(text))
const mutated = tuple(
  jsonText,
  array(
    tuple(
      nat(),
      constantFrom(...Buffer.from('{}[]",:\\ue0-.1tn \r\t'), 0, 0x1f, 0x7f, 0x80, 0xc3, 0xe2, 0xed, 0xa0, 0xf4),
      nat(2),
    ),
    { maxLength: 4 },
  ),
).map(([bytes, edits]) => {
  const out = [...bytes]
  for (const [at, byte, drop] of edits) out.splice(at % (out.length + 1), drop, byte)
  return Buffer.from(out.filter((byte) => byte !== 0x0a))
})

describe('against JSON.parse', { timeout: 600_000 }, () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const accepts = (bytes: Uint8Array): boolean => {
    try {
      JSON.parse(decoder.decode(bytes))
      return true
    } catch {
      return false
    }
  }
  const spans = new Uint32Array(2)
  const checker = new LineChecker([])
  it('accepts the same lines', () => {
    assert(
      property(mutated, (bytes) => {
        expect(checker.check(bytes, 0, bytes.length, spans, 0) === undefined).toBe(accepts(bytes))
      }),
      { numRuns: Number(process.env['BECK_FUZZ_RUNS'] ?? 20_000) },
    )
  })
})
