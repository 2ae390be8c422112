import { describe, expect, it } from 'vitest'
import type { ObjectTemplate } from '../../src/core/batch.ts'
import { WasmScanner } from '../../src/ndjson/wasm.ts'
import { feed, openScanner } from './scan.ts'

describe.each(['reference', 'wasm'] as const)('output of the %s scanner', (which) => {
  it('is the same in one call or row by row', () => {
    const scanner = openScanner('a', { which })
    const text = Array.from({ length: 3000 }, (_, i) => `{"a":${i}}\n`).join('')
    feed(scanner, Buffer.from(text), [], (scanned) => {
      const { batch } = scanned
      const { count } = batch
      const flags = Uint8Array.from({ length: count }, (_, row) => row % 4)
      const mask = Uint8Array.from({ length: count }, (_, row) => row % 2)
      const template: ObjectTemplate = {
        members: [
          { name: 'f', value: { kind: 'flags', flags } },
          { name: 'a', value: { kind: 'field', field: 0 } },
        ],
      }
      const whole = Buffer.from(batch.render(template, 0, count)).toString()
      const masked = Buffer.from(batch.lines(mask, 0, count)).toString()
      let rendered = ''
      let lines = ''
      for (let row = 0; row < count; row++) {
        rendered += Buffer.from(batch.render(template, row, row + 1)).toString()
        lines += Buffer.from(batch.lines(mask, row, row + 1)).toString()
      }
      expect(rendered).toBe(whole)
      expect(lines).toBe(masked)
      if (count) expect(whole.split('\n').slice(2, 4)).toEqual(['{"f":null,"a":2}', '{"a":3}'])
    })
  })

  it('may be much longer than the input', () => {
    const long = 'x'.repeat(1_000_000)
    const constant = JSON.stringify('y'.repeat(10_000))
    const field = { kind: 'field', field: 0 } as const
    const lengths: number[] = []
    feed(openScanner('a', { which }), Buffer.from(`{"a":"${long}"}\n${'{"a":1}\n'.repeat(1000)}`), [], ({ batch }) => {
      if (!batch.count) return
      const thrice: ObjectTemplate = { members: ['p', 'q', 'r', 's'].map((name) => ({ name, value: field })) }
      const wide: ObjectTemplate = { members: [{ name: 'c', value: { kind: 'constant', json: constant } }] }
      lengths.push(batch.render(thrice, 0, batch.count).length, batch.render(wide, 0, batch.count).length)
    })
    const row = '{"p":1,"q":1,"r":1,"s":1}\n'.length
    const sum = (of: number) => lengths.filter((_, i) => i % 2 === of).reduce((a, b) => a + b)
    expect(sum(0)).toBe(4 * (long.length + 2) + row - 4 + 1000 * row)
    expect(sum(1)).toBe(1001 * `{"c":${constant}}\n`.length)
  })

  it('writes a member only where it has a value', () => {
    feed(openScanner('a b', { which }), Buffer.from('{"a":1}\n{"b":{ }}\n{}\n'), [], ({ batch }) => {
      if (!batch.count) return
      const members = ['a', 'b'].map((name, field) => ({ name, value: { kind: 'field', field } as const }))
      expect(Buffer.from(batch.render({ members }, 0, 3)).toString()).toBe('{"a":1}\n{"b":{ }}\n{}\n')
      expect(Buffer.from(batch.render({ members: [] }, 1, 3)).toString()).toBe('{}\n{}\n')
    })
  })
})

describe('the memory of the fast scanner', () => {
  it('grows between batches, never under one', () => {
    const scanner = openScanner('a', { which: 'wasm' })
    const other = openScanner('a', { which: 'wasm' })
    const table = scanner.keyTable([0])
    for (let i = 0; i < 100; i++) {
      const lines = Array.from({ length: 1000 }, (_, j) => `{"a":"${i}-${j}-${'x'.repeat(1000)}"}\n`).join('')
      feed(i % 2 ? scanner : other, Buffer.from(lines), [], ({ batch }) => {
        const { bytes, spans } = batch
        const kinds = batch.kinds(0)
        table.intern(batch)
        expect([bytes.length, spans.length, kinds.length]).toEqual([bytes.length, 4 * batch.count, batch.count])
        expect(bytes.byteLength > 0 || batch.count === 0).toBe(true)
      })
    }
    expect(table.size).toBe(100_000)
  })

  it('stays the same for any length of input, but for lines longer than a block', () => {
    const scanner = openScanner('a', { which: 'wasm' }) as WasmScanner
    const long = Buffer.from(`{"a":"${'x'.repeat(20_000_000)}"}\n`)
    const lengths: number[] = []
    feed(scanner, long, [], ({ batch }) => {
      if (batch.count) lengths.push((batch.spans[3] as number) - (batch.spans[2] as number))
    })
    expect(lengths).toEqual([20_000_002])
    expect(scanner.flagged).toBe(0)
  })
})
