import { assert, json, property } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalKey } from '../../src/core/key.ts'

describe('canonicalKey', () => {
  it.each([
    ['1', ['1.0', '1e0', '10e-1', '1E+0', '0.01e2', '0.1e00000000000000000001']],
    ['0', ['-0', '0.0', '-0e9', '0e999999999999999999']],
    ['-0.5', ['-5e-1', '-5E-1', '-50e-2']],
    ['12.34', ['1234e-2', '0.1234e2', '12.3400']],
    ['0.000000000000001', ['1e-15', '0.01e-13']],
    ['1e-16', ['0.0000000000000001']],
    ['1234567890123456e-2', ['12345678901234.56']],
    ['12345678901234567891e0', ['12345678901234567891', '12345678901234567891.0']],
    ['1e15', ['1000000000000000', '10e14']],
    ['100000000000000', ['1e14', '100000000000000.000']],
    ['1e1000000000000000000000', ['10e999999999999999999999', '0.1e1000000000000000000001']],
    ['1e-99999999999999999999', ['0.1e-99999999999999999998']],
    ['"1"', [String.raw`"\u0031"`]],
    ['"é\\""', [String.raw`"\u00e9\u0022"`, String.raw`"é\""`]],
    ['"\\ud800"', [String.raw`"\uD800"`]],
    ['"/"', [String.raw`"\/"`]],
    ['{"a":1,"b":[1,null]}', ['{"b":[1.0,null],"a":1}', ' { "a" : 9 , "\\u0062" : [ 1 , null ] , "a" : 1e0 } ']],
    ['{"__proto__":{}}', ['{"__proto__":{"x":1},"__proto__":{}}']],
    ['[]', ['[ ]']],
  ])('%s', (canonical, spellings) => {
    for (const spelling of [canonical, ...spellings]) expect(canonicalKey(spelling)).toBe(canonical)
  })

  it('keeps apart what differs', () => {
    const distinct = [
      '1',
      '"1"',
      'true',
      '"true"',
      'null',
      '"null"',
      '[]',
      '{}',
      '9007199254740992',
      '9007199254740993',
      '0.1',
      '"\\\\n"',
      '"\\n"',
      '[1,2]',
      '[[1],2]',
    ]
    expect(new Set(distinct.map(canonicalKey)).size).toBe(distinct.length)
  })

  it('is its own canonical text, and agrees with JSON.parse on values that doubles hold', () => {
    assert(
      property(json({ maxDepth: 3 }), (json) => {
        const canonical = canonicalKey(json)
        expect(canonicalKey(canonical)).toBe(canonical)
        const plain = (value: unknown) => JSON.stringify(value).replace(/-0(?![.\d])/g, '0')
        const again = JSON.parse(canonical) as unknown
        expect(JSON.parse(plain(again))).toEqual(JSON.parse(plain(JSON.parse(json))))
      }),
      { numRuns: 2000 },
    )
  })
})
