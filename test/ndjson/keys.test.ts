import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KeyParts, KeyTable } from '../../src/core/batch.ts'
import type { ScannerName } from '../../src/ndjson/index.ts'
import { partKeys } from '../../src/ndjson/key-parts.ts'
import { feed, openScanner } from './scan.ts'

describe.each(['reference', 'wasm'] as const)('keys of the %s scanner', (which) => {
  const tableOf = (input: string, fields = 'a', base = 0): { table: KeyTable; ids: number[] } =>
    intern(which, input, fields, base)
  const texts = (table: KeyTable, part = 0) =>
    Array.from({ length: table.size }, (_, id) => {
      const text = table.text(id, part)
      const bytes = new Uint8Array(table.textBytes(id) + 2)
      expect(Buffer.from(bytes.subarray(1, table.copyText(id, part, bytes, 1))).toString('latin1')).toBe(text)
      return text
    })

  it('are equal as JSON values and printed as first spelt', () => {
    const values = [
      '1.0',
      '1',
      '"1"',
      '10e-1',
      '"\\u0031"',
      'null',
      '-0',
      '0',
      '0.0',
      '1e1',
      '10',
      '[1, 2]',
      '[1.0,2]',
      '0.50',
      '0.5',
      '"é"',
      '"\\u00e9"',
    ]
    const { table, ids } = tableOf([...values.map((value) => `{"a":${value}}`), '{}'].join('\n'))
    expect(ids).toEqual([0, 0, 1, 0, 1, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 2])
    expect(texts(table)).toEqual([
      '1.0',
      '"1"',
      'null',
      '-0',
      '1e1',
      '[1, 2]',
      '0.50',
      Buffer.from('"é"').toString('latin1'),
    ])
  })

  it('of objects do not depend on the order of members', () => {
    const { ids } = tableOf('{"a":{"x":1,"y":[]}}\n{"a":{"y":[],"x":1.0}}\n{"a":{"x":9,"x":1,"y":[ ]}}\n{"a":{"x":1}}')
    expect(ids).toEqual([0, 0, 0, 1])
  })

  it('of several fields keep the fields apart', () => {
    const { table, ids } = tableOf(
      '{"a":"x","b":1}\n{"a":"x"}\n{"b":"x"}\n{"a":"x","b":1.0}\n{"a":"x","b":null}',
      'a b',
    )
    expect(ids).toEqual([0, 1, 2, 0, 1])
    expect(texts(table, 0)).toEqual(['"x"', '"x"', 'null'])
    expect(texts(table, 1)).toEqual(['1', 'null', '"x"'])
    expect(Array.from(ids, (id) => table.position(id)).slice(0, 3)).toEqual([0, 16, 26])
  })

  it('travel to another table', () => {
    const lines = (values: number[]) => values.map((value) => `{"a":"k${value}","b":${value % 7}.0}`).join('\n')
    const numbers = Array.from({ length: 3000 }, (_, i) => i)
    const { table } = tableOf(lines(numbers), 'a b', 1e6)
    const other = tableOf(lines([5, 2, 77]), 'a b').table
    const ids = other.import(table.export())
    expect(other.size).toBe(3000)
    expect(new Set(ids).size).toBe(3000)
    expect([ids[5], ids[2], ids[77], ids[0]]).toEqual([0, 1, 2, 3])
    expect(other.text(ids[2999] as number, 0) + other.text(ids[2999] as number, 1)).toBe('"k2999"3.0')
    expect(other.position(0)).toBe(0)
    expect(other.position(3)).toBe(1e6)
  })

  it('are printed as the earliest record of all tables has them', () => {
    const late = tableOf('{"a":1.0}\n{"a":"x"}\n{"a":2}', 'a', 1000).table
    const early = tableOf('{"a":1}\n{"a":"\\u0078"}\n{"a":2e0}').table
    late.import(early.export())
    expect(texts(late)).toEqual(['1', '"\\u0078"', '2e0'])
    expect(Buffer.from(late.export().bytes).toString()).toBe('1"\\u0078"2e0')
    const again = tableOf('{"a":1.00}', 'a', 5).table
    again.import(late.export())
    expect(texts(again)).toEqual(['1', '"\\u0078"', '2e0'])
  })

  it('are forgotten', () => {
    const scanner = openScanner('a', { which })
    const table = scanner.keyTable([0])
    for (const input of ['{"a":1.0}\n{"a":"x"}', '{"a":"x"}\n{"a":1}']) {
      scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
      feed(scanner, Buffer.from(input), [], ({ batch }) => table.intern(batch))
      expect(table.size).toBe(2)
      if (input.startsWith('{"a":1.0')) table.clear()
    }
    expect(texts(table)).toEqual(['"x"', '1'])
    expect(Buffer.from(table.export().bytes).toString()).toBe('"x"1')
  })

  it('come in the order of their positions', () => {
    const lines = (values: number[]) => values.map((value) => `{"a":${value}}`).join('\n')
    const { table } = tableOf(lines([7, 5, 3, 1]), 'a', 2 ** 41)
    expect([...table.order()]).toEqual([0, 1, 2, 3])
    table.import(tableOf(lines([1, 9, 5]), 'a', 1000).table.export())
    table.import(tableOf(lines([8]), 'a', 0).table.export())
    expect(Array.from(table.order(), (id) => table.text(id, 0))).toEqual(['8', '1', '9', '5', '7', '3'])
    table.clear()
    expect([...table.order()]).toEqual([])
  })

  it('make lines, with whole numbers and times', () => {
    const keys = ['"x"', '1.50', `"${'long '.repeat(20_000)}"`, '"é"', 'null']
    const { table } = tableOf(keys.map((key) => `{"a":${key},"b":[${key}]}`).join('\n'), 'a b')
    const lines = table.lines([
      { kind: 'text', text: '{"b":' },
      { kind: 'key', part: 1 },
      { kind: 'text', text: `,"${'t'.repeat(1000)}":` },
      { kind: 'whole' },
      { kind: 'text', text: ',"at":"' },
      { kind: 'time' },
      { kind: 'text', text: '","a":' },
      { kind: 'key', part: 0 },
      { kind: 'text', text: '}\n' },
    ])
    const latin1 = (text: string) => Buffer.from(text).toString('latin1')
    const expected: string[] = []
    let made = ''
    const write = (): void => lines.write((bytes) => void (made += Buffer.from(bytes).toString('latin1')))
    const add = (id: number, whole: number, time: number): void => {
      const [a, iso] = [latin1(keys[id] as string), new Date(time).toISOString()]
      const number = Number.isNaN(whole) ? null : whole
      expected.push(`{"b":[${a}],"${'t'.repeat(1000)}":${number},"at":"${iso}","a":${a}}`)
      if (lines.isFull) write()
      lines.begin(id)
      lines.add(whole)
      lines.add(time)
    }
    const wholes = [0, 7, -1, 10, 99, 100, 123_456, 2 ** 53 - 1, 1 - 2 ** 53, NaN, 1e21, 0.5]
    const times = ['0000-01-01', '0000-03-01', '1969-12-31T23:59:59.999Z', '2024-02-29T12:34:56.789Z', '9999-12-31']
    for (const id of keys.keys()) {
      for (const whole of wholes) add(id, whole, 0)
      for (const time of times) add(id, 1, Date.parse(time))
    }
    for (let day = -1000; day < 3000; day++) add(0, day, day * 86_400_000 * 37.5)
    add(1, 1, Date.UTC(12_000, 0))
    write()
    expect(made.split('\n').slice(0, -1)).toEqual(expected)
    write()
    expect(made.split('\n')).toHaveLength(expected.length + 1)
  })

  it('make lines of columns', () => {
    const { table } = tableOf(Array.from({ length: 5000 }, (_, i) => `{"a":"k${i}"}`).join('\n'))
    const lines = table.lines([
      { kind: 'key', part: 0 },
      { kind: 'text', text: ' ' },
      { kind: 'whole' },
      { kind: 'whole' },
    ])
    const ids = Uint32Array.from({ length: 4999 }, (_, i) => 4999 - i)
    let made = ''
    lines.writeAll(ids, [Float64Array.from({ length: 5000 }, (_, i) => 2 * i), new Float64Array(6000)], (bytes) => {
      made += Buffer.from(bytes).toString()
    })
    expect(made).toBe(Array.from(ids, (id) => `"k${id}" ${2 * id}0`).join(''))
  })

  it.each(['a', 'a b'])('are parted as the readable way does it: %s', (fields) => {
    // Plain ones, others, and so many that they are parted in several pieces.
    const value = (i: number): string =>
      ['"k"', '"é\\u00e9"', '1e2', '[1, {"b":2, "a":1}]', '-0', '0.50'][i % 6] as string
    const input = Array.from({ length: 70_000 }, (_, i) => `{"a":${i % 9 ? `"key ${i}"` : value(i)},"b":${i % 7}}\n`)
    const { table } = tableOf(input.join(''), fields, 100)
    for (const shift of [0, 6]) {
      const readable = partKeys(table.export(), fields.split(' ').length, shift)
      for (const [partition, { keys, ids }] of table.parted(shift).entries()) {
        const other = readable[partition] as KeyParts
        expect(ids).toEqual(other.ids)
        expect(keys.ends).toEqual(other.keys.ends)
        expect(keys.positions).toEqual(other.keys.positions)
        expect(Buffer.compare(keys.bytes, other.keys.bytes)).toBe(0)
      }
    }
    expect(table.positionsOf(Uint32Array.of(2, 0))).toEqual(Float64Array.of(table.position(2), table.position(0)))
  })

  it.each(['a', 'a b'])('may be told apart by nothing but their place, on their way elsewhere: %s', (fields) => {
    const parts = fields.split(' ').length
    const value = (i: number): string =>
      ['1', '1.0', '"k"', '"\\u006b"', '"a text longer than sixteen bytes"'][i % 5] as string
    const records = Array.from({ length: 3000 }, (_, i) => (i % 7 ? `{"a":${value(i)},"b":${i % 3}}` : '{}'))
    for (const other of ['reference', 'wasm'] as const) {
      // Batches may come from the other scanner.
      const table = openScanner(fields, { which }).keyTable(Array.from({ length: parts }, (_, part) => part))
      const ids: number[] = []
      const append = (base: number): void =>
        feed(openScanner(fields, { which: other, base }), Buffer.from(records.join('\n')), [], ({ batch }) =>
          ids.push(...table.append(batch)),
        )
      append(0)
      append(1 << 20)
      expect(ids).toEqual(Array.from({ length: 6000 }, (_, id) => id))
      expect(table.size).toBe(6000)
      expect([7, 6, 3003].map((id) => table.text(id, 0))).toEqual(['null', '1.0', '"\\u006b"'])
      expect(table.position(3000)).toBe(1 << 20)
      const readable = partKeys(table.export(), parts, 0)
      for (const [partition, { keys, ids }] of table.parted(0).entries()) {
        expect(ids).toEqual(readable[partition]!.ids)
        expect(Buffer.from(keys.bytes)).toEqual(Buffer.from(readable[partition]!.keys.bytes))
        expect(keys.positions).toEqual(readable[partition]!.keys.positions)
      }
      // And they are looked up again.
      table.clear(10)
      const scanner = openScanner(fields, { which })
      feed(scanner, Buffer.from('{"a":1}\n{"a":2}\n{"a":1.0}\n'), [], ({ batch }) => {
        if (batch.count) expect([...table.intern(batch)]).toEqual([0, 1, 0])
      })
    }
  })

  it('may come from batches of the other scanner', () => {
    const table = openScanner('a', { which }).keyTable([0])
    const other = openScanner('a', { which: which === 'wasm' ? 'reference' : 'wasm', base: 50 })
    feed(other, Buffer.from('{"a":1}\n{"a":1.0}\n{"a":2}\n'), [], ({ batch }) => {
      if (batch.count) expect([...table.intern(batch)]).toEqual([0, 0, 1])
    })
    expect(table.position(1)).toBe(50 + 18)
  })
})

function intern(which: ScannerName, input: string, fields: string, base: number) {
  const scanner = openScanner(fields, { which, base })
  const table = scanner.keyTable(fields.split(' ').map((_, i) => i))
  const ids: number[] = []
  feed(scanner, Buffer.from(input), [], ({ batch }) => ids.push(...table.intern(batch)))
  return { table, ids }
}

describe('the fast key table', () => {
  it('is one with the readable one, whatever the lengths of the keys', () => {
    // Up to 12 bytes a key is in the slot itself, beyond that elsewhere.
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\\u0061', '\\n'), maxLength: 12 })
    const value = fc.oneof(
      text.map((inner) => `"${inner}"`),
      fc.integer({ min: -12, max: 12 }).map(String),
      fc.constantFrom('1.0', '1e1', '-0', 'null', 'true', '[1, 2]', '[1,2.0]', '"aaaaaaaaaa"', '"aaaaaaaaaaa"'),
    )
    const record = fc.tuple(value, fc.option(value)).map(([a, b]) => `{"a":${a}${b === null ? '' : `,"b":${b}`}}`)
    const openTables = (fields: string) =>
      (['wasm', 'reference'] as const).map((which) => {
        const open = () => {
          const scanner = openScanner(fields, { which })
          const table = scanner.keyTable(fields.split(' ').map((_, i) => i))
          const take = (lines: string[], base: number): number[] => {
            const ids: number[] = []
            scanner.begin({ file: 'x', base, lineAt: () => 1 })
            feed(scanner, Buffer.from(lines.join('\n')), [], ({ batch }) => ids.push(...table.intern(batch)))
            return ids
          }
          return { table, take }
        }
        const [first, second] = [open(), open()]
        return (here: string[], there: string[]) => {
          first.table.clear()
          second.table.clear()
          const ids = first.take(here, 1000)
          second.take(there, 0)
          const imported = [...first.table.import(second.table.export())]
          const { bytes, ends, positions } = first.table.export()
          return [ids, imported, [...first.table.order()], [...bytes], [...ends], [...positions]]
        }
      })
    const tables = { a: openTables('a'), 'a b': openTables('a b') }
    fc.assert(
      fc.property(fc.array(record), fc.array(record), fc.constantFrom('a', 'a b'), (first, second, fields) => {
        const [fast, readable] = tables[fields].map((run) => run(first, second))
        expect(fast).toEqual(readable)
      }),
      { numRuns: Math.min(Number(process.env['BECK_FUZZ_RUNS'] ?? 300), 20_000) },
    )
  })

  it('grows far beyond its first size', () => {
    const scanner = openScanner('a', { which: 'wasm' })
    const table = scanner.keyTable([0])
    const count = 300_000
    const key = (id: number) => (id % 3 ? `"user-${id}"` : `${id + 0.25}`)
    for (let first = 0; first < count; first += 10_000) {
      const lines = Array.from({ length: 10_000 }, (_, i) => `{"a":${key(first + i)}}\n`)
      feed(scanner, Buffer.from(lines.join('')), [], ({ batch }) => table.intern(batch))
    }
    expect(table.size).toBe(count)
    for (const id of [0, 1, 65_535, 65_536, 299_999]) expect(table.text(id, 0)).toBe(key(id))
    // Made for fewer, it still takes more.
    table.clear(5000)
    for (const first of [0, 10_000, 0]) {
      const lines = Array.from({ length: 10_000 }, (_, i) => `{"a":${key(first + i)}}\n`)
      feed(scanner, Buffer.from(lines.join('')), [], ({ batch }) => table.intern(batch))
    }
    expect(table.size).toBe(20_000)
    expect(table.text(19_999, 0)).toBe(key(19_999))
  })
})
