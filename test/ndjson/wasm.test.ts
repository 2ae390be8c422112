import { describe, expect, it } from 'vitest'
import { WasmScanner } from '../../src/ndjson/wasm.ts'
import { openScanner, scanAll } from './scan.ts'

const clean =
  '{"ts":"2026-01-01T00:00:00.016Z","user_id":"u27768","tags":{"region":"us","exp":5},"latency_ms":128.33}\n'

describe('the fast path', () => {
  it('decides clean data alone', () => {
    const scanner = openScanner('user_id tags.region latency_ms', { which: 'wasm' })
    const { rows } = scanAll(scanner, clean.repeat(5000))
    expect(rows).toHaveLength(5000)
    expect(rows[4999]).toEqual([clean.trim(), '"u27768"', '"us"', '128.33'])
    expect(scanner).toBeInstanceOf(WasmScanner)
    expect((scanner as WasmScanner).flagged).toBe(0)
  })

  it('hands odd lines over', () => {
    const scanner = openScanner('a', { which: 'wasm' }) as WasmScanner
    const odd = ['[1]', '{"\\u0061":1}', '{"a":1}{"a":2}', '{"a":"x}', '{"a":[}', '{"a":tru}']
    const { bad, rows } = scanAll(scanner, odd.join('\n'))
    expect(scanner.flagged).toBe(odd.length)
    expect(rows).toEqual([
      ['[1]', undefined],
      ['{"\\u0061":1}', '1'],
    ])
    expect(bad).toHaveLength(4)
  })

  // What nobody asked for is passed by, but these are found in every line: after the wanted field, and when none is wanted.
  describe.each(['a', ''])('finds, when "%s" is wanted', (fields) => {
    const scanner = openScanner(fields, { which: 'wasm' }) as WasmScanner
    const after = (rest: string) => Buffer.from(`{"a":1,"b":${rest}`, 'latin1')
    it.each([
      ['an open string', '"x}'],
      ['an open string before an escape', '"x\\"}'],
      ['more { than }', '{}'],
      ['more [ than ]', '[}'],
      ['brackets that do not match', '{]}'],
      ['a tab in a string', '"\t"}'],
      ['a NUL in a string', '"\0"}'],
      ['a NUL elsewhere', '1\0}'],
      ['a control character beside others', '1 \t\v}'],
      ['invalid UTF-8', '"\xff"}'],
      ['UTF-8 cut off by the line end', '"\xe2\x82"}\xe2'],
      ['} before {', '[{}{}]}'],
      ['} and spaces before {', `[{"x":1}${' '.repeat(70)}{"x":1}]}`],
      ['a second value', '1}{"a":2}'],
      ['a second value after a space', '1} 2'],
      ['a second value that ends like the first', '1},{"c":2}'],
      ['a backslash outside strings', '\\"x\\"}'],
      ['a comma after the last member', '1,}'],
      ['513 levels', '['.repeat(512) + ']'.repeat(512) + '}'],
      ['513 levels here and there', '[1,'.repeat(512) + '2' + ']'.repeat(512) + '}'],
    ])('%s', (_, rest) => {
      for (const padding of [0, 30, 59, 60, 61, 62, 63, 64, 65]) {
        // The problem stands at every place of a chunk of 64 bytes.
        const line = after(`"${'p'.repeat(padding)}","c":${rest}`)
        scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
        const { rows, bad } = scanAll(scanner, Buffer.concat([Buffer.from(clean), line, Buffer.from(`\n${clean}`)]))
        expect({ line: line.toString('latin1'), rows: rows.length, bad: bad.length }).toEqual({
          line: line.toString('latin1'),
          rows: 2,
          bad: 1,
        })
      }
    })

    it('nothing in 512 levels', () => {
      scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
      expect(scanAll(scanner, after(`${'['.repeat(511)}${']'.repeat(511)}}`)).bad).toEqual([])
    })
  })
})
