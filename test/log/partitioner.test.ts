import { describe, expect, test } from 'vitest'
import { keyBytes } from '../../src/log/key-hash.ts'
import { murmur2, partitionOf } from '../../src/log/partitioner.ts'

describe('murmur2', () => {
  // The vectors of Kafka's own UtilsTest.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('%s', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash)
  })

  test('a partition is the hash without its sign', () => {
    expect(partitionOf(Buffer.from('21'), 7)).toBe((-973932308 & 0x7fffffff) % 7)
  })
})

describe('the bytes of a key', () => {
  test.each([
    [['"a\\u0062c"'], 'abc'],
    [['""'], ''],
    [['1.0'], '1'],
    [['10e-1'], '1'],
    [['-0'], '0'],
    [['1.50'], '1.5'],
    [['12345678901234567890'], '12345678901234567890'],
    [['1e3'], '1000'],
    [['true'], 'true'],
    [['{"b":1,"a":2.0}'], '{"a":2,"b":1}'],
    [['"a"', '1.0'], '["a",1]'],
    [['null', '1'], '[null,1]'],
  ])('%j', (texts, bytes) => {
    expect(keyBytes(texts)?.toString()).toBe(bytes)
  })

  test('null is no key', () => {
    expect(keyBytes(['null'])).toBeUndefined()
    expect(keyBytes(['null', 'null'])).toBeUndefined()
  })
})
