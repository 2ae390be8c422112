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
})
