import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBlocks, encodeBlock } from '../../src/pipeline/state-blocks.ts'

const column = fc.oneof(
  fc.uint8Array(),
  fc.int8Array(),
  fc.uint16Array(),
  fc.int16Array(),
  fc.uint32Array(),
  fc.int32Array(),
  fc.float32Array(),
  fc.float64Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  // Those that are large enough to be written from where they are.
  fc.integer({ min: 60_000, max: 70_000 }).map((length) => new Uint8Array(length).fill(length)),
  fc.integer({ min: 9_000, max: 20_000 }).map((length) => new Float64Array(length + 3).fill(1 / length).subarray(3)),
)
const state = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    column,
    fc.string(),
    fc.double(),
    fc.constantFrom(undefined, null, true, -0, 10n ** 40n),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('any'), { maxKeys: 4 }),
    fc.array(fc.tuple(fc.nat(), tie('any')), { maxLength: 4 }).map((entries) => new Map(entries)),
  ),
})).any

test('blocks one after the other come back as what was said, wherever they are in memory', () => {
  fc.assert(
    fc.property(fc.array(state, { maxLength: 3 }), fc.nat(9), (states, offset) => {
      const bytes = Buffer.concat([Buffer.alloc(offset), ...states.flatMap(encodeBlock)])
      expect((bytes.length - offset) % 8).toBe(0)
      const back = [...decodeBlocks(bytes.subarray(offset))]
      expect(back).toEqual(states)
    }),
    { numRuns: 50 },
  )
})

test('large columns are neither copied on their way out nor on their way in, and what stands twice is written once', () => {
  const positions = new Float64Array(1e5).map((_, at) => at / 3)
  const pieces = encodeBlock({ few: Uint8Array.of(1), positions, again: positions })
  expect(pieces.filter(({ buffer }) => buffer === positions.buffer).length).toBe(1)
  const bytes = new Uint8Array(Buffer.concat(pieces))
  expect(bytes.length).toBeLessThan(positions.byteLength + 200)
  const [back] = decodeBlocks(bytes) as Iterable<{ positions: Float64Array; again: Float64Array }>
  expect(back!.positions).toEqual(positions)
  expect(back!.positions.buffer).toBe(bytes.buffer)
  expect(back!.again).toBe(back!.positions)
})

test('a typed array of a kind that files do not know is an error, not silence', () => {
  expect(() => encodeBlock({ wide: new BigInt64Array(1) })).toThrow('do not know')
})
