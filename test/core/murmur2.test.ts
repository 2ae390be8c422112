import { expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../src/core/murmur2.ts'

// The values of Kafka's own UtilsTest.testMurmur2.
it.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('murmur2 of %s', (text, hash) => expect(murmur2(Buffer.from(text))).toBe(hash))

it('hashes a part of a block', () => expect(murmur2(Buffer.from('xfoobarx'), 1, 7)).toBe(-790332482))

it('partitions by the hash without its sign', () =>
  expect(partitionOf(Buffer.from('foobar'), 7)).toBe((-790332482 & 0x7fffffff) % 7))
