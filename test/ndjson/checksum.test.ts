import { crc32 as crcOfZlib } from 'node:zlib'
import { assert, constant, integer, nat, oneof, property, record } from 'fast-check'
import { expect, test } from 'vitest'
import { crc32 } from '../../src/ndjson/checksum.ts'
import { heap } from '../../src/ndjson/heap.ts'

const ROOM = 1 << 18
const place = heap().allocate(ROOM)

test('the CRC of a text in the kernel is that of zlib, whatever its length, its place and what was before', () => {
  const text = record({
    seed: integer(),
    at: nat(64),
    length: oneof(integer({ min: 16384, max: 16384 + 40 }), nat(ROOM - 64), nat(20_000)),
    crc: oneof(constant(0), nat(0xffffffff)),
  })
  const { foldRoom } = heap()
  assert(
    property(text, ({ seed, at, length, crc }) => {
      const bytes = heap().bytes.subarray(place + at, place + at + length)
      for (let i = 0, state = seed; i < length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0
        bytes[i] = state >>> 24
      }
      heap().bytes.fill(0xaa, foldRoom, foldRoom + 4800)
      expect(crc32(bytes, crc)).toBe(crcOfZlib(bytes, crc))
      const folded = heap()
        .bytes.subarray(foldRoom, foldRoom + 4800)
        .some((byte) => byte !== 0xaa)
      expect(folded).toBe(length >= 16384)
    }),
    { numRuns: 60 },
  )
})

test('every bit of a text counts', () => {
  const bytes = heap()
    .bytes.subarray(place, place + 20_000)
    .fill(0)
  const whole = crc32(bytes)
  for (let bit = 0; bit < 8 * bytes.length; bit += 61) {
    bytes[bit >> 3] = 1 << (bit & 7)
    expect(crc32(bytes)).not.toBe(whole)
    bytes[bit >> 3] = 0
  }
})

test('a text elsewhere is left to zlib', () => {
  const bytes = Buffer.alloc(100_000, 'abc')
  expect(crc32(bytes)).toBe(crcOfZlib(bytes))
})
